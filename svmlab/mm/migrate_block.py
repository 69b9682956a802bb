"""One block of a migration: the src and dst entries of at most 64 Ki pages.

Most blocks are *plain*: every page was collected, and its frames count up by one. Such a block is described by a few
numbers, and what is done to it is done to slices; the others hold an array of frames and one of bits.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from svmlab.hardware.frames import Frames, Pfns, array_of, compact

__all__ = ["MIGRATE", "PFN_SHIFT", "VALID", "WRITE", "Block", "Index", "Mask", "Words", "framed"]

VALID = 1
MIGRATE = 2
WRITE = 8
PFN_SHIFT = 6
"""Bits of a src or dst entry (include/linux/migrate.h); the frame number stands above PFN_SHIFT."""

Words = npt.NDArray[np.uint64]
Mask = npt.NDArray[np.bool_]
Index = npt.NDArray[np.intp]


def framed(frames: Frames) -> Frames:
    """The frames without the zeros that stand for none.

    >>> framed(np.array([5, 0, 7]))
    array([5, 7])
    """
    return frames if isinstance(frames, range) or frames.all() else frames[frames != 0]


@dataclass(slots=True, eq=False)
class Block:
    """Pages of a migration that lie in one block of the page table.

    Attributes:
        at: where it begins in the migration, in pages.
        npages: how many pages.
        source: frame of each page, 0 for a hole or a page that was not collected.
        carried: which pages carry MIGRATE, holes included; True: all of them.
        whole: whether every page carries MIGRATE and has a frame.
        writable: which entries allowed stores, or whether all did.
        target: frame that each page is to have, 0 where there is none; None: there is none at all.
    """

    at: int
    npages: int
    source: Frames
    carried: Mask | bool
    whole: bool
    writable: Mask | bool
    target: Frames | None = None

    @property
    def cpages(self) -> int:
        """How many pages carry MIGRATE."""
        return self.npages if self.carried is True else int(np.count_nonzero(self.collected()))

    def collected(self) -> Mask:
        """Which pages carry MIGRATE, shape ``(npages,)``; to be read only."""
        return np.broadcast_to(np.asarray(self.carried), (self.npages,))

    def sources(self) -> Pfns:
        """Frame of each source page, 0 where there is none, shape ``(npages,)``."""
        return array_of(self.source)

    def targets(self) -> Pfns:
        """Frame of each destination page, 0 where there is none, shape ``(npages,)``."""
        return np.zeros(self.npages, np.uint32) if self.target is None else array_of(self.target)

    def holes(self) -> Index:
        """Which pages carry MIGRATE and have no frame."""
        if isinstance(self.source, range):
            return np.zeros(0, np.intp)
        return np.flatnonzero((self.source == 0) & self.collected())

    def drop(self, which: Mask) -> None:
        """Take MIGRATE from some pages."""
        if which.any():
            self.carried, self.whole = self.collected() & ~which, False

    def forget(self, which: Mask) -> None:
        """These pages were not collected after all."""
        self.carried, self.whole = self.collected() & ~which, False
        self.source = np.where(which, np.uint32(0), self.sources())

    def aim(self, frames: Frames, index: Index | None = None) -> None:
        """Set destination frames.

        Args:
            frames: of all pages, or of those at ``index``.
            index: which pages; None: all.
        """
        if index is None or len(index) == self.npages:
            self.target = compact(frames)
            return
        target = self.targets()
        target[index] = array_of(frames)
        self.target = target

    def moving(self) -> Index:
        """Which pages move with a frame: holes are filled elsewhere."""
        return np.flatnonzero(self.collected() & (self.sources() != 0) & (self.targets() != 0))

    def moved(self) -> Mask:
        """Which pages carry MIGRATE and have a destination."""
        both: Mask = self.collected() & (self.targets() != 0)
        return both

    def count_aimed(self) -> int:
        """How many pages have a destination."""
        return len(self.target) if isinstance(self.target, range) else int(np.count_nonzero(self.targets()))

    def src(self) -> Words:
        """The src entries with the kernel's bits."""
        pfns = self.sources()
        words = (pfns.astype(np.uint64) << np.uint64(PFN_SHIFT)) | np.where(pfns != 0, np.uint64(VALID), np.uint64(0))
        words |= np.where(self.collected(), np.uint64(MIGRATE), np.uint64(0))
        words |= np.where((pfns != 0) & self.writable, np.uint64(WRITE), np.uint64(0))
        return words

    def dst(self) -> Words:
        """The dst entries with the kernel's bits."""
        pfns = self.targets()
        return (pfns.astype(np.uint64) << np.uint64(PFN_SHIFT)) | np.where(pfns != 0, np.uint64(VALID), np.uint64(0))
