"""No byte is ever lost: random histories of processes on a small machine, held against flat arrays of bytes.

Whatever the driver does, and whatever fails inside it, each byte reads as it was last written, by whoever wrote it.
Errors are answers; they must not change a byte. `SVMLAB_EXAMPLES` sets how many histories each configuration gets
(quick default), `SVMLAB_SEED` makes them other ones.
"""

from __future__ import annotations

import itertools
import os
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import seed as hypothesis_seed
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from svmlab.errors import BusError, DriverError, MemoryExceptionError, SegmentationFault, SvmError
from svmlab.hardware.injection import FAULTS
from svmlab.hardware.machine import Machine
from svmlab.mm.entries import EntryKind
from svmlab.mm.span import Span
from svmlab.svm.process import Process
from svmlab.uapi import Flag
from svmlab.units import PAGE_SIZE

EXAMPLES = int(os.environ.get("SVMLAB_EXAMPLES", "25"))
SEED = os.environ.get("SVMLAB_SEED")
STEPS = 30
TOY = Machine.find("toy")
SAFE = {"fence_error": "returned", "copy_undo": "after-copies", "buffer_reuse": "if-free"}
"""Where upstream loses bytes by reading it, it is asked to behave; test_defects.py shows each loss."""


@dataclass
class Area:
    """A mapping and what it must hold; `alive` tells which of its pages are still mapped."""

    first: int
    content: np.ndarray
    alive: np.ndarray
    shared: bool

    @property
    def npages(self) -> int:
        return len(self.alive)

    def span(self, at: int, count: int) -> tuple[int, int]:
        """A stretch of pages that are mapped, near the one asked for; (0, 0) if there is none."""
        mapped = np.flatnonzero(self.alive)
        if not len(mapped):
            return 0, 0
        begin = int(mapped[at % len(mapped)])
        gap = np.flatnonzero(~self.alive[begin:])
        room = int(gap[0]) if len(gap) else self.npages - begin
        return begin, 1 + (count - 1) % room


@dataclass
class Actor:
    """A process, its mappings, and whether its GPUs work still."""

    process: Process
    areas: list[Area] = field(default_factory=list)
    parent: Actor | None = None


