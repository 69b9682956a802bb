"""The VRAM of one GPU as the driver's allocator hands it out: nodes, contiguous pieces in order.

The placement rule is that of the drm_mm era of the posting: large power-of-two pieces aligned to 2 MiB, then the rest.
"""

from __future__ import annotations

import errno
from collections.abc import Iterable
from itertools import pairwise

from sortedcontainers import SortedDict, SortedList

from svmlab.errors import DriverError, InputError

__all__ = ["ALIGNMENT_PAGES", "Node", "Vram"]

Node = tuple[int, int]
"""``(first VRAM page, pages)``: one contiguous piece (struct drm_mm_node)."""
ALIGNMENT_PAGES = 512


class Vram:
    """Free and used pieces of one GPU's VRAM; page 0 is reserved.

    Args:
        npages: size of the VRAM in pages.

    Attributes:
        npages: its size.
        used_pages: pages in nodes that were handed out.
        free_pages: pages that are free, in however many pieces.

    Kernel: amdgpu_vram_mgr_new (amdgpu_vram_mgr.c)

    >>> vram = Vram(2048)
    >>> vram.alloc(1100), vram.free_nodes
    ([(512, 1024), (1, 76)], [(77, 435), (1536, 512)])
    """

    def __init__(self, npages: int) -> None:
        self.npages = npages
        self.used_pages = self.free_pages = 0
        self._used: dict[int, int] = {}
        self._free_at: SortedDict[int, int] = SortedDict()
        self._by_size: SortedList[tuple[int, int]] = SortedList()
        if npages > 1:
            self._add(1, npages - 1)

    @classmethod
    def from_nodes(cls, nodes: Iterable[Node]) -> Vram:
        """A VRAM in which exactly these pieces are free, for recorded layouts."""
        pieces = list(nodes)
        vram = cls(1 + max((start + count for start, count in pieces), default=0))
        vram.force_layout(pieces)
        return vram

    @property
    def free_nodes(self) -> list[Node]:
        """The free pieces in address order."""
        return list(self._free_at.items())

    @property
    def used_nodes(self) -> list[Node]:
        """The pieces handed out, in address order."""
        return sorted(self._used.items())

    def force_layout(self, free: Iterable[Node]) -> None:
        """Make these the only free pieces from now on (until pages are given back).

        Raises:
            InputError: a piece is empty, overlaps another or one in use, or reaches outside the VRAM; nothing changed.
        """
        pieces = sorted(free)
        for start, count in pieces:
            if count <= 0 or start < 0 or start + count > self.npages:
                raise InputError(
                    f"free piece [{start}, {count}] does not fit the VRAM",
                    allowed=f"pieces of 1 page or more in pages 0 to {self.npages - 1}",
                )
        for (start, count), (after, _) in pairwise(sorted([*pieces, *self._used.items()])):
            if start + count > after:
                raise InputError(
                    f"free piece [{start}, {count}] reaches page {after}, which is in another piece",
                    allowed="pieces that overlap neither each other nor VRAM in use",
                )
        self._free_at.clear()
        self._by_size.clear()
        for start, count in pieces:
            self._free_at[start] = count
            self._by_size.add((count, start))
        self.free_pages = sum(count for _, count in pieces)

    def alloc(self, npages: int) -> list[Node]:
        """Take pages as a list of nodes, in the order the buffer uses them.

        Raises:
            DriverError: ENOMEM, there are not so many free pages; none is taken.
        """
        if npages > self.free_pages:
            raise DriverError(errno.ENOMEM, f"{npages} pages of VRAM are wanted, {self.free_pages} are free")
        nodes: list[Node] = []
        left = npages
        while left:
            piece = 1 << (left.bit_length() - 1) if left >= ALIGNMENT_PAGES else left
            taken = self._take(piece, left)
            nodes += taken
            left -= sum(count for _, count in taken)
        self.used_pages += npages
        return nodes

    def claim(self, nodes: Iterable[Node]) -> None:
        """Take exactly these nodes, for recorded layouts.

        Raises:
            InputError: part of a node is not free; the ones before it are taken.
        """
        for start, count in nodes:
            index = self._free_at.bisect_right(start) - 1
            free, size = self._free_at.peekitem(index) if index >= 0 else (0, 0)
            if count <= 0 or start + count > free + size:
                raise InputError(f"VRAM node [{start}, {count}] is not free", allowed="pieces of free_nodes")
            self._cut(free, size, start, count)
            self._used[start] = count
            self.used_pages += count

    def free(self, nodes: Iterable[Node]) -> None:
        """Give nodes back; neighbours become one free piece again.

        Raises:
            InputError: a node was not handed out, or was given back already.
        """
        for start, count in nodes:
            if self._used.get(start) != count:
                raise InputError(f"VRAM node [{start}, {count}] is not in use", allowed="nodes that alloc returned")
            del self._used[start]
            self.used_pages -= count
            self._add(start, count)

    def _take(self, piece: int, wanted: int) -> list[Node]:
        """Cut one piece from the best fitting free node, or a smaller one where none fits.

        Nodes that such pieces fill are taken together, as many as there are and ``wanted`` pages hold.
        """
        while True:
            largest = self._by_size[-1][0]
            while piece > max(largest, ALIGNMENT_PAGES):
                piece //= 2
            piece = min(piece, largest)
            alignment = ALIGNMENT_PAGES if piece >= ALIGNMENT_PAGES else 1
            first = self._by_size.bisect_left((piece, 0))
            for at in range(first, len(self._by_size)):
                count, start = self._by_size[at]
                aligned = -(-start // alignment) * alignment
                if count == piece and aligned == start:
                    return self._take_filled(at, piece, alignment, most=wanted // piece)
                if aligned + piece <= start + count:
                    self._cut(start, count, aligned, piece)
                    self._used[aligned] = piece
                    return [(aligned, piece)]
            piece //= 2

    def _take_filled(self, at: int, piece: int, alignment: int, *, most: int) -> list[Node]:
        """Take the free nodes of exactly this size from number ``at`` of those by size on, until one is not aligned."""
        nodes: list[Node] = []
        for count, start in self._by_size.islice(at, at + max(1, most)):
            if count != piece or start % alignment:
                break
            nodes.append((start, count))
        del self._by_size[at : at + len(nodes)]
        for start, count in nodes:
            del self._free_at[start]
            self._used[start] = count
            self.free_pages -= count
        return nodes

    def _cut(self, start: int, count: int, at: int, piece: int) -> None:
        self._drop(start, count)
        self.free_pages -= piece
        for left, size in ((start, at - start), (at + piece, start + count - at - piece)):
            if size:
                self._free_at[left] = size
                self._by_size.add((size, left))

    def _add(self, start: int, count: int) -> None:
        """Make a piece free and merge it with its free neighbours."""
        self.free_pages += count
        index = self._free_at.bisect_left(start)
        if index < len(self._free_at):
            after, size = self._free_at.peekitem(index)
            if after == start + count:
                count += size
                self._drop(after, size)
        if index:
            before, size = self._free_at.peekitem(index - 1)
            if before + size == start:
                start, count = before, count + size
                self._drop(before, size)
        self._free_at[start] = count
        self._by_size.add((count, start))

    def _drop(self, start: int, count: int) -> None:
        del self._free_at[start]
        self._by_size.remove((count, start))
