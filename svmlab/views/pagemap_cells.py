"""Many pages in few cells: what a lane of a page map can show of up to millions of them, in one pass over memory."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

__all__ = ["CELLS", "Cells", "Places", "put_into_cells"]

Places = npt.NDArray[np.integer]
"""Locations of pages: numbers of the kernel, -1 for no page, -2 for swapped out; shape ``(pages,)``."""
CELLS = 256
"""Cells across a lane: at 700 px each is about two pixels wide."""
_WIDE = 4096
"""Cells of this many pages are reduced one by one, so that the second reduction finds them in the cache."""
_BLOCK_BYTES = 1 << 17
"""What is looked at several times in a row, so that it stays near the processor."""


@dataclass(frozen=True, slots=True, eq=False)
class Cells:
    """Pages in cells of one size; the last may be smaller.

    Attributes:
        places: the location of every page.
        size: pages in a cell.
        lowest, highest: the smallest and the largest location in each cell, shape ``(cells,)``.
    """

    places: Places
    size: int
    lowest: Places
    highest: Places

    def __len__(self) -> int:
        return len(self.lowest)

    def mixed(self, cell: int) -> bool:
        """Whether the pages of a cell are in different places."""
        return bool(self.lowest[cell] != self.highest[cell])

    def value(self, cell: int) -> int:
        """The smallest location in a cell; of a cell that is not mixed, the only one."""
        return int(self.lowest[cell])

    def only(self, cell: int) -> int | None:
        """Where all pages of a cell are; None if they are in different places."""
        return None if self.mixed(cell) else self.value(cell)

    def pages(self, first: int, last: int) -> tuple[int, int]:
        """The pages of some cells in a row: the first one, and one past the last."""
        return first * self.size, min((last + 1) * self.size, len(self.places))

    def counts(self, cell: int) -> list[tuple[int, int]]:
        """Each location in a cell, ascending, and how many pages are there."""
        start, end = self.pages(cell, cell)
        found = Counter({self.value(cell): 0, int(self.highest[cell]): 0})
        block = _BLOCK_BYTES // self.places.itemsize
        for at in range(start, end, block):
            _tally(self.places[at : min(at + block, end)], found)
        return sorted(found.items())

    def same_as(self, other: Cells, cell: int) -> bool:
        """Whether every page of a cell is where it is in cells of the same size over the same pages."""
        start, end = self.pages(cell, cell)
        ends = (self.lowest[cell], self.highest[cell]) == (other.lowest[cell], other.highest[cell])
        return ends and (not self.mixed(cell) or np.array_equal(self.places[start:end], other.places[start:end]))


def _tally(places: Places, found: Counter[int]) -> None:
    """Add up how many pages are where; places are few, so a pass for each is faster than sorting."""
    left = len(places)
    # A Python integer keeps the comparison as narrow as the column; one of numpy would widen it.
    for value in tuple(found):
        left -= _count(places, value, found)
    while left:
        others = np.ones(len(places), bool)
        for value in found:
            others &= places != value
        left -= _count(places, int(places[np.argmax(others)]), found)


def _count(places: Places, value: int, found: Counter[int]) -> int:
    count = int(np.count_nonzero(places == value))
    found[value] += count
    return count


def put_into_cells(places: Places, most: int = CELLS) -> Cells:
    """Put pages into cells of equal size.

    Args:
        places: where the pages are; integers of any width, the narrower, the faster.
        most: how many cells there are at most.
    """
    size = max(1, -(-len(places) // most))
    lowest, highest = _extremes_of_wide(places, size) if size >= _WIDE else _extremes(places, size)
    return Cells(places, size, lowest.astype(np.int64), highest.astype(np.int64))


def _extremes(places: Places, size: int) -> tuple[Places, Places]:
    """Smallest and largest location in each cell: two reductions, whatever the number of pages."""
    whole = len(places) // size * size
    body, rest = places[:whole].reshape(-1, size), places[whole:]
    tail = [rest] if len(rest) else []
    lowest = np.append(body.min(axis=1), [part.min() for part in tail])
    highest = np.append(body.max(axis=1), [part.max() for part in tail])
    return lowest, highest


def _extremes_of_wide(places: Places, size: int) -> tuple[Places, Places]:
    """The same, cell by cell: the second reduction of a cell finds it in the processor's cache."""
    parts = [places[start : start + size] for start in range(0, len(places), size)]
    ends = np.array([(part.min(), part.max()) for part in parts], places.dtype)
    return ends[:, 0], ends[:, 1]
