"""No byte is ever lost: random histories of processes on a small machine, held against flat arrays of bytes.

Whatever the driver does, and whatever fails inside it, each byte reads as it was last written, by whoever wrote it.
Errors are answers; they must not change a byte. `SVMLAB_EXAMPLES` sets how many histories each configuration gets, and
`SVMLAB_SEED` makes them other ones. As a program (`make soak`) it goes on for `SVMLAB_SECONDS` with ever new ones.

A history is written down as a scenario while it happens: one that fails is left, as short as it can be, in a file that
`svmlab run` replays.
"""

from __future__ import annotations

import json
import os
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import seed as with_seed
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
from svmlab.hardware.memory import Memory
from svmlab.log import Log
from svmlab.log.journal import HEAD
from svmlab.mm.entries import EntryKind
from svmlab.mm.span import Span
from svmlab.scenario.contents import Piece, expected_bytes
from svmlab.scenario.runner import load_scenario, process_of
from svmlab.scenario.runner import run as run_scenario
from svmlab.scenario.spans import Contents
from svmlab.svm.handle import Handle
from svmlab.svm.process import Process
from svmlab.uapi import Flag
from svmlab.units import PAGE_SIZE

EXAMPLES = int(os.environ.get("SVMLAB_EXAMPLES", "500"))
SEED = os.environ.get("SVMLAB_SEED", "")
STEPS = 30
PHASES = (Phase.generate, Phase.shrink)
STANDSTILL_NS = 50_000_000
"""How long a machine may do nothing but start over; every worker has had its say long before."""
TOY = Machine.find("toy")

SAFE = {
    "fence_error": "returned",
    "copy_undo": "after-copies",
    "buffer_reuse": "if-free",
    "location_home": "none-left",
    "skipped_gpus": "unmapped",
    "partly_out_of_reach": "mapped",
}
"""Where upstream loses bytes, or faults for ever, it is asked to behave; tests/unit/mechanisms shows what it does."""

CPU_ERRORS = (BusError, SegmentationFault, MemoryExceptionError)
SET_ATTR_ERRORS = ("ENOMEM", "ENOSPC", "EAGAIN", "EBUSY", "EDEADLK", "EFAULT", "EINVAL")


Step = dict[str, Any]


class Recorder:
    """A history as a scenario: its head, and a step for everything that was done.

    Attributes:
        head, steps: tables of the file.
        pending: calls under way and their steps.

    >>> recorder = Recorder(title="Nothing", machine="toy")
    >>> recorder.add("set_attr", on="a", access=["gpu0"], prefetch=None)
    {'do': 'set_attr', 'on': 'a', 'access': ['gpu0']}
    """

    def __init__(self, **head: Any) -> None:
        self.head: dict[str, Any] = head
        self.steps: list[Step] = []
        self.pending: list[tuple[Handle, Step]] = []

    def add(self, do: str, **keys: Any) -> Step:
        """One more step; what it fails with is entered when it is known."""
        step = {"do": do, **{key: value for key, value in keys.items() if value is not None}}
        self.steps.append(step)
        return step

    def text(self) -> str:
        """The file."""
        for handle, step in self.pending:
            if handle.done and handle.error is not None:
                step["error"] = handle.error.name
        tables = [_toml(self.head), *("[[step]]\n" + _toml(step) for step in self.steps)]
        return "\n".join(tables)


def _toml(table: dict[str, Any]) -> str:
    return "".join(f"{key} = {_value(value)}\n" for key, value in table.items())


