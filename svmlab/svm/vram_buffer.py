"""VRAM buffers: what ranges hold of the VRAM of a GPU, and where in it their pages lie."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from svmlab.hardware.frames import Frames, counting
from svmlab.hardware.vram import Node

if TYPE_CHECKING:
    from svmlab.svm.ranges import Range

__all__ = ["VramBuffer", "VramPiece", "frames_of"]


class VramPiece(NamedTuple):
    """Pages of a range that follow each other in VRAM, inside one node.

    Attributes:
        at: the first of them, counted from where one looks.
        vram_page: where that is in the GPU's VRAM.
        npages: how many.
        node: number of the node; such a piece ends where a node ends.
    """

    at: int
    vram_page: int
    npages: int
    node: int = 0

    def follows(self, other: VramPiece) -> bool:
        """Whether it continues another one."""
        there = (other.at + other.npages, other.vram_page + other.npages, other.node)
        return (self.at, self.vram_page, self.node) == there


def frames_of(pieces: Sequence[VramPiece], base: int) -> Frames:
    """Frames of pages of a buffer, piece after piece, in a VRAM that begins with frame ``base``.

    >>> frames_of([VramPiece(0, 7, 3)], 100), frames_of([VramPiece(0, 7, 2), VramPiece(2, 1, 1)], 100)
    (range(107, 110), array([107, 108, 101], dtype=uint32))
    """
    first = pieces[0]
    if len(pieces) == 1:
        return range(base + first.vram_page, base + first.vram_page + first.npages)
    counts = [piece.npages for piece in pieces]
    shifts = np.array([base + piece.vram_page - piece.at for piece in pieces]).astype(np.uint32)  # wrap, as sums do
    return counting(first.at, sum(counts)) + np.repeat(shifts, counts)


@dataclass(slots=True, eq=False)
class VramBuffer:
    """A VRAM buffer that ranges (and the pages in it) share (struct svm_range_bo).

    Attributes:
        number: how the owner column of the memory names it; from 1.
        gpu: GPU index.
        pid: the process whose ranges use it.
        nodes: where it lies, in VRAM pages.
        npages: its size.
        references: ranges with ``has_vram`` set, and pages if ``buffer_life`` says so.
        ranges: every range that points at it.
        evicting: somebody is bringing its pages home.
        cleared: whether a page of it that was never written reads as zeros.
    """

    number: int
    gpu: int
    pid: int
    nodes: list[Node]
    npages: int
    references: int = 1
    ranges: list[Range] = field(default_factory=list)
    cleared: bool = True
    evicting: bool = False
    _ends: list[int] = field(init=False)

    def __post_init__(self) -> None:
        alone = len(self.nodes) == 1  # as mostly
        self._ends = [self.npages] if alone else list(accumulate([count for _, count in self.nodes]))

    def pieces(self, offset: int, npages: int, *, at: int = 0) -> list[VramPiece]:
        """``npages`` pages of the buffer from ``offset`` on, cut where a node ends, numbered from ``at`` on."""
        number, found = bisect_right(self._ends, offset), []
        while True:
            start, count = self.nodes[number]
            there = self._ends[number] - offset  # pages of the node from ``offset`` on
            if npages <= there:
                found.append(VramPiece(at, start + count - there, npages, number))
                return found
            found.append(VramPiece(at, start + count - there, there, number))
            at, offset, npages, number = at + there, offset + there, npages - there, number + 1

    def frames(self, base: int) -> Frames:
        """Frames of all its pages, in a VRAM that begins with frame ``base``."""
        return frames_of(self.pieces(0, self.npages), base)
