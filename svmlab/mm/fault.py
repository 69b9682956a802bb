"""The CPU's page fault: from an entry that forbids the access to one that allows it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from svmlab.errors import BusError, DriverError, SegmentationFault
from svmlab.hardware.frames import portions
from svmlab.hardware.memory import ZERO_PFN, FrameFlag, Memory
from svmlab.hardware.world import Blocking
from svmlab.mm import entries as pte
from svmlab.mm.address_space import AddressSpace
from svmlab.mm.vma import File, Vma, VmaKind
from svmlab.uapi import NotifierEvent

__all__ = ["accessible", "fault_in", "handle_fault"]

Mask = npt.NDArray[np.bool_]


def accessible(mm: AddressSpace, entries: pte.Entries, *, write: bool) -> Mask:
    """Whether the CPU can load from (or store to) each page without a fault."""
    good = _in_ram(mm.memory, entries)
    if write:
        good &= (entries & pte.WRITE) != 0
    return good


def _in_ram(memory: Memory, entries: pte.Entries) -> Mask:
    """Which entries name a frame of RAM and are no migration entries."""
    pfns = pte.pfn_of(entries)
    good: Mask = (entries != pte.NONE) & ((entries & pte.SWAP) == 0) & ~memory.is_device(pfns)
    good &= (memory.flags[np.where(good, pfns, 0)] & FrameFlag.MIGRATING) == 0
    return good


def fault_in(mm: AddressSpace, page: int, last: int, *, write: bool) -> Blocking[int]:
    """Make ``page`` accessible, faulting as often as it takes.

    Args:
        mm: whose page.
        page: the page.
        last: the last page of the access: neighbours of one kind are served together.
        write: whether the access is a store.

    Returns:
        The last page of the run that is accessible now; at least ``page``.

    Raises:
        SegmentationFault: nothing is mapped there, or the mapping forbids the access.
        BusError: the page cannot be brought.
    """
    while True:
        vma = _allowing(mm, page, write=write)
        ready = mm.table.leading(page, min(last, vma.last), lambda entries: accessible(mm, entries, write=write))
        if ready:
            return page + ready - 1
        with (yield from mm.mmap_lock.read()):
            yield from handle_fault(mm, page, last, write=write)


def _allowing(mm: AddressSpace, page: int, *, write: bool) -> Vma:
    """The VMA of a page, if it allows the access."""
    vma = mm.vma_at(page)
    if vma is not None and vma.allows(write=write):
        return vma
    verb = "store to" if write else "load from"
    if vma is None:
        raise SegmentationFault(f"{mm.name}: {verb} page {page:#x}, where nothing is mapped")
    raise SegmentationFault(f"{mm.name}: {verb} page {page:#x}, which {vma.name or 'its mapping'} forbids")


def handle_fault(mm: AddressSpace, page: int, last: int, *, write: bool) -> Blocking[None]:
    """Serve one fault; neighbours up to ``last`` that need exactly the same are served with it.

    The caller holds mmap_lock for reading and retries the access: it may fault again.

    Raises:
        SegmentationFault, BusError: as ``fault_in``.

    Kernel: handle_mm_fault (mm/memory.c)
    """
    vma = _allowing(mm, page, write=write)
    last = min(last, vma.last)
    entry = mm.table.at(page)
    if entry == pte.NONE:
        yield from _populate(mm, vma, page, last, write=write)
    elif entry & pte.SWAP:
        yield from _swap_in(mm, page, last)
    elif mm.memory.flags[entry >> 2] & FrameFlag.MIGRATING:
        yield from mm.wait_for_migration()
    elif mm.memory.is_device(np.array([entry >> 2]))[0]:
        yield from mm.migrate_to_ram(mm, page)
    elif write and not entry & pte.WRITE:
        yield from _write_protected(mm, vma, page, last)


def _populate(mm: AddressSpace, vma: Vma, page: int, last: int, *, write: bool) -> Blocking[None]:
    """Pages nobody touched: the zero page for loads, frames for stores, page cache for files (do_anonymous_page)."""
    if vma.kind is VmaKind.DEVICE:
        raise BusError(f"{mm.name}: page {page:#x} belongs to a device")
    npages = mm.table.leading(page, last, lambda entries: entries == pte.NONE)
    if vma.file is not None:
        frames = _cached(mm, vma.file, vma.file_page + page - vma.start, npages)
        mm.memory.get(frames)
        fresh = pte.make(frames, write=vma.writable and not vma.private)
    elif write or vma.kind is VmaKind.HUGETLB:
        fresh = pte.make(_anonymous_frames(mm, npages), write=vma.writable)
    else:
        fresh = np.full(npages, pte.ZERO_ENTRY, np.uint32)
    mm.table.set(page, fresh)
    mm.world.emit.populate(page, page + npages - 1, npages=npages, zero=int(fresh[0] == pte.ZERO_ENTRY))
    yield from mm.world.sleep(npages * mm.costs.cpu_fault_page_ns)


def _anonymous_frames(mm: AddressSpace, npages: int, *, zero: bool = True) -> pte.Entries:
    try:
        return mm.memory.alloc_ram(npages, zero=zero)
    except DriverError as error:
        raise BusError(f"{mm.name}: out of memory ({error.given})", hint="a larger ram=") from error


def _cached(mm: AddressSpace, file: File, first: int, npages: int) -> pte.Entries:
    """Frames of pages of a file, made where its page cache has none yet."""
    frames = file.frames.get(first, first + npages - 1)
    missing = np.flatnonzero(frames == 0)
    if len(missing):
        fresh = _anonymous_frames(mm, len(missing))
        mm.memory.flags[fresh] |= np.uint8(FrameFlag.FILE)
        frames[missing] = fresh
        file.frames.set(first, frames)
    return frames


def _swap_in(mm: AddressSpace, page: int, last: int) -> Blocking[None]:
    """Read neighbours back from swap; they come back read-only and become writable by the next fault (do_swap_page)."""
    npages = mm.table.leading(page, last, lambda entries: (entries & pte.SWAP) != 0)
    slots = pte.pfn_of(mm.table.view(page, page + npages - 1))
    frames = _anonymous_frames(mm, npages, zero=False)
    if mm.memory.bytes is not None:
        for some in portions(npages):
            mm.memory.write(frames[some], mm.swap.read(slots[some]))
    mm.swap.put(slots)
    mm.table.set(page, pte.make(frames, write=False))
    mm.world.emit.populate(page, page + npages - 1, npages=npages)
    yield from mm.world.sleep(npages * mm.costs.swap_page_ns)


def _write_protected(mm: AddressSpace, vma: Vma, page: int, last: int) -> Blocking[None]:
    """A store to a read-only entry: use the frame if nobody else does, else copy it (do_wp_page)."""

    def reusable(entries: pte.Entries) -> Mask:
        good = _read_only(mm.memory, entries)
        return good & _exclusive(mm.memory, entries) if vma.private else good

    def zero(entries: pte.Entries) -> Mask:
        return np.equal(entries, pte.ZERO_ENTRY)

    def shared(entries: pte.Entries) -> Mask:
        return _read_only(mm.memory, entries) & ~_exclusive(mm.memory, entries) & ~zero(entries)

    if npages := mm.table.leading(page, last, reusable):
        mm.table.view(page, page + npages - 1)[:] |= np.uint32(pte.WRITE)
        yield from mm.world.sleep(npages * mm.costs.cpu_fault_page_ns)
    elif mm.table.at(page) == pte.ZERO_ENTRY:
        yield from _copy_on_write(mm, page, last, zero)
    else:
        yield from _copy_on_write(mm, page, last, shared)


def _read_only(memory: Memory, entries: pte.Entries) -> Mask:
    good: Mask = _in_ram(memory, entries)
    good &= (entries & pte.WRITE) == 0
    return good


def _exclusive(memory: Memory, entries: pte.Entries) -> Mask:
    """Whether the frame belongs to this entry alone, pins aside; the zero page and the page cache never do."""
    pfns = np.where((entries & pte.SWAP) == 0, pte.pfn_of(entries), 0)
    mine: Mask = (memory.references[pfns] - memory.pins[pfns] == 1) & ((memory.flags[pfns] & FrameFlag.FILE) == 0)
    mine &= pfns > ZERO_PFN
    return mine


def _copy_on_write(mm: AddressSpace, page: int, last: int, alike: Callable[[pte.Entries], Mask]) -> Blocking[None]:
    """Give the pages from ``page`` on that are ``alike`` frames of their own (wp_page_copy).

    1. choose the run, up to the end of the block
    2. tell the notifiers of all of it at once
    3. keep what nobody changed while they slept; start over if that is nothing
    4. copy, and show the copies
    """
    npages = mm.table.leading(page, last, alike)
    yield from mm.notifiers.invalidate(NotifierEvent.CLEAR, page, page + npages - 1)
    npages = mm.table.leading(page, page + npages - 1, alike)
    if not npages:
        return
    entries = mm.table.view(page, page + npages - 1)
    old = pte.pfn_of(entries)
    from_zero = int(old[0]) == ZERO_PFN
    fresh = _anonymous_frames(mm, npages, zero=from_zero)
    entries[:] = pte.make(fresh, write=True)
    if not from_zero:
        mm.memory.copy(old, fresh)
        mm.memory.put(old)
    mm.world.emit.populate(page, page + npages - 1, npages=npages)
    yield from mm.world.sleep(npages * mm.costs.cpu_fault_page_ns)
