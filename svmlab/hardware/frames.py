"""Frame numbers of many pages: an array, or a ``range`` where they count up by one, as they mostly do.

A column is read and written through a slice by the one and through an index by the other; the slice is some twenty
times as fast.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["AnyPfns", "Frames", "Pfns", "array_of", "compact", "part", "runs_of", "where"]

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
        return np.arange(frames.start, frames.stop, dtype=np.uint32)
    return frames.astype(np.uint32, copy=False)


def where(frames: Frames) -> slice | AnyPfns:
    """What a column of the memory is indexed with.

    >>> where(range(3, 5))
    slice(3, 5, None)
    """
    return slice(frames.start, frames.stop) if isinstance(frames, range) else frames


def part(frames: Frames, index: slice | npt.NDArray[np.intp]) -> Frames:
    """Some of the frames.

    >>> part(range(10, 20), slice(2, 4)), part(range(10, 20), np.array([1, 5]))
    (range(12, 14), array([11, 15]))
    """
    if isinstance(index, slice):
        return frames[index]
    return index + frames.start if isinstance(frames, range) else frames[index]


def runs_of(*columns: AnyPfns) -> list[tuple[int, int]]:
    """Cut parallel columns of frame numbers into runs in which each of them counts up by one.

    Returns:
        ``(offset, length)`` of every run, in order.

    >>> runs_of(np.array([5, 6, 7, 20, 21]))
    [(0, 3), (3, 2)]
    """
    length = len(columns[0])
    if length == 0:
        return []
    breaks = np.zeros(length - 1, bool)
    for column in columns:
        breaks |= column[1:] != column[:-1] + 1
    starts = np.concatenate(([0], np.flatnonzero(breaks) + 1, [length]))
    return list(zip(starts[:-1].tolist(), np.diff(starts).tolist(), strict=True))
