"""VRAM buffers: allocated for a range, shared by its pieces, freed with the last reference."""

from __future__ import annotations

import errno

import numpy as np
import numpy.typing as npt

from svmlab.errors import DriverError
from svmlab.hardware.frames import Frames, where
from svmlab.hardware.world import Blocking
from svmlab.mm import entries as pte
from svmlab.svm.behaviour import option
from svmlab.svm.driver import Driver, System
from svmlab.svm.ranges import Range
from svmlab.svm.vram_buffer import VramBuffer
from svmlab.uapi import SYSMEM

__all__ = ["any_in_vram", "attach", "count_vram_pages", "detach", "drop_reference", "release", "replace", "share"]


def attach(driver: Driver, range_: Range, gpu: int) -> Blocking[VramBuffer]:
    """Give a range VRAM on a GPU: what it holds, what it held and others still use, or a new buffer.

    Raises:
        DriverError: ENOMEM, there is not enough VRAM.

    Kernel: svm_range_vram_node_new (kfd_svm.c)
    """
    buffer = range_.buffer
    if buffer is None:
        return _new_buffer(driver, range_, gpu)
    if buffer.gpu != gpu or buffer.references <= 0:
        return replace(driver, range_, gpu)
    return _attach_again(driver.system, range_, buffer)


def _attach_again(system: System, range_: Range, buffer: VramBuffer) -> Blocking[VramBuffer]:
    """The range has the buffer, or had it; who migrates last is evicted last (amdgpu_bo_move_to_lru_tail)."""
    if not range_.has_vram:
        buffer.references += 1
        range_.has_vram = True
    if buffer.number in system.buffers:
        system.buffers[buffer.number] = system.buffers.pop(buffer.number)
    yield from ()
    return buffer


def replace(driver: Driver, range_: Range, gpu: int) -> Blocking[VramBuffer]:
    """Give a range a new buffer; pages it has in the old one stay there, and keep the old one alive.

    Raises:
        DriverError: ENOMEM, there is not enough VRAM.
    """
    detach(driver.system, range_)
    return _new_buffer(driver, range_, gpu)


def _new_buffer(driver: Driver, range_: Range, gpu: int) -> Blocking[VramBuffer]:
    vram, npages = driver.vrams[gpu], range_.npages
    try:
        if hit := driver.faults.first("vram_alloc", gpu=gpu):
            raise DriverError(hit.errno, f"VRAM of gpu{gpu} was told to run out")
        if vram.free_pages < npages:
            yield from driver.behaviour.vram_pressure(driver, range_, gpu)
        nodes = vram.alloc(npages)
    except DriverError as error:
        driver.emit.vram_alloc(range_.start, range_.last, gpu=gpu, npages=npages, error=error.errno)
        raise
    system, cleared = driver.system, driver.behaviour.vram_contents()
    number = system.next_buffer
    buffer = VramBuffer(number, gpu, driver.pid, nodes, npages, ranges=[range_], cleared=cleared)
    system.next_buffer, system.buffers[number] = number + 1, buffer
    range_.buffer, range_.has_vram, range_.offset = buffer, True, 0
    driver.emit.vram_alloc(range_.start, range_.last, gpu=gpu, npages=npages, nodes=len(nodes), error=0)
    duration = driver.costs.vram_alloc_ns + len(nodes) * driver.costs.vram_alloc_node_ns
    yield from driver.world.sleep(duration, "after allocating VRAM")
    return buffer


@option("vram_contents", "stale")
def _stale() -> bool:
    return False


@option("vram_contents", "cleared")
def _cleared() -> bool:
    return True


def share(range_: Range, piece: Range) -> None:
    """A piece cut off a range in VRAM, or a clone of it, holds its own reference to the same buffer."""
    if range_.buffer is not None:
        piece.buffer, piece.has_vram = range_.buffer, range_.has_vram
        range_.buffer.references += 1
        range_.buffer.ranges.append(piece)


def drop_reference(system: System, range_: Range) -> None:
    """The range holds no VRAM any more; it may still point at the buffer that others use.

    Kernel: svm_range_vram_node_free (kfd_svm.c)
    """
    if range_.has_vram and range_.buffer is not None:
        range_.has_vram = False
        _put(system, range_.buffer, 1)


def detach(system: System, range_: Range) -> None:
    """The range forgets its buffer."""
    drop_reference(system, range_)
    if range_.buffer is not None and range_ in range_.buffer.ranges:
        range_.buffer.ranges.remove(range_)
    range_.buffer = None


