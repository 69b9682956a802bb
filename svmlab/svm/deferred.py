"""Work the notifier cannot do itself: it may not change the range list, so it cuts ranges and leaves notes.

munmap reaches the notifier with mmap_lock held; the list of ranges may change only under that lock taken for writing.
So pieces hang on their range as children until the deferred worker registers or frees them. Until then the map and the
notifier still have the old extent.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from svmlab.errors import DriverError, SegmentationFault
from svmlab.hardware.world import Blocking
from svmlab.svm import buffers, split
from svmlab.svm.behaviour import option
from svmlab.svm.driver import Driver
from svmlab.svm.mapping import Target, unmap_from_gpus
from svmlab.svm.overlap import release_memory
from svmlab.svm.ranges import DeferredOp, Range
from svmlab.svm.registration import register, settle, unregister
from svmlab.uapi import UnmapTrigger

if TYPE_CHECKING:
    from svmlab.mm.locks import RwLock

__all__ = ["add_child", "flush", "flush_and_lock", "queue", "remove_range", "unmap_from_cpu"]


def unmap_from_cpu(driver: Driver, range_: Range, span: tuple[int, int]) -> Blocking[None]:
    """A munmap reached a range: unmap the part from the GPUs now, cut it off, and leave the rest to the worker.

    1. note the time: a fault that a GPU reported before is stale
    2. find out whether the whole range goes
    3. unmap the interval from the GPUs
    4. cut it out of each child and of the range
    5. queue the range

    The caller holds the range's lock.

    Raises:
        SegmentationFault: the kernel oopses, see ``split_requires``.

    Slots: unmap_scope
    Kernel: svm_range_unmap_from_cpu (kfd_svm.c)
    """
    for device in driver.devices:
        device.checkpoint_ns = driver.now
    covers_all = span[0] <= range_.start and span[1] >= range_.last
    yield from driver.behaviour.unmap_scope(driver, range_, span)
    for part in (*range_.children, range_):
        _unmap_split(driver, part, range_, span)
    queue(driver, range_, DeferredOp.UNMAP_RANGE if covers_all else DeferredOp.UPDATE_RANGE_NOTIFIER)


@option("unmap_scope", "interval")
def _unmap_the_interval(driver: Driver, range_: Range, span: tuple[int, int]) -> Blocking[None]:
    target = Target(*span, range_.access | range_.in_place)
    yield from unmap_from_gpus(driver, range_, target, UnmapTrigger.UNMAP_FROM_CPU)


@option("unmap_scope", "parts")
def _unmap_each_part(driver: Driver, range_: Range, span: tuple[int, int]) -> Blocking[None]:
    for part in (*range_.children, range_):
        if part.overlaps(*span):
            common = Target(max(span[0], part.start), min(span[1], part.last), driver.gpus)
            yield from unmap_from_gpus(driver, part, common, UnmapTrigger.UNMAP_FROM_CPU)


def _unmap_split(driver: Driver, part: Range, parent: Range, span: tuple[int, int]) -> None:
    """Cut the unmapped pages out of a range; it keeps the lowest surviving part.

    Kernel: svm_range_unmap_split (kfd_svm.c)
    """
    if part.op is DeferredOp.UNMAP_RANGE or not part.overlaps(*span):
        return
    start, last = max(span[0], part.start), min(span[1], part.last)
    if start == part.start and last == part.last:
        if part is not parent:
            part.op = DeferredOp.UNMAP_RANGE
        return
    try:
        gone, behind = _cut_out(driver, part, start, last)
    except DriverError as error:
        raise SegmentationFault(
            f"the kernel oopses while it unmaps pages {start:#x} to {last:#x}: {error.given}",
            hint="map the range to a GPU first: that gives it pages",
        ) from error
    add_child(parent, gone, DeferredOp.UNMAP_RANGE)
    if behind is not None:
        add_child(parent, behind, DeferredOp.ADD_RANGE)


def _cut_out(driver: Driver, part: Range, start: int, last: int) -> tuple[Range, Range | None]:
    """Cut ``start`` to ``last`` out of a range; returns it, and what lay behind it if something lay before it, too."""
    if start == part.start:
        return split.cut_front(driver, part, last + 1), None
    behind = split.cut_back(driver, part, start)
    if last == behind.last:
        return behind, None
    return split.cut_front(driver, behind, last + 1), behind


def add_child(parent: Range, child: Range, op: DeferredOp) -> None:
    """Hang a piece on the range it was cut from.

    Kernel: svm_range_add_child (kfd_svm.c)
    """
    child.op = op
    parent.children = [*parent.children, child]


def queue(driver: Driver, range_: Range, op: DeferredOp) -> None:
    """Leave a note for the deferred worker and wake it; unmapping is never replaced by something less.

    Kernel: svm_range_add_list_work (kfd_svm.c)
    """
    if not range_.queued:
        range_.queued, range_.op = True, op
        driver.svms.deferred.append(range_)
    elif op is not DeferredOp.NULL and range_.op is not DeferredOp.UNMAP_RANGE:
        range_.op = op
    if driver.deferred_worker is None or driver.deferred_worker.triggered:
        driver.deferred_worker = driver.world.spawn("deferred worker", _work(driver), pid=driver.pid)


def _work(driver: Driver) -> Blocking[None]:
    """Apply the notes, one range at a time, with mmap_lock held for writing.

    Kernel: svm_range_deferred_list_work (kfd_svm.c)
    """
    while driver.svms.deferred:
        with (yield from driver.mm.mmap_lock.write()), (yield from driver.svms.lock.held()):
            if not driver.svms.deferred:
                return
            range_ = driver.svms.deferred.popleft()
            range_.queued = False
            yield from settle(driver, [range_])
            yield from _apply_all(driver, range_)


def _apply_all(driver: Driver, range_: Range) -> Blocking[None]:
    """The notes of a range's children, then its own.

    A child may cover pages of the extent that the range is still registered under; where that extent will not stay,
    it goes first, since neither the map nor the notifiers hold overlaps. Nobody can look in between.
    """
    with (yield from range_.migrate_mutex(driver.world).held()):
        children, range_.children = range_.children, ()
        if children:
            driver.svms.leave(range_)
            unregister(driver, range_)
        for child in children:
            _apply(driver, child)
    _apply(driver, range_)


def _apply(driver: Driver, range_: Range) -> None:
    """Do what a note says.

    Kernel: svm_range_handle_list_op (kfd_svm.c)
    """
    op, range_.op = range_.op, DeferredOp.NULL
    driver.emit.deferred_work(range_.start, range_.last, op=op.value)
    if op is DeferredOp.UNMAP_RANGE:
        remove_range(driver, range_)
    elif op is DeferredOp.UPDATE_RANGE_NOTIFIER:
        if (range_.node_start, range_.node_last) != (range_.start, range_.last):
            driver.svms.reinsert(range_)
            register(driver, range_)
    elif op is DeferredOp.ADD_RANGE:
        driver.svms.insert(range_)
        register(driver, range_)
        driver.emit.range_add(range_.start, range_.last)


def remove_range(driver: Driver, range_: Range) -> None:
    """Free a range: out of the map, notifier gone, VRAM reference and reserved memory given back.

    Kernel: svm_range_free (kfd_svm.c)
    """
    driver.svms.remove(range_)
    unregister(driver, range_)
    release_memory(driver, range_.npages)
    buffers.release(driver, range_)
    driver.emit.range_remove(range_.start, range_.last)


def flush_and_lock(driver: Driver) -> Blocking[RwLock]:
    """Take mmap_lock for writing at a moment when no deferred work is left.

    Kernel: svm_range_list_lock_and_flush_work (kfd_svm.c)
    """
    while True:
        yield from flush(driver)
        held = yield from driver.mm.mmap_lock.write()
        if not driver.svms.deferred:
            return held
        held.release()


def flush(driver: Driver) -> Blocking[None]:
    """Wait until the deferred worker has nothing left to do."""
    worker = driver.deferred_worker
    if worker is not None and not worker.processed:
        yield worker
