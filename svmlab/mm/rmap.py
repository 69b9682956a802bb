"""Reverse mapping: which page tables name a frame. Relatives by fork share frames, and so do mappings of one file."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from svmlab.hardware.memory import FrameFlag, Memory, Pfns, runs_of
from svmlab.hardware.world import Blocking
from svmlab.mm import entries as pte
from svmlab.mm.address_space import AddressSpace
from svmlab.mm.vma import Vma
from svmlab.uapi import NotifierEvent

__all__ = ["Mapped", "Pages", "Sought", "other_mappers", "replace_entries", "shares_frames", "tell_mappers"]

Pages = npt.NDArray[np.integer[Any]]
Index = npt.NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class Sought:
    """Frames of one address space whose other mappers are asked for; all in one block of the page table.

    Attributes:
        mm: the address space.
        vma: the VMA they are in.
        pages: where each of them is mapped there, ascending, shape ``(n,)``.
        pfns: the frames, shape ``(n,)``.
        held: references of each that are neither entries, pins nor the page cache's.
    """

    mm: AddressSpace
    vma: Vma
    pages: Pages
    pfns: Pfns
    held: int

    def here(self) -> npt.NDArray[np.bool_]:
        """Which of them are still where they were sought."""
        entries = self.mm.table.view(int(self.pages[0]), int(self.pages[-1]))[self.pages - self.pages[0]]
        still: npt.NDArray[np.bool_] = (pte.pfn_of(entries) == self.pfns) & ((entries & pte.SWAP) == 0)
        return still

    def missing(self) -> npt.NDArray[np.int16]:
        """How many entries elsewhere name each frame, by its references."""
        memory: Memory = self.mm.memory
        cached = (memory.flags[self.pfns] & FrameFlag.FILE) != 0
        known = self.here().astype(np.int16) + cached + memory.pins[self.pfns] + self.held
        count: npt.NDArray[np.int16] = memory.references[self.pfns] - known
        return count


@dataclass(frozen=True, slots=True)
class Mapped:
    """Entries of one address space, in one block of its page table.

    Attributes:
        mm: whose entries.
        pages: where they are, ascending, shape ``(m,)``.
        index: which of the frames sought each of them names, shape ``(m,)``.
    """

    mm: AddressSpace
    pages: Pages
    index: Index

    def entries(self) -> tuple[pte.Entries, Pages]:
        """The block of the page table, writable, and where in it the entries are."""
        first = int(self.pages[0])
        return next(self.mm.blocks(first, int(self.pages[-1])))[1], self.pages - first


def shares_frames(mm: AddressSpace, vma: Vma) -> bool:
    """Whether anybody else can map frames of this VMA."""
    return len(mm.family) > 1 or vma.file is not None


def other_mappers(sought: Sought) -> list[Mapped]:
    """Every other entry that names one of the frames, in a fixed order.

    A page is where it was when its process was forked, unless it was moved since; only what is not found there is
    looked for everywhere (rmap_walk).
    """
    if not shares_frames(sought.mm, sought.vma):
        return []
    missing = sought.missing()
    found = list(_at_the_same_pages(sought)) if (missing > 0).any() else []
    for mapped in found:
        missing[mapped.index] -= 1
    lost = np.flatnonzero(missing > 0)
    if not len(lost):
        return found
    kept = [_only(mapped, ~np.isin(mapped.index, lost)) for mapped in found]
    return [mapped for mapped in [*kept, *_anywhere(sought, lost)] if len(mapped.pages)]


def _only(mapped: Mapped, which: npt.NDArray[np.bool_]) -> Mapped:
    return Mapped(mapped.mm, mapped.pages[which], mapped.index[which])


def _at_the_same_pages(sought: Sought) -> Iterator[Mapped]:
    first, last = int(sought.pages[0]), int(sought.pages[-1])
    for other in sought.mm.family:
        if other is sought.mm:
            continue
        entries = other.table.view(first, last)[sought.pages - first]
        index = np.flatnonzero((pte.pfn_of(entries) == sought.pfns) & ((entries & pte.SWAP) == 0))
        if len(index):
            yield Mapped(other, sought.pages[index], index)


def _anywhere(sought: Sought, lost: Index) -> Iterator[Mapped]:
    """Search whole page tables for the frames with the numbers ``lost``."""
    order = lost[np.argsort(sought.pfns[lost], kind="stable")]
    frames = sought.pfns[order]
    file = sought.vma.file
    for mm in dict.fromkeys([*sought.mm.family, *(file.mappers if file else ())]):
        for page, entries in mm.table.stored():
            pfns = pte.pfn_of(entries)
            at = np.minimum(np.searchsorted(frames, pfns), len(frames) - 1)
            hit = np.flatnonzero((frames[at] == pfns) & ((entries & pte.SWAP) == 0))
            index, pages = order[at[hit]], hit + page
            elsewhere = (sought.pages[index] != pages) | (mm is not sought.mm)
            if elsewhere.any():
                yield Mapped(mm, pages[elsewhere], index[elsewhere])


def tell_mappers(mappers: list[Mapped]) -> Blocking[None]:
    """Tell the notifiers of address spaces that they lose pages, run by run."""
    for mapped in mappers:
        if mapped.mm.notifiers.covers(int(mapped.pages[0]), int(mapped.pages[-1])):
            for at, count in runs_of(mapped.pages):
                first = int(mapped.pages[at])
                yield from mapped.mm.notifiers.invalidate(NotifierEvent.CLEAR, first, first + count - 1)


def replace_entries(sought: Sought, new: Pfns, *, write: npt.NDArray[np.bool_]) -> npt.NDArray[np.uint8]:
    """Make every entry that names a frame sought name another one (remove_migration_ptes).

    Args:
        sought: the frames before.
        new: the frames after, shape ``(n,)``.
        write: whether the entry of the address space itself may be written, shape ``(n,)``.

    Returns:
        How many entries were changed for each frame; 0 where all of them went away meanwhile.
    """
    still, others = sought.here(), other_mappers(sought)
    entries, at = Mapped(sought.mm, sought.pages, np.arange(len(new))).entries()
    entries[at[still]] = pte.make(new[still], write=write[still])
    changed = still.astype(np.uint8)
    for mapped in others:
        entries, at = mapped.entries()
        entries[at] = pte.make(new[mapped.index], write=(entries[at] & pte.WRITE) != 0)
        changed[mapped.index] += 1
    return changed
