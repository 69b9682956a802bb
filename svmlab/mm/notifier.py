"""MMU interval notifiers: who mirrors a piece of the CPU page table hears of every change to it, before it happens."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from sortedcontainers import SortedDict

from svmlab.errors import InputError
from svmlab.hardware.world import Blocking
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

        Who is registered when it begins hears of it, even if a callback takes others out or puts new ones in.
        """
        for notifier in self._overlapping(start, last):
            yield from notifier.callback(event, max(start, notifier.start), min(last, notifier.last))

    def covers(self, start: int, last: int) -> bool:
        """Whether some registered interval touches pages ``start`` to ``last``."""
        return bool(self._overlapping(start, last))

    def gap(self, start: int, last: int) -> int:
        """How many pages from ``start`` on no notifier covers, up to ``last``."""
        found = self._overlapping(start, last)
        return max(0, found[0].start - start) if found else last - start + 1

    def _overlapping(self, start: int, last: int) -> list[IntervalNotifier]:
        found = []
        for key in self._by_start.irange(maximum=last, reverse=True):
            notifier = self._by_start[key]
            if notifier.last < start:
                break
            found.append(notifier)
        return found[::-1]
