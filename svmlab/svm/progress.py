"""Letting virtual time pass: until something is done, until nothing is left to do, or for a while."""

from __future__ import annotations

import math
from collections.abc import Callable

from svmlab.errors import SvmTimeoutError, errno_name
from svmlab.hardware.world import World
from svmlab.log import Log
from svmlab.units import MSEC, SEC, format_time

__all__ = ["DEFAULT_LIMIT_NS", "run_until"]

DEFAULT_LIMIT_NS = SEC
"""How long a system may do nothing but start over before that counts as going on for ever."""

_STARTING_OVER = frozenset(
    {
        # the restore worker that gives up
        "restore_scheduled",
        "restore_start",
        "restore_range",
        "restore_end",
        "restore_stuck",
        "queue_restore_rescheduled",
        # faults that are dropped, or served without an effect
        "page_fault_dropped",
        "page_fault_start",
        "page_fault_end",
        "cpu_fault",
        # migrations that move nothing: no copy is among these
        "decision",
        "driver_fallback",
        "step",
        "notifier",
        "migrate_start",
        "migrate_setup",
        "migrate_pages",
        "migrate_finalize",
        "migrate_end",
        "fence_wait",
        "dma_unmap",
        "lock_wait",
        "lock_acquired",
    }
)
"""Events that a system which gets nowhere repeats."""

_LOOK_NS = MSEC
"""How far a task may go on alone before we look again at what happened."""
_REPETITIONS = 20_000
"""After so many of these events, with nobody else who could change anything, the rest of the time need not be run."""
_FEW = 100
"""So few of these events may take as long as they like: the steps of one large migration are minutes of sleep."""


def run_until(world: World, done: Callable[[], bool], limit_ns: int = DEFAULT_LIMIT_NS) -> None:
    """Run until ``done`` says so, or nothing is left to happen.

    Args:
        world: what runs.
        done: tells whether it is enough; asked between any two steps.
        limit_ns: how long the system may do nothing but start over.

    Raises:
        SvmTimeoutError: for ``limit_ns`` nothing happened but re-scheduling or re-faulting.
    """
    seen, progress_ns, since, repeats = len(world.log), world.now, len(world.log), False
    while not done() and world.env.peek() != math.inf:
        before = world.now
        world.step(within_ns=min(limit_ns, _LOOK_NS))
        if len(world.log) > seen:
            repeats = _STARTING_OVER.issuperset(world.log.kinds_since(seen))
            seen = len(world.log)
        # Work without an event is no standstill, and neither is one long sleep, such as a large copy.
        if not repeats or world.now - before > limit_ns:
            progress_ns, since = world.now, seen
        alone = seen - since > _REPETITIONS and len(world.env._queue) <= 1
        if alone or (world.now - progress_ns > limit_ns and seen - since > _FEW):
            standstill = format_time(limit_ns)
            raise SvmTimeoutError(
                f"nothing but re-scheduling or re-faulting happened for {standstill}{_stuck(world.log, since)}",
                hint="look at the last events of the log: they repeat",
            )


def _stuck(log: Log, since: int) -> str:
    """What the restore worker gives up with again and again; an empty text if it does not."""
    ends, stuck = log.select("restore_end", since=since), log.events("restore_stuck")
    if not len(ends) or not log[int(ends[-1])].fields["error"] or not stuck:
        return ""
    last = stuck[-1]
    return (
        f": the restore of pages {last.start:#x} to {last.last:#x} fails with {errno_name(last.fields['error'])} every "
        f"time ({last.text}), and the queues of process {last.pid} stay stopped"
    )
