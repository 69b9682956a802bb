"""Random system calls of processes and their children against flat arrays of bytes; no driver takes part.

Whatever is mapped, copied on write, swapped, pinned, moved or inherited: each byte reads as it was last written.
`SVMLAB_EXAMPLES` sets how many histories there are (quick default).
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from svmlab.errors import SegmentationFault
from svmlab.hardware.costs import Costs
from svmlab.hardware.injection import Injections
from svmlab.hardware.machine import Machine
from svmlab.hardware.memory import Memory
from svmlab.hardware.world import World
from svmlab.mm import access, migrate_vma, syscalls
from svmlab.mm.address_space import AddressSpace
from svmlab.mm.consistency import MEMORY_INVARIANTS, MemoryState
from svmlab.mm.migrate_vma import MigrateVma
from svmlab.mm.notifier import IntervalNotifier
from svmlab.mm.span import Span
from svmlab.mm.vma import File, Protection, VmaKind
from svmlab.units import PAGE_SIZE

EXAMPLES = int(os.environ.get("SVMLAB_EXAMPLES", "60"))
COSTS = Costs.load()
MACHINE = Machine.find("toy").with_memory(ram="4 MiB", vram="2 MiB")
KINDS = st.sampled_from(["anonymous", "anonymous", "heap", "shared", "file", "file_private"])
WHO = st.integers(0, 5)
SPOT = st.integers(0, 23)
COUNT = st.integers(1, 12)


@dataclass
class Area:
    """Pages that follow each other and what they must hold; `lower` is what a discard brings back."""

    first: int
    kind: str
    content: np.ndarray
    lower: np.ndarray | None = None
    writable: bool = True

    @property
    def npages(self) -> int:
        return len(self.content)

    @property
    def private(self) -> bool:
        return self.kind not in ("shared", "file")


@dataclass
class Actor:
    mm: AddressSpace
    areas: list[Area] = field(default_factory=list)
    pins: list[Span] = field(default_factory=list)


def overlay(area: Area) -> np.ndarray:
    """What a CPU load finds: of a private file mapping, the file shows through where nothing was written (-1)."""
    if area.kind != "file_private":
        return area.content
    return np.where(area.content < 0, area.lower, area.content)


class Histories(RuleBasedStateMachine):
    """What programs may do with their memory."""

    @initialize(listen=st.booleans())
    def begin(self, listen: bool) -> None:
        self.world, self.memory = World(), Memory(MACHINE)
        self.files: dict[str, tuple[File, np.ndarray]] = {}
        self.actors: list[Actor] = []
        self.everybody: list[AddressSpace] = []
        self.listen, self.clock = listen, 0
        self.faults = Injections()
        self.new_process()

    def new_process(self) -> AddressSpace:
        mm = AddressSpace(self.world, self.memory, COSTS, name=f"p{len(self.everybody)}", pid=len(self.everybody) + 1)
        mm.migrate_to_ram = self.bring_home
        self.everybody.append(mm)
        self.actors.append(Actor(mm))
        return mm

    def run(self, work: Any) -> Any:
        return self.world.env.run(until=self.world.spawn("call", work, pid=1))

    def begin_or_do(self, work: Any, wait: bool) -> None:
        """A call that is waited for, or goes on while others begin."""
        if wait:
            self.run(work)
        else:
            self.world.spawn("background", work, pid=1)
            self.world.env.run(until=self.world.now + 60)

    def pick(self, who: int, which: int) -> tuple[Actor, Area] | None:
        actor = self.actors[who % len(self.actors)]
        return (actor, actor.areas[which % len(actor.areas)]) if actor.areas else None

    def part(self, area: Area, at: int, count: int) -> tuple[slice, Span]:
        first = at % area.npages
        last = min(area.npages, first + count) - 1
        return slice(first, last + 1), Span.of_pages(area.first + first, area.first + last)

    def file(self, name: str) -> tuple[File, np.ndarray]:
        if name not in self.files:
            self.files[name] = File(name), np.zeros((24, PAGE_SIZE), np.int16)
        return self.files[name]

    # mappings

    @precondition(lambda self: sum(len(actor.areas) for actor in self.actors) < 14)
    @rule(who=WHO, npages=st.integers(1, 24), kind=KINDS, name=st.sampled_from(["f", "g"]), populate=st.booleans())
    def mmap(self, who: int, npages: int, kind: str, name: str, populate: bool) -> None:
        actor = self.actors[who % len(self.actors)]
        file, bytes_of = self.file(name) if kind.startswith("file") else (None, None)
        mapping = syscalls.Mapping(npages * PAGE_SIZE, kind=VmaKind(kind), name=kind, file=file, populate=populate)
        span = self.run(syscalls.mmap(actor.mm, mapping))
        if kind == "file":
            area = Area(span.start, kind, bytes_of[:npages])
        elif kind == "file_private":
            content = np.full((npages, PAGE_SIZE), -1, np.int16)
            area = Area(span.start, kind, content, bytes_of[:npages])
            if populate:
                self.materialise(area, slice(0, npages))
        else:
            area = Area(span.start, kind, np.zeros((npages, PAGE_SIZE), np.int16))
        actor.areas.append(area)
        if self.listen and kind == "anonymous":
            self.hear(actor.mm, area)

    def hear(self, mm: AddressSpace, area: Area) -> None:
        """Somebody listens to a mapping, and takes its time."""

        def callback(*_: Any) -> Any:
            yield from self.world.sleep(100)

        mm.notifiers.insert(IntervalNotifier(area.first, area.first + area.npages - 1, callback))

    def materialise(self, area: Area, pages: slice) -> None:
        """A store to a private file page copies the whole page: the file does not show through any more."""
        if area.kind == "file_private":
            part = area.content[pages]
            untouched = (part < 0).all(axis=1)
            part[untouched] = area.lower[pages][untouched]

    def replace(self, actor: Actor, area: Area, pages: slice, *, keep: bool) -> Area:
        """Cut pages out of an area; returns them as one of their own."""
        rest = [slice(0, pages.start), slice(pages.stop, area.npages)]
        actor.areas.remove(area)
        for part in rest:
            if part.start < part.stop:
                actor.areas.append(self.cut(area, part))
        middle = self.cut(area, pages)
        if keep:
            actor.areas.append(middle)
        return middle

    def cut(self, area: Area, part: slice) -> Area:
        lower = None if area.lower is None else area.lower[part]
        return Area(area.first + part.start, area.kind, area.content[part], lower, area.writable)

    @rule(who=WHO, which=WHO, at=SPOT, count=COUNT)
    def munmap(self, who: int, which: int, at: int, count: int) -> None:
        if found := self.pick(who, which):
            actor, area = found
            pages, span = self.part(area, at, count)
            self.run(syscalls.munmap(actor.mm, span))
            self.replace(actor, area, pages, keep=False)

    @rule(who=WHO, which=WHO, at=SPOT, count=COUNT)
    def mremap(self, who: int, which: int, at: int, count: int) -> None:
        if found := self.pick(who, which):
            actor, area = found
            pages, span = self.part(area, at, count)
            moved = self.run(syscalls.mremap(actor.mm, span, None))
            self.replace(actor, area, pages, keep=True).first = moved.start

    @rule(who=WHO, which=WHO, at=SPOT, count=COUNT, writable=st.booleans())
    def mprotect(self, who: int, which: int, at: int, count: int, writable: bool) -> None:
        if found := self.pick(who, which):
            actor, area = found
            pages, span = self.part(area, at, count)
            self.run(syscalls.mprotect(actor.mm, span, Protection(3 if writable else 1)))
            self.replace(actor, area, pages, keep=True).writable = writable

    @rule(who=WHO, which=WHO, at=SPOT, count=COUNT)
    def discard(self, who: int, which: int, at: int, count: int) -> None:
        if found := self.pick(who, which):
            actor, area = found
            pages, span = self.part(area, at, count)
            self.run(syscalls.discard(actor.mm, span))
            if area.private:
                area.content[pages] = -1 if area.kind == "file_private" else 0

    # bytes

    @rule(who=WHO, which=WHO, at=SPOT, count=COUNT, head=st.integers(0, 4095), tail=st.integers(0, 4095))
    def store(self, who: int, which: int, at: int, count: int, head: int, tail: int) -> None:
        if not (found := self.pick(who, which)):
            return
        actor, area = found
        pages, span = self.part(area, at, count)
        size = span.nbytes - head - tail
        if size <= 0:
            return
        self.clock += 1
        data = np.random.default_rng(self.clock).integers(0, 256, size, np.uint8)
        try:
            self.run(access.store(actor.mm, Span(span.address + head, size), data))
        except SegmentationFault:
            assert not area.writable
            return
        assert area.writable
        touched = slice(pages.start + head // PAGE_SIZE, pages.stop - tail // PAGE_SIZE)
        self.materialise(area, touched)
        area.content.reshape(-1)[pages.start * PAGE_SIZE + head :][:size] = data

    @rule(who=WHO, which=WHO, at=SPOT, count=COUNT, head=st.integers(0, 4095))
    def load(self, who: int, which: int, at: int, count: int, head: int) -> None:
        if found := self.pick(who, which):
            actor, area = found
            pages, span = self.part(area, at, count)
            data = self.run(access.load(actor.mm, Span(span.address + head, span.nbytes - head)))
            assert np.array_equal(data, overlay(area)[pages].reshape(-1)[head:])

    # where pages are

    @rule(who=WHO, which=WHO, at=SPOT, count=COUNT, wait=st.booleans())
    def swap_out(self, who: int, which: int, at: int, count: int, wait: bool) -> None:
        if found := self.pick(who, which):
            actor, area = found
            self.begin_or_do(syscalls.swap_out(actor.mm, self.part(area, at, count)[1]), wait)

    @rule(who=WHO, which=WHO, at=SPOT, count=st.integers(1, 4))
    def pin(self, who: int, which: int, at: int, count: int) -> None:
        if found := self.pick(who, which):
            actor, area = found
            pages, span = self.part(area, at, count)
            self.run(syscalls.pin(actor.mm, span))
            actor.pins.append(span)
            if area.writable:
                self.materialise(area, pages)

    @rule(who=WHO, which=WHO)
    def unpin(self, who: int, which: int) -> None:
        actor = self.actors[who % len(self.actors)]
        if actor.pins:
            self.run(syscalls.unpin(actor.mm, actor.pins.pop(which % len(actor.pins))))

    @rule(who=WHO, which=WHO, at=SPOT, count=COUNT, refused=st.integers(0, 3), home=st.booleans(), wait=st.booleans())
    def migrate(self, who: int, which: int, at: int, count: int, refused: int, home: bool, wait: bool) -> None:
        """Pages go to VRAM or come home, perhaps while other things happen; some find no place there."""
        if found := self.pick(who, which):
            actor, area = found
            span = self.part(area, at, count)[1]
            self.begin_or_do(self.migration(actor.mm, span, from_ram=not home, refused=refused), wait)

    def migration(self, mm: AddressSpace, span: Span, *, from_ram: bool, refused: int) -> Any:
        with (yield from mm.mmap_lock.read()):
            yield from self.move(mm, span, from_ram, refused)

    def bring_home(self, mm: AddressSpace, page: int) -> Any:
        yield from self.world.sleep(20)
        yield from self.move(mm, Span.of_pages(page, page), False, 0)

    def move(self, mm: AddressSpace, span: Span, from_ram: bool, refused: int) -> Any:
        vma = mm.vma_at(span.start)
        if vma is None or vma.last < span.last:
            return
        args = MigrateVma(mm, vma, span.start, span.npages, from_ram=from_ram, owners=frozenset({0}))
        yield from migrate_vma.setup(args, self.faults)
        self.give_targets(args, refused)
        yield from self.world.sleep(70)
        both = args.source_pfns() * (args.target_pfns() != 0)
        self.memory.copy(both[both != 0], args.target_pfns()[both != 0])
        yield from migrate_vma.pages(args)
        migrate_vma.finalize(args)

    def give_targets(self, args: MigrateVma, refused: int) -> None:
        which = np.flatnonzero(args.collected)
        if args.from_ram:
            vram = np.arange(self.memory.vram_base[0] + 1, self.memory.vram_base[1], dtype=np.uint32)
            target = vram[self.memory.references[vram] == 0][: max(0, len(which) - refused)]
            which = which[: len(target)]
            self.memory.references[target] += 1
        else:
            which = which[args.source_pfns()[which] != 0]
            target = self.memory.alloc_ram(len(which), zero=False)
        self.memory.clear(target)
        args.set_targets(which, target)

    # processes

    @precondition(lambda self: len(self.actors) < 4)
    @rule(who=WHO)
    def fork(self, who: int) -> None:
        parent = self.actors[who % len(self.actors)]
        child = self.new_process()
        self.run(syscalls.fork(parent.mm, child))
        self.actors[-1].areas = [
            Area(a.first, a.kind, a.content.copy() if a.private else a.content, a.lower, a.writable)
            for a in parent.areas
        ]

    @precondition(lambda self: len(self.actors) < 4)
    @rule()
    def another_process(self) -> None:
        self.new_process()

    @precondition(lambda self: len(self.actors) > 1)
    @rule(who=WHO)
    def exit(self, who: int) -> None:
        actor = self.actors.pop(who % len(self.actors))
        self.run(syscalls.release(actor.mm))

    # judging

    @invariant()
    def every_byte_is_what_was_written(self) -> None:
        for actor in getattr(self, "actors", []):
            for area in actor.areas:
                found = access.peek(actor.mm, Span.of_pages(area.first, area.first + area.npages - 1))
                expected = overlay(area).astype(np.uint8).reshape(-1)
                assert np.array_equal(found, expected), f"{actor.mm.name}: {area.kind} at {area.first:#x} lost bytes"

    @invariant()
    def memory_is_sound(self) -> None:
        if hasattr(self, "memory"):
            state = MemoryState(self.memory, self.everybody, [file for file, _ in self.files.values()])
            found = [text for check in MEMORY_INVARIANTS.values() for text in check(state)]
            assert found == []

    def teardown(self) -> None:
        """At the end of every process nothing is left but the page caches of files."""
        if not hasattr(self, "actors"):
            return
        self.world.env.run()
        for actor in self.actors:
            self.run(syscalls.release(actor.mm))
        self.actors = []
        self.memory_is_sound()
        cached = sum(int((frames != 0).sum()) for file, _ in self.files.values() for _, frames in file.frames.pages())
        assert self.memory.ram_used == cached
        assert not self.memory.references[self.memory.vram_base[0] :].any()


def test_no_system_call_loses_a_byte_or_a_frame():
    run_state_machine_as_test(Histories, settings=settings(max_examples=EXAMPLES, stateful_step_count=40))
