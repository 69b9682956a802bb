"""Frame numbers of many pages: an array, or a ``range`` where they count up by one, as they mostly do.

A column is read and written through a slice by the one and through an index by the other; the slice is some twenty
times as fast.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = [
    "AnyPfns",
    "Frames",
    "PORTION_PAGES",
    "Pfns",
    "array_of",
    "breaks_of",
    "compact",
    "counting",
    "part",
    "portions",
    "runs_between",
    "runs_of",
    "where",
]

_COUNTED = 1 << 16
PORTION_PAGES = 256
"""What is gathered at once of contents that lie in no order: it stays in the cache, and little is held twice."""
Pfns = npt.NDArray[np.uint32]
"""Frame numbers, any shape."""
AnyPfns = npt.NDArray[np.integer[Any]]
Frames = AnyPfns | range
"""Frame numbers of consecutive pages."""


def compact(pfns: Frames) -> Frames:
    """The frames as a range if they count up by one, else as they are.

    >>> compact(np.array([7, 8, 9])), compact(np.array([7, 9, 8]))
    (range(7, 10), array([7, 9, 8]))
    """
    if isinstance(pfns, range):
        return pfns
    length = len(pfns)
    if not length or int(pfns[-1]) - int(pfns[0]) != length - 1 or not (pfns[1:] - pfns[:-1] == 1).all():
        return pfns
    return range(int(pfns[0]), int(pfns[0]) + length)


def array_of(frames: Frames) -> Pfns:
    """The frames as an array of shape ``(pages,)``.

    >>> array_of(range(3, 5)).tolist()
    [3, 4]
    """
    if isinstance(frames, range):
        return counting(frames.start, len(frames))
    return frames.astype(np.uint32, copy=False)


def counting(first: int, length: int) -> Pfns:
    """``length`` numbers from ``first`` on."""
    if length <= _COUNTED:
        return _up()[:length] + np.uint32(first)
    return np.arange(first, first + length, dtype=np.uint32)


@cache
def _up() -> Pfns:
    """The numbers from 0 on; made when they are needed, as a kernel in which nothing moves does not."""
    return np.arange(_COUNTED, dtype=np.uint32)


def where(frames: Frames) -> Any:
    """What a column of the memory is indexed with; a single frame is a plain number, some ten times as fast.

    >>> where(range(3, 5)), where(range(3, 4))
    (slice(3, 5, None), 3)
    """
    if not isinstance(frames, range):
        return frames.astype(np.intp, copy=False)  # numpy converts other indices piece by piece, and each time anew
    start, stop = frames.start, frames.stop
    return start if stop - start == 1 else slice(start, stop)


def part(frames: Frames, index: slice | npt.NDArray[np.intp] | None) -> Frames:
    """Some of the frames; None: all of them.

    >>> part(range(10, 20), slice(2, 4)), part(range(10, 20), np.array([1, 5]))
    (range(12, 14), array([11, 15]))
    """
    if index is None:
        return frames
    if isinstance(index, slice):
        return frames[index]
    return index + frames.start if isinstance(frames, range) else frames[index]


def portions(npages: int) -> Iterator[slice]:
    """So many pages in portions of ``PORTION_PAGES``; the last one may be smaller.

    >>> list(portions(300))
    [slice(0, 256, None), slice(256, 300, None)]
    """
    for at in range(0, npages, PORTION_PAGES):
        yield slice(at, min(at + PORTION_PAGES, npages))


def runs_of(*columns: AnyPfns) -> list[tuple[int, int]]:
    """Cut parallel columns of frame numbers into runs in which each of them counts up by one.

    Returns:
        ``(offset, length)`` of every run, in order.

    >>> runs_of(np.array([5, 6, 7, 20, 21]))
    [(0, 3), (3, 2)]
    """
    return runs_between(breaks_of(*columns), len(columns[0]))


def breaks_of(*columns: AnyPfns) -> npt.NDArray[np.intp]:
    """Where parallel columns of frame numbers do not all count on by one, as offsets of what stands before."""
    broken = np.zeros(max(0, len(columns[0]) - 1), bool)
    for column in columns:
        broken |= column[1:] - column[:-1] != 1
    return np.flatnonzero(broken)


def runs_between(breaks: npt.NDArray[np.intp], length: int) -> list[tuple[int, int]]:
    """``(offset, length)`` of the runs that breaks leave of so many values."""
    if length == 0:
        return []
    edges = np.concatenate(([0], breaks + 1, [length]))
    return list(zip(edges[:-1].tolist(), np.diff(edges).tolist(), strict=True))
