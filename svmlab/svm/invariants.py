"""What must always hold: named predicates over the state of a process; one call checks them all."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from svmlab.hardware.gpu import PteFlag
from svmlab.hardware.memory import ZERO_PFN, FrameFlag
from svmlab.mm import entries as pte
from svmlab.svm.driver import Driver
from svmlab.svm.ranges import Range

__all__ = ["INVARIANTS", "broken"]

Complaints = Iterator[str]


def _ranges_are_disjoint(driver: Driver) -> Complaints:
    pieces = sorted(driver.svms.with_children(), key=lambda range_: range_.start)
    for before, after in zip(pieces, pieces[1:], strict=False):
        if before.last >= after.start:
            yield f"ranges [{before.start:#x}, {before.last:#x}] and [{after.start:#x}, {after.last:#x}] overlap"


def _frames_have_one_owner(driver: Driver) -> Complaints:
    """Every frame is named by as many entries as it has references, pins and page caches aside."""
    count = np.zeros(len(driver.memory.references), np.int32)
    for mm in driver.mm.family:
        for _, entries in mm.table.pages():
            named = pte.pfn_of(entries[(entries != pte.NONE) & ((entries & pte.SWAP) == 0)])
            np.add.at(count, named, 1)
    count[ZERO_PFN] = 0
    named = np.flatnonzero(count)
    flags = driver.memory.flags[named]
    busy = (flags & (FrameFlag.MIGRATING | FrameFlag.FILE | FrameFlag.PINNED)) != 0
    wrong = named[~busy & (count[named] != driver.memory.references[named])]
    if len(wrong):
        pfn = int(wrong[0])
        yield (f"{len(wrong)} frames have the wrong number of references; frame {pfn:#x} is named by {count[pfn]} "
               f"entries and has {driver.memory.references[pfn]} references")


def _device_pages_have_a_buffer(driver: Driver) -> Complaints:
    for page, entries in driver.mm.table.pages():
        pfns = pte.pfn_of(entries)
        device = (entries != pte.NONE) & ((entries & pte.SWAP) == 0) & driver.memory.is_device(pfns)
        lost = [n for n in np.unique(driver.memory.owner[pfns[device]]).tolist() if n not in driver.system.buffers]
        if lost:
            yield f"pages near {page:#x} are in VRAM of buffer {lost[0]}, which was freed"


def _ranges_count_their_vram(driver: Driver) -> Complaints:
    for range_ in driver.svms.with_children():
        if range_.invalid and driver.svms.evicted_ranges:
            continue
        pages = _vram_pages(driver, range_)
        if pages and not range_.actual_loc and len(driver.mm.family) == 1:
            yield f"range {range_.start:#x} counts as in RAM, but {pages} of its pages are in VRAM"
        if range_.actual_loc and not range_.has_vram:
            yield f"range {range_.start:#x} counts as in VRAM, but holds no buffer"


def _vram_pages(driver: Driver, range_: Range) -> int:
    return sum(
        int(np.count_nonzero((entries & pte.SWAP == 0) & driver.memory.is_device(pte.pfn_of(entries))))
        for _, entries in driver.mm.table.blocks(range_.start, range_.last)
    )


def _mapped_pages_are_present(driver: Driver) -> Complaints:
    """What a running GPU can touch is what the CPU page table holds."""
    stopped = not all(device.running for device in driver.devices)
    for device in driver.devices:
        for page, flags in device.flags.pages():
            valid = (flags & PteFlag.VALID) != 0
            if not valid.any():
                continue
            entries = driver.mm.table.get(page, page + len(flags) - 1)
            frames = device.frames.get(page, page + len(flags) - 1)
            wrong = np.flatnonzero(valid & ((pte.pfn_of(entries) != frames) | ((entries & pte.SWAP) != 0))) + page
            wrong = wrong if not stopped else np.array([at for at in wrong if not _may_be_stale(driver, int(at))])
            if len(wrong):
                yield f"gpu{device.gpu} maps {len(wrong)} pages to frames that do not hold them, the first is {int(wrong[0]):#x}"


def _may_be_stale(driver: Driver, page: int) -> bool:
    """While the queues are stopped, entries of invalid ranges may be old."""
    range_ = driver.svms.at(page)
    return range_ is not None and range_.invalid > 0


def _vram_is_held_by_buffers(driver: Driver) -> Complaints:
    for index, vram in enumerate(driver.vrams):
        held = sum(buffer.npages for buffer in driver.system.buffers.values() if buffer.gpu == index)
        if held != vram.used_pages:
            yield f"gpu{index} has {vram.used_pages} pages of VRAM in use, its buffers hold {held}"


INVARIANTS: dict[str, Callable[[Driver], Complaints]] = {
    "ranges are disjoint": _ranges_are_disjoint,
    "frames have one owner": _frames_have_one_owner,
    "device pages have a buffer": _device_pages_have_a_buffer,
    "ranges count their VRAM": _ranges_count_their_vram,
    "mapped pages are present": _mapped_pages_are_present,
    "VRAM is held by buffers": _vram_is_held_by_buffers,
}
"""Every invariant by name."""


def broken(driver: Driver) -> list[str]:
    """Check all invariants; returns a sentence for each breach."""
    return [f"{name}: {complaint}" for name, check in INVARIANTS.items() for complaint in check(driver)]
