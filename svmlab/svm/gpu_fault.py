"""A GPU fault with xnack on: from a missing entry to running again."""

from __future__ import annotations

import errno

import numpy as np

from svmlab.errors import DriverError
from svmlab.hardware.gpu import ProcessDevice, RawFault
from svmlab.hardware.world import Blocking
from svmlab.mm.vma import Vma, VmaKind
from svmlab.svm import attributes
from svmlab.svm.behaviour import option
from svmlab.svm.cpu_fault import block_of
from svmlab.svm.driver import Driver
from svmlab.svm.gpu_work import memory_exception
from svmlab.svm.mapping import Target, validate_and_map
from svmlab.svm.migrate_piece import Journey
from svmlab.svm.migration import to_vram, vram_to_ram
from svmlab.svm.policy import restore_location
from svmlab.svm.ranges import DeferredOp, Range
from svmlab.svm.registration import register
from svmlab.uapi import SYSMEM, MigrateTrigger

__all__ = ["serve_gpu_fault"]

_UNREGISTERED_PAGES = 512
_ABOUT_TO_CHANGE = (DeferredOp.UNMAP_RANGE, DeferredOp.ADD_RANGE)


@option("gpu_fault", "served")
def serve_gpu_fault(driver: Driver, device: ProcessDevice, fault: RawFault) -> Blocking[None]:
    """Serve one retry fault, or drop it and let the GPU fault again; what cannot be served is fatal.

    1. drop it if its process has gone; with xnack off it cannot be served
    2. take mmap_lock for reading and the svms lock
    3. drop it if it is stale
    4. find the range; if there is none, take mmap_lock for writing, look again and make one
    5. take the range's migrate_mutex; drop a needless fault, check that the VMA allows it, restore the page's block
    6. after EAGAIN the GPU tries again; every other error is fatal

    Raises:
        MemoryExceptionError: there is no memory, no access, or the VMA forbids it.

    Slots: stale_faults
    Kernel: svm_range_restore_pages (kfd_svm.c)
    """
    fault.entered_ns = driver.now
    try:
        if driver.exited:
            _drop(driver, device, fault, "its process has gone")
        elif not driver.xnack:
            raise DriverError(errno.EFAULT, "with xnack off no fault is retried")
        elif not (yield from _serve(driver, device, fault, make=False)):
            yield from _serve(driver, device, fault, make=True)
    except DriverError as error:
        if error.errno != errno.EAGAIN:
            memory_exception(driver, device, fault.page, write=fault.write)


def _serve(driver: Driver, device: ProcessDevice, fault: RawFault, *, make: bool) -> Blocking[bool]:
    """Take the locks and serve the fault; returns false if there is no range and none may be made."""
    mmap_lock = driver.mm.mmap_lock
    with (yield from mmap_lock.write() if make else mmap_lock.read()) as mapping, (yield from driver.svms.lock.held()):
        if driver.behaviour.stale_faults(device, fault):
            _drop(driver, device, fault, "it was reported before a munmap")
            return True
        range_ = driver.svms.at(fault.page)
        if range_ is None:
            if not make:
                return False
            range_ = _new_range(driver, fault.page)
        if make:
            mapping.downgrade()
        parent = driver.svms.parent_of(range_)
        with (yield from parent.migrate_mutex(driver.world).held()):
            vma = driver.mm.vma_at(fault.page)
            because = _needless(driver, range_, fault)
            if because or vma is None:
                _drop(driver, device, fault, because or "nothing is mapped there any more")
            else:
                _check_access(vma, fault)
                yield from _restore(driver, device.gpu, range_, fault)
    return True


@option("stale_faults", "fatal")
def _never_stale(device: ProcessDevice, fault: RawFault) -> bool:
    return False


@option("stale_faults", "by-timestamp")
def _reported_before_a_munmap(device: ProcessDevice, fault: RawFault) -> bool:
    """The first fault that is younger than the last munmap tells that all older ones have been read."""
    if fault.raised_ns <= device.checkpoint_ns:
        return True
    device.checkpoint_ns = -1
    return False