class Lab:
    """One machine with its processes; every operation is applied to the model of bytes too."""

    def __init__(self, behaviour: str, xnack: bool, vram_pages: int, ram: str) -> None:
        self.behaviour, self.xnack = behaviour, xnack
        first = Process(TOY, vram=vram_pages * PAGE_SIZE, ram=ram, behaviour={"base": behaviour, **SAFE}, xnack=xnack)
        self.actors = [Actor(first)]
        self.handles: list[Any] = []
        self.faulty = self.forked = False
        self.clock = 1

    @property
    def first(self) -> Process:
        return self.actors[0].process

    def actor(self, n: int) -> Actor:
        return self.actors[n % len(self.actors)]

    def area(self, n: int, which: int) -> tuple[Actor, Area] | None:
        actor = self.actor(n)
        living = [area for area in actor.areas if area.alive.any()]
        return (actor, living[which % len(living)]) if living else None

    def span_of(self, area: Area, begin: int, count: int) -> Span:
        return Span((area.first + begin) * PAGE_SIZE, count * PAGE_SIZE)

    def fresh_bytes(self, nbytes: int) -> np.ndarray:
        self.clock = self.clock * 6364136223846793005 + 1442695040888963407 & (1 << 64) - 1
        return np.random.default_rng(self.clock).integers(0, 256, nbytes, np.uint8)

    # judging

    def verify(self) -> None:
        for actor in self.actors:
            for area in actor.areas:
                self._verify_area(actor, area)

    def _verify_area(self, actor: Actor, area: Area) -> None:
        pages = np.flatnonzero(area.alive)
        if area.shared:  # a look does not read the page cache
            pages = pages[actor.process.look.cpu_entries(self.span_of(area, 0, area.npages))[pages] != EntryKind.NONE]
        if not len(pages):
            return
        found = actor.process.look.content(self.span_of(area, 0, area.npages)).reshape(-1, PAGE_SIZE)
        wrong = [page for page in pages.tolist() if not np.array_equal(found[page], area.content[page])]
        assert not wrong, f"{actor.process.name}: pages {[hex(area.first + page) for page in wrong]} lost their bytes"

    def verify_idle(self) -> None:
        """Nothing goes on: every invariant holds; VRAM is used for pages that live there and ranges that hold it."""
        for actor in self.actors:
            broken, queues = actor.process.broken_invariants(), actor.process.look.queues()
            assert not broken, broken
            assert queues in ("running", "dead"), queues
        system = self.first.driver.system
        memory = system.memory
        for buffer in system.buffers.values():
            base = int(memory.vram_base[buffer.gpu])
            frames = np.concatenate([np.arange(base + at, base + at + count) for at, count in buffer.nodes])
            alive = int(np.count_nonzero((memory.references[frames] > 0) & (memory.owner[frames] == buffer.number)))
            holders = sum(range_.has_vram for range_ in buffer.ranges)
            assert buffer.references == alive + holders > 0, f"{buffer}: {alive} pages, {holders} ranges"
        for gpu, vram in enumerate(system.vrams):
            held = sum(buffer.npages for buffer in system.buffers.values() if buffer.gpu == gpu)
            assert (vram.used_pages, vram.free_pages) == (held, vram.npages - 1 - held), f"gpu{gpu}"

    # operations

    def call(self, work: Any, *allowed: type[SvmError]) -> SvmError | None:
        try:
            work()
        except allowed as error:
            return error
        return None

    def mmap(self, n: int, npages: int, kind: str, near: bool) -> None:
        actor = self.actor(n)
        at = None
        if near and actor.areas:
            last = actor.areas[-1]
            page = last.first + last.npages
            if not actor.process.driver.mm.vmas_in(page, page + npages - 1):
                at = page * PAGE_SIZE
        buffer = actor.process.mmap(npages * PAGE_SIZE, at=at, kind=kind, protection="rw")
        actor.areas.append(
            Area(buffer.span.start, np.zeros((npages, PAGE_SIZE), np.uint8), np.ones(npages, bool), kind == "shared")
        )

    def write(self, actor: Actor, area: Area, pages: tuple[int, int], access: Any) -> SvmError | None:
        """Write with the CPU or a GPU, some bytes short of whole pages; a failure leaves a prefix of pages written."""
        begin, count = pages
        head, tail = self.clock % 97, self.clock % 89
        flat = area.content.reshape(-1)
        low, high = begin * PAGE_SIZE + head, (begin + count) * PAGE_SIZE - tail
        data = self.fresh_bytes(high - low)
        before = flat[low:high].copy()
        error = self.call(
            lambda: access(Span(area.first * PAGE_SIZE + low, high - low), data),
            BusError,
            MemoryExceptionError,
            SegmentationFault,
        )
        flat[low:high] = data
        if error is not None:
            self._settle_prefix(actor, area, (low, high), before, data)
        return error

    def _settle_prefix(
        self, actor: Actor, area: Area, at: tuple[int, int], before: np.ndarray, data: np.ndarray
    ) -> None:
        low, high = at
        found = actor.process.look.content(Span(area.first * PAGE_SIZE + low, high - low))
        edges = [low, *range((low // PAGE_SIZE + 1) * PAGE_SIZE, high, PAGE_SIZE), high]
        old = False
        for start, stop in itertools.pairwise(edges):
            part = slice(start - low, stop - low)
            if not old and np.array_equal(found[part], data[part]):
                continue
            old = True
            assert np.array_equal(found[part], before[part]), "a failed write changed something else"
            area.content.reshape(-1)[start:stop] = before[part]

    def read(self, area: Area, pages: tuple[int, int], access: Any) -> SvmError | None:
        begin, count = pages
        found: list[np.ndarray] = []
        error = self.call(
            lambda: found.append(access(self.span_of(area, begin, count))), BusError, MemoryExceptionError
        )
        if error is None:
            assert np.array_equal(found[0], area.content[begin : begin + count].reshape(-1)), "a read found other bytes"
        return error

    def judge(self, error: SvmError | None, *allowed: str) -> None:
        """An error must be one of those allowed, or a fault was ordered; none of them may have cost a byte.

        Upstream a relative by fork gets SIGBUS for pages in VRAM that their owner has forgotten.
        """
        if error is None or self.faulty or (self.behaviour == "upstream" and self.forked and error.name == "SIGBUS"):
            return
        assert error.name in allowed, f"{error.name}: {error}"

    def gpu_may(self, actor: Actor, gpu: int, span: Span, write: bool) -> bool:
        """Whether the access has an end and no fatal one: with xnack off everything must be mapped."""
        ranges = actor.process.look.ranges(span)
        if actor.process.look.queues() == "dead" or (write and any(each.flags & Flag.GPU_RO for each in ranges)):
            return False
        return self.xnack or bool(actor.process.look.any_mapping(gpu, span).all())


ALLOWED_BY_SET_ATTR = ("ENOMEM", "ENOSPC", "EAGAIN", "EBUSY", "EDEADLK", "EFAULT", "EINVAL", "EPERM")

LOCATIONS = st.sampled_from(["cpu", "gpu0", "gpu1", "gpu2"])
GPUS = st.sampled_from([0, 0, 0, 1, 2])
SMALL = st.integers(0, 3)
SPOT = st.integers(0, 47)
COUNT = st.integers(1, 48)


class Histories(RuleBasedStateMachine):
    """What may happen on the machine."""

    BEHAVIOUR = "as-intended"
    XNACK = False

    def __init__(self) -> None:
        super().__init__()
        self.lab: Lab = None  # type: ignore[assignment]

    @initialize(vram=st.sampled_from([33, 65, 129]), faulty=st.booleans(), npages=COUNT)
    def begin(self, vram: int, faulty: bool, npages: int) -> None:
        self.lab = Lab(self.BEHAVIOUR, self.XNACK, vram, "16 MiB")
        self.may_fail = faulty
        self.lab.mmap(0, npages, "anonymous", False)

    @rule(
        who=SMALL,
        npages=COUNT,
        kind=st.sampled_from(["anonymous", "anonymous", "anonymous", "shared"]),
        near=st.booleans(),
    )
    def mmap(self, who: int, npages: int, kind: str, near: bool) -> None:
        if sum(len(actor.areas) for actor in self.lab.actors) < 12:
            self.lab.mmap(who, npages, kind, near)

    @rule(who=SMALL, which=SMALL, at=SPOT, count=COUNT)
    def cpu_write(self, who: int, which: int, at: int, count: int) -> None:
        if found := self.lab.area(who, which):
            actor, area = found
            error = self.lab.write(actor, area, area.span(at, count), actor.process.cpu_write)
            self.lab.judge(error)

    @rule(who=SMALL, which=SMALL, at=SPOT, count=COUNT)
    def cpu_read(self, who: int, which: int, at: int, count: int) -> None:
        if found := self.lab.area(who, which):
            actor, area = found
            self.lab.judge(self.lab.read(area, area.span(at, count), actor.process.cpu_read))

    @rule(who=SMALL, which=SMALL, at=SPOT, count=COUNT, gpu=GPUS, write=st.booleans())
    def gpu_access(self, who: int, which: int, at: int, count: int, gpu: int, write: bool) -> None:
        if not (found := self.lab.area(who, which)):
            return
        actor, area = found
        pages = area.span(at, count)
        if not self.lab.gpu_may(actor, gpu, self.lab.span_of(area, *pages), write):
            return
        if write:
            error = self.lab.write(actor, area, pages, lambda span, data: actor.process.gpu_write(gpu, span, data))
        else:
            error = self.lab.read(area, pages, lambda span: actor.process.gpu_read(gpu, span))
        self.lab.judge(error, "MEMORY_EXCEPTION")

    ATTRIBUTES = st.fixed_dictionaries(
        {},
        optional={
            "prefetch": LOCATIONS,
            "preferred": LOCATIONS,
            "access": st.sampled_from([["gpu0"], ["gpu0", "gpu1"], ["gpu2"]]),
            "access_in_place": st.sampled_from([["gpu1"], ["gpu2"]]),
            "no_access": st.sampled_from([["gpu0"], ["gpu1"]]),
            "set_flags": st.sampled_from([["coherent"], ["gpu_ro"], ["host_access"]]),
            "clear_flags": st.sampled_from([["gpu_ro"], ["host_access"]]),
            "granularity": st.sampled_from([0, 1, 2, 3, 4, 9]),
        },
    )

    @rule(who=SMALL, which=SMALL, at=SPOT, count=COUNT, asked=ATTRIBUTES, beyond=st.integers(0, 20), wait=st.booleans())
    def set_attr(
        self, who: int, which: int, at: int, count: int, asked: dict[str, Any], beyond: int, wait: bool
    ) -> None:
        self._set_attr(who, which, (at, count, beyond), asked, wait)

    @rule(who=SMALL, which=SMALL, at=SPOT, count=COUNT, where=LOCATIONS, wait=st.booleans())
    def prefetch(self, who: int, which: int, at: int, count: int, where: str, wait: bool) -> None:
        asked = {"prefetch": where}
        if where != "cpu":
            asked["access"] = [where]
        self._set_attr(who, which, (at, count, 0), asked, wait)

    def _set_attr(self, who: int, which: int, where: tuple[int, int, int], asked: dict[str, Any], wait: bool) -> None:
        if not (found := self.lab.area(who, which)):
            return
        actor, area = found
        begin, count = area.span(where[0], where[1])
        span = self.lab.span_of(area, begin, count + where[2])
        if wait:
            error = self.lab.call(lambda: actor.process.set_attr(span, **asked), DriverError)
            self.lab.judge(error, *ALLOWED_BY_SET_ATTR)
        else:
            self._start(actor.process.start.set_attr(span, **asked))

    def _start(self, handle: Any) -> None:
        self.lab.handles.append(handle)

    @rule(who=SMALL, which=SMALL, at=SPOT, count=COUNT)
    def munmap(self, who: int, which: int, at: int, count: int) -> None:
        if found := self.lab.area(who, which):
            actor, area = found
            begin, count = area.span(at, count)
            actor.process.munmap(self.lab.span_of(area, begin, count))
            area.alive[begin : begin + count] = False

    @rule(who=SMALL, which=SMALL, at=SPOT, count=COUNT)
    def discard(self, who: int, which: int, at: int, count: int) -> None:
        if found := self.lab.area(who, which):
            actor, area = found
            begin, count = area.span(at, count)
            actor.process.discard(self.lab.span_of(area, begin, count))
            if not area.shared:
                area.content[begin : begin + count] = 0

    @rule(who=SMALL, which=SMALL, at=SPOT, count=COUNT, wait=st.booleans())
    def swap_out(self, who: int, which: int, at: int, count: int, wait: bool) -> None:
        if found := self.lab.area(who, which):
            actor, area = found
            span = self.lab.span_of(area, *area.span(at, count))
            handle = actor.process.start.swap_out(span)
            if wait:
                actor.process.wait(handle)
            self._start(handle)

    @rule(who=SMALL, which=SMALL, at=SPOT, count=st.integers(1, 3), hold=st.booleans())
    def pin(self, who: int, which: int, at: int, count: int, hold: bool) -> None:
        if found := self.lab.area(who, which):
            actor, area = found
            call = actor.process.pin if hold else actor.process.unpin
            error = self.lab.call(lambda: call(self.lab.span_of(area, *area.span(at, count))), DriverError, BusError)
            self.lab.judge(error, *(() if hold else ("EINVAL",)))

    @rule(gpu=GPUS, wait=st.booleans())
    def evict_vram(self, gpu: int, wait: bool) -> None:
        handle = self.lab.first.start.evict_vram(gpu)
        if wait:
            self.lab.first.wait(handle)
        self._start(handle)

    @rule(who=SMALL)
    def fork(self, who: int) -> None:
        if len(self.lab.actors) > 2:
            return
        parent, self.lab.forked = self.lab.actor(who), True
        child = parent.process.fork(f"child {len(self.lab.actors)}")
        areas = [
            Area(area.first, area.content if area.shared else area.content.copy(), area.alive.copy(), area.shared)
            for area in parent.areas
        ]
        self.lab.actors.append(Actor(child, areas, parent))

    @rule()
    def another_process(self) -> None:
        if len(self.lab.actors) <= 2:
            self.lab.actors.append(Actor(self.lab.first.spawn(f"other {len(self.lab.actors)}")))

    @precondition(lambda self: self.lab is not None and len(self.lab.actors) > 1)
    @rule(who=st.integers(1, 3))
    def exit(self, who: int) -> None:
        actor = self.lab.actors[1 + who % (len(self.lab.actors) - 1)]
        self.run()
        actor.process.exit()
        self.lab.actors.remove(actor)

    @precondition(lambda self: self.lab is not None and self.may_fail)
    @rule(
        fault=st.sampled_from(sorted(FAULTS)),
        nth=st.integers(1, 20),
        count=st.integers(1, 5),
        gpu=st.sampled_from([None, 0, 1]),
    )
    def inject(self, fault: str, nth: int, count: int, gpu: int | None) -> None:
        self.lab.faulty = True
        self.lab.first.inject(fault, nth=nth, count=count, gpu=gpu)

    @rule(ns=st.sampled_from([1, 1_000, 30_000, 200_000, 999_000, 1_000_000, 1_100_000, 2_500_000]))
    def advance(self, ns: int) -> None:
        self.lab.first.advance(ns)

    @rule()
    def run(self) -> None:
        self.lab.first.run()
        for handle in self.lab.handles:
            assert handle.done, f"{handle} never ends"
            self.lab.judge(handle.error, "SIGSEGV", *ALLOWED_BY_SET_ATTR)
        self.lab.handles.clear()
        self.lab.verify_idle()

    @invariant()
    def every_byte_is_what_was_written(self) -> None:
        if self.lab is not None:
            self.lab.verify()

    def teardown(self) -> None:
        """At the end: everything is still readable, and giving it back leaves nothing behind."""
        if self.lab is None:
            return
        self.run()
        for actor in self.lab.actors:
            for area in actor.areas:
                if area.alive.all():
                    self.lab.judge(self.lab.read(area, (0, area.npages), actor.process.cpu_read))
        self.run()
        for actor in self.lab.actors[::-1]:
            actor.process.exit()
        self.lab.first.run()
        system = self.lab.first.driver.system
        assert system.buffers == {}
        assert [vram.used_pages for vram in system.vrams] == [0, 0, 0]


@pytest.mark.parametrize("xnack", [False, True], ids=["xnack-off", "xnack-on"])
@pytest.mark.parametrize("behaviour", ["as-intended", "upstream"])
def test_no_byte_is_lost_whatever_happens(behaviour: str, xnack: bool) -> None:
    machine = type("Histories", (Histories,), {"BEHAVIOUR": behaviour, "XNACK": xnack})
    if SEED:
        machine = hypothesis_seed(int(SEED))(machine)
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=EXAMPLES,
            stateful_step_count=STEPS,
            deadline=None,
            database=None,
            derandomize=not SEED,
            suppress_health_check=list(HealthCheck),
            print_blob=False,
        ),
    )
