"""MMU interval notifiers: who mirrors a piece of the CPU page table hears of every change to it, before it happens."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import simpy
from sortedcontainers import SortedDict

from svmlab.errors import InputError
from svmlab.hardware.world import Blocking, World
from svmlab.uapi import NotifierEvent

__all__ = ["IntervalNotifier", "NotifierTree"]

Callback = Callable[[NotifierEvent, int, int], Blocking[None]]


@dataclass(slots=True, eq=False)
class IntervalNotifier:
    """One registered interval (struct mmu_interval_notifier).

    Attributes:
        start, last: the registered pages, inclusive.
        callback: called with the event and the part of the interval that changes; it may sleep.
    """

    start: int
    last: int
    callback: Callback


@dataclass(slots=True)
class NotifierTree:
    """The notifiers of one address space; their intervals do not overlap.

    Kernel: __mmu_notifier_invalidate_range_start (mm/mmu_notifier.c)
    """

    _by_start: SortedDict[int, IntervalNotifier] = field(default_factory=SortedDict)
    _changing: list[tuple[int, int]] = field(default_factory=list)
    _waiting: list[simpy.Event] = field(default_factory=list)

    def insert(self, notifier: IntervalNotifier) -> None:
        """Register an interval.

        Raises:
            InputError: it overlaps one that is registered.
        """
        if self.covers(notifier.start, notifier.last):
            raise InputError(f"a notifier already covers part of pages {notifier.start:#x} to {notifier.last:#x}")
        self._by_start[notifier.start] = notifier

    def remove(self, notifier: IntervalNotifier) -> None:
        """Take an interval out."""
        if self._by_start.get(notifier.start) is notifier:
            del self._by_start[notifier.start]

    def invalidate(self, event: NotifierEvent, start: int, last: int) -> Blocking[None]:
        """Tell every notifier that pages ``start`` to ``last`` are about to change; may sleep in the callbacks.

        Who is registered when it begins hears of it, even if a callback takes others out or puts new ones in. The
        caller makes its change before it sleeps again, or says with ``changing`` how long it goes on.
        """
        told = self._overlapping(start, last)
        if not told:
            return
        self._changing.append((start, last))
        try:
            for notifier in told:
                first, end = notifier.start, notifier.last
                yield from notifier.callback(event, start if start > first else first, last if last < end else end)
        finally:
            self._changed(start, last)

    @contextmanager
    def changing(self, start: int, last: int) -> Iterator[None]:
        """Between telling and changing: who reads the pages now must wait, or would see what is about to go."""
        self._changing.append((start, last))
        try:
            yield
        finally:
            self._changed(start, last)

    def _changed(self, start: int, last: int) -> None:
        self._changing.remove((start, last))
        if self._waiting:
            waiting, self._waiting = self._waiting, []
            for event in waiting:
                event.succeed()

    def busy(self, start: int, last: int) -> bool:
        """Whether some page of a span is about to change (mmu_interval_read_retry)."""
        return bool(self._changing) and any(first <= last and start <= end for first, end in self._changing)

    def settled(self, world: World, start: int, last: int) -> Blocking[None]:
        """Sleep while some page of a span is about to change (mmu_interval_read_begin)."""
        while self.busy(start, last):
            self._waiting.append(world.event())
            yield self._waiting[-1]

    def covers(self, start: int, last: int) -> bool:
        """Whether some registered interval touches pages ``start`` to ``last``."""
        return bool(self._overlapping(start, last))

    def _overlapping(self, start: int, last: int) -> list[IntervalNotifier]:
        first = self._by_start.get(start)
        if first is not None and last <= first.last:  # pages of one interval from its start on: no search is needed
            return [first]
        found = []
        for key in self._by_start.irange(maximum=last, reverse=True):
            notifier = self._by_start[key]
            if notifier.last < start:
                break
            found.append(notifier)
            if key <= start:
                break
        return found[::-1]
