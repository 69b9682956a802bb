"""Ranges against a model that knows only pages.

After any sequence of calls the ranges are disjoint, they cover exactly the pages that were registered and not unmapped
since, and every page has the attributes that the requests for it gave it, applied page by page. Queries fold pages.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from svmlab.mm import Span
from svmlab.svm.behaviour_table import POSTED
from svmlab.svm.process import Process
from svmlab.svm.ranges import DeferredOp, Range
from svmlab.uapi import Attribute

EXAMPLES = int(os.environ.get("SVMLAB_EXAMPLES", "25"))
STEPS = 20
BASE, PAGES = 0x1000, 64
GPU_IDS = (101, 102, 103)
UNDEFINED, ALL_BITS = 0xFFFFFFFF, 0xFFFFFFFF


@dataclass(frozen=True)
class Page:
    """The attributes of one page; access sets are sets of gpu ids."""

    preferred: int = UNDEFINED
    prefetch: int = UNDEFINED
    flags: int = 0x3
    granularity: int = 9
    access: frozenset[int] = frozenset()
    in_place: frozenset[int] = frozenset()

    def after(self, kind: int, value: int, limit: Any) -> Page:
        """What one attribute makes of it."""
        gpu = frozenset({value})
        changes: dict[int, dict[str, Any]] = {
            Attribute.PREFERRED_LOC: {"preferred": value},
            Attribute.PREFETCH_LOC: {"prefetch": value},
            Attribute.ACCESS: {"access": self.access | gpu, "in_place": self.in_place - gpu},
            Attribute.ACCESS_IN_PLACE: {"access": self.access - gpu, "in_place": self.in_place | gpu},
            Attribute.NO_ACCESS: {"access": self.access - gpu, "in_place": self.in_place - gpu},
            Attribute.SET_FLAGS: {"flags": self.flags | value},
            Attribute.CLR_FLAGS: {"flags": self.flags & ~value & ALL_BITS},
            Attribute.GRANULARITY: {"granularity": limit(value)},
        }
        return replace(self, **changes[kind])


def seen(range_: Range) -> Page:
    """A range's attributes as those of a page."""
    bits = [
        frozenset(gpu for at, gpu in enumerate(GPU_IDS) if each >> at & 1) for each in (range_.access, range_.in_place)
    ]
    return Page(range_.preferred_loc, range_.prefetch_loc, int(range_.flags), range_.granularity, *bits)


SPANS = st.tuples(st.integers(0, PAGES - 1), st.integers(1, 24)).map(
    lambda given: (given[0], min(sum(given), PAGES) - 1)
)
ATTRIBUTES = st.one_of(
    st.tuples(st.just(Attribute.PREFERRED_LOC), st.sampled_from([0, UNDEFINED, *GPU_IDS])),
    st.tuples(st.just(Attribute.PREFETCH_LOC), st.sampled_from([0, *GPU_IDS])),
    st.tuples(
        st.sampled_from([Attribute.ACCESS, Attribute.ACCESS_IN_PLACE, Attribute.NO_ACCESS]), st.sampled_from(GPU_IDS)
    ),
    st.tuples(
        st.sampled_from([Attribute.SET_FLAGS, Attribute.CLR_FLAGS]),
        st.sampled_from([0, 0x3, 0x10, 0x8, 0x30, 0x80000000]),
    ),
    st.tuples(st.just(Attribute.GRANULARITY), st.sampled_from([0, 1, 2, 3, 4, 9, 63, 64, 200])),
)
REQUESTS = st.lists(ATTRIBUTES, max_size=4)
QUESTIONS = st.lists(
    st.one_of(
        st.sampled_from(
            [
                (kind, 0)
                for kind in (
                    Attribute.PREFERRED_LOC,
                    Attribute.PREFETCH_LOC,
                    Attribute.SET_FLAGS,
                    Attribute.GRANULARITY,
                )
            ]
        ),
        st.tuples(st.just(Attribute.ACCESS), st.sampled_from(GPU_IDS)),
    ),
    min_size=1,
    max_size=4,
)