def _new_range(driver: Driver, page: int) -> Range:
    """Memory nobody registered: a default range over the 2 MiB block, clipped to the VMA and its neighbours.

    Raises:
        DriverError: EFAULT, there is no ordinary memory.

    Kernel: svm_range_create_unregistered_range (kfd_svm.c)
    """
    vma = driver.mm.vma_at(page)
    if vma is None or vma.special:
        raise DriverError(errno.EFAULT, f"page {page:#x} is not ordinary mapped memory")
    block = page // _UNREGISTERED_PAGES * _UNREGISTERED_PAGES
    start, last = max(block, vma.start), min(block + _UNREGISTERED_PAGES - 1, vma.last)
    for other in driver.svms.registered(start, last):
        if other.node_last < page:
            start = max(start, other.node_last + 1)
        elif other.node_start > page:
            last = min(last, other.node_start - 1)
    fresh = attributes.new_range(driver, start, last)
    if vma.kind in (VmaKind.HEAP, VmaKind.STACK):
        fresh.preferred_loc = SYSMEM
    driver.svms.insert(fresh)
    register(driver, fresh)
    driver.emit.range_add(start, last)
    return fresh


def _needless(driver: Driver, range_: Range, fault: RawFault) -> str:
    """Why a fault need not be served now, in words; empty if it must be."""
    if range_.op in _ABOUT_TO_CHANGE and (range_.queued or range_.children or range_.node_start < 0):
        return "deferred work is about to change the range"
    if fault.entered_ns < range_.validated_ns + driver.costs.retry_fault_window_ns:
        return "the range was mapped less than 2 ms ago"
    return ""


def _restore(driver: Driver, gpu: int, range_: Range, fault: RawFault) -> Blocking[None]:
    """Bring the block of a page where it should be and map it to the GPU that faulted.

    1. decide the best location
    2. move the granularity block there
    3. map the block to the faulting GPU, and to no other

    Raises:
        DriverError: EACCES, the GPU has no access; EAGAIN, the pages changed meanwhile; what the way home failed with.
    """
    page = fault.page
    best = restore_location(driver.situation(range_), gpu)
    if best.location is None:
        raise DriverError(errno.EACCES, best.because)
    start = driver.emit.page_fault_start(page, page, gpu=gpu, write=fault.write, time_ns=fault.entered_ns)
    task, moved, failed = driver.log.task, False, 0
    before = task.follow(start)
    try:
        driver.emit.decision(range_.start, range_.last, text=best.because, location=best.location)
        first, last = block_of(range_, page)
        if not _is_there(driver, range_, best.location, first, last):
            moved = yield from _move(driver, range_, Journey(best.location, MigrateTrigger.PAGEFAULT_GPU, first, last))
        yield from validate_and_map(driver, range_, Target(first, last, 1 << gpu))
    except DriverError as error:
        failed = error.errno
        raise
    finally:
        driver.emit.page_fault_end(page, page, gpu=gpu, migrated=moved, error=failed)
        task.follow(before)


def _check_access(vma: Vma, fault: RawFault) -> None:
    """Refuse what the CPU may not do either (svm_fault_allowed); no protection allows stores without loads."""
    if not vma.allows(write=fault.write):
        raise DriverError(errno.EPERM, f"the mapping of page {fault.page:#x} forbids the access")


def _is_there(driver: Driver, range_: Range, location: int, start: int, last: int) -> bool:
    """Whether nothing of a block need be moved; what went to VRAM may have left pages behind in RAM."""
    if range_.actual_loc != location or location == SYSMEM:
        return range_.actual_loc == location
    blocks = driver.mm.table.blocks(start, last)
    return all(np.all(driver.memory.is_device(entries >> 2)) for _, entries in blocks)


def _move(driver: Driver, range_: Range, journey: Journey) -> Blocking[bool]:
    """Move the block to where it should be; VRAM that cannot be had is no error: the block is mapped where it is then.

    Returns:
        Whether it was moved.

    Raises:
        DriverError: what the way home failed with.
    """
    if journey.target == SYSMEM:
        yield from vram_to_ram(driver, range_, journey)
        return True
    try:
        yield from to_vram(driver, range_, journey)
    except DriverError as error:
        because = "VRAM cannot be had: the block is mapped where it is"
        driver.say("driver_fallback", because, range_.start, range_.last, error=error.errno)
        if range_.actual_loc not in (SYSMEM, journey.target):
            yield from vram_to_ram(driver, range_, journey._replace(target=SYSMEM))
        return False
    return True


def _drop(driver: Driver, device: ProcessDevice, fault: RawFault, because: str) -> None:
    page = fault.page
    driver.say("page_fault_dropped", because, page, page, gpu=device.gpu, write=fault.write, count=fault.count)
