"""One value for each page of a virtual address space: what every page table here is made of."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["BLOCK_PAGES", "PageColumn"]

BLOCK_PAGES = 1 << 16
"""Bulk work goes by blocks of at most this many pages, aligned to it, so that transients stay in the cache."""
_FIRST_LOOK = 64
_LOOK_FURTHER = 16

Values = npt.NDArray[Any]


class PageColumn:
    """A sparse column over all virtual pages; pages nobody wrote hold 0 and cost nothing.

    Args:
        dtype: numpy type of one value.

    >>> column = PageColumn(np.uint32)
    >>> column.set(BLOCK_PAGES - 1, np.array([7, 8]))
    >>> column.get(BLOCK_PAGES - 2, BLOCK_PAGES + 1).tolist()
    [0, 7, 8, 0]
    """

    def __init__(self, dtype: npt.DTypeLike) -> None:
        self._chunks: dict[int, Values] = {}
        self._empty = _zeros(np.dtype(dtype))

    def blocks(self, start: int, last: int, *, write: bool = False) -> Iterator[tuple[int, Values]]:
        """Views of the values of pages ``start`` to ``last``, block by block.

        Args:
            start: first page.
            last: last page, inclusive.
            write: make the pages' storage so that the views can be written.

        Yields:
            First page and view of each block, in address order.
        """
        while start <= last:
            number = start // BLOCK_PAGES
            chunk = self._chunks.get(number)
            if chunk is None:
                chunk = self._make(number) if write else self._empty
            yield start, chunk[start - number * BLOCK_PAGES : last + 1 - number * BLOCK_PAGES]
            start = (number + 1) * BLOCK_PAGES

    def stored(self, start: int = 0, last: int | None = None) -> Iterator[tuple[int, Values]]:
        """Writable views of those blocks of pages ``start`` to ``last`` (default: of all) that have storage.

        Yields:
            First page and view of each, in address order. What has no storage holds zeros.
        """
        last = max(self._chunks, default=0) * BLOCK_PAGES + BLOCK_PAGES - 1 if last is None else last
        asked = range(start // BLOCK_PAGES, last // BLOCK_PAGES + 1)
        fewer, more = (asked, self._chunks) if len(asked) < len(self._chunks) else (self._chunks, asked)
        for number in sorted(number for number in fewer if number in more):
            first = number * BLOCK_PAGES
            begin = max(0, start - first)
            yield first + begin, self._chunks[number][begin : last + 1 - first]

    def view(self, page: int, last: int) -> Values:
        """The values from ``page`` to ``last``, or to the end of the block, without making storage."""
        number = page // BLOCK_PAGES
        first = number * BLOCK_PAGES
        return self._chunks.get(number, self._empty)[page - first : last + 1 - first]

    def leading(self, page: int, last: int, test: Callable[[Values], npt.NDArray[np.bool_]]) -> int:
        """How many pages from ``page`` on pass a test, up to ``last`` and the end of the block.

        The look ahead grows with what it finds, so that a run costs what it is long, not what the block is long.

        Args:
            page: where to begin.
            last: last page to look at, inclusive.
            test: tells of values whether each of them passes.
        """
        values = self.view(page, last)
        done, step = 0, _FIRST_LOOK
        while done < len(values):
            failed = ~test(values[done : done + step])
            if failed.any():
                return done + int(failed.argmax())
            done, step = done + step, step * _LOOK_FURTHER
        return len(values)

    def get(self, start: int, last: int) -> Values:
        """The values of pages ``start`` to ``last`` as a copy, shape ``(last - start + 1,)``."""
        if start <= last and start // BLOCK_PAGES == last // BLOCK_PAGES:
            return self.view(start, last).copy()
        values = np.zeros(last + 1 - start, self._empty.dtype)
        for page, view in self.stored(start, last):
            values[page - start : page - start + len(view)] = view
        return values

    def at(self, page: int) -> int:
        """The value of one page."""
        chunk = self._chunks.get(page // BLOCK_PAGES)
        value: int = 0 if chunk is None else chunk.item(page % BLOCK_PAGES)
        return value

    def put(self, page: int, value: int) -> None:
        """Set the value of one page."""
        chunk = self._chunks.get(page // BLOCK_PAGES)
        if chunk is None:
            chunk = self._make(page // BLOCK_PAGES)
        chunk[page % BLOCK_PAGES] = value

    def run(self, page: int, last: int, step: int) -> int | None:
        """The value of the first of some pages of one block, if each holds ``step`` more than the one before.

        >>> column = PageColumn(np.uint32)
        >>> column.set(5, np.array([40, 44, 48]))
        >>> column.run(5, 7, 4), column.run(4, 7, 4)
        (40, None)
        """
        values = self._chunks.get(page // BLOCK_PAGES, self._empty)
        if page == last:
            value: int = values.item(page % BLOCK_PAGES)
            return value
        values = self.view(page, last)
        first, steps = int(values[0]), _multiples(step, values.dtype)[: len(values)]
        if int(values[-1]) != first + (last - page) * step or not (values - steps == first).all():
            return None
        return first

    def replace_run(self, page: int, last: int, step: int, *, old: int, new: int) -> bool:
        """Let some pages of one block that hold ``old``, ``old + step``, ... hold ``new``, ``new + step``, ...

        Args:
            page, last: which pages, inclusive.
            step: from one value to the next.
            old: what the first of them holds; not 0, for which there may be no storage.
            new: what it is to hold.

        Returns:
            Whether they held it; otherwise nothing has changed.

        >>> column = PageColumn(np.uint32)
        >>> column.set(5, np.array([40, 44, 48]))
        >>> column.replace_run(5, 7, 4, old=40, new=80), column.get(5, 7).tolist()
        (True, [80, 84, 88])
        """
        if page == last:
            values, at = self._chunks.get(page // BLOCK_PAGES, self._empty), page % BLOCK_PAGES
            held: bool = values.item(at) == old
            if held:
                values[at] = new
            return held
        if self.run(page, last, step) != old:
            return False
        self.set_run(page, last, new, step)
        return True

    def set_run(self, page: int, last: int, first: int, step: int) -> None:
        """Let some pages of one block hold ``first``, ``first + step``, ..."""
        if page == last:
            self.put(page, first)
            return
        _, values = next(self.blocks(page, last, write=True))
        np.add(_multiples(step, values.dtype)[: len(values)], values.dtype.type(first), out=values)

    def set(self, start: int, values: Values | range) -> None:
        """Set the values of ``len(values)`` pages from ``start`` on; zeros make no storage."""
        number, at = start // BLOCK_PAGES, start % BLOCK_PAGES
        chunk = self._chunks.get(number)
        if len(values) == 1 and chunk is not None:
            chunk[at] = values[0]
            return
        if isinstance(values, range):
            values = np.arange(values.start, values.stop, dtype=self._empty.dtype)
        if at + len(values) <= BLOCK_PAGES and chunk is not None:
            chunk[at : at + len(values)] = values
            return
        for page, view in self.blocks(start, start + len(values) - 1):
            part = values[page - start : page - start + len(view)]
            if page // BLOCK_PAGES in self._chunks:
                view[:] = part
            elif part.any():
                self._make(page // BLOCK_PAGES)[page % BLOCK_PAGES :][: len(part)] = part

    def fill(self, start: int, last: int, value: int) -> None:
        """Set pages ``start`` to ``last`` to one value."""
        if start == last:
            self.put(start, value)
            return
        for number in range(start // BLOCK_PAGES, last // BLOCK_PAGES + 1):
            chunk = self._chunks[number] if number in self._chunks else self._make(number)
            chunk[max(0, start - number * BLOCK_PAGES) : last + 1 - number * BLOCK_PAGES] = value

    def clear(self, start: int, last: int) -> None:
        """Set pages ``start`` to ``last`` to 0; blocks that are wholly among them lose their storage."""
        for page, view in list(self.stored(start, last)):
            if len(view) == BLOCK_PAGES:
                del self._chunks[page // BLOCK_PAGES]
            else:
                view[:] = 0

    def pages(self) -> Iterator[tuple[int, Values]]:
        """First page and values of every block that has storage, in address order."""
        return self.stored()

    def _make(self, number: int) -> Values:
        chunk = self._chunks[number] = np.zeros(BLOCK_PAGES, self._empty.dtype)
        return chunk


@cache
def _multiples(step: int, dtype: np.dtype[Any]) -> Values:
    """As many multiples of a number as a block has pages, from 0 on."""
    multiples: Values = np.arange(BLOCK_PAGES).astype(dtype) * dtype.type(step)
    return multiples


@cache
def _zeros(dtype: np.dtype[Any]) -> Values:
    """The block that stands for every one without storage."""
    zeros = np.zeros(BLOCK_PAGES, dtype)
    zeros.flags.writeable = False
    return zeros
