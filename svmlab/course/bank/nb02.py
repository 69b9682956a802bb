"""Notebook 02, ranges and attributes."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from itertools import combinations_with_replacement, product
from typing import Any, NamedTuple

from svmlab.course.exercise import Exercise, Kind, Prediction, Question
from svmlab.course.kinds import counter_example, function, one_number, one_of, order
from svmlab.errors import InputError, SvmError
from svmlab.svm.buffer_view import Buffer
from svmlab.svm.process import Process

__all__ = ["EXERCISES", "PREDICTIONS"]

Pages = tuple[int, int]
"""First and last page, counted from the first of a buffer."""

_MACHINE = "mi210-two-hives"


def _calls_of_the_text() -> dict[str, str]:
    """Access for gpu0 on all pages, then a call about pages 4 to 7; look at ranges and answers."""
    p = Process(_MACHINE, vram="64 MiB")
    a = p.mmap("64 KiB", name="a")
    p.set_attr(a, access=["gpu0"])
    p.set_attr(a.pages(4, 4), access=["gpu1"], preferred="gpu1")
    on_page_4: list[str] = p.attributes(a.pages(4))["access"]
    return {
        "ranges": {1: "one", 2: "two", 3: "three"}[len(p.look.ranges(a.span))],
        "access": "both" if len(on_page_4) > 1 else on_page_4[0],
        "preferred": p.attributes(a)["preferred"],
    }


PREDICTIONS = (
    Prediction(
        "02.p1",
        (
            Question(
                "ranges",
                "How many ranges are there after the second call?",
                ("one", "two", "three"),
                "a range has one set of attributes; what sticks out of the call is cut off and keeps its own",
            ),
            Question(
                "access",
                "Who has access to page 4 then?",
                ("gpu0", "gpu1", "both"),
                "a call changes what it names; access for gpu1 says nothing about gpu0",
            ),
            Question(
                "preferred",
                "Which preferred location does get_attr name for the whole buffer?",
                ("cpu", "gpu1", "undefined"),
                "ranges that differ have no location in common, and the answer is undefined",
            ),
        ),
        _calls_of_the_text,
    ),
)


def _span(a: Buffer, pages: Pages) -> Any:
    return a.pages(pages[0], pages[1] - pages[0] + 1)


class _Overlap(NamedTuple):
    old: Pages
    new: Pages

    def __str__(self) -> str:
        return f"old = {self.old}, new = {self.new}"


_NPAGES = 5


def _overlaps() -> list[_Overlap]:
    """Every way in which two spans can lie in a buffer of 5 pages, those that need the fewest pages first."""
    spans = list(combinations_with_replacement(range(_NPAGES), 2))
    found = (_Overlap(*pair) for pair in product(spans, spans))
    return sorted(found, key=lambda case: (max(case.old[1], case.new[1]), case))


@cache
def _right_ranges() -> Mapping[_Overlap, list[Pages]]:
    """What the driver makes of each, all in one process, each in a buffer of its own."""
    p = Process("toy")
    return {case: _ranges_after(p, case) for case in _overlaps()}


def _ranges_after(p: Process, case: _Overlap) -> list[Pages]:
    a = p.mmap(f"{_NPAGES} pages", name="a")
    p.set_attr(_span(a, case.old), preferred="gpu0")
    p.set_attr(_span(a, case.new), preferred="gpu1")
    return [(each.start - a.span.start, each.last - a.span.start) for each in p.look.ranges(a.span)]


def _as_pages(answer: Any) -> Any:
    """Pairs as tuples, however they were written; anything else as it is."""
    if not isinstance(answer, list | tuple):
        return answer
    return [tuple(each) if isinstance(each, list | tuple) else each for each in answer]


def _overlap_rule(case: _Overlap) -> str:
    old, new = case
    if old[1] < new[0] or new[1] < old[0]:
        return "the call meets no range, so its pages become a new one; ranges are never joined"
    if old[0] < new[0] or new[1] < old[1]:
        return "what sticks out of the call is cut off and stays a range; gaps in the call become new ranges"
    if new != old:
        return "a range inside the call stays whole; the gaps around it become new ranges, which are not joined with it"
    return "a range with the pages of the call takes the attributes, and is not cut"


_STEPS = {
    "D": "check the attributes, and that every page is mapped memory",
    "F": "copy and cut the ranges that stick out, make new ones for gaps",
    "G": "register copies, pieces and new ranges",
    "B": "give the attributes to the ranges inside the span",
    "A": "remove the ranges that were replaced",
    "C": "migrate and map, range by range",
}
_NEEDS = {
    "D": "a call that is refused must not have changed anything, so what can be refused is looked at first",
    "F": "nothing is made for a call that may still be refused",
    "G": "there is nothing to register until copies, pieces and new ranges are made",
    "B": "attributes go to ranges that are registered; the lines of the log say so",
    "A": "the old range goes when pieces cover its pages and have their attributes",
    "C": "pages are moved and mapped when the list of ranges is as it shall be, without the old ones",
}
_STRANGERS = {"E": "no call joins ranges, not even neighbours with equal attributes"}

Call = tuple[Pages, Mapping[str, Any]]


class _Story(NamedTuple):
    calls: tuple[Call, ...]

    def __str__(self) -> str:
        told = (f"pages {pages[0]}-{pages[1]}: {dict(asked)}" for pages, asked in self.calls)
        return "; ".join(told) or "no call"


_FORM = '[(first, last, {"attribute": ...}), ...]'


def _story(answer: Any) -> _Story:
    """Calls as the text writes them.

    Raises:
        InputError: it is no list of such calls.
    """
    if not isinstance(answer, list | tuple):
        raise InputError("the calls are a list", allowed=_FORM)
    return _Story(tuple(map(_one_call, answer)))


def _one_call(given: Any) -> Call:
    if not isinstance(given, list | tuple) or len(given) != 3 or not isinstance(given[2], Mapping):
        raise InputError(f"{given!r} is no call", allowed=_FORM)
    first, last, asked = given
    if not (isinstance(first, int) and isinstance(last, int) and 0 <= first <= last < 16):
        raise InputError(f"pages {first!r} to {last!r} are not in the buffer", allowed="pages 0 to 15")
    return (first, last), asked


def _nobody_is_left_out(story: _Story) -> str | None:
    """What happens if the claim holds for these calls: gpu0 is listed, or some page gives it no access."""
    p = Process(_MACHINE, vram="64 MiB")
    a = p.mmap("64 KiB", name="a")
    try:
        for pages, asked in story.calls:
            p.set_attr(_span(a, pages), **asked)
    except SvmError as error:
        return f"a call is refused: {error}"
    except TypeError as error:
        return f"a call cannot be made: {error}"
    if (kind := _listed(p, a, (0, 15))) is not None:
        return f"get_attr lists gpu0 under {kind}, so the claim says nothing"
    shut = next((page for page in range(16) if _listed(p, a, (page, page)) is None), None)
    return None if shut is None else f"gpu0 has no access to page {shut}, as the claim says"


def _listed(p: Process, a: Buffer, pages: Pages) -> str | None:
    answer = p.attributes(_span(a, pages))
    return next((kind for kind in ("access", "access_in_place") if "gpu0" in answer[kind]), None)


EXERCISES = (
    Exercise(
        "02.w1",
        Kind.WARM_UP,
        "How many pages has the span [4, 7]?",
        one_number(4, of="pages of [4, 7]", rule="both ends belong to a closed interval: last - start + 1"),
    ),
    Exercise(
        "02.w2",
        Kind.WARM_UP,
        "What is a page in VRAM of gpu0 for the CPU?",
        one_of(
            {
                "mapped": "the CPU's table names it, as a device page",
                "accessible": "a device page lets nobody in: a touch would be a fault",
            },
            "mapped",
            of="a page in VRAM of gpu0, for the CPU",
        ),
    ),
    Exercise(
        "02.1",
        Kind.ORDER,
        "Put the steps of a set_attr in order.",
        order(_STEPS, _NEEDS, strangers=_STRANGERS, of="such a call"),
        (
            "Look at the log in Explain. One step comes before all of it: which one refuses a call?",
            "All pieces are ready before the list of ranges changes, and the list is ready before pages move.",
            "D _ G _ A _: the holes are making the pieces, giving the attributes, and the work on the pages.",
        ),
    ),
    Exercise(
        "02.2",
        Kind.WRITE,
        "Return the ranges after a call that overlaps a range.",
        function(
            _overlaps(),
            lambda case: _right_ranges()[case],
            rule=_overlap_rule,
            call=lambda answer, case: _as_pages(answer(*case)),
        ),
        (
            "Look at the lines in the pictures of Run: at which pages do ranges begin there?",
            "A range begins at each of four pages: where old and new begin, and just behind their ends. "
            "Go from one such page to the next, and keep a piece if it lies in old or in new.",
            "edges = sorted({old[0], old[1] + 1, ____, ____}); "
            "[(first, end - 1) for first, end in zip(edges, edges[1:]) if old[0] <= first <= old[1] or ____]",
        ),
    ),
    Exercise(
        "02.3",
        Kind.COUNTER_EXAMPLE,
        "Let gpu0 reach every page, and get_attr not tell it.",
        counter_example(
            _story,
            _nobody_is_left_out,
            claim="if get_attr lists gpu0 nowhere, some page gives gpu0 no access",
        ),
        (
            "Read what get_attr joins for access: when is a GPU in that list?",
            "There are two lists, and each is joined by itself. gpu0 needs to be missing once in each.",
            '[(0, 7, {"access": ["gpu0"]}), (8, 15, {____: ["gpu0"]})]',
        ),
    ),
)
