"""Stop, wait, map again: what a change of the CPU page table does to the GPUs.

With xnack off a GPU cannot take a fault, so nothing it may touch can change under it: the notifier stops every queue of
the process and schedules the restore worker. The worker, 1 ms later, validates and maps every range that was
invalidated and resumes the queues. Invalidations may arrive while it works, because reclaim takes none of its locks.
Two counters catch that: ``invalid`` of the range tells that this range changed again, ``evicted_ranges`` that some
range did. Each is compared with what the worker read before, and only then set to 0; if it moved, everything that is
not restored yet waits for the next round.

With xnack on the notifier only unmaps the pages; a GPU that needs them faults.
"""

from __future__ import annotations

from enum import Enum

from svmlab.errors import DriverError
from svmlab.hardware.world import Blocking
from svmlab.svm import deferred
from svmlab.svm.behaviour import option
from svmlab.svm.driver import Driver
from svmlab.svm.mapping import Target, unmap_from_gpus, validate_and_map
from svmlab.svm.ranges import Range
from svmlab.svm.steps import STEPS
from svmlab.uapi import EvictionTrigger, Flag, NotifierEvent, UnmapTrigger

__all__ = ["QueueState", "evict", "invalidate", "queue_state", "quiesce", "restore_work", "resume"]


class QueueState(Enum):
    """The state of a process's queues with xnack off."""

    RUN = "running"
    EVICTED = "evicted"
    RESTORE = "restoring"
    DEAD = "dead"


def queue_state(driver: Driver) -> QueueState:
    """The state the process is in."""
    if any(device.dead for device in driver.devices):
        return QueueState.DEAD
    if all(device.running for device in driver.devices):
        return QueueState.RUN
    return QueueState.RESTORE if driver.restoring else QueueState.EVICTED


def invalidate(driver: Driver, range_: Range, event: NotifierEvent, span: tuple[int, int]) -> Blocking[None]:
    """The notifier of a range: pages of its registered interval are about to change.

    Args:
        driver, range_: whose notifier.
        event: what happens to the CPU page table.
        span: first and last page, inside the registered interval.

    Kernel: svm_range_cpu_invalidate_pagetables (kfd_svm.c)
    """
    if event is NotifierEvent.RELEASE:
        return
    notice = driver.emit("notifier", *span, event=event)
    with driver.log.because(notice):
        yield driver.world.delay(driver.costs.notifier_ns)
        with (yield from range_.lock(driver.world).held()):
            range_.sequence += 1
            if event is NotifierEvent.UNMAP:
                yield from deferred.unmap_from_cpu(driver, range_, span)
            else:
                yield from evict(driver, range_, event, span)


def evict(driver: Driver, range_: Range, event: NotifierEvent, span: tuple[int, int]) -> Blocking[None]:
    """Keep the GPUs away from pages that change: stop the queues, or unmap.

    Slots: xnack_on_notifier, eviction_filter
    Kernel: svm_range_evict (kfd_svm.c)
    """
    if driver.xnack and not range_.flags & Flag.GPU_ALWAYS_MAPPED:
        yield from driver.behaviour.xnack_on_notifier(driver, range_, event, span)
    else:
        yield from _stop_queues(driver, range_, event, span)


@option("xnack_on_notifier", "unmap")
def _unmap_only(driver: Driver, range_: Range, event: NotifierEvent, span: tuple[int, int]) -> Blocking[None]:
    trigger = UnmapTrigger.MMU_NOTIFY_MIGRATE if event is NotifierEvent.MIGRATE else UnmapTrigger.MMU_NOTIFY
    for part in (*range_.children, range_):
        if part.overlaps(*span):
            common = Target(max(span[0], part.start), min(span[1], part.last), driver.gpus)
            yield from unmap_from_gpus(driver, part, common, trigger)


@option("xnack_on_notifier", "evict")
def _stop_queues(driver: Driver, range_: Range, event: NotifierEvent, span: tuple[int, int]) -> Blocking[None]:
    """Count the invalidation; the first one stops the queues and schedules the restore worker.

    1. mark what changes as invalid
    2. count the eviction
    3. the first eviction: stop every queue of the process
    4. schedule the restore worker
    """
    if not driver.behaviour.eviction_filter(range_):
        return
    for part in (*range_.children, range_):
        if part.overlaps(*span):
            part.invalid += 1
    driver.svms.evicted_ranges += 1
    count = driver.svms.evicted_ranges
    evicted = driver.emit("evict", range_.start, range_.last, invalid=range_.invalid, evicted_ranges=count)
    if count != 1:
        return
    with driver.log.because(evicted):
        yield from quiesce(driver, EvictionTrigger.SVM)
        schedule_restore(driver)