def release(driver: Driver, range_: Range) -> None:
    """The range is freed: what it holds of its buffer goes back.

    Slots: buffer_reference
    Kernel: svm_range_free (kfd_svm.c)
    """
    if range_.buffer is not None and driver.behaviour.buffer_reference(range_):
        range_.has_vram = False
        _put(driver.system, range_.buffer, 1)
    detach(driver.system, range_)


@option("buffer_reference", "pointed-at")
def _whoever_points(range_: Range) -> bool:
    return True


@option("buffer_reference", "held")
def _whoever_has_vram(range_: Range) -> bool:
    return range_.has_vram


def _put(system: System, buffer: VramBuffer, count: int) -> None:
    buffer.references -= count
    if buffer.references > 0 or buffer.number not in system.buffers:
        return
    del system.buffers[buffer.number]
    for range_ in list(buffer.ranges):
        range_.buffer, range_.has_vram = None, False
    buffer.ranges.clear()
    system.vrams[buffer.gpu].free(buffer.nodes)
    system.world.emit.vram_free(gpu=buffer.gpu, npages=buffer.npages)


@option("buffer_life", "ranges")
def _pages_do_not_count(system: System, pfns: Frames, taken_by: VramBuffer | None = None) -> None:
    """svm_migrate_page_free is empty in the posting."""


@option("buffer_life", "pages")
def _pages_count(system: System, pfns: Frames, taken_by: VramBuffer | None = None) -> None:
    """Every page in VRAM holds a reference to its buffer, from the moment it is taken until it is freed."""
    if taken_by is not None:
        taken_by.references += len(pfns)
        return
    owner = system.memory.owner
    first = int(owner[pfns[0]])
    owners = {first: len(pfns)}
    if len(pfns) > 1 and (owner[where(pfns)] != first).any():
        numbers, counts = np.unique(owner[where(pfns)], return_counts=True)
        owners = dict(zip(numbers.tolist(), counts.tolist(), strict=True))
    for number, count in owners.items():
        if number in system.buffers:
            _put(system, system.buffers[number], count)


@option("vram_pressure", "fail")
def _no_pressure(driver: Driver, range_: Range, gpu: int) -> Blocking[None]:
    """The allocator alone decides."""
    yield from ()


@option("vram_limit", "none")
def _no_limit(driver: Driver, range_: Range, gpu: int) -> None:
    """Nothing is reserved."""


@option("vram_limit", "reserve")
def _reserve(driver: Driver, range_: Range, gpu: int) -> None:
    """The whole range must fit the VRAM, even if everybody else were evicted (amdgpu_amdkfd_reserve_mem_limit)."""
    if range_.npages >= driver.vrams[gpu].npages:
        raise DriverError(errno.ENOSPC, f"{range_.npages} pages do not fit the VRAM of gpu{gpu}")


def count_vram_pages(driver: Driver, start: int, last: int, location: int | None = None) -> int:
    """Pages of a span that the CPU page table shows in VRAM; only in that of one GPU, if its id is given.

    A relative by fork may have moved a page that both share to a GPU that the range knows nothing of.
    """
    gpu = None if location is None else driver.gpu_index(location)
    gpus = range(len(driver.vrams)) if gpu is None else (gpu,)
    return sum(
        int(np.count_nonzero(driver.memory.in_vram_of(pte.pfn_of(entries), gpus) & ((entries & pte.SWAP) == 0)))
        for _, entries in driver.mm.table.stored(start, last)
    )


def any_in_vram(driver: Driver, start: int, last: int, location: int) -> bool:
    """Whether the CPU page table shows some page of a span in the VRAM of a GPU; it looks no further than the first."""
    gpu = driver.gpu_index(location)
    gpus = range(len(driver.vrams)) if gpu is None else (gpu,)

    def elsewhere(entries: pte.Entries) -> npt.NDArray[np.bool_]:
        there: npt.NDArray[np.bool_] = driver.memory.in_vram_of(pte.pfn_of(entries), gpus)
        there &= (entries & pte.SWAP) == 0
        return ~there

    table = driver.mm.table
    stored = table.stored(start, last)
    return any(table.leading(page, page + len(view) - 1, elsewhere) < len(view) for page, view in stored)


def forget_location(range_: Range) -> None:
    """The range is in RAM."""
    range_.actual_loc, range_.vram_pages = SYSMEM, 0
