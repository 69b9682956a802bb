"""Which pages are where, as runs: what a log tells about memory of any size, kept in room for its events alone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from sortedcontainers import SortedDict

__all__ = ["Residency", "Run"]


@dataclass(slots=True)
class Run:
    """Neighbouring pages with one history.

    Attributes:
        start, last: the pages, inclusive.
        place: where they are, a location number.
        moves: how often they moved.
        home: where they were before the first move.
    """

    start: int
    last: int
    place: int
    moves: int
    home: int

    @property
    def history(self) -> tuple[int, int, int]:
        """What neighbours must share to be one run."""
        return self.place, self.moves, self.home

    @property
    def npages(self) -> int:
        """How many pages they are."""
        return self.last - self.start + 1


class Residency:
    """Runs of pages that moved at least once.

    >>> known = Residency()
    >>> known.move(0, 9, source=0, target=7)
    []
    >>> [(run.start, run.last, run.place) for run in known.move(4, 5, source=7, target=0)]
    [(4, 5, 7)]
    >>> [(run.start, run.last, run.place, run.moves) for run in known]
    [(0, 3, 7, 1), (4, 5, 0, 2), (6, 9, 7, 1)]
    """

    def __init__(self) -> None:
        self._runs: SortedDict[int, Run] = SortedDict()

    def __iter__(self) -> Iterator[Run]:
        """Runs in order; neighbours with one history are one."""
        open_: Run | None = None
        for run in self._runs.values():
            if open_ and open_.last + 1 == run.start and open_.history == run.history:
                open_ = replace(open_, last=run.last)
                continue
            if open_:
                yield open_
            open_ = run
        if open_:
            yield open_

    def within(self, start: int, last: int) -> list[Run]:
        """What is known about these pages, cut to them."""
        self._cut(start)
        self._cut(last + 1)
        return [self._runs[key] for key in self._runs.irange(start, last)]

    def move(self, start: int, last: int, *, source: int, target: int) -> list[Run]:
        """Let pages move, and return what was known about them before.

        Args:
            start, last: the pages, inclusive; an empty span moves nothing.
            source: where pages come from of which nothing is known.
            target: where all of them go.
        """
        before, at = [], start
        for run in self.within(start, last):
            if at < run.start:
                self._add(Run(at, run.start - 1, target, 1, source))
            before.append(Run(run.start, run.last, run.place, run.moves, run.home))
            run.moves += run.place != target
            run.place, at = target, run.last + 1
        if at <= last:
            self._add(Run(at, last, target, 1, source))
        return before

    def _add(self, run: Run) -> None:
        self._runs[run.start] = run

    def _cut(self, at: int) -> None:
        """Let a run begin at a page, if one holds it."""
        number = self._runs.bisect_left(at) - 1
        if number < 0:
            return
        run: Run = self._runs.peekitem(number)[1]
        if run.start < at <= run.last:
            self._add(Run(at, run.last, run.place, run.moves, run.home))
            run.last = at - 1