class Ranges(RuleBasedStateMachine):
    """Calls on 64 pages, and what each page must have."""

    BEHAVIOUR = "as-intended"
    XNACK = False

    def __init__(self) -> None:
        super().__init__()
        self.process = Process("toy", xnack=self.XNACK, behaviour=self.BEHAVIOUR, vram="4 MiB")
        self.driver = self.process.driver
        self.mapped = [False] * PAGES
        self.pages: list[Page | None] = [None] * PAGES
        self.map((0, PAGES // 2))

    @property
    def default(self) -> Page:
        everybody = self.XNACK and self.BEHAVIOUR != POSTED
        return Page(access=frozenset(GPU_IDS if everybody else ()))

    @property
    def limit(self) -> Any:
        return (lambda value: value & 0xFF) if self.BEHAVIOUR == POSTED else (lambda value: min(value, 63))

    def span(self, span: tuple[int, int]) -> Span:
        return Span.of_pages(BASE + span[0], BASE + span[1])

    def dropped(self, page: Page, request: list[tuple[int, int]]) -> bool:
        """X30: what the posting takes for unchanged; the others drop a request only where it would change nothing."""
        if self.BEHAVIOUR != POSTED:
            return False
        scratch = Page(flags=0, preferred=0, prefetch=0, granularity=0)
        for kind, value in request:
            scratch = scratch.after(kind, value, self.limit)
        return (page.prefetch, page.flags, page.granularity) == (scratch.prefetch, scratch.flags, scratch.granularity)

    @rule(span=SPANS, request=REQUESTS)
    def set_attr(self, span: tuple[int, int], request: list[tuple[int, int]]) -> None:
        if self.BEHAVIOUR == POSTED:  # what the posting does to pages in VRAM is another story (X23, X25)
            request = [(kind, 0 if kind == Attribute.PREFETCH_LOC else value) for kind, value in request]
        call = self.process.start.set_attr(self.span(span), raw=request)
        while not call.done:
            self.process.advance("10 us")
        where = range(span[0], span[1] + 1)
        if not all(self.mapped[at] for at in where):
            assert call.error is not None
            assert call.error.name == "EFAULT"
            return
        # Pages that cannot be moved or mapped are an error, and attributes stay changed all the same.
        assert call.error is None or call.error.name in ("EFAULT", "ENOMEM", "EBUSY", "EAGAIN")
        for at in where:
            page = self.pages[at]
            if page is not None and self.dropped(page, request):
                continue
            page = page or self.default
            for kind, value in request:
                page = page.after(kind, value, self.limit)
            self.pages[at] = page

    @rule(span=SPANS)
    def map(self, span: tuple[int, int]) -> None:
        """Map the free pages of a span, each run of them as a mapping of its own."""
        for at in range(span[0], span[1] + 1):
            if not self.mapped[at]:
                end = next((each for each in range(at, span[1] + 1) if self.mapped[each]), span[1] + 1)
                self.process.mmap((end - at) << 12, at=(BASE + at) << 12)
                self.mapped[at:end] = [True] * (end - at)

    @rule(span=SPANS)
    def unmap(self, span: tuple[int, int]) -> None:
        self.process.munmap(self.span(span))
        count = span[1] + 1 - span[0]
        self.mapped[span[0] : span[1] + 1] = [False] * count
        self.pages[span[0] : span[1] + 1] = [None] * count

    @rule(span=SPANS)
    def unmap_twice_at_once(self, span: tuple[int, int]) -> None:
        """The second munmap meets the children that the first one left."""
        middle = (span[0] + span[1]) // 2
        second = (max(0, span[0] - 3), middle)
        handles = [self.process.start.munmap(self.span(each)) for each in (span, second)]
        for handle in handles:
            self.process.wait(handle)
        for first, last in (span, second):
            self.mapped[first : last + 1] = [False] * (last + 1 - first)
            self.pages[first : last + 1] = [None] * (last + 1 - first)

    @rule(span=SPANS)
    def discard(self, span: tuple[int, int]) -> None:
        if all(self.mapped[span[0] : span[1] + 1]):
            self.process.discard(self.span(span))

    @rule(span=SPANS)
    def touch(self, span: tuple[int, int]) -> None:
        """The CPU pulls blocks home, which cuts ranges in some drivers."""
        if all(self.mapped[span[0] : span[1] + 1]):
            self.process.cpu_touch(self.span(span), write=True)

    @rule()
    def run(self) -> None:
        self.process.run()
        svms = self.driver.svms
        assert [(each.notifier.start, each.notifier.last) for each in svms] == [
            (each.start, each.last) for each in svms
        ]
        assert not any(each.children for each in svms)
        assert len(svms.order) == len(svms)

    @rule(span=SPANS, question=QUESTIONS)
    def get_attr(self, span: tuple[int, int], question: list[tuple[int, int]]) -> None:
        if not all(self.mapped[span[0] : span[1] + 1]):
            return
        pages = [page for page in self.pages[span[0] : span[1] + 1] if page is not None] or [self.default]
        assert self.process.get_attr(self.span(span), question) == [self.folded(pages, *each) for each in question]

    @staticmethod
    def folded(pages: list[Page], kind: int, value: int) -> tuple[int, int]:
        if kind == Attribute.ACCESS:
            if all(value in page.access for page in pages):
                return Attribute.ACCESS, value
            return (
                Attribute.ACCESS_IN_PLACE if all(value in page.in_place for page in pages) else Attribute.NO_ACCESS
            ), value
        flags = ALL_BITS
        for page in pages:
            flags &= page.flags
        common = {
            name: values.pop() if len(values := {getattr(page, name) for page in pages}) == 1 else UNDEFINED
            for name in ("preferred", "prefetch")
        }
        answers = {
            Attribute.PREFERRED_LOC: common["preferred"],
            Attribute.PREFETCH_LOC: common["prefetch"],
            Attribute.SET_FLAGS: flags,
            Attribute.GRANULARITY: min(page.granularity for page in pages),
        }
        return kind, answers[kind]

    @invariant()
    def every_page_has_its_attributes(self) -> None:
        """Looked up page by page, whether the deferred worker has run or not."""
        found = [self.driver.svms.at(BASE + at) for at in range(PAGES)]
        alive = [None if each is None or each.op is DeferredOp.UNMAP_RANGE else each for each in found]
        assert [None if each is None else seen(each) for each in alive] == self.pages

    @invariant()
    def ranges_are_disjoint_and_cover_what_was_registered(self) -> None:
        pieces = [each for each in self.driver.svms.with_children() if each.op is not DeferredOp.UNMAP_RANGE]
        covered = sorted(page for each in pieces for page in range(each.start, each.last + 1))
        assert covered == [BASE + at for at, page in enumerate(self.pages) if page is not None]

    def teardown(self) -> None:
        self.process.run()
        registered = sum(page is not None for page in self.pages)
        reserves = not self.XNACK and self.BEHAVIOUR != POSTED
        assert self.driver.system.reserved_pages == (registered if reserves else 0)
        self.process.exit()
        self.process.run()
        assert (len(self.driver.svms), self.driver.system.reserved_pages, self.driver.system.buffers) == (0, 0, {})


@pytest.mark.parametrize("xnack", [False, True], ids=["xnack off", "xnack on"])
@pytest.mark.parametrize("behaviour", ["as-posted", "as-intended", "upstream"])
def test_ranges_are_what_a_model_of_single_pages_says(behaviour: str, xnack: bool) -> None:
    machine = type("Story", (Ranges,), {"BEHAVIOUR": behaviour, "XNACK": xnack})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=EXAMPLES,
            stateful_step_count=STEPS,
            deadline=None,
            derandomize=True,
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
