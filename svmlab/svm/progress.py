"""Letting virtual time pass: until something is done, until nothing is left to do, or for a while."""

from __future__ import annotations

import math
from collections.abc import Callable

from svmlab.errors import SvmTimeoutError
from svmlab.hardware.world import World
from svmlab.units import SEC, format_time

__all__ = ["DEFAULT_LIMIT_NS", "run_for", "run_until"]

DEFAULT_LIMIT_NS = SEC
"""How long a system may do nothing but start over before that counts as going on for ever."""

_STARTING_OVER = frozenset(
    {
        "restore_scheduled",
        "restore_start",
        "restore_range",
        "restore_end",
        "queue_restore_rescheduled",
        "step",
        "page_fault_dropped",
        "cpu_fault",
        "lock_wait",
        "lock_acquired",
        "decision",
        "driver_fallback",
    }
)
"""Events that a system which gets nowhere repeats."""


def run_until(world: World, done: Callable[[], bool], limit_ns: int = DEFAULT_LIMIT_NS) -> None:
    """Run until ``done`` says so, or nothing is left to happen.

    Raises:
        SvmTimeoutError: for ``limit_ns`` nothing happened but re-scheduling or re-faulting.
    """
    seen, progress_ns, repeats = len(world.log), world.now, False
    while not done() and world.env.peek() != math.inf:
        world.env.step()
        if len(world.log) > seen:
            repeats = _STARTING_OVER.issuperset(world.log.kinds_since(seen))
            progress_ns = progress_ns if repeats else world.now
            seen = len(world.log)
        if world.now - progress_ns <= limit_ns:
            continue
        if not repeats:
            progress_ns = world.now  # work without an event, such as a large copy, is no standstill
        else:
            raise SvmTimeoutError(
                f"nothing but re-scheduling or re-faulting happened for {format_time(limit_ns)}",
                hint="look at the last events of the log: they repeat",
            )


def run_for(world: World, ns: int) -> None:
    """Let a stretch of virtual time pass."""
    if ns:
        world.env.run(until=world.now + ns)
