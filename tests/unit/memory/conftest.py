"""Memory without a driver: address spaces on a small machine, and what happened to them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from svmlab.hardware.costs import Costs
from svmlab.hardware.injection import Injections
from svmlab.hardware.machine import Machine
from svmlab.hardware.memory import FrameFlag, Memory
from svmlab.hardware.world import World
from svmlab.mm import access, migrate_vma, syscalls
from svmlab.mm import entries as pte
from svmlab.mm.address_space import AddressSpace
from svmlab.mm.consistency import MEMORY_INVARIANTS, MemoryState
from svmlab.mm.migrate_vma import MigrateVma
from svmlab.mm.notifier import IntervalNotifier
from svmlab.mm.span import Span
from svmlab.mm.vma import File, Protection, VmaKind
from svmlab.units import PAGE_SIZE

COSTS = Costs.load()


class Mapped:
    """A mapping of an address space, in pages counted from its start."""

    def __init__(self, lab: MemoryLab, mm: AddressSpace, span: Span) -> None:
        self.lab, self.mm, self.span, self.start = lab, mm, span, int(span.start)

    def pages(self, first: int = 0, count: int | None = None) -> Span:
        """``count`` pages from ``first`` on; default: all that are left."""
        count = self.span.npages - first if count is None else count
        return Span.of_pages(self.start + first, self.start + first + count - 1)

    def bytes(self, first: int, nbytes: int) -> Span:
        """``nbytes`` bytes, the first of them ``first`` bytes into the mapping."""
        return Span(self.span.address + first, nbytes)

    def entries(self) -> str:
        """The kind of every entry, one letter a page."""
        kinds = pte.kinds(self.mm.table.get(self.span.start, self.span.last), self.lab.memory)
        return "".join(".0rwds"[kind] for kind in kinds)

    def frames(self) -> list[int]:
        """The frame of every page; 0 for none."""
        return pte.pfn_of(self.mm.table.get(self.span.start, self.span.last)).tolist()

    def first_bytes(self) -> list[int]:
        """The first byte of every page, wherever it is."""
        return access.peek(self.mm, self.span)[::PAGE_SIZE].tolist()

    def of(self, mm: AddressSpace) -> Mapped:
        """The same pages of another address space."""
        return Mapped(self.lab, mm, self.span)


class MemoryLab:
    """One machine with its memory; every operation runs until it is done."""

    def __init__(self, ram: Any = "4 MiB", vram: Any = "4 MiB", payload: bool = True, machine: str = "toy") -> None:
        self.world = World()
        self.machine = Machine.find(machine).with_memory(ram=ram, vram=vram)
        self.memory = Memory(self.machine, payload=payload)
        self.faults = Injections()
        self.mms: list[AddressSpace] = []
        self.files: list[File] = []
        self.heard: list[tuple[Any, ...]] = []
        self.freed: list[int] = []
        self.next_vram = [1, 1, 1]
        self.memory.device_page_free = lambda pfns: self.freed.extend(map(int, pfns))
        self.mm = self.process("main")

    def process(self, name: str) -> AddressSpace:
        """One more address space."""
        mm = AddressSpace(self.world, self.memory, COSTS, name=name, pid=len(self.mms) + 1)
        self.mms.append(mm)
        return mm

    def start(self, work: Any, name: str = "task", after_ns: int = 0) -> Any:
        """A task that goes on concurrently."""

        def task() -> Any:
            if after_ns:
                yield from self.world.sleep(after_ns)
            return (yield from work)

        return self.world.spawn(name, task(), pid=1)

    def run(self, work: Any) -> Any:
        """Run one mechanism until it is done; what is left in the background goes on only meanwhile."""
        return self.world.env.run(until=self.start(work))

    def settle(self) -> None:
        """Run until nothing is left to happen."""
        self.world.env.run()

    def map(
        self,
        npages: int,
        kind: str = "anonymous",
        protection: str = "rw",
        file: File | None = None,
        mm: AddressSpace | None = None,
        **options: Any,
    ) -> Mapped:
        mm = mm or self.mm
        allowed = {"rw": Protection.READ | Protection.WRITE, "r": Protection.READ, "none": Protection.NONE}[protection]
        mapping = syscalls.Mapping(npages * PAGE_SIZE, None, allowed, VmaKind(kind), "a", file)
        for name, value in options.items():
            object.__setattr__(mapping, name, value)
        return Mapped(self, mm, self.run(syscalls.mmap(mm, mapping)))

    def file(self, name: str = "file") -> File:
        """A named file, whose page cache stays."""
        self.files.append(File(name))
        return self.files[-1]

    def store(self, mapped: Mapped, value: int = 7, first: int = 0, count: int | None = None) -> Mapped:
        """Fill pages: page i of the mapping with ``value + i``."""
        span = mapped.pages(first, count)
        values = (np.arange(first, first + span.npages) + value).astype(np.uint8)
        self.run(access.store(mapped.mm, span, np.repeat(values, PAGE_SIZE)))
        return mapped

    def load(self, mapped: Mapped, first: int = 0, count: int | None = None) -> list[int]:
        """Read pages with the CPU; the first byte of each."""
        return self.run(access.load(mapped.mm, mapped.pages(first, count)))[::PAGE_SIZE].tolist()

    def fork(self, name: str = "child", mm: AddressSpace | None = None) -> AddressSpace:
        child = self.process(name)
        self.run(syscalls.fork(mm or self.mm, child))
        return child

    def listen(self, mapped: Mapped, sleep_ns: int = 0, do: Callable[[], None] | None = None) -> IntervalNotifier:
        """Hear of changes of a mapping: event, first and last page, for another process its name."""

        def callback(event: Any, start: int, last: int) -> Any:
            who = () if mapped.mm is self.mm else (mapped.mm.name,)
            self.heard.append((*who, event.name, start - mapped.start, last - mapped.start))
            if do is not None:
                do()
            if sleep_ns:
                yield from self.world.sleep(sleep_ns)

        notifier = IntervalNotifier(mapped.start, mapped.start + mapped.span.npages - 1, callback)
        mapped.mm.notifiers.insert(notifier)
        return notifier

    def migration(
        self,
        mapped: Mapped,
        first: int = 0,
        count: int | None = None,
        *,
        to_vram: bool = True,
        gpu: int = 0,
        owners: frozenset[int] | None = None,
    ) -> MigrateVma:
        """The arguments of a migration of some pages."""
        span = mapped.pages(first, count)
        owners = owners if owners is not None else frozenset() if to_vram else frozenset({gpu})
        vma = mapped.mm.vma_at(span.start)
        return MigrateVma(mapped.mm, vma, span.start, span.npages, from_ram=to_vram, owners=owners)

    def setup(self, args: MigrateVma) -> MigrateVma:
        self.run(migrate_vma.setup(args, self.faults))
        return args

    def vram_pages(self, count: int, gpu: int = 0) -> Any:
        """Destination pages in VRAM: referenced, locked, and owned by a buffer."""
        first = int(self.memory.vram_base[gpu]) + self.next_vram[gpu]
        self.next_vram[gpu] += count
        pfns = np.arange(first, first + count, dtype=np.uint32)
        self.memory.references[pfns] += 1
        self.memory.flags[pfns] |= np.uint8(FrameFlag.LOCKED)
        self.memory.owner[pfns] = 1 + gpu
        return pfns

    def give_targets(self, args: MigrateVma, gpu: int = 0) -> MigrateVma:
        """Allocate a destination for everything that was collected, and copy."""
        which = np.flatnonzero(args.collected)
        target = self.vram_pages(len(which), gpu) if args.from_ram else self.memory.alloc_ram(len(which), zero=False)
        args.set_targets(which, target)
        source = args.source_pfns()[which]
        self.memory.clear(target[source == 0])
        self.memory.copy(source[source != 0], target[source != 0])
        return args

    def finish(self, args: MigrateVma) -> MigrateVma:
        self.run(migrate_vma.pages(args))
        migrate_vma.finalize(args)
        return args

    def move(self, mapped: Mapped, first: int = 0, count: int | None = None, **where: Any) -> MigrateVma:
        """A whole migration."""
        args = self.migration(mapped, first, count, **where)
        return self.finish(self.give_targets(self.setup(args), where.get("gpu", 0)))

    def broken(self) -> list[str]:
        """Every invariant of memory that does not hold."""
        state = MemoryState(self.memory, self.mms, self.files)
        return [f"{name}: {text}" for name, check in MEMORY_INVARIANTS.items() for text in check(state)]


@pytest.fixture
def lab() -> MemoryLab:
    return MemoryLab()


@pytest.fixture
def make_lab() -> type[MemoryLab]:
    return MemoryLab
