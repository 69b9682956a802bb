"""The bytes of page frames: copied, gathered, scattered and cleared, run by run where the runs are long."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from svmlab.hardware.frames import (
    PORTION_PAGES,
    AnyPfns,
    Frames,
    array_of,
    breaks_of,
    compact,
    portions,
    runs_between,
    where,
)
from svmlab.hardware.page_column import BLOCK_PAGES
from svmlab.units import PAGE_SIZE

__all__ = ["Bytes", "clear", "copy", "gather", "scatter"]

Bytes = npt.NDArray[np.uint8]
"""Contents of frames, shape ``(frames, PAGE_SIZE)``."""
_WORTH_A_RUN = 8
"""Runs of this many pages on average are cheaper to copy one by one than to gather."""


def copy(pages: Bytes, source: Frames, target: Frames, *, border: int) -> None:
    """Copy whole pages; runs that are contiguous on both sides are one copy each.

    Args:
        pages: contents of every frame.
        source, target: from where and to where.
        border: no frame below it is one above it, as RAM is no VRAM.
    """
    source, target = compact(source), compact(target)
    if isinstance(source, range) and isinstance(target, range):
        pages[where(target)] = pages[where(source)]
        return
    for at in range(0, len(source), BLOCK_PAGES):
        some = slice(at, at + BLOCK_PAGES)
        _copy_block(pages, compact(source[some]), compact(target[some]), border)


def _copy_block(pages: Bytes, source: Frames, target: Frames, border: int) -> None:
    runs = _long_runs(*(side for side in (source, target) if not isinstance(side, range)))
    for at, count in runs or ():
        src, dst = int(source[at]), int(target[at])
        pages[dst : dst + count] = pages[src : src + count]
    if runs is not None:
        return
    if isinstance(target, range) and target.start >= border > array_of(source).max():
        # numpy copies in between what might overlap, and what lies on one side of the border cannot
        np.take(pages[:border], source, axis=0, out=pages[where(target)], mode="clip")
    else:
        _copy_scattered(pages, array_of(source), array_of(target))


def _copy_scattered(pages: Bytes, source: AnyPfns, target: AnyPfns) -> None:
    buffer = np.empty((PORTION_PAGES, PAGE_SIZE), np.uint8)
    for some in portions(len(source)):
        gathered = np.take(pages, source[some], axis=0, out=buffer[: len(source[some])], mode="clip")
        pages[target[some]] = gathered


def gather(pages: Bytes, pfns: AnyPfns, out: Bytes) -> None:
    """Read whole pages into ``out``, shape ``(n, PAGE_SIZE)``."""
    runs = _long_runs(pfns)
    for at, count in runs or ():
        first = int(pfns[at])
        out[at : at + count] = pages[first : first + count]
    if runs is None:
        np.take(pages, pfns, axis=0, out=out, mode="clip")


def scatter(pages: Bytes, pfns: AnyPfns, data: Bytes) -> None:
    """Write whole pages from ``data``, shape ``(n, PAGE_SIZE)``."""
    runs = _long_runs(pfns)
    for at, count in runs or ():
        first = int(pfns[at])
        pages[first : first + count] = data[at : at + count]
    if runs is None:
        pages[pfns] = data


def clear(pages: Bytes, pfns: AnyPfns) -> None:
    """Fill pages with zeros."""
    for start in range(0, len(pfns), BLOCK_PAGES):
        some = pfns[start : start + BLOCK_PAGES]
        runs = _long_runs(some)
        for at, count in runs or ():
            pages[int(some[at]) : int(some[at]) + count] = 0
        if runs is None:
            pages[some] = 0


def _long_runs(*columns: AnyPfns) -> list[tuple[int, int]] | None:
    """The runs of parallel columns, or None where they are so short that gathering is faster."""
    breaks, length = breaks_of(*columns), len(columns[0])
    return runs_between(breaks, length) if (len(breaks) + 1) * _WORTH_A_RUN <= max(length, _WORTH_A_RUN**2) else None
