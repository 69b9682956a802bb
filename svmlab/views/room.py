"""Free room in a row of a chart, so that no two pieces of text collide."""

from __future__ import annotations

from bisect import bisect_right, insort

__all__ = ["Room"]


class Room:
    """What is taken along one row.

    Args:
        left, right: the ends of the row in pixels.
        taken: pieces that are taken already, ``(start, end)`` in pixels; they may overlap.
    """

    def __init__(self, left: float, right: float, taken: list[tuple[float, float]]) -> None:
        self.left, self.right = left, right
        self._taken: list[tuple[float, float]] = []
        for start, end in sorted(taken):
            if self._taken and start <= self._taken[-1][1]:
                self._taken[-1] = (self._taken[-1][0], max(end, self._taken[-1][1]))
            else:
                self._taken.append((start, end))

    def free(self, start: float, end: float) -> bool:
        """Whether nothing is in the way between two pixels."""
        at = bisect_right(self._taken, (end, float("-inf")))
        before = self._taken[at - 1][1] if at else float("-inf")
        return self.left <= start and end <= self.right and before <= start

    def widest(self, start: float, end: float) -> tuple[float, float]:
        """The widest free piece between two pixels; of no width where there is none."""
        first = max(bisect_right(self._taken, (start, float("-inf"))) - 1, 0)
        last = bisect_right(self._taken, (end, float("-inf")))
        edges = [start, *(edge for piece in self._taken[first:last] for edge in piece), end]
        pieces = [(max(a, start), min(b, end)) for a, b in zip(edges[::2], edges[1::2], strict=True)]
        return max(pieces, key=lambda piece: piece[1] - piece[0])

    def claim(self, start: float, end: float) -> bool:
        """Take a piece if it is free, and tell whether it was."""
        free = self.free(start, end)
        if free:
            insort(self._taken, (start, end))
        return free
