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

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import simpy

from svmlab.errors import DriverError
from svmlab.hardware.world import Blocking
from svmlab.svm import deferred
from svmlab.svm.behaviour import option
from svmlab.svm.driver import Driver
from svmlab.svm.mapping import Target, unmap_from_gpus, validate_and_map
from svmlab.svm.queue_state import TRANSITIONS, Input, Output, QueueState
from svmlab.svm.queues import quiesce, resume
from svmlab.svm.ranges import Range
from svmlab.svm.steps import RESTORE
from svmlab.uapi import EvictionTrigger, Flag, NotifierEvent, UnmapTrigger

__all__ = ["evict", "invalidate", "restore_work"]

_ALWAYS_MAPPED = int(Flag.GPU_ALWAYS_MAPPED)
STUCK_PASSES = 3
"""After so many passes in a row that failed alike, the log tells that the restore is stuck."""


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
    task = driver.log.task
    before = task.follow(driver.emit.notifier(*span, event=event))
    try:
        yield from driver.world.sleep(driver.costs.notifier_ns)
        with (yield from range_.lock(driver.world).held()):
            range_.sequence += 1
            if event is NotifierEvent.UNMAP:
                yield from deferred.unmap_from_cpu(driver, range_, span)
            else:
                yield from evict(driver, range_, event, span)
    finally:
        task.follow(before)


def evict(driver: Driver, range_: Range, event: NotifierEvent, span: tuple[int, int]) -> Iterable[simpy.Event]:
    """Keep the GPUs away from pages that change: stop the queues, or unmap; to be run with ``yield from``.

    Slots: xnack_on_notifier, eviction_filter
    Kernel: svm_range_evict (kfd_svm.c)
    """
    unmaps = driver.xnack and not range_.flags & _ALWAYS_MAPPED
    how = driver.behaviour.xnack_on_notifier if unmaps else _stop_queues
    return how(driver, range_, event, span)


@option("xnack_on_notifier", "unmap")
def _unmap_only(driver: Driver, range_: Range, event: NotifierEvent, span: tuple[int, int]) -> Iterable[simpy.Event]:
    if not range_.mapped and not range_.children:
        return ()
    mapped = [part for part in (*range_.children, range_) if part.mapped and part.overlaps(*span)]
    return _unmap(driver, mapped, event, span)


def _unmap(driver: Driver, parts: list[Range], event: NotifierEvent, span: tuple[int, int]) -> Blocking[None]:
    trigger = UnmapTrigger.MMU_NOTIFY_MIGRATE if event is NotifierEvent.MIGRATE else UnmapTrigger.MMU_NOTIFY
    for part in parts:
        common = Target(max(span[0], part.start), min(span[1], part.last), driver.gpus)
        yield from unmap_from_gpus(driver, part, common, trigger)


@option("xnack_on_notifier", "evict")
def _stop_queues(driver: Driver, range_: Range, event: NotifierEvent, span: tuple[int, int]) -> Blocking[None]:
    """Count the invalidation; in RUN that stops the queues and schedules the restore worker.

    1. mark what changes as invalid
    2. count the eviction
    3. enter the next state
    4. be sure that the queues stand

    Slots: eviction_filter, invalid_count, later_invalidation
    """
    if not driver.behaviour.eviction_filter(range_):
        return
    driver.behaviour.invalid_count(range_, span)
    driver.svms.evicted_ranges += 1
    count = driver.svms.evicted_ranges
    evicted = driver.emit.evict(range_.start, range_.last, invalid=range_.invalid, evicted_ranges=count)
    with driver.log.because(evicted):
        yield from _advance(driver, Input.INVALIDATION)
        yield from driver.behaviour.later_invalidation(driver)


def _advance(driver: Driver, given: Input) -> Blocking[None]:
    """Enter the next state of the table at once, then do what the table says."""
    transition = TRANSITIONS[driver.queue_state, given]
    driver.queue_state = transition.state
    for output in transition.outputs:
        work = _OUTPUTS[output](driver)
        if work is not None:
            yield from work


@option("invalid_count", "owner")
def _the_notifiers_own(range_: Range, span: tuple[int, int]) -> None:
    """A child that changes is not counted, and the restore passes it over (X49)."""
    range_.invalid += 1


@option("invalid_count", "parts")
def _each_part_that_changes(range_: Range, span: tuple[int, int]) -> None:
    for part in (*range_.children, range_):
        if part.overlaps(*span):
            part.invalid += 1


@option("invalid_count", "mapped-parts")
def _each_mapped_child(range_: Range, span: tuple[int, int]) -> None:
    for part in (*(child for child in range_.children if child.mapped), range_):
        if part.overlaps(*span):
            part.invalid += 1


@option("eviction_filter", "every-range")
def _every_range(range_: Range) -> bool:
    return True


@option("eviction_filter", "mapped-ranges")
def _mapped_ranges(range_: Range) -> bool:
    return bool(range_.mapped) or any(child.mapped for child in range_.children)


@option("later_invalidation", "returns")
def _trust_the_first(driver: Driver) -> Blocking[None]:
    """Whoever counts more than 1 takes it that the queues stand, though the first may not have stopped them yet."""
    yield from ()


@option("later_invalidation", "waits")
def _wait_for_the_first(driver: Driver) -> Blocking[None]:
    if driver.stopping is not None:
        yield driver.stopping


