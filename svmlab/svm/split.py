"""Cutting ranges: a piece comes off the front or the back and takes its share of everything with it."""

from __future__ import annotations

import errno

from svmlab.errors import DriverError
from svmlab.svm import buffers
from svmlab.svm.behaviour import option
from svmlab.svm.driver import Driver
from svmlab.svm.ranges import Range

__all__ = ["clone", "cut_back", "cut_front"]


def clone(driver: Driver, range_: Range) -> Range:
    """A copy of a range that is to replace it; the original stays untouched.

    Slots: split_state, buffer_reference
    Kernel: svm_range_clone (kfd_svm.c)
    """
    copy = Range(range_.start, range_.last)
    _inherit(driver, range_, copy)
    copy.vram_pages, copy.offset = range_.vram_pages, range_.offset
    copy.page_array = None if range_.page_array is None else range_.page_array.copy()
    if driver.behaviour.buffer_reference(range_):
        buffers.share(range_, copy)
    return copy


def cut_front(driver: Driver, range_: Range, page: int) -> Range:
    """Cut off everything before ``page``; returns the piece, the range keeps the rest.

    Raises:
        DriverError: EINVAL, the range is in a state in which it cannot be split.

    Slots: split_requires, split_state
    Kernel: svm_range_split (kfd_svm.c)
    """
    piece = _piece(driver, range_, range_.start, page - 1)
    piece.offset = range_.offset
    if piece.has_vram:
        range_.offset += piece.npages
    _share_arrays(range_, piece, kept_from=piece.npages)
    range_.start = page
    driver.emit.range_split(piece.start, piece.last, kept_start=range_.start, kept_last=range_.last)
    return piece


def cut_back(driver: Driver, range_: Range, page: int) -> Range:
    """Cut off everything from ``page`` on; returns the piece, the range keeps the rest.

    Raises:
        DriverError: EINVAL, the range is in a state in which it cannot be split.

    Slots: split_requires, split_state
    Kernel: svm_range_split (kfd_svm.c)
    """
    piece = _piece(driver, range_, page, range_.last)
    kept = page - range_.start
    piece.offset = range_.offset + kept if piece.has_vram else range_.offset
    _share_arrays(range_, piece, kept_to=kept)
    range_.last = page - 1
    driver.emit.range_split(piece.start, piece.last, kept_start=range_.start, kept_last=range_.last)
    return piece


def _piece(driver: Driver, range_: Range, start: int, last: int) -> Range:
    """The new range of a split; only one that is in VRAM shares a buffer (svm_range_split_adjust)."""
    if start > last or not (range_.start <= start and last <= range_.last) or last - start + 1 == range_.npages:
        raise DriverError(errno.EINVAL, f"pages {start:#x} to {last:#x} are no end of a range")
    driver.behaviour.split_requires(range_)
    piece = Range(start, last)
    _inherit(driver, range_, piece)
    _share_vram_pages(driver, range_, piece)
    if range_.actual_loc and range_.has_vram:
        buffers.share(range_, piece)
    return piece


def _share_vram_pages(driver: Driver, range_: Range, piece: Range) -> None:
    """Divide the count of pages in VRAM between the two parts.

    Only the shorter one is looked at, so that cutting off block after block stays cheap; the longer one is where the
    count cannot be right, because a relative moved pages that it does not know of.
    """
    if not range_.vram_pages:
        return
    at_start = piece.start == range_.start
    kept = (piece.last + 1, range_.last) if at_start else (range_.start, piece.start - 1)
    if piece.npages > range_.npages - piece.npages:
        left = buffers.count_vram_pages(driver, *kept, range_.actual_loc)
        if left <= range_.vram_pages:
            range_.vram_pages, piece.vram_pages = left, range_.vram_pages - left
            return
    piece.vram_pages = buffers.count_vram_pages(driver, piece.start, piece.last, range_.actual_loc)
    range_.vram_pages -= piece.vram_pages


def _inherit(driver: Driver, range_: Range, piece: Range) -> None:
    piece.inherit(range_)
    piece.invalid = driver.behaviour.split_state(range_)


@option("split_state", "lost")
def _counts_as_valid(range_: Range) -> int:
    return 0


@option("split_state", "survives")
def _stays_invalid(range_: Range) -> int:
    return range_.invalid


@option("split_requires", "pages")
def _pages_or_vram(range_: Range) -> None:
    if range_.page_array is None and not (range_.actual_loc and range_.has_vram):
        raise DriverError(errno.EINVAL, f"range {range_.start:#x} has neither pages nor VRAM: it cannot be split")


@option("split_requires", "nothing")
def _always(range_: Range) -> None:
    """A range can be split in any state."""


def _share_arrays(range_: Range, piece: Range, *, kept_from: int = 0, kept_to: int | None = None) -> None:
    """Divide the page array and the DMA arrays of a range in RAM."""
    if range_.page_array is None:
        return
    kept, given = slice(kept_from, kept_to), slice(kept_to, None) if kept_to is not None else slice(0, kept_from)
    piece.page_array, range_.page_array = range_.page_array[given], range_.page_array[kept]
    for gpu, frames in list(range_.dma.items()):
        piece.dma[gpu], range_.dma[gpu] = frames[given], frames[kept]
