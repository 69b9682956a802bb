"""Where an axis may be cut: long pieces in which nothing begins or ends."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

__all__ = ["find_breaks"]

Column = npt.NDArray[np.int64]

_MOST = 8
_STUB = 0.04
"""What stays visible on each side of a cut, as a part of everything that is kept."""
_WAITS_PER_INTERVAL = 2
"""There must be at least this many ordinary intervals for each one that is cut, else the picture is all cuts."""


def find_breaks(moments: Iterable[int], work: Iterable[tuple[int, int]] = ()) -> tuple[tuple[int, int], ...]:
    """Find the pieces of an axis that tell nothing but how long somebody waits.

    A piece may go if it is as long as all that stays: 1 ms of waiting beside windows of 50 us. Otherwise nothing is
    cut, since a whole axis is easier to read than a broken one.

    Args:
        moments: every value at which something begins, ends or happens, in any order.
        work: pieces ``(start, end)`` in which somebody does something; they are never cut.

    Returns:
        The pieces to leave out, ascending; a stub of each waiting piece stays on both sides.

    >>> find_breaks([0, 10, 20, 30, 1030, 1040, 1050])
    ((32, 1028),)
    >>> find_breaks([0, 10, 20, 30, 1030, 1040, 1050], work=[(20, 1030)])
    ()
    """
    values = np.unique(np.fromiter(moments, np.int64))
    lengths = np.diff(values)
    order = np.argsort(-np.where(_idle(values, work), lengths, 0), kind="stable")
    count = _how_many(lengths[order], int(_idle(values, work).sum()))
    kept = int(lengths[order[count:]].sum())
    stub = int(kept * _STUB)
    return tuple((int(values[i]) + stub, int(values[i + 1]) - stub) for i in sorted(order[:count].tolist()))


def _idle(values: Column, work: Iterable[tuple[int, int]]) -> npt.NDArray[np.bool_]:
    """Whether nobody works between each value and the next."""
    edges = np.array(sorted(work), np.int64).reshape(-1, 2)
    begun = np.searchsorted(edges[:, 0], values[:-1], side="right")
    ended = np.searchsorted(np.sort(edges[:, 1]), values[:-1], side="right")
    idle: npt.NDArray[np.bool_] = begun == ended
    return idle


def _how_many(candidates: Column, most: int) -> int:
    """How many pieces to cut: the fewest of which each is as long as all the rest together.

    Args:
        candidates: lengths of all pieces, those that may be cut first and descending.
        most: how many may be cut.
    """
    total, cut = int(candidates.sum()), 0
    for count in range(1, min(_MOST, most) + 1):
        cut += int(candidates[count - 1])
        enough_left = len(candidates) - count >= _WAITS_PER_INTERVAL * count
        if enough_left and candidates[count - 1] >= total - cut > 0:
            return count
    return 0
