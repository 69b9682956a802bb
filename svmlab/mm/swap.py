"""Swap: contents of pages that have no frame."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from svmlab.hardware.arena import arena
from svmlab.hardware.page_column import BLOCK_PAGES
from svmlab.units import PAGE_SIZE

__all__ = ["SwapSpace"]

Slots = npt.NDArray[np.uint32]
Users = npt.NDArray[np.uint32]
Contents = npt.NDArray[np.uint8]

_FIRST_SLOT = 1
_FIRST_SLOTS = 1 << 10


class SwapSpace:
    """Contents of swapped pages, by slot; relatives by fork share slots.

    Contents lie in pieces of 64 Ki slots: when more are needed nothing is copied, and what is not written takes no
    memory.

    >>> swap = SwapSpace()
    >>> slots = swap.take(users=np.array([2], np.uint32))
    >>> swap.write(slots, np.full((1, 4096), 7, np.uint8))
    >>> swap.put(slots)
    >>> swap.read(slots)[0, :4].tolist(), swap.slots
    ([7, 7, 7, 7], {1: 1})
    """

    def __init__(self) -> None:
        self._users: Users = np.zeros(_FIRST_SLOTS, np.uint32)
        self._pieces: dict[int, Contents] = {}
        self._lowest_free = _FIRST_SLOT
        self.used_slots = 0

    @property
    def slots(self) -> dict[int, int]:
        """How many entries name each slot in use, to look at."""
        slots, users = self.counts()
        return dict(zip(slots.tolist(), users.tolist(), strict=True))

    def counts(self) -> tuple[Slots, Users]:
        """The slots in use, ascending, and how many entries name each of them."""
        slots = np.flatnonzero(self._users).astype(np.uint32)
        return slots, self._users[slots]

    def take(self, users: Users) -> Slots:
        """Take the lowest slots that are free.

        Args:
            users: how many entries will name each of them, 1 or more, shape ``(n,)``.

        Returns:
            The slot of each page, ascending, shape ``(n,)``.
        """
        slots = self._free(len(users))
        self._users[slots] = users
        self.used_slots += len(slots)
        return slots

    def write(self, slots: Slots, contents: Contents) -> None:
        """Keep pages in slots.

        Args:
            slots: which, shape ``(n,)``.
            contents: the bytes of each page, shape ``(n, PAGE_SIZE)``.
        """
        numbers = slots // BLOCK_PAGES
        for number in np.unique(numbers).tolist():
            if number not in self._pieces:
                self._pieces[number] = arena((BLOCK_PAGES, PAGE_SIZE), np.uint8)
            here = numbers == number
            self._pieces[number][slots[here] % BLOCK_PAGES] = contents[here]

    def read(self, slots: Slots) -> Contents:
        """The contents of slots that were written, shape ``(n, PAGE_SIZE)``."""
        numbers, contents = slots // BLOCK_PAGES, np.empty((len(slots), PAGE_SIZE), np.uint8)
        for number in np.unique(numbers).tolist():
            here = numbers == number
            contents[here] = self._pieces[number][slots[here] % BLOCK_PAGES]
        return contents

    def get(self, slots: Slots) -> None:
        """One more entry names each slot."""
        np.add.at(self._users, slots, np.uint32(1))

    def put(self, slots: Slots) -> None:
        """One entry less names each slot; the last one empties it."""
        if not len(slots):
            return
        np.subtract.at(self._users, slots, np.uint32(1))
        emptied = np.unique(np.compress(self._users[slots] == 0, slots))
        self.used_slots -= len(emptied)
        self._lowest_free = min([self._lowest_free, *emptied[:1].tolist()])

    def _free(self, nslots: int) -> Slots:
        """The lowest free slots; the look ahead grows until it has found so many."""
        ahead = max(nslots, _FIRST_SLOT)
        free = np.flatnonzero(self._users[self._lowest_free :][:ahead] == 0)
        while len(free) < nslots:
            if self._lowest_free + ahead >= len(self._users):
                self._grow()
            ahead *= 4
            free = np.flatnonzero(self._users[self._lowest_free :][:ahead] == 0)
        slots = (free[:nslots] + self._lowest_free).astype(np.uint32)
        if nslots:
            self._lowest_free = int(slots[-1]) + 1
        return slots

    def _grow(self) -> None:
        """Twice as many slots."""
        self._users = np.concatenate([self._users, np.zeros_like(self._users)])
