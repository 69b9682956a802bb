"""The CPU touches a page that is in VRAM: the driver brings its block home."""

from __future__ import annotations

from dataclasses import dataclass

from svmlab.errors import BusError, DriverError
from svmlab.hardware.world import Blocking
from svmlab.mm import entries as pte
from svmlab.mm.address_space import AddressSpace
from svmlab.mm.locks import LockClass
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
    bits = range_.granularity
    start = page >> bits << bits
    last = start + (1 << bits) - 1
    # what every fault asks for: a comparison takes a third as long as min and max
    return start if start > range_.start else range_.start, last if last < range_.last else range_.last


def migrate_to_ram(system: System, mm: AddressSpace, page: int) -> Blocking[None]:
    """What the kernel calls when the CPU touches a device page: find whose it is, and serve the fault.

    Args:
        system: the machine.
        mm: the address space that faults.
        page: the page touched.

    Raises:
        BusError: as ``serve_cpu_fault``.

    Kernel: svm_migrate_to_ram (kfd_migrate.c)
    """
    pfn = mm.table.at(page) >> 2
    buffer = system.buffers.get(int(system.memory.owner[pfn]))
    yield from serve_cpu_fault(system.drivers[mm.pid if buffer is None else buffer.pid], mm, page)


def serve_cpu_fault(driver: Driver, mm: AddressSpace, page: int) -> Blocking[None]:
    """Bring home what a CPU fault asks for. The caller holds mmap_lock of ``mm`` and retries the access.

    1. find the range of the page; somebody may have brought the page home meanwhile
    2. if the driver believes it is in RAM, there is nothing to do
    3. choose the block to move, and cut it out if need be
    4. move it home

    Args:
        driver: of the process whose range it is.
        mm: the address space that faults: the process's own, or that of a relative by fork.
        page: the page touched.

    Raises:
        BusError: there is no range, or the move failed.

    Slots: inherited_page, cpu_fault_block
    Kernel: svm_migrate_to_ram (kfd_migrate.c)
    """
    task = driver.log.task
    if task.id in driver.walking:
        raise BusError(f"page {page:#x} is in VRAM, where the driver expects RAM")
    fault = driver.emit.cpu_fault(page, page, gpu=_gpu_of(driver, mm, page))
    with driver.log.because(fault):
        yield from driver.world.sleep(driver.costs.cpu_device_fault_ns)
        if any(lock.kind is LockClass.SVMS for lock in task.held):
            yield from _bring_inside_the_driver(driver, mm, page)
            return
        with (yield from driver.svms.lock.held()):
            if _gpu_of(driver, mm, page) >= 0:
                yield from _bring_by_range(driver, mm, page)


def _gpu_of(driver: Driver, mm: AddressSpace, page: int) -> int:
    entries = mm.table.view(page, page)
    return int(driver.memory.gpu_of(pte.pfn_of(entries))[0]) if not entries[0] & pte.SWAP else -1


@dataclass(frozen=True, slots=True)
class _Found:
    """What a fault on a page in VRAM finds.

    Attributes:
        page: the page.
        range: the range of the driver's process there, if there is one.
        knows: that range is where the page is; a younger one, or one at an address the page was moved to, is not.
        ours: the process itself touched it, not a relative by fork.
    """

    page: int
    range: Range | None
    knows: bool
    ours: bool


def _bring_by_range(driver: Driver, mm: AddressSpace, page: int) -> Blocking[None]:
    range_ = driver.svms.at(page)
    there = driver.machine.gpu(_gpu_of(driver, mm, page)).gpu_id
    knows = range_ is not None and range_.actual_loc == there
    chosen: Range | None = driver.behaviour.inherited_page(_Found(page, range_, knows, mm is driver.mm))
    if chosen is None:
        yield from _bring_alone(driver, mm, page)
    else:
        yield from _bring_block(driver, mm, chosen, page)


