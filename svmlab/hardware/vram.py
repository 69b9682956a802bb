"""The VRAM of one GPU as the driver's allocator hands it out: nodes, contiguous pieces in order.

The placement rule is that of the drm_mm era of the posting: large power-of-two pieces aligned to 2 MiB, then the rest.
"""

from __future__ import annotations

import errno
from collections.abc import Iterable
from itertools import pairwise

from sortedcontainers import SortedList

from svmlab.errors import DriverError, InputError
from svmlab.hardware.ordered import shrink_largest

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
        # Free pieces: the pages of each by its first page, its first page by the one behind its last, and all by size.
        # So neighbours are found without a search, and only the size is kept in order.
        self._free_at: dict[int, int] = {}
        self._free_to: dict[int, int] = {}
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
        return sorted(self._free_at.items())

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
        self._free_at = dict(pieces)
        self._free_to = {start + count: start for start, count in pieces}
        self._by_size = SortedList((count, start) for start, count in pieces)
        self.free_pages = sum(count for _, count in pieces)

    def alloc(self, npages: int) -> list[Node]:
        """Take pages as a list of nodes, in the order the buffer uses them.

        Raises:
            DriverError: ENOMEM, there are not so many free pages; none is taken.
        """
        if npages > self.free_pages:
            raise DriverError(errno.ENOMEM, f"{npages} pages of VRAM are wanted, {self.free_pages} are free")
        nodes: list[Node] = []
        rest = self.free_pages - npages
        while left := self.free_pages - rest:
            piece = 1 << (left.bit_length() - 1) if left >= ALIGNMENT_PAGES else left
            nodes += self._take(piece, left)
        self.used_pages += npages
        return nodes

    def claim(self, nodes: Iterable[Node]) -> None:
        """Take exactly these nodes, for recorded layouts.

        Raises:
            InputError: part of a node is not free; the ones before it are taken.
        """
        for start, count in nodes:
            free = next((piece for piece in self._free_at.items() if piece[0] <= start < sum(piece)), (0, 0))
            if count <= 0 or start + count > sum(free):
                raise InputError(f"VRAM node [{start}, {count}] is not free", allowed="pieces of free_nodes")
            self._cut(self._by_size.index(free[::-1]), free[::-1], start, count)
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
        by_size = self._by_size
        while True:
            alignment = ALIGNMENT_PAGES if piece >= ALIGNMENT_PAGES else 1
            nodes = len(by_size)
            for at in range(by_size.bisect_left((piece, 0)) if nodes > 1 else 0, nodes):
                count, start = free = by_size[at]
                skipped = -start % alignment
                if count == piece and not skipped:
                    return self._take_filled(at, piece, alignment, most=wanted // piece)
                if skipped + piece <= count:
                    self._cut(at, free, start + skipped, piece)
                    return [(start + skipped, piece)]
            piece = _smaller(piece, by_size[-1][0])

    def _take_filled(self, at: int, piece: int, alignment: int, *, most: int) -> list[Node]:
        """Take the free nodes of exactly this size from number ``at`` of those by size on, until one is not aligned."""
        nodes: list[Node] = []
        for count, start in self._by_size.islice(at, at + max(1, most)):
            if count != piece or start % alignment:
                break
            nodes.append((start, count))
        del self._by_size[at : at + len(nodes)]
        for start, count in nodes:
            del self._free_at[start], self._free_to[start + count]
            self._used[start] = count
        self.free_pages -= piece * len(nodes)
        return nodes

    def _cut(self, at: int, free: tuple[int, int], first: int, piece: int) -> None:
        """Take pages out of a free node; what is left before and behind stays free.

        Args:
            at, free: number of the node by size, and its entry there.
            first, piece: the pages.
        """
        count, start = free
        stop, behind = start + count, first + piece
        del self._free_at[start]
        cut_short = start == first and behind < stop and at == len(self._by_size) - 1
        if cut_short and shrink_largest(self._by_size, (stop - behind, behind)):
            self._free_at[behind], self._free_to[stop] = stop - behind, behind
        else:
            del self._by_size[at], self._free_to[stop]
            if start < first:
                self._enter(start, first)
            if behind < stop:
                self._enter(behind, stop)
        self._used[first] = piece
        self.free_pages -= piece

    def _add(self, start: int, count: int) -> None:
        """Make a piece free and merge it with its free neighbours."""
        stop = start + count
        self.free_pages += count
        if stop in self._free_at:
            stop = self._drop(stop)[1]
        if start in self._free_to:
            start = self._drop(self._free_to[start])[0]
        self._enter(start, stop)

    def _enter(self, start: int, stop: int) -> None:
        self._free_at[start], self._free_to[stop] = stop - start, start
        self._by_size.add((stop - start, start))

    def _drop(self, start: int) -> tuple[int, int]:
        count = self._free_at.pop(start)
        del self._free_to[start + count]
        self._by_size.remove((count, start))
        return start, start + count


def _smaller(piece: int, largest: int) -> int:
    """The next size to try where no free node holds a piece: half of it, or the largest there is for a small one."""
    if piece <= largest:  # there is room, but none that is aligned
        return piece // 2
    while piece > max(largest, ALIGNMENT_PAGES):
        piece //= 2
    return min(piece, largest)
