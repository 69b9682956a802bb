"""The VRAM of one GPU at one moment, as plain data: who holds which pages, which of them are empty, what is free."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING

import numpy as np

from svmlab.errors import InputError

if TYPE_CHECKING:
    from svmlab.svm.process import Process
    from svmlab.svm.vram_buffer import VramBuffer

__all__ = ["Holder", "Part", "Piece", "Stretch", "VramState", "vram_state"]

Piece = tuple[int, int]
"""``(first VRAM page, pages)``."""
_ALLOWED = "pieces of 1 page or more in pages 0 to {} that do not overlap"


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a node, all of it with pages or all of it without.

    Attributes:
        start, npages: where it lies, in VRAM pages.
        page: which page of the buffer it begins with.
        empty: whether no page is in it.
    """

    start: int
    npages: int
    page: int
    empty: bool = False

    @property
    def end(self) -> int:
        """One past its last VRAM page."""
        return self.start + self.npages


@dataclass(frozen=True, slots=True)
class Stretch:
    """A piece of the VRAM between two changes of what it is for.

    Attributes:
        start, end: VRAM pages, ``end`` one past the last.
        kind: ``"held"``, ``"free"`` or ``"reserved"``.
    """

    start: int
    end: int
    kind: str

    @property
    def npages(self) -> int:
        """How long it is."""
        return self.end - self.start


@dataclass(frozen=True, slots=True)
class Holder:
    """Who holds VRAM.

    Attributes:
        name: the mapping whose pages it is for.
        nodes: its pieces, in the order in which its pages use them.
        empty: the parts of them in which no page is now.
    """

    name: str
    nodes: tuple[Piece, ...]
    empty: tuple[Piece, ...] = ()

    @property
    def npages(self) -> int:
        """How many pages of VRAM it holds."""
        return sum(count for _, count in self.nodes)

    def parts(self) -> Iterator[Part]:
        """Its nodes, in order, cut where they begin or cease to be empty."""
        page, empty = 0, sorted(self.empty)
        for start, count in self.nodes:
            at = start
            for hole, size in empty[bisect_left(empty, (start, 0)) :]:
                if hole >= start + count:
                    break
                if hole > at:
                    yield Part(at, hole - at, page + at - start)
                yield Part(hole, size, page + hole - start, empty=True)
                at = hole + size
            if at < start + count:
                yield Part(at, start + count - at, page + at - start)
            page += count


@dataclass(frozen=True, slots=True)
class VramState:
    """The VRAM of one GPU.

    Attributes:
        gpu: its index.
        npages: its size.
        holders: who holds parts of it.
        free: the free pieces. What is neither free nor held is reserved; page 0 always is.
    """

    gpu: int
    npages: int
    holders: tuple[Holder, ...] = ()
    free: tuple[Piece, ...] = ()

    def stretches(self) -> list[Stretch]:
        """All of the VRAM in ascending order; neighbours of one kind are one.

        Raises:
            InputError: pieces overlap, are empty, or lie outside.
        """
        held = [(start, count, "held") for holder in self.holders for start, count in holder.nodes]
        known = sorted(held + [(start, count, "free") for start, count in self.free])
        cut: list[Stretch] = []
        for start, count, kind in [*known, (self.npages, 1, "end")]:
            at = cut[-1].end if cut else 0
            if start < at or count < 1:
                raise InputError(f"the piece ({start}, {count}) of VRAM", allowed=_ALLOWED.format(self.npages - 1))
            cut += [Stretch(at, start, "reserved")] * (start > at) + [Stretch(start, start + count, kind)]
        alike = (list(members) for _, members in groupby(cut[:-1], key=lambda one: one.kind))
        return [Stretch(members[0].start, members[-1].end, members[0].kind) for members in alike]


def vram_state(process: Process, gpu: int | str = 0) -> VramState:
    """Look at the VRAM of a GPU, whichever process holds it.

    Args:
        process: a process on the machine.
        gpu: which GPU, by index or as ``"gpu0"``.

    Raises:
        InputError: it is no process, or its machine has no such GPU.
    """
    if not hasattr(process, "driver"):
        raise InputError(f"{process!r} has no VRAM", allowed="a Process or a VramState")
    index = process.device(gpu).gpu
    system = process.driver.system
    buffers = [buffer for buffer in system.buffers.values() if buffer.gpu == index]
    holders = (
        Holder(name, tuple(buffer.nodes), tuple(_empty(process, buffer)))
        for name, buffer in zip(_names(process, buffers), buffers, strict=True)
    )
    vram = system.vrams[index]
    return VramState(index, vram.npages, tuple(holders), tuple(vram.free_nodes))


def _names(process: Process, buffers: list[VramBuffer]) -> list[str]:
    """The mapping of each buffer, with pages where two would have one name, and with its process if it is another."""
    short = [_owner(process, buffer) + _place(process, buffer)[0] for buffer in buffers]
    seen = Counter(short)
    long = [_owner(process, buffer) + " ".join(_place(process, buffer)) for buffer in buffers]
    return [one if seen[one] == 1 else other for one, other in zip(short, long, strict=True)]


def _owner(process: Process, buffer: VramBuffer) -> str:
    return "" if buffer.pid == process.pid else f"{process.driver.system.drivers[buffer.pid].name}: "


def _place(process: Process, buffer: VramBuffer) -> tuple[str, ...]:
    """The name of the mapping and the pages in it; the number of the buffer where no range points at it."""
    # Whoever has a process has SimPy loaded; whoever only draws a log need not.
    from svmlab.svm.range_table import where

    if not buffer.ranges:
        return (f"buffer {buffer.number}",)
    first, last = min(part.start for part in buffer.ranges), max(part.last for part in buffer.ranges)
    name, _, pages = where(process.driver.system.drivers[buffer.pid].mm, first, last).rpartition(" ")
    return (name, pages) if name else (pages,)


def _empty(process: Process, buffer: VramBuffer) -> Iterator[Piece]:
    """The runs of pages of its nodes that no page table and nobody else refers to."""
    memory = process.driver.memory
    base = int(memory.vram_base[buffer.gpu])
    for start, count in buffer.nodes:
        idle = memory.references[base + start : base + start + count] == 0
        edges = np.flatnonzero(np.diff(idle.view(np.int8), prepend=0, append=0)).tolist()
        yield from ((start + begin, end - begin) for begin, end in zip(edges[::2], edges[1::2], strict=True))
