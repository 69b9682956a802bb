"""A GPU fault with xnack on: from a missing entry to running again."""

from __future__ import annotations

import errno

import numpy as np

from svmlab.errors import DriverError
from svmlab.hardware.gpu import ProcessDevice
from svmlab.hardware.world import Blocking
from svmlab.mm.vma import VmaKind
from svmlab.svm import attributes
from svmlab.svm.behaviour import option
from svmlab.svm.cpu_fault import block_of
from svmlab.svm.driver import Driver
from svmlab.svm.gpu_work import memory_exception
from svmlab.svm.mapping import Target, validate_and_map
from svmlab.svm.migrate_piece import Journey
from svmlab.svm.migration import to_vram, vram_to_ram
from svmlab.svm.policy import restore_location
from svmlab.svm.ranges import Range
from svmlab.svm.registration import register
from svmlab.uapi import SYSMEM, MigrateTrigger

__all__ = ["serve_gpu_fault"]

_UNREGISTERED_PAGES = 512


@option("gpu_fault", "served")
def serve_gpu_fault(driver: Driver, device: ProcessDevice, page: int, *, write: bool) -> Blocking[None]:
    """Serve one retry fault, or drop it and let the GPU fault again; what cannot be served is fatal.

    1. find the range, or make one
    2. drop the fault if the range was mapped less than 2 ms ago
    3. check that the VMA allows the access
    4. decide the best location
    5. move the granularity block there
    6. map the block to the faulting GPU

    Raises:
        MemoryExceptionError: there is no memory, no access, or the VMA forbids it.

    Kernel: svm_range_restore_pages (kfd_svm.c)
    """
    arrived = driver.now
    try:
        with (yield from driver.mm.mmap_lock.write()) as mapping_lock, (yield from driver.svms.lock.held()):
            range_ = driver.svms.at(page) or _new_range(driver, page)
            mapping_lock.downgrade()
            parent = driver.svms.parent_of(range_)
            with (yield from parent.migrate_mutex(driver.world).held()):
                yield from _restore(driver, device, range_, (page, write, arrived))
    except DriverError as error:
        if error.errno != errno.EAGAIN:
            memory_exception(driver, device, page, write=write)


def _new_range(driver: Driver, page: int) -> Range:
    """Memory nobody registered: a default range over the 2 MiB block, clipped to the VMA and its neighbours.

    Kernel: svm_range_create_unregistered_range (kfd_svm.c)
    """
    vma = driver.mm.vma_at(page)
    if vma is None or vma.special:
        raise DriverError(errno.EFAULT, f"page {page:#x} is not ordinary mapped memory")
    block = page // _UNREGISTERED_PAGES * _UNREGISTERED_PAGES
    start, last = max(block, vma.start), min(block + _UNREGISTERED_PAGES - 1, vma.last)
    for other in driver.svms.overlapping(start, last):
        if other.last < page:
            start = max(start, other.last + 1)
        elif other.start > page:
            last = min(last, other.start - 1)
    fresh = attributes.new_range(driver, start, last)
    if vma.kind in (VmaKind.HEAP, VmaKind.STACK):
        fresh.preferred_loc = SYSMEM
    driver.svms.insert(fresh)
    register(driver, fresh)
    driver.emit("range_add", start, last)
    return fresh


def _restore(driver: Driver, device: ProcessDevice, range_: Range, fault: tuple[int, bool, int]) -> Blocking[None]:
    page, write, arrived = fault
    if arrived < range_.validated_ns + driver.costs.retry_fault_window_ns:
        _drop(driver, device, page, write=write, because="the range was mapped less than 2 ms ago")
        return
    vma = driver.mm.vma_at(page)
    if vma is None:
        _drop(driver, device, page, write=write, because="nothing is mapped there any more")
        return
    if not vma.allows(write=False) or not vma.allows(write=write):
        raise DriverError(errno.EPERM, f"{vma.name or 'the mapping'} forbids the access")
    best = restore_location(driver.situation(range_), device.gpu)
    if best.location is None:
        raise DriverError(errno.EACCES, best.because)
    start = driver.emit("page_fault_start", page, page, gpu=device.gpu, write=int(write), time_ns=arrived)
    with driver.log.because(start):
        driver.say("decision", best.because, range_.start, range_.last, location=best.location)
        first, last = block_of(range_, page)
        moved = yield from _move(driver, range_, Journey(best.location, MigrateTrigger.PAGEFAULT_GPU, first, last))
        yield from validate_and_map(driver, range_, Target(first, last, 1 << device.gpu))
    driver.emit("page_fault_end", page, page, gpu=device.gpu, migrated=int(moved), cause=start)


def _move(driver: Driver, range_: Range, journey: Journey) -> Blocking[bool]:
    """Move the block to where it should be; VRAM that cannot be had is no error, the block is mapped in RAM then."""
    if journey.target == SYSMEM == range_.actual_loc:
        return False
    if journey.target == SYSMEM:
        yield from vram_to_ram(driver, range_, journey)
        return True
    if range_.actual_loc == journey.target and not _ram_pages(driver, journey):
        return False
    try:
        yield from to_vram(driver, range_, journey)
    except DriverError as error:
        driver.say(
            "driver_fallback",
            "VRAM cannot be had: the block is mapped where it is",
            range_.start,
            range_.last,
            error=error.errno,
        )
        if range_.actual_loc not in (SYSMEM, journey.target):
            yield from vram_to_ram(driver, range_, journey)
        return False
    return True


def _drop(driver: Driver, device: ProcessDevice, page: int, *, write: bool, because: str) -> None:
    driver.say("page_fault_dropped", because, page, page, gpu=device.gpu, write=int(write))


def _ram_pages(driver: Driver, journey: Journey) -> bool:
    """Whether some page of the block is not in VRAM."""
    if journey.start is None or journey.last is None:
        return True
    blocks = driver.mm.table.blocks(journey.start, journey.last)
    return any(not np.all(driver.memory.is_device(entries >> 2)) for _, entries in blocks)
