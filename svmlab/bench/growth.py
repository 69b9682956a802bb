"""Growth: twice the pages must take twice the time.

The time of a migration of page state is measured at several sizes in turn. The slope of its logarithm over that of the
size is 1 where the time is proportional to the pages; a constant part of it makes it less, anything quadratic more.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from time import process_time_ns

import numpy as np

from svmlab.bench.harness import PAIRS, Row, at_rest, judged
from svmlab.bench.migration import Mover
from svmlab.units import GIB

__all__ = ["SIZES_GIB", "rows", "slope"]

SIZES_GIB = (1, 4, 16, 64)


def rows(pairs: int = PAIRS, *, sizes: Sequence[int] = SIZES_GIB, unit: int = GIB) -> Iterator[Row]:
    """Measure everything.

    Args:
        pairs: how many rounds over all sizes.
        sizes: in ``unit``, ascending.
        unit: in bytes.
    """
    movers = [Mover(size * unit, vram_bytes=2 * size * unit, payload=False).warm() for size in sizes]
    with at_rest():
        rounds = [[_time(mover) for mover in movers] for _ in range(pairs)]
    name = f"page state of {', '.join(map(str, sizes))} GiB to VRAM, growth"
    slopes = [slope(sizes, times) for times in rounds]
    yield judged(name, slopes, 1.05, base="slope of log time over log size", ms=float(np.median(rounds, axis=0)[-1]))


def _time(mover: Mover) -> float:
    """Milliseconds of the processor for one way to VRAM."""
    mover.home()
    begin = process_time_ns()
    mover.go()
    return (process_time_ns() - begin) / 1e6


def slope(sizes: Sequence[float], times: Sequence[float]) -> float:
    """The slope of the line through the logarithms.

    >>> round(slope([1, 4, 16], [2.0, 8.0, 32.0]), 3), round(slope([1, 10], [1.0, 100.0]), 3)
    (1.0, 2.0)
    """
    return float(np.polynomial.Polynomial.fit(np.log(sizes), np.log(times), 1).convert().coef[1])
