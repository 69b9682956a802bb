"""What must always hold: named predicates over the state of a machine; one call checks them all."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from svmlab.hardware.gpu import ProcessDevice, PteFlag
from svmlab.mm import entries as pte
from svmlab.mm.consistency import MEMORY_INVARIANTS, MemoryState
from svmlab.mm.vma import Vma
from svmlab.svm.driver import Driver
from svmlab.svm.queue_state import QueueState
from svmlab.svm.ranges import Range

__all__ = ["AT_ANY_MOMENT", "INVARIANTS", "broken"]

Pages = npt.NDArray[np.integer[Any]]


@dataclass(frozen=True)
class Snapshot:
    """What the predicates look at: one process, and the memory of the machine it shares.

    Attributes:
        driver: the driver's state for the process.
        state: everything that names page frames.
    """

    driver: Driver
    state: MemoryState


def _ranges_are_disjoint(now: Snapshot) -> Iterator[str]:
    pieces = sorted(now.driver.svms.with_children(), key=lambda range_: range_.start)
    for before, after in pairwise(pieces):
        if before.last >= after.start:
            yield f"ranges [{before.start:#x}, {before.last:#x}] and [{after.start:#x}, {after.last:#x}] overlap"


def _device_pages_have_a_buffer(now: Snapshot) -> Iterator[str]:
    driver = now.driver
    for page, entries in driver.mm.table.pages():
        pfns = pte.pfn_of(entries)
        device = ((entries & pte.SWAP) == 0) & driver.memory.is_device(pfns)
        numbers = np.unique(driver.memory.owner[pfns[device]]).tolist()
        lost = [number for number in numbers if number not in driver.system.buffers]
        if lost:
            yield f"pages near {page:#x} are in VRAM of buffer {lost[0]}, which was freed"


def _ranges_count_their_vram(now: Snapshot) -> Iterator[str]:
    driver = now.driver
    for range_ in driver.svms.with_children():
        if (range_.invalid and driver.svms.evicted_ranges) or range_.migrating:
            continue
        pages = _vram_pages(driver, range_)
        if pages and not range_.actual_loc:
            yield f"range {range_.start:#x} counts as in RAM, but {pages} of its pages are in VRAM"
        if range_.actual_loc and not range_.has_vram:
            yield f"range {range_.start:#x} counts as in VRAM, but holds no buffer"


def _vram_pages(driver: Driver, range_: Range) -> int:
    """Pages of a range in buffers of its own; what it inherited by a fork or mremap is none of them."""
    own = [buffer.number for buffer in driver.system.buffers.values() if range_ in buffer.ranges]
    count = 0
    for _, entries in driver.mm.table.stored(range_.start, range_.last):
        pfns = np.where((entries & pte.SWAP) == 0, pte.pfn_of(entries), 0)
        count += int(np.count_nonzero(np.isin(driver.memory.owner[pfns], own)))
    return count


def _mapped_pages_are_present(now: Snapshot) -> Iterator[str]:
    """What a running GPU can touch is what the CPU page table holds."""
    for device in now.driver.devices:
        for page, flags in device.flags.pages():
            frames = device.frames.view(page, page + len(flags) - 1)
            entries = now.driver.mm.table.view(page, page + len(flags) - 1)
            valid = (flags & PteFlag.VALID) != 0
            other = valid & ((pte.pfn_of(entries) != frames) | ((entries & pte.SWAP) != 0))
            wrong = _not_excused(now.driver, np.flatnonzero(other) + page)
            if len(wrong):
                yield f"gpu{device.gpu} maps {_to_other_frames(len(wrong))}{int(wrong[0]):#x}"


def _to_other_frames(count: int) -> str:
    if count == 1:
        return "1 page to a frame that does not hold it: "
    return f"{count} pages to frames that do not hold them, the first is "


def _not_excused(driver: Driver, pages: Pages) -> Pages:
    """Without those that may be stale: while the queues are stopped, entries of invalid ranges may be old."""
    if len(pages) and not all(device.running for device in driver.devices):
        for range_ in driver.svms.with_children():
            if range_.invalid:
                pages = pages[(pages < range_.start) | (pages > range_.last)]
    return pages


def _gpus_write_no_shared_page(now: Snapshot) -> Iterator[str]:
    """A GPU that may write a page which several address spaces share would break copy-on-write."""
    frames, counts = now.state.by_entries
    shared = frames[counts > 1]
    for device in now.driver.devices if len(shared) else ():
        found = [_written(device, vma, shared) for vma in now.driver.mm.vmas.values()]
        pages = np.concatenate([np.zeros(0, np.int64), *found])
        wrong = _not_excused(now.driver, pages)
        if len(wrong):
            yield f"gpu{device.gpu} may write {len(wrong)} shared private pages, the first is {int(wrong[0]):#x}"


def _written(device: ProcessDevice, vma: Vma, frames: npt.NDArray[np.uint32]) -> Pages:
    """Pages of a private mapping that a GPU may write, and thereby one of these frames."""
    found: list[Pages] = [np.zeros(0, np.int64)]
    for page, flags in device.flags.stored(vma.start, vma.last) if vma.private else ():
        at = np.flatnonzero((flags & PteFlag.WRITEABLE) != 0)
        found.append(page + at[np.isin(device.frames.view(page, page + len(flags) - 1)[at], frames)])
    return np.concatenate(found)


def _vram_is_held_by_buffers(now: Snapshot) -> Iterator[str]:
    for index, vram in enumerate(now.driver.vrams):
        held = sum(buffer.npages for buffer in now.driver.system.buffers.values() if buffer.gpu == index)
        if held != vram.used_pages:
            yield f"gpu{index} has {vram.used_pages} pages of VRAM in use, its buffers hold {held}"


def _no_vram_page_is_lost(now: Snapshot) -> Iterator[str]:
    """Every VRAM page with a reference is named by something, and lies in a buffer."""
    memory, (frames, _) = now.driver.memory, now.state.named
    for index, buffers in _buffers_by_gpu(now.driver):
        base = int(memory.vram_base[index])
        nodes = [(base + start, count) for buffer in buffers for start, count in buffer.nodes]
        alive = sum(int(np.count_nonzero(memory.references[start : start + count])) for start, count in nodes)
        named = int(np.count_nonzero(memory.gpu_of(frames) == index))
        if alive != named:
            yield f"{alive} pages of gpu{index} in buffers have references, {named} pages of it are named by anything"


def _buffers_by_gpu(driver: Driver) -> Iterator[tuple[int, list[Any]]]:
    for index in range(len(driver.vrams)):
        yield index, [buffer for buffer in driver.system.buffers.values() if buffer.gpu == index]


def _queue_state_follows_the_count(now: Snapshot) -> Iterator[str]:
    state, count = now.driver.queue_state, now.driver.svms.evicted_ranges
    if (state is QueueState.RUN) != (count == 0):
        yield f"{count} evictions are counted in state {state.name}"


def _of_memory(check: Callable[[MemoryState], Iterator[str]]) -> Callable[[Snapshot], Iterator[str]]:
    return lambda now: check(now.state)


INVARIANTS: dict[str, Callable[[Snapshot], Iterator[str]]] = {
    "ranges are disjoint": _ranges_are_disjoint,
    "device pages have a buffer": _device_pages_have_a_buffer,
    "ranges count their VRAM": _ranges_count_their_vram,
    "mapped pages are present": _mapped_pages_are_present,
    "GPUs write no shared page": _gpus_write_no_shared_page,
    "the queue state follows the count": _queue_state_follows_the_count,
    "VRAM is held by buffers": _vram_is_held_by_buffers,
    "no VRAM page is lost": _no_vram_page_is_lost,
    **{name: _of_memory(check) for name, check in MEMORY_INVARIANTS.items()},
}
"""Every invariant by name."""


AT_ANY_MOMENT = ("device pages have a buffer", "mapped pages are present", "GPUs write no shared page")
"""Those that tell of what the CPU and the GPUs can reach at a moment, even in the midst of a call."""


def broken(driver: Driver, names: Iterable[str] = tuple(INVARIANTS)) -> list[str]:
    """Check invariants, by default all; returns a sentence for each breach."""
    system = driver.system
    mms = [each.mm for each in system.drivers.values()]
    now = Snapshot(driver, MemoryState(system.memory, mms, list(system.files.values())))
    return [f"{name}: {complaint}" for name in names for complaint in INVARIANTS[name](now)]
