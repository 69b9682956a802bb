"""CPU page table entries: 32 bits a page, so that a terabyte of page state fits a laptop.

An entry is 0 (none) or a frame number shifted by two, with a write bit and a swap bit below it. A device entry is one
whose frame lies in VRAM; a migration entry is one whose frame carries ``FrameFlag.MIGRATING``.
"""

from __future__ import annotations

from enum import IntEnum

import numpy as np
import numpy.typing as npt

from svmlab.hardware.frames import Frames, array_of
from svmlab.hardware.memory import ZERO_PFN, FrameFlag, Memory
from svmlab.hardware.page_column import PageColumn

__all__ = [
    "NONE",
    "SWAP",
    "WRITE",
    "ZERO_ENTRY",
    "Entries",
    "EntryKind",
    "kinds",
    "make",
    "migrating",
    "pfn_of",
    "replace",
    "run_at",
]

Entries = npt.NDArray[np.uint32]
"""Entries of consecutive pages, shape ``(pages,)``."""

NONE = 0
WRITE = 1
SWAP = 2
ZERO_ENTRY = ZERO_PFN << 2
_NEXT = 1 << 2
"""From the entry of one frame to that of the following."""


class EntryKind(IntEnum):
    """What an entry says, as scenario files name it."""

    NONE = 0
    ZERO = 1
    READ = 2
    WRITE = 3
    DEVICE = 4
    SWAP = 5


def make(pfns: Frames, *, write: bool | npt.NDArray[np.bool_]) -> Entries:
    """Entries for frames."""
    shifted: Entries = array_of(pfns).astype(np.uint32) << np.uint32(2)
    if write is not False:
        shifted |= np.uint32(WRITE) if write is True else write.astype(np.uint32)
    return shifted


def replace(table: PageColumn, page: int, old: Frames, *, new: Frames, write: bool | npt.NDArray[np.bool_]) -> bool:
    """Make entries from ``page`` on, of one block, name other frames, unless they are not any more what they were.

    Args:
        table: where they are.
        page: the first of them.
        old: the frames they named.
        new: the frames they are to name.
        write: whether they allow stores, or which of them do.

    Returns:
        Whether it did; otherwise nothing has changed.

    >>> table = PageColumn(np.uint32)
    >>> table.set(7, make(range(5, 8), write=True))
    >>> replace(table, 7, range(5, 8), new=range(8, 11), write=True), run_at(table, 7, 9)
    (True, (range(8, 11), True))
    """
    last = page + len(old) - 1
    if isinstance(old, range) and isinstance(new, range) and isinstance(write, bool):
        return table.replace_run(page, last, _NEXT, old=old.start << 2 | write, new=new.start << 2 | write)
    unchanged = bool((table.view(page, last) == make(old, write=write)).all())
    if unchanged:
        table.set(page, make(new, write=write))
    return unchanged


def pfn_of(entries: Entries) -> npt.NDArray[np.uint32]:
    """Frame (or swap slot) that each entry names; 0 for none."""
    return entries >> np.uint32(2)


def run_at(table: PageColumn, page: int, last: int) -> tuple[range, bool] | None:
    """The frames that entries of one block name, and whether all allow stores; None unless the frames count up by one.

    In most blocks they do.

    >>> table = PageColumn(np.uint32)
    >>> table.set(7, make(np.array([5, 6, 7, 9]), write=True))
    >>> run_at(table, 7, 9), run_at(table, 7, 10), run_at(table, 6, 6)
    ((range(5, 8), True), None, None)
    """
    first = table.run(page, last, _NEXT)
    if not first or first & SWAP:
        return None
    return range(first >> 2, (first >> 2) + last - page + 1), first & WRITE != 0


def kinds(entries: Entries, memory: Memory) -> npt.NDArray[np.uint8]:
    """The ``EntryKind`` of each entry; a migration entry counts as what it was before."""
    pfns = pfn_of(entries)
    kind = np.where(entries & WRITE, EntryKind.WRITE, EntryKind.READ).astype(np.uint8)
    kind[memory.is_device(pfns)] = EntryKind.DEVICE
    kind[pfns == ZERO_PFN] = EntryKind.ZERO
    kind[(entries & SWAP) != 0] = EntryKind.SWAP
    kind[entries == NONE] = EntryKind.NONE
    return kind


def migrating(entries: Entries, memory: Memory) -> npt.NDArray[np.bool_]:
    """Whether each entry is a migration entry."""
    present = (entries & SWAP) == 0
    moving: npt.NDArray[np.bool_] = (memory.flags[np.where(present, pfn_of(entries), 0)] & FrameFlag.MIGRATING) != 0
    moving &= present
    return moving
