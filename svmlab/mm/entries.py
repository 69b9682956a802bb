"""CPU page table entries: 32 bits a page, so that a terabyte of page state fits a laptop.

An entry is 0 (none) or a frame number shifted by two, with a write bit and a swap bit below it. A device entry is one
whose frame lies in VRAM; a migration entry is one whose frame carries ``FrameFlag.MIGRATING``.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Any

import numpy as np
import numpy.typing as npt

from svmlab.hardware.memory import ZERO_PFN, FrameFlag, Memory

__all__ = ["NONE", "SWAP", "WRITE", "ZERO_ENTRY", "Entries", "EntryKind", "kinds", "make", "migrating", "pfn_of"]

Entries = npt.NDArray[np.uint32]
"""Entries of consecutive pages, shape ``(pages,)``."""

NONE = 0
WRITE = 1
SWAP = 2
ZERO_ENTRY = ZERO_PFN << 2


class EntryKind(IntEnum):
    """What an entry says, as scenario files name it."""

    NONE = 0
    ZERO = 1
    READ = 2
    WRITE = 3
    DEVICE = 4
    SWAP = 5


def make(pfns: npt.NDArray[Any], *, write: bool | npt.NDArray[np.bool_]) -> Entries:
    """Entries for frames."""
    return (pfns.astype(np.uint32) << np.uint32(2)) | np.asarray(write).astype(np.uint32)


def pfn_of(entries: Entries) -> npt.NDArray[np.uint32]:
    """Frame (or swap slot) that each entry names; 0 for none."""
    return entries >> np.uint32(2)


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