@option("eviction_filter", "every-range")
def _every_range(range_: Range) -> bool:
    return True


@option("eviction_filter", "mapped-ranges")
def _mapped_ranges(range_: Range) -> bool:
    return bool(range_.mapped) or any(child.mapped for child in range_.children)


def quiesce(driver: Driver, trigger: EvictionTrigger) -> Blocking[None]:
    """Stop all queues of the process, GPU by GPU (kgd2kfd_quiesce_mm)."""
    for device in driver.devices:
        driver.emit("queue_eviction", gpu=device.gpu, trigger=trigger)
        device.stop()
        if device.queues:
            yield driver.world.delay(driver.costs.queue_evict_ns)


def resume(driver: Driver) -> Blocking[None]:
    """Let all queues of the process run again (kgd2kfd_resume_mm)."""
    for device in driver.devices:
        if device.queues:
            yield driver.world.delay(driver.costs.queue_restore_ns)
        driver.emit("queue_restore", gpu=device.gpu)
        device.resume()


def schedule_restore(driver: Driver) -> None:
    """Let the restore worker run in 1 ms; a work item that is queued already stays as it is (schedule_delayed_work)."""
    if driver.restore_queued or driver.exited:
        return
    driver.restore_queued = True
    scheduled = driver.emit("restore_scheduled", delay_ns=driver.costs.restore_delay_ns)
    driver.restore_worker = driver.world.spawn(
        "restore worker", _restore_later(driver), pid=driver.pid, cause=scheduled
    )


def _restore_later(driver: Driver) -> Blocking[None]:
    yield driver.world.delay(driver.costs.restore_delay_ns)
    driver.restore_queued = False
    previous = driver.restore_running
    if previous is not None:
        yield previous  # a work item never runs twice at once
    yield from restore_work(driver)


def restore_work(driver: Driver) -> Blocking[None]:
    """Restore every invalid range and resume the queues, or try again later.

    1. return if nothing was evicted
    2. take process_info lock, flush deferred work and take mmap_lock for writing, take the svms lock
    3. validate and map each invalid range; give up if it changed meanwhile
    4. give up if any eviction was counted meanwhile
    5. resume the queues
    6. after giving up: schedule the next attempt

    Slots: restore_count, map_source
    Kernel: svm_range_restore_work (kfd_svm.c)
    """
    if driver.svms.evicted_ranges == 0 or driver.exited:
        return
    finished = driver.world.event()
    driver.restore_running = finished
    before = driver.svms.evicted_ranges
    start = driver.emit("restore_start", evicted_ranges=before)
    try:
        with driver.log.because(start), (yield from driver.process_info_lock.held()):  # noqa: SIM117  # the locks' order
            with (yield from deferred.flush_and_lock(driver)), (yield from driver.svms.lock.held()):
                expected = driver.behaviour.restore_count(before, driver.svms.evicted_ranges)
                done, error = yield from _restore_all(driver, expected)
    finally:
        driver.restore_running = None
        finished.succeed()
    driver.emit("restore_end", done=int(done), error=error, cause=start)
    if not done:
        for device in driver.devices:
            driver.emit("queue_restore_rescheduled", gpu=device.gpu, cause=start)
        schedule_restore(driver)


@option("restore_count", "before-locks")
def _count_before(before: int, now: int) -> int:
    return before


@option("restore_count", "under-locks")
def _count_now(before: int, now: int) -> int:
    return now


def _restore_all(driver: Driver, expected: int) -> Blocking[tuple[bool, int]]:
    """Restore the invalid ranges in order of insertion; returns whether the queues run again, and the error if not."""
    driver.restoring = True
    try:
        for range_ in list(driver.svms.order.values()):
            seen = range_.invalid
            if seen and (error := (yield from _restore_range(driver, range_))):
                return False, error
            if range_.invalid != seen:
                return False, 0
            range_.invalid = 0
        if driver.svms.evicted_ranges != expected:
            return False, 0
        driver.svms.evicted_ranges = 0
    finally:
        driver.restoring = False
    yield from resume(driver)
    return True, 0


def _restore_range(driver: Driver, range_: Range) -> Blocking[int]:
    """Validate and map one range; returns the errno, 0 if it went well."""
    restored = driver.emit("restore_range", range_.start, range_.last, invalid=range_.invalid)
    with driver.log.because(restored), (yield from range_.migrate_mutex(driver.world).held()):
        driver.say("step", STEPS[5], range_.start, range_.last, number=6)
        try:
            yield from validate_and_map(driver, range_)
        except DriverError as error:
            return error.errno
    return 0