def _quiesce_for_svm(driver: Driver) -> Blocking[None]:
    driver.stopping = stopped = driver.world.event()
    yield from driver.world.point("before the queues stop")
    error = yield from quiesce(driver, EvictionTrigger.SVM)
    driver.stopping = None
    if stopped.callbacks:
        stopped.succeed()
    if error:
        driver.say("driver_fallback", "the queues could not be stopped: they go on", error=error)


def _resume_for_svm(driver: Driver) -> Blocking[None]:
    yield from driver.world.point("before the queues run")
    error = yield from resume(driver)
    if error:
        driver.say("driver_fallback", "queues could not be resumed: nobody tries again", error=error)


def _tell_rescheduled(driver: Driver) -> None:
    for device in driver.devices:
        driver.emit.queue_restore_rescheduled(gpu=device.gpu)


def _schedule_restore(driver: Driver) -> None:
    """Let the restore worker run in 1 ms; a work item that is queued already stays as it is (schedule_delayed_work)."""
    if driver.restore_queued or driver.exited:
        return
    driver.restore_queued = True
    scheduled = driver.emit.restore_scheduled(delay_ns=driver.costs.restore_delay_ns)
    driver.restore_worker = driver.world.spawn(
        "restore worker", _restore_later(driver), pid=driver.pid, cause=scheduled
    )


_OUTPUTS: dict[Output, Callable[[Driver], Blocking[None] | None]] = {
    Output.QUIESCE: _quiesce_for_svm,
    Output.SCHEDULE: _schedule_restore,
    Output.RESUME: _resume_for_svm,
    Output.TELL: _tell_rescheduled,
}


def _restore_later(driver: Driver) -> Blocking[None]:
    yield from driver.world.sleep(driver.costs.restore_delay_ns)
    yield from driver.world.point("before the restore")
    driver.restore_queued = False
    while driver.restore_running is not None:
        yield driver.restore_running  # a work item never runs twice at once
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
    if driver.exited:
        return
    yield from _advance(driver, Input.TIMER)
    if driver.queue_state is not QueueState.RESTORE:
        return
    driver.restore_running = finished = driver.world.event()
    before = driver.svms.evicted_ranges
    start = driver.emit.restore_start(evicted_ranges=before)
    try:
        with driver.log.because(start), (yield from driver.process_info_lock.held()):  # noqa: SIM117  # the locks' order
            with (yield from deferred.flush_and_lock(driver)), (yield from driver.svms.lock.held()):
                expected = driver.behaviour.restore_count(before, driver.svms.evicted_ranges)
                outcome = yield from _restore_all(driver, expected)
    finally:
        driver.restore_running = None
        finished.succeed()
    ended = driver.emit.restore_end(done=int(outcome.done), error=outcome.error, cause=start)
    with driver.log.because(start):
        _tell_if_stuck(driver, outcome, ended)
        if not outcome.done:
            yield from _advance(driver, Input.NOT_RESTORED)


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a pass of the restore worker ended.

    Attributes:
        done: the queues were resumed.
        failed: the range that could not be restored, None for none.
        error: its errno, 0 for none.
        because: why it could not.
    """

    done: bool
    failed: Range | None = None
    error: int = 0
    because: str = ""


def _tell_if_stuck(driver: Driver, outcome: Outcome, ended: int) -> None:
    """Say once that pass after pass ends with the same error of the same range: nothing but a change will help."""
    failed, error, before = outcome.failed, outcome.error, driver.restore_trouble
    if failed is None:
        driver.restore_trouble = None
        return
    times = before[2] + 1 if before is not None and before[:2] == (failed, error) else 1
    driver.restore_trouble = failed, error, times
    if times == STUCK_PASSES:
        driver.say("restore_stuck", outcome.because, failed.start, failed.last, times=times, error=error, cause=ended)


@option("restore_count", "before-locks")
def _count_before(before: int, now: int) -> int:
    return before


@option("restore_count", "under-locks")
def _count_now(before: int, now: int) -> int:
    return now


def _restore_all(driver: Driver, expected: int) -> Blocking[Outcome]:
    """Restore the invalid ranges in order of insertion, then the queues; stop where something is in the way."""
    for range_ in list(driver.svms.order.values()):
        seen = range_.invalid
        if seen and (error := (yield from _restore_range(driver, range_))):
            return Outcome(False, range_, error.errno, error.given.removeprefix(f"{error.name}: "))
        if seen:
            yield from driver.world.point("before the first exchange")
        if range_.invalid != seen:
            return Outcome(False)
        range_.invalid = 0
    yield from driver.world.point("before the second exchange")
    if driver.svms.evicted_ranges != expected:
        return Outcome(False)
    driver.svms.evicted_ranges = 0
    yield from _advance(driver, Input.RESTORED)
    return Outcome(True)


def _restore_range(driver: Driver, range_: Range) -> Blocking[DriverError | None]:
    """Validate and map one range; returns the error, None if it went well."""
    restored = driver.emit.restore_range(range_.start, range_.last, invalid=range_.invalid)
    with driver.log.because(restored), (yield from range_.migrate_mutex(driver.world).held()):
        driver.emit.step(range_.start, range_.last, text=RESTORE, number=6)
        try:
            yield from validate_and_map(driver, range_)
        except DriverError as error:
            return error
    return None
