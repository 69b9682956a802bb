"""The address space of a process: its VMAs, its CPU page table, its lock and its notifiers (struct mm_struct)."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import numpy as np
from sortedcontainers import SortedDict

from svmlab.errors import BusError, DriverError
from svmlab.hardware.costs import Costs
from svmlab.hardware.memory import ZERO_PFN, Memory
from svmlab.hardware.page_column import PageColumn
from svmlab.hardware.world import Blocking, World
from svmlab.mm import entries as pte
from svmlab.mm.locks import LockClass, RwLock
from svmlab.mm.notifier import NotifierTree
from svmlab.mm.swap import SwapSpace
from svmlab.mm.vma import Vma
from svmlab.units import MIB, PAGE_SHIFT, PAGE_SIZE

if TYPE_CHECKING:
    from svmlab.mm.migrate_vma import MigrateVma
    from svmlab.mm.pinning import Pinned

__all__ = ["FIRST_ADDRESS", "AddressSpace"]

FIRST_ADDRESS = 0x7E00_0000_0000
"""Where mappings without an address begin."""
_ALIGNMENT = (2 * MIB) >> PAGE_SHIFT
_END_PAGE = ((1 << 47) - PAGE_SIZE) >> PAGE_SHIFT
"""One past the last page of user space (TASK_SIZE)."""


def _nobody_serves(mm: AddressSpace, page: int) -> Blocking[None]:
    raise BusError(f"{mm.name}: page {page:#x} is in VRAM and no driver brings it home")
    yield  # makes this a generator, as the hook it stands for


class AddressSpace:
    """What struct mm_struct is: VMAs, page table, mmap_lock, notifiers.

    Args:
        world: time and tasks.
        memory: the machine's frames.
        costs: the cost model.
        name: whose it is.
        pid: number of the process.

    Attributes:
        vmas: its VMAs by first page.
        table: CPU page table entries by page, ``uint32``.
        swap: contents of its swapped pages.
        mmap_lock: serialises changes of the VMAs.
        notifiers: who hears of changes.
        migrate_to_ram: called, with mmap_lock held for reading, when the CPU touches a page in VRAM
            (dev_pagemap_ops.migrate_to_ram).
        family: this address space and those related by fork, which may share frames with it.
        pinned: pages it holds where they are.
        migrations: migrations of its pages between setup and finalize.
    """

    def __init__(self, world: World, memory: Memory, costs: Costs, *, name: str, pid: int) -> None:
        self.world, self.memory, self.costs, self.name, self.pid = world, memory, costs, name, pid
        self.vmas: SortedDict[int, Vma] = SortedDict()
        self.table = PageColumn(np.uint32)
        self._found: Vma | None = None
        self.swap = SwapSpace()
        self.mmap_lock = RwLock(world, LockClass.MMAP, f"mmap_lock of {name}")
        self.notifiers = NotifierTree()
        self.migrate_to_ram: Callable[[AddressSpace, int], Blocking[None]] = _nobody_serves
        self.family: list[AddressSpace] = [self]
        self.pinned: list[Pinned] = []
        self.migrations: list[MigrateVma] = []
        self.next_page = FIRST_ADDRESS >> PAGE_SHIFT

    def vma_at(self, page: int) -> Vma | None:
        """The VMA that holds a page, or None (find_vma and the test of its start); the last one found comes first."""
        vma = self._found
        if vma is not None and vma.start <= page <= vma.last:
            return vma
        for start in self.vmas.irange(maximum=page, reverse=True):
            vma = self.vmas[start]
            if page > vma.last:
                return None
            self._found = vma
            return vma
        return None

    def vmas_in(self, start: int, last: int) -> list[Vma]:
        """The VMAs that overlap pages ``start`` to ``last``, in address order."""
        first = self.vma_at(start)
        rest = [self.vmas[key] for key in self.vmas.irange(start, last)]
        return rest if first is None or (rest and rest[0] is first) else [first, *rest]

    def covered(self, start: int, last: int) -> bool:
        """Whether every page of the span lies in some VMA."""
        page = start
        for vma in self.vmas_in(start, last):
            if vma.start > page:
                return False
            page = vma.last + 1
        return page > last

    def place(self, npages: int, at: int | None) -> int:
        """Choose the first page of a new mapping.

        Args:
            npages: its length.
            at: the address asked for in bytes, or None.

        Raises:
            DriverError: EINVAL for an unaligned or null address, EEXIST where something is mapped, ENOMEM beyond the
                end of user space.
        """
        if at is None:
            page = self.next_page
            while taken := self.vmas_in(page - 1, page + npages):
                page = _align(taken[-1].last + 2)
        else:
            page = at >> PAGE_SHIFT
            if at % PAGE_SIZE or at == 0:
                raise DriverError(errno.EINVAL, f"a mapping at {at:#x}", allowed="multiples of 4 KiB above 0")
        if page + npages > _END_PAGE:
            raise DriverError(errno.ENOMEM, f"{npages} pages at {page << PAGE_SHIFT:#x} reach beyond user space")
        if at is None:
            self.next_page = _align(page + npages + 1)
        elif self.vmas_in(page, page + npages - 1):
            raise DriverError(errno.EEXIST, f"a mapping at {at:#x} of {npages} pages overlaps another")
        return page

    def insert(self, vma: Vma) -> None:
        """Add a VMA where there is none."""
        self.vmas[vma.start] = vma
        if vma.file is not None:
            vma.file.mapped_by(self)

    def remove(self, vma: Vma) -> None:
        """Take a VMA out; its entries stay for whoever zaps them."""
        del self.vmas[vma.start]
        self._found = None
        if vma.file is not None:
            vma.file.unmapped_by(self)

    def cut(self, start: int, last: int) -> list[Vma]:
        """Split VMAs at both ends of a span and return the ones inside, in address order."""
        for page in (start, last + 1):
            vma = self.vma_at(page)
            if vma is not None and vma.start < page:
                part = vma.part(page, vma.last)
                vma.last = page - 1
                self.insert(part)
        return self.vmas_in(start, last)

    def merge(self, start: int, last: int) -> None:
        """Join the parts of a mapping that do not differ any more, in a span and at its ends (vma_merge)."""
        before: Vma | None = None
        for vma in self.vmas_in(start - 1, last + 1):
            if before is not None and vma.continues(before):
                self.remove(vma)
                before.last = vma.last
            else:
                before = vma

    def wait_for_migration(self) -> Blocking[None]:
        """Sleep until some migration has finished (migration_entry_wait)."""
        finished = self.world.event()
        self.memory.unlocked.append(finished)
        yield finished

    def migration_finished(self) -> None:
        """Wake up everybody on the machine who waits for a migration entry to go."""
        waiting, self.memory.unlocked = self.memory.unlocked, []
        for event in waiting:
            event.succeed()

    def zap(self, start: int, last: int) -> None:
        """Empty the entries of a span and drop the frames and slots they named (zap_page_range)."""
        for _, entries in self.table.stored(start, last):
            named = entries[entries != pte.NONE]
            swapped = (named & pte.SWAP) != 0
            entries[:] = pte.NONE
            self.swap.put(pte.pfn_of(named[swapped]))
            pfns = pte.pfn_of(named[~swapped])
            self.memory.put(pfns[pfns != ZERO_PFN])
        self.table.clear(start, last)

    def blocks(self, start: int, last: int) -> Iterator[tuple[int, pte.Entries]]:
        """Writable views of the page table, block by block."""
        return self.table.blocks(start, last, write=True)


def _align(page: int) -> int:
    return -(-page // _ALIGNMENT) * _ALIGNMENT
