"""fork and exit: address spaces that begin as copies, and how they end."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from svmlab.errors import DriverError
from svmlab.hardware.memory import ZERO_PFN, FrameFlag
from svmlab.hardware.page_column import PageColumn
from svmlab.hardware.world import Blocking
from svmlab.mm import entries as pte
from svmlab.mm.address_space import AddressSpace
from svmlab.mm.pinning import unpin_all
from svmlab.mm.vma import Vma
from svmlab.uapi import NotifierEvent

__all__ = ["fork", "release"]


def fork(mm: AddressSpace, child: AddressSpace) -> Blocking[None]:
    """Give a child every mapping; private pages are shared copy-on-write (dup_mmap).

    Pinned pages are copied at once: the device that holds them must go on seeing the parent's stores.

    Args:
        mm: the parent's address space.
        child: an empty one.

    Raises:
        DriverError: ENOMEM, there is no RAM for the copies of pinned pages; the child is empty then.

    Kernel: copy_page_range (mm/memory.c)
    """
    with (yield from mm.mmap_lock.write()):
        mm.family.append(child)
        child.family, child.swap = mm.family, mm.swap
        child.migrate_to_ram = mm.migrate_to_ram
        child.next_page = mm.next_page
        try:
            yield from _duplicate(mm, child)
        except DriverError:
            _empty(child)
            raise
        yield from mm.world.sleep(mm.costs.mm_syscall_ns)


def _duplicate(mm: AddressSpace, child: AddressSpace) -> Blocking[None]:
    """Each VMA and its entries; notifiers of the parent hear of what becomes read-only before it does."""
    for vma in mm.vmas.values():
        child.insert(vma.part(vma.start, vma.last))
        if vma.private and vma.writable:
            yield from mm.notifiers.invalidate(NotifierEvent.PROTECTION_PAGE, vma.start, vma.last)
        _share(mm, child, vma)


def _share(mm: AddressSpace, child: AddressSpace, vma: Vma) -> None:
    """Copy the entries of one VMA, block by block; of a private one both sides become read-only."""
    memory = mm.memory
    for page, entries in mm.table.stored(vma.start, vma.last):
        pfns = pte.pfn_of(entries)
        swapped = (entries & pte.SWAP) != 0
        framed = ~swapped & (pfns > ZERO_PFN)
        pinned = framed & _to_be_copied(mm, vma, np.where(framed, pfns, 0))
        memory.get(pfns[framed & ~pinned])
        mm.swap.get(pfns[swapped])
        if vma.private:
            entries[~swapped & ~pinned] &= ~np.uint32(pte.WRITE)
        copy = entries.copy()
        copy[pinned] = pte.NONE
        child.table.set(page, copy)
        if pinned.any():
            _copy_pinned(child, page, np.flatnonzero(pinned), pfns[pinned])


def _to_be_copied(mm: AddressSpace, vma: Vma, pfns: pte.Entries) -> npt.NDArray[np.bool_]:
    """Pinned frames of anonymous memory; pages of a file stay shared (page_needs_cow_for_dma)."""
    if not vma.private:
        return np.zeros(len(pfns), bool)
    pinned: npt.NDArray[np.bool_] = (mm.memory.flags[pfns] & (FrameFlag.PINNED | FrameFlag.FILE)) == FrameFlag.PINNED
    return pinned


def _copy_pinned(child: AddressSpace, page: int, index: npt.NDArray[np.intp], pfns: pte.Entries) -> None:
    fresh = child.memory.alloc_ram(len(index), zero=False)
    child.memory.copy(pfns, fresh)
    entries = next(child.blocks(page, page + int(index[-1])))[1]
    entries[index] = pte.make(fresh, write=False)


def release(mm: AddressSpace) -> Blocking[None]:
    """The last user of the address space is gone (exit_mmap)."""
    with (yield from mm.mmap_lock.write()):
        for vma in list(mm.vmas.values()):
            yield from mm.notifiers.invalidate(NotifierEvent.RELEASE, vma.start, vma.last)
        _empty(mm)
        unpin_all(mm)


def _empty(mm: AddressSpace) -> None:
    """Give everything back and leave the family."""
    for vma in list(mm.vmas.values()):
        mm.zap(vma.start, vma.last)
        mm.remove(vma)
    mm.table = PageColumn(np.uint32)
    mm.family.remove(mm)
