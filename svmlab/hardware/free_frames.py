"""Which page frames of RAM are free: those without a reference, found block by block."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from svmlab.hardware.frames import Frames

__all__ = ["FreeFrames"]

_BLOCK = 1 << 16


class FreeFrames:
    """The free frames among a stretch of frames; the column of references is the only record of them.

    A list of free frames would cost more than the page state of a large machine, so only a count for each block of
    64 Ki frames is kept, and a block is searched when a frame of it is wanted.

    Args:
        references: references of every frame of the machine; a frame without any is free.
        first: first frame of the stretch.
        npages: how many frames it has, all of them free.

    Attributes:
        npages: how many frames are free.

    >>> references = np.zeros(12, np.uint8)
    >>> free = FreeFrames(references, 2, 10)
    >>> free.take(3)
    (array([2, 3, 4], dtype=uint32), 0)
    >>> references[3] = 0
    >>> free.give_back(np.array([3]))
    >>> free.take(2), free.npages
    ((array([3, 5], dtype=uint32), 1), 6)
    """

    def __init__(self, references: npt.NDArray[np.uint8], first: int, npages: int) -> None:
        self.npages = npages
        self._column = references[first : first + npages]
        self._first = first
        self._room = [min(_BLOCK, npages - at) for at in range(0, npages, _BLOCK)]
        self._block = 0
        self._never_used = 0

    def take(self, npages: int) -> tuple[npt.NDArray[np.uint32], int]:
        """Give the lowest free frames one reference each; the caller has made sure that there are so many.

        Returns:
            Their numbers in ascending order, and how many of the first of them were in use before.
        """
        found = np.empty(npages, np.uint32)
        done = 0
        while done < npages:
            if not self._room[self._block]:
                self._block += 1
                continue
            offsets = self._search(npages - done)
            self._column[offsets] = 1
            self._room[self._block] -= len(offsets)
            found[done : done + len(offsets)] = offsets + self._first
            done += len(offsets)
        self.npages -= npages
        reused = int(np.searchsorted(found, self._first + self._never_used))
        self._never_used = max(self._never_used, int(found[-1]) + 1 - self._first) if npages else self._never_used
        return found, reused

    def _search(self, most: int) -> npt.NDArray[np.intp]:
        """Offsets of the lowest free frames of the present block."""
        start = self._block * _BLOCK
        free = self._column[start : start + _BLOCK] == 0
        if most == 1:  # what a single fault asks for; looking at the whole block would cost it a page's copy
            return np.array([start + int(free.argmax())])
        return np.flatnonzero(free)[:most] + start

    def give_back(self, frames: Frames) -> None:
        """Count frames as free that have lost their last reference; each is named once."""
        if isinstance(frames, range):
            at, npages = frames.start - self._first, len(frames)
            self._block = min(self._block, at // _BLOCK)
            self.npages += npages
            while at % _BLOCK + npages > _BLOCK:  # some lie beyond the block
                here = _BLOCK - at % _BLOCK
                self._room[at // _BLOCK] += here
                at, npages = at + here, npages - here
            self._room[at // _BLOCK] += npages
        elif len(frames):
            counts = np.bincount((frames - self._first) // _BLOCK)
            blocks = np.flatnonzero(counts).tolist()
            self._block = min(self._block, blocks[0])
            self.npages += len(frames)
            for block in blocks:
                self._room[block] += int(counts[block])
