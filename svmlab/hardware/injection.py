"""Faults on request: the nth allocation, mapping, copy, ... from now fails."""

from __future__ import annotations

import errno
from dataclasses import dataclass

from svmlab.errors import InputError

__all__ = ["FAULTS", "QUEUE_FAULTS", "Hit", "Injections"]

FAULTS: dict[str, int] = {
    "vram_alloc": errno.ENOMEM,
    "ram_alloc": errno.ENOMEM,
    "dma_map": errno.ENOMEM,
    "copy": errno.EIO,
    "fence": errno.EIO,
    "setup": errno.EINVAL,
    "page_lock": 0,
    "hmm_fault": errno.EFAULT,
}
"""What can be made to fail, and the errno it returns then (0: it is silently missed)."""
QUEUE_FAULTS: dict[str, int] = {"queue_stop": errno.ETIME, "queue_resume": errno.ETIME}
"""The same of the queues of one GPU; a program can order these, a scenario file cannot."""
_ANY = FAULTS | QUEUE_FAULTS


@dataclass(frozen=True, slots=True)
class Hit:
    """One occurrence that has to fail: its place among the occurrences asked about, and the errno it returns."""

    index: int
    errno: int


@dataclass(slots=True)
class _Order:
    fault: str
    passes: int
    fails: int
    gpu: int | None
    errno: int


class Injections:
    """The faults that are ordered and not yet used up.

    >>> faults = Injections()
    >>> faults.order("dma_map", nth=3)
    >>> faults.first("dma_map", 2), faults.first("dma_map", 2), faults.first("dma_map", 2)
    (None, Hit(index=0, errno=12), None)
    """

    def __init__(self) -> None:
        self._orders: list[_Order] = []

    def order(
        self, fault: str, *, nth: int = 1, count: int = 1, gpu: int | None = None, error: int | None = None
    ) -> None:
        """Make occurrences fail.

        Args:
            fault: a name of ``FAULTS`` or ``QUEUE_FAULTS``.
            nth: which one from now is the first to fail, from 1.
            count: how many fail in a row.
            gpu: only those on this GPU (by index); None: on any.
            error: the errno returned; None: the usual one.

        Raises:
            InputError: no such fault, or a number below 1.
        """
        if fault not in _ANY:
            raise InputError(f"fault {fault!r}", allowed=", ".join(_ANY))
        if nth < 1 or count < 1:
            raise InputError(f"nth = {nth}, count = {count}", allowed="1 and more")
        self._orders.append(_Order(fault, nth - 1, count, gpu, _ANY[fault] if error is None else error))

    def first(self, fault: str, occurrences: int = 1, *, gpu: int | None = None) -> Hit | None:
        """Count occurrences up to and including the first that fails; the later ones do not take place."""
        if not self._orders:
            return None
        hits = self._peek(fault, occurrences, gpu)
        self._count(fault, hits[0].index + 1 if hits else occurrences, gpu)
        return hits[0] if hits else None

    def first_of(self, faults: tuple[str, ...], occurrences: int, *, gpu: int | None = None) -> tuple[str, Hit] | None:
        """As ``first``, for several faults that take turns: the first of each, then the second of each, ..."""
        if not self._orders:
            return None
        hits = [self._peek(fault, occurrences, gpu) for fault in faults]
        failing = min(range(len(faults)), key=lambda turn: hits[turn][0].index if hits[turn] else occurrences)
        if not hits[failing]:
            for fault in faults:
                self._count(fault, occurrences, gpu)
            return None
        index, hit = hits[failing][0].index, hits[failing][0]
        for turn, fault in enumerate(faults):
            self._count(fault, index + (turn <= failing), gpu)
        return faults[failing], hit

    def all(self, fault: str, occurrences: int, *, gpu: int | None = None) -> list[Hit]:
        """Count occurrences that take place one by one, whatever happens to the others; returns those that fail."""
        if not self._orders:
            return []
        hits = self._peek(fault, occurrences, gpu)
        self._count(fault, occurrences, gpu)
        return hits

    def _matching(self, fault: str, gpu: int | None) -> list[_Order]:
        """The orders an occurrence counts for; one that belongs to no GPU in particular counts for those of any GPU."""
        return [order for order in self._orders if order.fault == fault and (gpu is None or order.gpu in (None, gpu))]

    def _peek(self, fault: str, occurrences: int, gpu: int | None) -> list[Hit]:
        hits = {
            index: Hit(index, order.errno)
            for order in self._matching(fault, gpu)
            for index in range(order.passes, min(occurrences, order.passes + order.fails))
        }
        return [hits[index] for index in sorted(hits)]

    def _count(self, fault: str, occurrences: int, gpu: int | None) -> None:
        for order in self._matching(fault, gpu):
            order.fails -= max(0, min(occurrences, order.passes + order.fails) - order.passes)
            order.passes = max(0, order.passes - occurrences)
        self._orders = [order for order in self._orders if order.fails > 0]
