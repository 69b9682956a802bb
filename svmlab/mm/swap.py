"""Swap: contents of pages that have no frame."""

from __future__ import annotations

from collections.abc import Iterable

__all__ = ["SwapSpace"]


class SwapSpace:
    """Contents of swapped pages, by slot; relatives by fork share slots.

    >>> swap = SwapSpace()
    >>> slot = swap.store(b"page", users=2)
    >>> swap.put([slot])
    >>> swap.load(slot), swap.slots
    (b'page', {1: 1})
    """

    def __init__(self) -> None:
        self._contents: dict[int, bytes] = {}
        self.slots: dict[int, int] = {}
        self._next = 1

    def store(self, content: bytes, *, users: int = 1) -> int:
        """Keep one page that ``users`` entries will name; returns its slot."""
        slot, self._next = self._next, self._next + 1
        self._contents[slot], self.slots[slot] = content, users
        return slot

    def load(self, slot: int) -> bytes:
        """The content of a slot; empty without payload."""
        return self._contents[slot]

    def get(self, slots: Iterable[int]) -> None:
        """One more entry names each slot."""
        for slot in slots:
            self.slots[slot] += 1

    def put(self, slots: Iterable[int]) -> None:
        """One entry less names each slot; the last one empties it."""
        for slot in slots:
            self.slots[slot] -= 1
            if not self.slots[slot]:
                del self.slots[slot], self._contents[slot]
