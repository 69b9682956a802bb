"""HMM: fault a piece of the CPU page table in and look at it, as a driver does before it fills a GPU page table."""

from __future__ import annotations

import errno

import numpy as np
import numpy.typing as npt

from svmlab.errors import BusError, DriverError
from svmlab.hardware.frames import Frames, where
from svmlab.hardware.injection import Injections
from svmlab.hardware.memory import RAM, ZERO_PFN, FrameFlag
from svmlab.hardware.page_column import BLOCK_PAGES
from svmlab.hardware.world import Blocking
from svmlab.mm import entries as pte
from svmlab.mm.address_space import AddressSpace
from svmlab.mm.fault import accessible, handle_fault
from svmlab.mm.vma import Vma, VmaKind

__all__ = ["Seen", "range_fault", "walk"]

Mask = npt.NDArray[np.bool_]
Seen = tuple[int, Frames, bool | Mask]
"""A stretch of pages: the first of them, their frames, and which of them may be written."""

# A member of an enum is searched for each time it is named, and these are named for every page fault.
_MIGRATING, _DEVICE = int(FrameFlag.MIGRATING), VmaKind.DEVICE


def range_fault(
    mm: AddressSpace, vma: Vma, start: int, last: int, *, write: bool, owners: frozenset[int], faults: Injections
) -> Blocking[pte.Entries]:
    """Fault pages in and return their entries. The caller holds mmap_lock.

    A device page of an owner is reported as it is, even if it may not be written and ``write`` is asked for.

    Args:
        mm: whose pages.
        vma: where the pages lie.
        start: first page.
        last: last page, inclusive.
        write: fault them in for stores.
        owners: GPUs whose device pages may stay where they are (dev_private_owner); others are brought home first.
        faults: ordered faults (``hmm_fault``).

    Returns:
        The entries as the walk met them, shape ``(last - start + 1,)``: every page was in RAM or in VRAM of an owner.
        What changed since, a notifier heard of.

    Raises:
        DriverError: EFAULT where the VMA cannot be faulted, EPERM where it is read-only and ``write`` is asked for.

    Kernel: hmm_range_fault (mm/hmm.c)
    """
    found = np.zeros(last - start + 1, np.uint32)
    seen = yield from walk(mm, vma, start, last, write=write, owners=owners, faults=faults)
    for page, frames, writable in seen:
        found[page - start :][: len(frames)] = pte.make(frames, write=writable)
    return found


def walk(
    mm: AddressSpace, vma: Vma, start: int, last: int, *, write: bool, owners: frozenset[int], faults: Injections
) -> Blocking[list[Seen]]:
    """What ``range_fault`` does, with a result that stays small.

    Returns:
        What the walk saw, stretch by stretch, none of more than 64 Ki pages. Where frames count up by one in one place
        they are a range, and one value tells whether all of them may be written.
    """
    if hit := faults.first("hmm_fault"):
        raise DriverError(hit.errno, "the HMM walk was told to fail")
    if vma.kind is _DEVICE or not vma.readable:
        raise DriverError(errno.EFAULT, f"{vma.name or 'the mapping'} cannot be read")
    if write and not vma.writable:
        raise DriverError(errno.EPERM, f"{vma.name or 'the mapping'} is read-only")
    seen: list[Seen] = []
    page = start
    while page <= last:
        frames, writable = _ready(mm, page, last, write=write, owners=owners)
        if npages := len(frames):
            seen.append((page, frames, writable))
            page += npages
        else:
            yield from _fault(mm, page, last, write=write)
    yield from mm.world.sleep((last - start + 1) * mm.costs.hmm_fault_page_ns, "after a walk")
    return seen


def _ready(
    mm: AddressSpace, page: int, last: int, *, write: bool, owners: frozenset[int]
) -> tuple[Frames, bool | Mask]:
    """Pages from ``page`` on that need no fault, at most to the block's end, as ``walk`` tells of a stretch."""
    last, memory = min(last, page | BLOCK_PAGES - 1), mm.memory
    if run := pte.run_at(mm.table, page, last):
        frames, writable = run
        if frames.start > ZERO_PFN and not memory.bits_of(frames) & _MIGRATING:
            home = memory.home_of(frames)
            if home in owners or (home == RAM and (writable or not write)):
                return run
    ready = mm.table.leading(page, last, lambda entries: _present(mm, entries, write=write, owners=owners))
    entries = mm.table.view(page, page + ready - 1)
    return pte.pfn_of(entries), (entries & pte.WRITE) != 0


def _present(mm: AddressSpace, entries: pte.Entries, *, write: bool, owners: frozenset[int]) -> Mask:
    pfns = pte.pfn_of(entries)
    own: Mask = ((entries & pte.SWAP) == 0) & mm.memory.in_vram_of(pfns, owners)
    if own.any():
        own &= (mm.memory.flags[where(pfns if own.all() else np.where(own, pfns, 0))] & _MIGRATING) == 0
    if own.all():
        return own
    own |= accessible(mm, entries, write=write)
    return own


def _fault(mm: AddressSpace, page: int, last: int, *, write: bool) -> Blocking[None]:
    try:
        yield from handle_fault(mm, page, last, write=write)
    except BusError as error:
        raise DriverError(errno.EFAULT, error.given) from error