def _bring_block(driver: Driver, mm: AddressSpace, range_: Range, page: int) -> Blocking[None]:
    parent = driver.svms.parent_of(range_)
    with (yield from parent.migrate_mutex(driver.world).held()):
        if range_.actual_loc == SYSMEM:
            return
        try:
            block, start, last = yield from driver.behaviour.cpu_fault_block(driver, mm, range_, page)
            yield from _move_home(driver, mm, block, (start, last))
        finally:
            if parent.children:
                deferred.queue(driver, parent, DeferredOp.UPDATE_RANGE_NOTIFIER)


def _move_home(driver: Driver, mm: AddressSpace, range_: Range, span: tuple[int, int]) -> Blocking[None]:
    try:
        through = None if mm is driver.mm else mm
        yield from vram_to_ram(driver, range_, Journey(SYSMEM, MigrateTrigger.PAGEFAULT_CPU, *span, through))
    except DriverError as error:
        raise BusError(f"pages {span[0]:#x} to {span[1]:#x} cannot come home: {error.given}") from error


def _bring_inside_the_driver(driver: Driver, mm: AddressSpace, page: int) -> Blocking[None]:
    """The driver itself faults, with the svms lock and the range's migrate_mutex held: move the block, cut nothing."""
    range_, gpu = driver.svms.at(page) if mm is driver.mm else None, _gpu_of(driver, mm, page)
    if range_ is None or gpu < 0 or range_.actual_loc != driver.machine.gpu(gpu).gpu_id:
        yield from _bring_alone(driver, mm, page)
    else:
        yield from _move_home(driver, mm, range_, block_of(range_, page))


def _bring_alone(driver: Driver, mm: AddressSpace, page: int) -> Blocking[None]:
    """Move the block of a page that no range of ours covers; a stand-in range knows where it is."""
    vma, gpu = mm.vma_at(page), _gpu_of(driver, mm, page)
    if vma is None or gpu < 0:
        return
    start, last = block_of(Range(vma.start, vma.last), page)
    there = driver.machine.gpu(gpu).gpu_id
    yield from _move_home(driver, mm, Range(start, last, actual_loc=there), (start, last))


@option("inherited_page", "sigbus")
def _only_our_own(found: _Found) -> Range:
    if found.range is None or not found.ours:
        raise BusError(f"page {found.page:#x} is in VRAM, and no range of its process covers it")
    return found.range


@option("inherited_page", "served")
def _through_the_parent(found: _Found) -> Range:
    """The parent's range knows where the page is."""
    if found.range is None or not (found.ours or found.knows):
        raise BusError(f"page {found.page:#x} is in VRAM, but no range covers it")
    return found.range


@option("inherited_page", "kept")
def _whatever_became_of_the_range(found: _Found) -> Range | None:
    """The page itself knows where it is."""
    return found.range if found.knows else None


@option("cpu_fault_block", "no-split")
def _whole_range_stays(driver: Driver, mm: AddressSpace, range_: Range, page: int) -> Blocking[tuple[Range, int, int]]:
    yield from ()
    return range_, *block_of(range_, page)


@option("cpu_fault_block", "split")
def _trim_to_the_block(driver: Driver, mm: AddressSpace, range_: Range, page: int) -> Blocking[tuple[Range, int, int]]:
    """The range becomes the block, clipped to the VMA; what lies before and behind it become children.

    A relative's fault moves the block too, but is no reason to cut the range.
    """
    start, last = block_of(range_, page)
    if vma := mm.vma_at(page):
        start, last = max(start, vma.start), min(last, vma.last)
    if mm is not driver.mm:
        return range_, start, last
    parent = driver.svms.parent_of(range_)
    with (yield from parent.lock(driver.world).held()):
        if start > range_.start:
            deferred.add_child(parent, split.cut_front(driver, range_, start), DeferredOp.ADD_RANGE)
        if last < range_.last:
            deferred.add_child(parent, split.cut_back(driver, range_, last + 1), DeferredOp.ADD_RANGE)
    return range_, start, last


@option("cpu_fault_block", "split-child")
def _cut_out_a_child(driver: Driver, mm: AddressSpace, range_: Range, page: int) -> Blocking[tuple[Range, int, int]]:
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
