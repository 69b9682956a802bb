"""Swap: contents of pages that have no frame."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from svmlab.hardware.arena import arena
from svmlab.units import PAGE_SIZE

__all__ = ["SwapSpace"]

Slots = npt.NDArray[np.uint32]
Users = npt.NDArray[np.uint32]
Contents = npt.NDArray[np.uint8]

_FIRST_SLOT = 1
_FIRST_SLOTS = 1 << 10


class SwapSpace:
    """Contents of swapped pages, by slot; relatives by fork share slots.

    Args:
        payload: whether contents are kept.

    >>> swap = SwapSpace()
    >>> slots = swap.store(np.full((1, 4096), 7, np.uint8), users=np.array([2], np.uint32))
    >>> swap.put(slots)
    >>> swap.load(slots)[0, :4].tolist(), swap.slots
    ([7, 7, 7, 7], {1: 1})
    """

    def __init__(self, *, payload: bool = True) -> None:
        self._users: Users = np.zeros(_FIRST_SLOTS, np.uint32)
        self._contents: Contents | None = arena((_FIRST_SLOTS, PAGE_SIZE), np.uint8) if payload else None
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

    def store(self, contents: Contents | None, *, users: Users) -> Slots:
        """Keep pages in the lowest slots that are free.

        Args:
            contents: their bytes, shape ``(n, PAGE_SIZE)``; None without payload.
            users: how many entries will name each of them, 1 or more, shape ``(n,)``.

        Returns:
            The slot of each page, ascending, shape ``(n,)``.
        """
        slots = self._take(len(users))
        self._users[slots] = users
        if self._contents is not None and contents is not None:
            self._contents[slots] = contents
        self.used_slots += len(slots)
        return slots

    def load(self, slots: Slots) -> Contents | None:
        """The contents of slots, shape ``(n, PAGE_SIZE)``; None without payload."""
        return None if self._contents is None else self._contents[slots]

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

    def _take(self, nslots: int) -> Slots:
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
        """Twice as many slots; contents are copied as far as any were kept, so that the rest takes no memory."""
        before, used = len(self._users), np.flatnonzero(self._users)
        if self._contents is not None:
            larger = arena((2 * before, PAGE_SIZE), np.uint8)
            larger[used] = self._contents[used]
            self._contents = larger
        self._users = np.concatenate([self._users, np.zeros(before, np.uint32)])