def _value(value: Any) -> str:
    """A value as TOML writes it: but for tables it is as in JSON."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key} = {_value(each)}" for key, each in value.items()) + "}"
    return json.dumps(value)


@dataclass
class Writing:
    """A store under way: until it ends its pages hold what they held, or what it stores.

    Attributes:
        handle: the call.
        low, high: first byte and the one behind the last, in the area.
        before, data: what was there, what will be.
    """

    handle: Handle
    low: int
    high: int
    before: np.ndarray
    data: np.ndarray

    @property
    def pages(self) -> slice:
        return slice(self.low // PAGE_SIZE, (self.high - 1) // PAGE_SIZE + 1)


@dataclass
class Area:
    """A mapping and what it must hold.

    Attributes:
        name: what it is called.
        first: its first page.
        content: its bytes, shape `(pages, PAGE_SIZE)`.
        alive: which of its pages are still mapped.
        readonly: which of them refuse stores.
        shared: whether relatives by fork see each other's stores.
        writing: stores under way.
    """

    name: str
    first: int
    content: np.ndarray
    alive: np.ndarray
    readonly: np.ndarray
    shared: bool
    writing: list[Writing] = field(default_factory=list)

    @classmethod
    def fresh(cls, name: str, first: int, npages: int, shared: bool) -> Area:
        content = np.zeros((npages, PAGE_SIZE), np.uint8)
        return cls(name, first, content, np.ones(npages, bool), np.zeros(npages, bool), shared)

    def inherited(self) -> Area:
        content, writing = (self.content, self.writing) if self.shared else (self.content.copy(), [])
        return Area(self.name, self.first, content, self.alive.copy(), self.readonly.copy(), self.shared, writing)

    @property
    def npages(self) -> int:
        return len(self.alive)

    def stretch(self, at: int, count: int, pages: np.ndarray | None = None) -> tuple[int, int]:
        """First page and length of a mapped stretch near the one asked for; of these pages, if any are given."""
        among = self.alive if pages is None else pages
        mapped = np.flatnonzero(among)
        begin = int(mapped[at % len(mapped)])
        gap = np.flatnonzero(~among[begin:])
        room = int(gap[0]) if len(gap) else self.npages - begin
        return begin, 1 + (count - 1) % room

    def span(self, begin: int, count: int) -> Span:
        return Span((self.first + begin) * PAGE_SIZE, count * PAGE_SIZE)

    def busy(self) -> np.ndarray:
        """Which pages are being written."""
        pages = np.zeros(self.npages, bool)
        for writing in self.writing:
            pages[writing.pages] = True
        return pages

    def is_busy(self, begin: int, count: int) -> bool:
        return bool(self.busy()[begin : begin + count].any())


@dataclass
class Actor:
    """A process and its mappings."""

    process: Process
    areas: list[Area] = field(default_factory=list)

    @property
    def name(self) -> str:
        return self.process.name


class Lab:
    """One machine with its processes; every operation is applied to the arrays of bytes too."""

    def __init__(self, behaviour: str, *, xnack: bool, vram_pages: int, seed: int) -> None:
        self.xnack, self.upstream = xnack, behaviour == "upstream"
        size = {"vram": vram_pages * PAGE_SIZE, "ram": "16 MiB"}
        choices = {"base": behaviour, **SAFE}
        first = Process(TOY, **size, behaviour=choices, xnack=xnack, seed=seed, name="main")
        self.record = Recorder(
            title="A history that lost something",
            machine="toy",
            **size,
            xnack="on" if xnack else "off",
            behaviour=choices,
            seed=seed,
        )
        self.named = 0
        self.actors = [Actor(first)]
        self.faulty = self.moved = False
        self.random = np.random.default_rng(seed)

    @property
    def first(self) -> Process:
        return self.actors[0].process

    def new_name(self, kind: str) -> str:
        """A name that nothing had before."""
        self.named += 1
        return f"{kind}{self.named}"

    def step(
        self, do: str, actor: Actor, area: Area | None = None, pages: tuple[int, int] = (0, 0), **keys: Any
    ) -> Step:
        """Write down what is done next, to some pages of a mapping if one is given."""
        span = {"on": area.name, "offset": pages[0] * PAGE_SIZE, "size": pages[1] * PAGE_SIZE} if area else {}
        return self.record.add(do, process=actor.name if actor is not self.actors[0] else None, **span, **keys)

    def expect_byte(self, do: str, actor: Actor, area: Area, at: int, **keys: Any) -> None:
        """Write down that a byte of a mapping should be what it is not."""
        byte = int(area.content.reshape(-1)[at])
        self.step(do, actor, **keys, on=area.name, offset=at, size=1, byte=byte)

    def find(self, who: int, which: int) -> tuple[Actor, Area] | None:
        """Some mapping of some process, if that has any."""
        actor = self.actors[who % len(self.actors)]
        living = [area for area in actor.areas if area.alive.any()]
        return (actor, living[which % len(living)]) if living else None

    def judge(self, error: SvmError | None, *allowed: str) -> None:
        """An error must be one of those allowed, or a fault was ordered; none of them may have cost a byte.

        Upstream pages in VRAM that moved, or that a relative by fork has, are SIGBUS where no range covers them.
        """
        forgotten = self.upstream and self.moved and error is not None and error.name in ("SIGBUS", "EFAULT")
        if error is not None and not self.faulty and not forgotten:
            assert error.name in allowed, f"{error.name}: {error}"

    def call(self, step: Step, work: Callable[[], Any], *allowed: str) -> SvmError | None:
        """Make a call that may fail."""
        try:
            work()
        except (DriverError, *CPU_ERRORS) as error:
            self.judge(error, *allowed)
            step["error"] = error.name
            return error
        return None

    def verify(self) -> None:
        """Every byte of every mapping, wherever it is, is what was last written to it."""
        for actor in self.actors:
            for area in actor.areas:
                self._finish(actor, area)
                self._verify_area(actor, area)

    def _verify_area(self, actor: Actor, area: Area) -> None:
        pages = np.flatnonzero(area.alive & ~area.busy())
        if area.shared:  # looking does not ask the page cache
            kinds = actor.process.look.cpu_entries(area.span(0, area.npages))
            pages = pages[kinds[pages] != EntryKind.NONE]
        if not len(pages):
            return
        found = actor.process.look.content(area.span(0, area.npages)).reshape(-1, PAGE_SIZE)
        wrong = pages[(found[pages] != area.content[pages]).any(axis=1)]
        for page in wrong[:3].tolist():
            differs = int((found[page] != area.content[page]).argmax())
            self.expect_byte("expect", actor, area, page * PAGE_SIZE + differs)
        assert not len(wrong), f"{actor.name}: pages {[hex(page + area.first) for page in wrong]} lost their bytes"

    def verify_idle(self) -> None:
        """Nothing goes on: every invariant holds, and VRAM is held by pages that live there and by ranges."""
        for actor in self.actors:
            broken, queues = actor.process.broken_invariants(), actor.process.look.queues()
            if broken or queues not in ("running", "dead"):
                self.step("expect", actor, consistent=True, queues=None if broken else "running")
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

    def begin_writing(
        self, step: Step, area: Area, pages: tuple[int, int], start: Callable[[Span, np.ndarray], Handle]
    ) -> Handle:
        """Start a store, some bytes short of whole pages; its contents tell either when or where it was made."""
        begin, count = pages
        head, tail = self.random.integers(0, 100, 2).tolist()
        low, high = begin * PAGE_SIZE + head, (begin + count) * PAGE_SIZE - tail
        where = {"pattern": "word-index"} if self.random.integers(0, 3) == 0 else None
        contents = where or {"word": int(self.random.integers(1, 1 << 32))}
        span = Span(area.first * PAGE_SIZE + low, high - low)
        data = expected_bytes(Contents(**contents), [Piece(span, area.first * PAGE_SIZE, area.name)])
        step.update(offset=low, size=high - low, **contents)
        handle = start(span, data)
        area.writing.append(Writing(handle, low, high, area.content.reshape(-1)[low:high].copy(), data))
        return handle

    def _finish(self, actor: Actor, area: Area) -> None:
        """Stores that have ended: all of them is written, or, after an error, a number of pages from the first on."""
        for writing in [each for each in area.writing if each.handle.done]:
            area.writing.remove(writing)
            flat = area.content.reshape(-1)
            flat[writing.low : writing.high] = writing.data
            if writing.handle.error is not None:
                self._keep_what_was_written(actor, area, writing)

    def _keep_what_was_written(self, actor: Actor, area: Area, writing: Writing) -> None:
        low, high = writing.low, writing.high
        found = actor.process.look.content(Span(area.first * PAGE_SIZE + low, high - low))
        edges = [low, *range((low // PAGE_SIZE + 1) * PAGE_SIZE, high, PAGE_SIZE), high]
        old = False
        for start, stop in pairwise(edges):
            part = slice(start - low, stop - low)
            old = old or not np.array_equal(found[part], writing.data[part])
            if old:
                assert np.array_equal(found[part], writing.before[part]), "a failed store changed something else"
                area.content.reshape(-1)[start:stop] = writing.before[part]

    def wait(self, handle: Handle) -> Any:
        return self.first.wait(handle, STANDSTILL_NS)

    def read(self, actor: Actor, area: Area, pages: tuple[int, int], *allowed: str, gpu: int | None = None) -> None:
        """Load bytes with the CPU or a GPU, and compare them."""
        begin, count = pages
        start = actor.process.start
        do, keys = ("cpu_read", {}) if gpu is None else ("gpu_read", {"gpu": f"gpu{gpu}"})
        step = self.step(do, actor, area, pages, **keys)
        span, found = area.span(*pages), []
        load = (lambda: start.cpu_read(span)) if gpu is None else (lambda: start.gpu_read(gpu, span))
        error = self.call(step, lambda: found.append(self.wait(load())), *allowed)
        if error is None and not area.is_busy(*pages):
            wrong = found[0] != area.content[begin : begin + count].reshape(-1)
            if wrong.any():
                self.expect_byte(do, actor, area, begin * PAGE_SIZE + int(wrong.argmax()), **keys)
            assert not wrong.any(), "other bytes were read"

    def reachable(self, actor: Actor, area: Area, gpu: int, *, write: bool) -> np.ndarray:
        """Pages whose access is not fatal from the start: with xnack off they must be mapped."""
        span = area.span(0, area.npages)
        pages = area.alive.copy()
        for range_ in actor.process.look.ranges(span) if write else ():
            if range_.flags & Flag.GPU_RO:
                pages[max(0, range_.start - area.first) : range_.last + 1 - area.first] = False
        if actor.process.look.queues() == "dead" or (write and area.readonly.any()):
            pages[:] = False
        return pages if self.xnack else pages & actor.process.look.any_mapping(gpu, span)


WHO = st.integers(0, 3)
SPOT = st.integers(0, 47)
COUNT = st.integers(1, 48)
GPUS = st.sampled_from([0, 0, 0, 1, 2])
LOCATIONS = st.sampled_from(["cpu", "gpu0", "gpu1", "gpu2"])
ATTRIBUTES = st.fixed_dictionaries(
    {},
    optional={
        "prefetch": LOCATIONS,
        "preferred": LOCATIONS,
        "access": st.sampled_from([["gpu0"], ["gpu0", "gpu1"], ["gpu2"]]),
        "access_in_place": st.sampled_from([["gpu1"], ["gpu2"]]),
        "no_access": st.sampled_from([["gpu0"], ["gpu1"]]),
        "set_flags": st.sampled_from([["coherent"], ["gpu_ro"], ["host_access"], ["gpu_always_mapped"]]),
        "clear_flags": st.sampled_from([["gpu_ro"], ["host_access"], ["gpu_always_mapped"]]),
        "granularity": st.sampled_from([0, 1, 2, 3, 4, 9]),
    },
)
FAULT = st.sampled_from(sorted(FAULTS))
TIMES = st.sampled_from([1, 1_000, 30_000, 200_000, 999_000, 1_000_000, 1_100_000, 2_500_000])


class Histories(RuleBasedStateMachine):
    """What may happen on the machine."""

    BEHAVIOUR = "as-intended"
    XNACK = False
    complete = 0
    last: Recorder | None = None
    """The history that was played last: of one that fails, the shortest."""

    def __init__(self) -> None:
        super().__init__()
        self.steps = 0
        self.lab: Lab = None  # type: ignore[assignment]
        self.may_fail = False

    @initialize(
        vram=st.sampled_from([33, 65, 129]),
        may_fail=st.booleans(),
        npages=COUNT,
        seed=st.sampled_from([0, 0, 1, 2, 3]),
        asked=ATTRIBUTES,
    )
    def begin(self, vram: int, may_fail: bool, npages: int, seed: int, asked: dict[str, Any]) -> None:
        """A process with a mapping that holds something, and attributes, if any."""
        self.lab = Lab(self.BEHAVIOUR, xnack=self.XNACK, vram_pages=vram, seed=seed)
        type(self).last = self.lab.record
        self.may_fail = may_fail
        self.mmap(0, npages, "anonymous", False)
        if asked:
            self.cpu_write(0, 0, 0, npages, True)
            self.set_attr(0, 0, 0, npages, asked, 0, True)

    def started(self, step: Step, handle: Handle, wait: bool, *allowed: str) -> None:
        """Let a call that was started end, or go on."""
        if wait:
            self.lab.call(step, lambda: self.lab.wait(handle), *allowed)
        else:
            step["wait"] = False
            self.lab.record.pending.append((handle, step))

    # memory management

    @rule(
        who=WHO,
        npages=COUNT,
        kind=st.sampled_from(["anonymous"] * 4 + ["shared", "heap", "file_private"]),
        near=st.booleans(),
    )
    def mmap(self, who: int, npages: int, kind: str, near: bool) -> None:
        actor = self.lab.actors[who % len(self.lab.actors)]
        if sum(len(actor.areas) for actor in self.lab.actors) >= 12:
            return
        at = None
        if near and actor.areas:  # right behind another one, so that a range can cover both
            page = actor.areas[-1].first + actor.areas[-1].npages
            at = None if actor.process.driver.mm.vmas_in(page, page + npages - 1) else page * PAGE_SIZE
        file = "file" if kind == "file_private" else None  # nobody writes it: it is zeros
        name = self.lab.new_name("m")
        self.lab.step("mmap", actor, name=name, size=npages * PAGE_SIZE, at=at, kind=kind, file=file)
        buffer = actor.process.mmap(npages * PAGE_SIZE, at=at, kind=kind, file=file)
        actor.areas.append(Area.fresh(name, buffer.span.start, npages, kind == "shared"))

    @rule(who=WHO, which=WHO, at=SPOT, count=COUNT)
    def munmap(self, who: int, which: int, at: int, count: int) -> None:
        if found := self.lab.find(who, which):
            actor, area = found
            begin, count = area.stretch(at, count)
            if not area.is_busy(begin, count):
                self.lab.step("munmap", actor, area, (begin, count))
                actor.process.munmap(area.span(begin, count))
                area.alive[begin : begin + count] = False

    @rule(who=WHO, which=WHO, at=SPOT, count=COUNT)
    def discard(self, who: int, which: int, at: int, count: int) -> None:
        if found := self.lab.find(who, which):
            actor, area = found
            begin, count = area.stretch(at, count)
            if not area.is_busy(begin, count):
                self.lab.step("discard", actor, area, (begin, count))
                actor.process.discard(area.span(begin, count))
                if not area.shared:
                    area.content[begin : begin + count] = 0

    @rule(who=WHO, which=WHO, at=SPOT, count=COUNT, protection=st.sampled_from(["r", "rw"]))
    def mprotect(self, who: int, which: int, at: int, count: int, protection: str) -> None:
        if found := self.lab.find(who, which):
            actor, area = found
            begin, count = area.stretch(at, count)
            if not area.is_busy(begin, count):
                self.lab.step("mprotect", actor, area, (begin, count), protection=protection)
                actor.process.mprotect(area.span(begin, count), protection)
                area.readonly[begin : begin + count] = protection == "r"

    @rule(who=WHO, which=WHO)
    def mremap(self, who: int, which: int) -> None:
        if found := self.lab.find(who, which):
            actor, area = found
            vma = actor.process.driver.mm.vma_at(area.first)
            if vma is None or not area.alive.all() or area.writing or vma.last < area.first + area.npages - 1:
                return
            # upstream, pages in VRAM that moved fault for ever once a new range covers them
            if self.lab.upstream:
                self.run()
            if not self.lab.upstream or (actor.process.look.locations(area.span(0, area.npages)) <= 0).all():
                self.lab.step("mremap", actor, area, (0, area.npages))
                area.first = int(actor.process.mremap(area.span(0, area.npages)).span.start)

    @rule(who=WHO, which=WHO, at=SPOT, count=COUNT, wait=st.booleans())
    def swap_out(self, who: int, which: int, at: int, count: int, wait: bool) -> None:
        if found := self.lab.find(who, which):
            actor, area = found
            pages = area.stretch(at, count)
            step = self.lab.step("swap_out", actor, area, pages)
            self.started(step, actor.process.start.swap_out(area.span(*pages)), wait)

    @rule(who=WHO, which=WHO, at=SPOT, count=st.integers(1, 3), hold=st.booleans())
    def pin(self, who: int, which: int, at: int, count: int, hold: bool) -> None:
        if found := self.lab.find(who, which):
            actor, area = found
            call = actor.process.pin if hold else actor.process.unpin
            pages = area.stretch(at, count)
            step = self.lab.step("pin" if hold else "unpin", actor, area, pages)
            self.lab.call(step, lambda: call(area.span(*pages)), *(() if hold else ("EINVAL",)))

    @rule(who=WHO)
    def fork(self, who: int) -> None:
        parent = self.lab.actors[who % len(self.lab.actors)]
        if len(self.lab.actors) <= 2 and not any(area.writing for area in parent.areas):
            name = self.lab.new_name("child")
            self.lab.step("fork", parent, name=name)
            child = parent.process.fork(name)
            self.lab.actors.append(Actor(child, [area.inherited() for area in parent.areas]))
            self.lab.moved = True

    @rule()
    def another_process(self) -> None:
        if len(self.lab.actors) <= 2:
            name = self.lab.new_name("other")
            self.lab.step("process", self.lab.actors[0], name=name)
            self.lab.actors.append(Actor(self.lab.first.spawn(name)))

    @precondition(lambda self: self.lab is not None and len(self.lab.actors) > 1)
    @rule(who=WHO)
    def exit(self, who: int) -> None:
        self.run()
        actor = self.lab.actors.pop(1 + who % (len(self.lab.actors) - 1))
        self.lab.step("exit", actor)
        actor.process.exit()

    # loads and stores

    @rule(who=WHO, which=WHO, at=SPOT, count=COUNT, wait=st.sampled_from([True, True, False]))
    def cpu_write(self, who: int, which: int, at: int, count: int, wait: bool) -> None:
        if found := self.lab.find(who, which):
            actor, area = found
            pages = area.stretch(at, count)
            if not area.is_busy(*pages):
                step = self.lab.step("cpu_write", actor, area, pages)
                handle = self.lab.begin_writing(step, area, pages, actor.process.start.cpu_write)
                allowed = ["SIGSEGV"] if area.readonly.any() else []
                self.started(step, handle, wait, *allowed)

    @rule(who=WHO, which=WHO, at=SPOT, count=COUNT)
    def cpu_read(self, who: int, which: int, at: int, count: int) -> None:
        if found := self.lab.find(who, which):
            actor, area = found
            self.lab.read(actor, area, area.stretch(at, count))

    @rule(who=WHO, which=WHO, at=SPOT, count=COUNT, gpu=GPUS, wait=st.sampled_from([True, True, False]))
    def gpu_write(self, who: int, which: int, at: int, count: int, gpu: int, wait: bool) -> None:
        if found := self.lab.find(who, which):
            actor, area = found
            reachable = self.lab.reachable(actor, area, gpu, write=True)
            if not reachable.any():
                return
            pages = area.stretch(at, count, reachable)
            if not area.is_busy(*pages):
                start = actor.process.start
                step = self.lab.step("gpu_write", actor, area, pages, gpu=f"gpu{gpu}")
                handle = self.lab.begin_writing(step, area, pages, lambda span, data: start.gpu_write(gpu, span, data))
                self.started(step, handle, wait, "MEMORY_EXCEPTION")

    @rule(who=WHO, which=WHO, at=SPOT, count=COUNT, gpu=GPUS)
    def gpu_read(self, who: int, which: int, at: int, count: int, gpu: int) -> None:
        if found := self.lab.find(who, which):
            actor, area = found
            reachable = self.lab.reachable(actor, area, gpu, write=False)
            if reachable.any():
                self.lab.read(actor, area, area.stretch(at, count, reachable), "MEMORY_EXCEPTION", gpu=gpu)

    # the driver

    @rule(
        who=WHO,
        which=WHO,
        at=SPOT,
        count=COUNT,
        asked=ATTRIBUTES,
        beyond=st.sampled_from([0] * 6 + [1, 20]),
        wait=st.booleans(),
    )
    def set_attr(
        self, who: int, which: int, at: int, count: int, asked: dict[str, Any], beyond: int, wait: bool
    ) -> None:
        if found := self.lab.find(who, which):
            actor, area = found
            begin, count = area.stretch(at, count)
            step = self.lab.step("set_attr", actor, area, (begin, count + beyond), **asked)
            handle = actor.process.start.set_attr(area.span(begin, count + beyond), **asked)
            self.started(step, handle, wait, *SET_ATTR_ERRORS)

    @rule(who=WHO, which=WHO, at=SPOT, count=COUNT, where=LOCATIONS, wait=st.booleans())
    def prefetch(self, who: int, which: int, at: int, count: int, where: str, wait: bool) -> None:
        asked: dict[str, Any] = {"prefetch": where} if where == "cpu" else {"prefetch": where, "access": [where]}
        self.set_attr(who, which, at, count, asked, 0, wait)

    @rule(which=WHO, at=SPOT, count=COUNT, where=LOCATIONS)
    def prefetch_and_look(self, which: int, at: int, count: int, where: str) -> None:
        """What a program does that knows what it wants: ask, wait for the GPUs, and use what is there."""
        self.prefetch(0, which, at, count, where, True)
        self.run()
        if where == "cpu":
            self.cpu_read(0, which, at, count)
        else:
            self.gpu_write(0, which, at, count, int(where[-1]), True)

    @precondition(lambda self: self.may_fail)
    @rule(
        which=WHO,
        at=SPOT,
        count=COUNT,
        where=LOCATIONS,
        fault=FAULT,
        nth=st.sampled_from([1, 1, 2, 3, 9]),
        wait=st.booleans(),
    )
    def prefetch_that_fails(
        self, which: int, at: int, count: int, where: str, fault: str, nth: int, wait: bool
    ) -> None:
        """A fault in the middle of a migration, or of what follows it."""
        self.inject(fault, nth, 1, None)
        self.prefetch(0, which, at, count, where, wait)

    @rule(gpu=GPUS, wait=st.booleans())
    def evict_vram(self, gpu: int, wait: bool) -> None:
        step = self.lab.step("evict_vram", self.lab.actors[0], gpu=f"gpu{gpu}")
        self.started(step, self.lab.first.start.evict_vram(gpu), wait)

    @precondition(lambda self: self.may_fail)
    @rule(
        fault=FAULT,
        nth=st.integers(1, 20),
        count=st.integers(1, 5),
        gpu=st.sampled_from([None, 0, 1]),
    )
    def inject(self, fault: str, nth: int, count: int, gpu: int | None) -> None:
        self.lab.faulty = True
        where = None if gpu is None else f"gpu{gpu}"
        self.lab.step("inject", self.lab.actors[0], fault=fault, nth=nth, count=count, gpu=where)
        self.lab.first.inject(fault, nth=nth, count=count, gpu=gpu)

    # time

    @rule(ns=TIMES)
    def advance(self, ns: int) -> None:
        self.lab.record.add("run", **{"for": ns})
        self.lab.first.advance(ns)

    @rule()
    def run(self) -> None:
        self.lab.record.add("run")
        self.lab.first.run(limit_ns=STANDSTILL_NS)
        for handle, step in self.lab.record.pending:
            assert handle.done, f"{handle} never ends"
            self.lab.judge(handle.error, "SIGSEGV", "MEMORY_EXCEPTION", *SET_ATTR_ERRORS)
            if handle.error is not None:
                step["error"] = handle.error.name
        self.lab.record.pending.clear()
        self.lab.verify_idle()

    @invariant()
    def every_byte_is_what_was_written(self) -> None:
        if self.lab is not None:
            self.lab.verify()
            self.steps += 1

    def teardown(self) -> None:
        """At the end everything is still readable, and giving it back leaves nothing behind."""
        if self.lab is None:
            return
        type(self).complete += self.steps >= STEPS
        self.run()
        self.lab.verify()
        for actor in self.lab.actors:
            for area in actor.areas:
                if area.alive.all():
                    self.lab.read(actor, area, (0, area.npages))
        self.run()
        for actor in self.lab.actors[::-1]:
            self.lab.step("exit", actor)
            actor.process.exit()
        self.lab.record.add("run")
        self.lab.first.run(limit_ns=STANDSTILL_NS)
        self.lab.record.add("expect", vram_used={"gpu0": 0, "gpu1": 0, "gpu2": 0})
        system = self.lab.first.driver.system
        assert system.buffers == {}
        assert [vram.used_pages for vram in system.vrams] == [0, 0, 0]


CONFIGURATIONS = [(behaviour, xnack) for behaviour in ("as-intended", "upstream") for xnack in (False, True)]


def machine_for(behaviour: str, *, xnack: bool) -> type[Histories]:
    """Histories of one configuration."""
    return type("Histories", (Histories,), {"BEHAVIOUR": behaviour, "XNACK": xnack, "complete": 0})


def check(
    machine: type[Histories], *, examples: int, seed: int, at_once: int = 20, phases: Sequence[Phase] = PHASES
) -> int:
    """Run histories until so many had all their steps; one that fails is made as short as it can be.

    Args:
        machine: which histories.
        examples: how many.
        seed: makes them other ones.
        at_once: how many hypothesis is asked for at least; it begins with simple ones.
        phases: what hypothesis does; making one short may take five minutes.

    Returns:
        How many had all their steps: hypothesis ends some of them earlier.
    """
    while machine.complete < examples:
        run_state_machine_as_test(
            with_seed(seed)(machine),
            settings=settings(
                max_examples=max(at_once, examples - machine.complete),
                stateful_step_count=STEPS,
                deadline=None,
                database=None,
                phases=phases,
                report_multiple_bugs=False,
                suppress_health_check=list(HealthCheck),
            ),
        )
        seed += 1_000_000
    return machine.complete


@pytest.mark.slow
@pytest.mark.parametrize(("behaviour", "xnack"), CONFIGURATIONS)
def test_no_byte_is_lost_whatever_happens(behaviour: str, xnack: bool) -> None:
    assert check(machine_for(behaviour, xnack=xnack), examples=EXAMPLES, seed=int(SEED or 0)) >= EXAMPLES


def replay(path: Path) -> list[str]:
    """Run a scenario file; what did not hold, or what the model itself stumbled over."""
    scenario = load_scenario(path)
    try:
        return [f"step {each.n}: {each.expected}, found {each.found}" for each in run_scenario(scenario).failures]
    except (SvmError, AssertionError, ArithmeticError, LookupError, TypeError, ValueError, AttributeError) as error:
        return [f"{type(error).__name__}: {error}"]


def happened(log: Log) -> list[list[int]]:
    """The log but for its texts and tasks, which tell who asked and not what was done."""
    return np.delete(log.rows(), [HEAD.index("text"), HEAD.index("task")], axis=1).tolist()


@pytest.mark.slow
@pytest.mark.parametrize(("behaviour", "xnack"), CONFIGURATIONS)
def test_a_history_written_down_is_a_scenario_in_which_the_same_happens(
    behaviour: str, xnack: bool, tmp_path: Path
) -> None:
    compared = 0

    class Replayed(Histories):
        BEHAVIOUR, XNACK = behaviour, xnack

        def teardown(self) -> None:
            nonlocal compared
            super().teardown()
            if self.lab is None:
                return
            (path := tmp_path / "history.toml").write_text(self.lab.record.text(), encoding="utf-8")
            process = process_of(scenario := load_scenario(path))
            assert run_scenario(scenario, process=process).failures == []
            assert happened(process.log) == happened(self.lab.first.log)
            compared += 1

    check(Replayed, examples=2, seed=3, at_once=4)
    assert compared >= 2


@pytest.mark.slow
def test_a_history_that_fails_is_left_as_a_scenario_that_fails_the_same_way(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(Memory, "copy", lambda *_: None)  # the copy engine moves nothing
        with pytest.raises(AssertionError):
            soak(1, 0, tmp_path, phases=[Phase.generate])
        path = tmp_path / "soak-0.toml"
        assert replay(path) != []
    assert replay(path) == []
    told = capsys.readouterr().out
    assert "make soak SEED=0" in told
    assert "svmlab run" in told
    assert load_scenario(path).steps[-1].do in ("expect", "cpu_read", "gpu_read")


ROUND = 50


def soak(seconds: float, seed: int, folder: Path, phases: Sequence[Phase] = PHASES) -> int:
    """Go on for a while with other histories; a round's seed also says which configuration it is for.

    Args:
        seconds: how long.
        seed: of the first round.
        folder: where a history that fails is left as a scenario.
        phases: as of ``check``.

    Returns:
        How many histories had all their steps.
    """
    end, histories = time.monotonic() + seconds, 0
    while True:
        behaviour, xnack = CONFIGURATIONS[seed % len(CONFIGURATIONS)]
        print(f"seed {seed}: {behaviour}, xnack {'on' if xnack else 'off'}, after {histories} histories", flush=True)
        machine = machine_for(behaviour, xnack=xnack)
        try:
            histories += check(machine, examples=ROUND, seed=seed, phases=phases)
        except BaseException:
            print(f"Again: make soak SEED={seed} SECONDS=1", flush=True)
            if machine.last is not None:
                _leave(machine.last, folder / f"soak-{seed}.toml")
            raise
        if time.monotonic() >= end:
            return histories
        seed += 1


def _leave(record: Recorder, path: Path) -> None:
    """Leave a history as a scenario, and tell whether that fails, too."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(record.text(), encoding="utf-8")
    failures = replay(path)
    print(f"The shortest history that fails: svmlab run {path}", flush=True)
    print("\n".join(failures) or "As a scenario it does not fail: what is wrong cannot be said in one.", flush=True)


if __name__ == "__main__":
    first = int(SEED or random.SystemRandom().randrange(10**6))
    count = soak(float(os.environ.get("SVMLAB_SECONDS", "120")), first, Path("out"))
    print(f"{count} histories of {STEPS} steps from seed {first} on: no byte was lost")
