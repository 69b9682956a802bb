"""The CPU touches a page that is in VRAM: the driver brings its block home."""

from __future__ import annotations

import errno

from svmlab.errors import BusError, DriverError
from svmlab.hardware.world import Blocking
from svmlab.mm.address_space import AddressSpace
from svmlab.mm.locks import Held, Mutex
from svmlab.svm import deferred, split
from svmlab.svm.behaviour import option
from svmlab.svm.driver import Driver, System
from svmlab.svm.migrate_piece import Journey
from svmlab.svm.migration import vram_to_ram
from svmlab.svm.ranges import DeferredOp, Range
from svmlab.uapi import SYSMEM, MigrateTrigger

__all__ = ["block_of", "migrate_to_ram", "serve_cpu_fault"]


def block_of(range_: Range, page: int) -> tuple[int, int]:
    """The granularity block that holds a page, aligned on the absolute page number and clipped to the range.

    >>> block_of(Range(0x100, 0x8FF), 0x450) == (0x400, 0x5FF)
    True
    """
    size = 1 << min(range_.granularity, 63)
    start = page // size * size
    return max(start, range_.start), min(start + size - 1, range_.last)


def migrate_to_ram(system: System, mm: AddressSpace, page: int) -> Blocking[None]:
    """What the kernel calls when the CPU touches a device page: find whose it is, and serve the fault.

    Kernel: svm_migrate_to_ram (kfd_migrate.c)
    """
    pfn = mm.table.at(page) >> 2
    buffer = system.buffers.get(int(system.memory.owner[pfn]))
    driver = system.drivers.get(buffer.pid if buffer is not None else mm.pid)
    if driver is None or driver.exited:
        raise BusError(f"page {page:#x} is in VRAM of a process that has gone")
    yield from serve_cpu_fault(driver, mm, page)


def serve_cpu_fault(driver: Driver, mm: AddressSpace, page: int) -> Blocking[None]:
    """Bring home what a CPU fault asks for. The caller holds mmap_lock of ``mm`` for reading and retries the access.

    1. find the range of the page
    2. if the driver believes it is in RAM, there is nothing to do
    3. choose the block to move, and cut it out if need be
    4. move it home

    Args:
        driver: of the process whose range it is.
        mm: the address space that faults: the process's own, or a forked child's.
        page: the page touched.

    Raises:
        BusError: there is no range, or the move failed.

    Slots: inherited_page, cpu_fault_block
    Kernel: svm_migrate_to_ram (kfd_migrate.c)
    """
    if driver.log.task.id in driver.walking:
        raise BusError(f"page {page:#x} is in VRAM of a GPU that those to be mapped cannot reach")
    if mm is not driver.mm:
        driver.behaviour.inherited_page(page)
    fault = driver.emit("cpu_fault", page, page, gpu=_gpu_of(driver, mm, page))
    with driver.log.because(fault):
        yield driver.world.delay(driver.costs.cpu_device_fault_ns)
        with (yield from _held(driver, driver.svms.lock)):
            range_ = driver.svms.at(page)
            if range_ is None:
                raise BusError(f"page {page:#x} is in VRAM, but no range covers it")
            yield from _bring_block(driver, mm, range_, page)


def _held(driver: Driver, lock: Mutex) -> Blocking[Held]:
    """Hold a lock; where the fault came from a walk of another process's driver, which has such locks of its own, try.

    Two relatives may walk over each other's pages; if both waited, they would wait for ever.

    Raises:
        DriverError: EAGAIN, the lock is taken and waiting could be a deadlock.
    """
    if not any(held.kind >= lock.kind for held in driver.log.task.held):
        return (yield from lock.held())
    held = lock.try_held()
    if held is None:
        raise DriverError(errno.EAGAIN, f"{lock.name} is taken, and this task has one of the same kind")
    return held


def _gpu_of(driver: Driver, mm: AddressSpace, page: int) -> int:
    entry = next(mm.table.blocks(page, page))[1]
    return int(driver.memory.gpu_of(entry >> 2)[0])


def _bring_block(driver: Driver, mm: AddressSpace, range_: Range, page: int) -> Blocking[None]:
    parent = driver.svms.parent_of(range_)
    with (yield from _held(driver, parent.migrate_mutex(driver.world))):
        if range_.actual_loc == SYSMEM:
            return
        try:
            block, start, last = yield from driver.behaviour.cpu_fault_block(driver, range_, page)
            journey = Journey(SYSMEM, MigrateTrigger.PAGEFAULT_CPU, start, last, None if mm is driver.mm else mm)
            yield from vram_to_ram(driver, block, journey)
        except DriverError as error:
            raise BusError(f"page {page:#x} cannot come home: {error.given}") from error
        finally:
            if parent.children:
                deferred.queue(driver, parent, DeferredOp.UPDATE_RANGE_NOTIFIER)


@option("inherited_page", "sigbus")
def _unknown_mm(page: int) -> None:
    raise BusError(f"page {page:#x} is in VRAM and belongs to the process this one was forked from")


@option("inherited_page", "served")
def _through_the_parent(page: int) -> None:
    """The parent's range knows where the page is."""


@option("cpu_fault_block", "no-split")
def _whole_range_stays(driver: Driver, range_: Range, page: int) -> Blocking[tuple[Range, int, int]]:
    yield from ()
    return range_, *block_of(range_, page)


@option("cpu_fault_block", "split")
def _trim_to_the_block(driver: Driver, range_: Range, page: int) -> Blocking[tuple[Range, int, int]]:
    """The range becomes the block (clipped to the VMA); what lies before and behind it become children."""
    start, last = block_of(range_, page)
    vma = driver.mm.vma_at(page)
    if vma is not None:
        start, last = max(start, vma.start), min(last, vma.last)
    parent = driver.svms.parent_of(range_)
    with (yield from parent.lock(driver.world).held()):
        if start > range_.start:
            deferred.add_child(parent, split.cut_front(driver, range_, start), DeferredOp.ADD_RANGE)
        if last < range_.last:
            deferred.add_child(parent, split.cut_back(driver, range_, last + 1), DeferredOp.ADD_RANGE)
    return range_, start, last


@option("cpu_fault_block", "split-child")
def _cut_out_a_child(driver: Driver, range_: Range, page: int) -> Blocking[tuple[Range, int, int]]:
    """The range keeps its head; the block becomes a child of its own, and what lies behind it another."""
    start, last = block_of(range_, page)
    parent = driver.svms.parent_of(range_)
    block = range_
    with (yield from parent.lock(driver.world).held()):
        if start > range_.start:
            block = split.cut_back(driver, range_, start)
            deferred.add_child(parent, block, DeferredOp.ADD_RANGE)
        if last < block.last:
            deferred.add_child(parent, split.cut_back(driver, block, last + 1), DeferredOp.ADD_RANGE)
    return block, start, last
