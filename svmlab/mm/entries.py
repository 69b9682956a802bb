"""CPU page table entries: 32 bits a page, so that a terabyte of page state fits a laptop.

An entry is 0 (none) or a frame number shifted by two, with a write bit and a swap bit below it. A device entry is one
whose frame lies in VRAM; a migration entry is one whose frame carries ``FrameFlag.MIGRATING``.
"""

from __future__ import annotations

from enum import IntEnum
from functools import cache

import numpy as np
import numpy.typing as npt

from svmlab.hardware.frames import Frames, array_of
from svmlab.hardware.memory import ZERO_PFN, FrameFlag, Memory
from svmlab.hardware.page_column import BLOCK_PAGES

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
    "run_of",
]

Entries = npt.NDArray[np.uint32]
"""Entries of consecutive pages, shape ``(pages,)``."""

NONE = 0
WRITE = 1
SWAP = 2
ZERO_ENTRY = ZERO_PFN << 2
"""From the entry of one frame to those of the following."""


class EntryKind(IntEnum):
    """What an entry says, as scenario files name it."""

    NONE = 0
    ZERO = 1
    READ = 2
    WRITE = 3
    DEVICE = 4
    SWAP = 5


@cache
def _steps() -> Entries:
    """The frame numbers of entries from 0 on, made when they are needed."""
    return np.arange(BLOCK_PAGES, dtype=np.uint32) << np.uint32(2)


def make(pfns: Frames, *, write: bool | npt.NDArray[np.bool_]) -> Entries:
    """Entries for frames."""
    if isinstance(pfns, range) and len(pfns) <= BLOCK_PAGES:
        shifted: Entries = _steps()[: len(pfns)] + np.uint32(pfns.start << 2)
    else:
        shifted = array_of(pfns).astype(np.uint32) << np.uint32(2)
    if write is not False:
        shifted |= np.uint32(WRITE) if write is True else write.astype(np.uint32)
    return shifted


def replace(entries: Entries, old: Frames, new: Frames, *, write: bool | npt.NDArray[np.bool_]) -> bool:
    """Make entries of one block that name some frames name others, unless they do not any more; tells whether it did.

    >>> entries = make(range(5, 7), write=True)
    >>> replace(entries, range(5, 7), range(8, 10), write=True), run_of(entries)
    (True, range(8, 10))
    """
    if isinstance(old, range) and isinstance(write, bool):
        if run_of(entries) != old or bool(int(entries[0]) & WRITE) != write:
            return False
    elif not (entries == make(old, write=write)).all():
        return False
    if len(entries) == 1 and isinstance(write, bool):
        entries[0] = int(new[0]) << 2 | write
    else:
        entries[:] = make(new, write=write)
    return True


def pfn_of(entries: Entries) -> npt.NDArray[np.uint32]:
    """Frame (or swap slot) that each entry names; 0 for none."""
    return entries >> np.uint32(2)


def run_of(entries: Entries) -> range | None:
    """The frames of entries of one block that count up by one and agree in their write bit, as most do; else None.

    >>> run_of(make(np.array([5, 6, 7]), write=True)), run_of(make(np.array([5, 7]), write=True))
    (range(5, 8), None)
    """
    first, length = int(entries[0]), len(entries)
    if first & SWAP or first == NONE or int(entries[-1]) - first != (length - 1) << 2:
        return None
    if length > BLOCK_PAGES or (length > 1 and not (entries == _steps()[:length] + np.uint32(first)).all()):
        return None
    return range(first >> 2, (first >> 2) + length)


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
