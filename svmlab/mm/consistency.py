"""What must always hold of memory: named predicates over page tables, page caches, swap and the state of the frames."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import numpy.typing as npt

from svmlab.hardware.memory import FIRST_RAM_PFN, ZERO_PFN, FrameFlag, Memory
from svmlab.mm import entries as pte
from svmlab.mm.address_space import AddressSpace
from svmlab.mm.vma import File, Vma

__all__ = ["MEMORY_INVARIANTS", "MemoryState"]

Frames = npt.NDArray[np.uint32]
Counts = npt.NDArray[np.int64]


@dataclass
class MemoryState:
    """Everything that names page frames, on one machine.

    Attributes:
        memory: the frames.
        mms: every address space.
        kept: files whose page cache exists without a mapping.
    """

    memory: Memory
    mms: list[AddressSpace]
    kept: list[File] = field(default_factory=list)

    @cached_property
    def by_entries(self) -> tuple[Frames, Counts]:
        """Frames that page table entries name, ascending, and how many do; the zero page aside."""
        return np.unique(
            _joined(_frames(entries) for mm in self.mms for _, entries in mm.table.pages()), return_counts=True
        )

    @cached_property
    def named(self) -> tuple[Frames, Counts]:
        """Frames that anything names, ascending, and how many references they have to have."""
        others = [*(pinned.frames for mm in self.mms for pinned in mm.pinned)]
        others += [frames for file in self.files for _, frames in file.frames.pages()]
        for mm in self.mms:
            others += [pfns for args in mm.migrations for pfns in (args.source_pfns(), args.target_pfns())]
        entries, counts = self.by_entries
        more = _joined(frames[frames > ZERO_PFN] for frames in others)
        frames, place = np.unique(np.concatenate([entries, more]), return_inverse=True)
        return frames, np.bincount(place, np.concatenate([counts, np.ones(len(more), np.int64)])).astype(np.int64)

    @cached_property
    def files(self) -> list[File]:
        """Every file with a page cache."""
        mapped = [vma.file for mm in self.mms for vma in mm.vmas.values() if vma.file is not None]
        return list({id(file): file for file in [*self.kept, *mapped]}.values())

    @property
    def settled(self) -> list[AddressSpace]:
        """The address spaces whose mappings nobody is changing; in the others VMAs and entries differ for a while."""
        return [mm for mm in self.mms if not (mm.mmap_lock.locked and mm.mmap_lock.writing)]

    def vmas(self) -> Iterator[tuple[AddressSpace, Vma, pte.Entries]]:
        """Every VMA of settled address spaces, with the entries of each of its blocks that has storage."""
        for mm in self.settled:
            for vma in mm.vmas.values():
                for _, entries in mm.table.stored(vma.start, vma.last):
                    yield mm, vma, entries


def _joined(parts: Iterator[Frames]) -> Frames:
    return np.concatenate([np.zeros(0, np.uint32), *parts])


def _frames(entries: pte.Entries) -> Frames:
    pfns = pte.pfn_of(entries[(entries & pte.SWAP) == 0])
    return pfns[pfns > ZERO_PFN]


def _references_match(state: MemoryState) -> Iterator[str]:
    """A frame that reclaim holds while notifiers sleep is locked and has one reference more."""
    frames, counts = state.named
    references = state.memory.references[frames].astype(np.int64)
    locked = (state.memory.flags[frames] & (FrameFlag.LOCKED | FrameFlag.MIGRATING)) == FrameFlag.LOCKED
    wrong = np.flatnonzero((references != counts) & ~(locked & (references == counts + 1)))
    if len(wrong):
        at = wrong[0]
        yield (
            f"{len(wrong)} frames have the wrong number of references; frame {int(frames[at]):#x} is named "
            f"{counts[at]} times and has {references[at]} references"
        )
    if state.memory.references[: ZERO_PFN + 1].any():
        yield "the zero page is counted, or the frame that stands for none"


def _no_frame_is_lost(state: MemoryState) -> Iterator[str]:
    frames, _ = state.named
    named = int(np.count_nonzero(frames < state.memory.vram_base[0])) if len(state.memory.vram_base) else len(frames)
    if named != state.memory.ram_used:
        yield f"{state.memory.ram_used} frames of RAM are in use, {named} are named by anything"


def _free_frames_are_clean(state: MemoryState) -> Iterator[str]:
    ram = slice(FIRST_RAM_PFN, FIRST_RAM_PFN + state.memory.ram_pages)
    dirty = np.flatnonzero((state.memory.flags[ram] != 0) & (state.memory.references[ram] == 0))
    if len(dirty):
        yield f"{len(dirty)} free frames have flags, the first is {int(dirty[0]) + FIRST_RAM_PFN:#x}"


def _entries_lie_in_mappings(state: MemoryState) -> Iterator[str]:
    everywhere = sum(int(np.count_nonzero(entries)) for mm in state.settled for _, entries in mm.table.pages())
    mapped = sum(int(np.count_nonzero(entries)) for _, _, entries in state.vmas())
    if everywhere != mapped:
        yield f"{everywhere - mapped} page table entries are outside of every mapping"


def _entries_obey_their_mapping(state: MemoryState) -> Iterator[str]:
    for mm, vma, entries in state.vmas():
        writable = (entries & (pte.WRITE | pte.SWAP)) == pte.WRITE
        if writable.any() and not vma.writable:
            yield f"{mm.name}: {vma.name or 'a mapping'} is read-only, {int(writable.sum())} of its entries are not"
        if (entries[writable] >> 2 == ZERO_PFN).any():
            yield f"{mm.name}: {vma.name or 'a mapping'} may write the zero page"


def _private_pages_are_written_by_one(state: MemoryState) -> Iterator[str]:
    frames, counts = state.by_entries
    shared = frames[counts > 1]
    for mm, vma, entries in state.vmas():
        mine = _frames(entries[(entries & pte.WRITE) != 0]) if vma.private else shared[:0]
        others_too = np.isin(mine, shared) | ((state.memory.flags[mine] & FrameFlag.FILE) != 0)
        if others_too.any():
            yield f"{mm.name}: {vma.name or 'a mapping'} may write {int(others_too.sum())} pages that others see too"


def _swap_slots_are_named(state: MemoryState) -> Iterator[str]:
    for swap in {id(mm.swap): mm.swap for mm in state.mms}.values():
        tables = [entries for mm in state.mms if mm.swap is swap for _, entries in mm.table.pages()]
        named = _joined(pte.pfn_of(entries[(entries & pte.SWAP) != 0]) for entries in tables)
        slots, users = swap.counts()
        found, times = np.unique(named, return_counts=True)
        if not (np.array_equal(slots, found) and np.array_equal(users, times)):
            yield f"{len(slots)} swap slots have {int(users.sum())} users, entries name {len(named)}"


def _the_zero_page_is_zero(state: MemoryState) -> Iterator[str]:
    if state.memory.bytes is not None and state.memory.bytes[: ZERO_PFN + 1].any():
        yield "somebody wrote to the shared zero page"


MEMORY_INVARIANTS: dict[str, Callable[[MemoryState], Iterator[str]]] = {
    "reference counts match": _references_match,
    "no frame is lost": _no_frame_is_lost,
    "free frames are clean": _free_frames_are_clean,
    "entries lie in mappings": _entries_lie_in_mappings,
    "entries obey their mapping": _entries_obey_their_mapping,
    "private pages are written by one": _private_pages_are_written_by_one,
    "swap slots are named": _swap_slots_are_named,
    "the zero page is zero": _the_zero_page_is_zero,
}
"""Every invariant of memory by name."""
