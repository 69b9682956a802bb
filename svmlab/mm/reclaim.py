"""Reclaim: pages leave RAM for swap, without a lock of the address space and page by page."""

from __future__ import annotations

from contextlib import ExitStack

import numpy as np

from svmlab.hardware.memory import FrameFlag
from svmlab.hardware.world import Blocking
from svmlab.mm import entries as pte
from svmlab.mm.address_space import AddressSpace
from svmlab.mm.rmap import Mapped, Sought, other_mappers, tell_mappers
from svmlab.mm.span import Span
from svmlab.mm.vma import Vma
from svmlab.uapi import NotifierEvent

__all__ = ["swap_out"]

_BUSY = FrameFlag.LOCKED | FrameFlag.MIGRATING | FrameFlag.PINNED


def swap_out(mm: AddressSpace, span: Span) -> Blocking[None]:
    """Write pages to swap one by one; pages in VRAM, pinned ones and those in use by a migration stay.

    A page that relatives by fork share leaves all of them. A page of a file or of shared memory loses its entry here
    only: its file has the content.

    Raises:
        DriverError: EINVAL for a bad span.

    Kernel: try_to_unmap (mm/rmap.c)
    """
    start, last = span.whole_pages()
    tried = 0
    for vma in mm.vmas_in(start, last):
        for page, entries in list(mm.table.stored(max(start, vma.start), min(last, vma.last))):
            kinds = pte.kinds(entries, mm.memory)
            in_ram = np.flatnonzero((kinds == pte.EntryKind.READ) | (kinds == pte.EntryKind.WRITE))
            tried += len(in_ram)
            for candidate in (in_ram + page).tolist():
                yield from _reclaim(mm, vma, candidate)
    yield mm.world.delay(tried * mm.costs.swap_page_ns)


def _reclaim(mm: AddressSpace, vma: Vma, page: int) -> Blocking[None]:
    """Take one page away from everybody who maps it.

    1. lock it, and hold it while the notifiers sleep
    2. tell the notifiers of everybody who maps it
    3. if it is still there and nobody has pinned it meanwhile, write it and take it away
    4. let go of it
    """
    memory, entry = mm.memory, mm.table.at(page)
    if entry in (pte.NONE, pte.ZERO_ENTRY) or entry & pte.SWAP:
        return
    frame = np.array([entry >> 2], np.uint32)
    if memory.flags[frame[0]] & _BUSY or memory.is_device(frame)[0]:
        return
    sought = Sought(mm, vma, np.array([page]), frame, held=1)
    memory.flags[frame] |= np.uint8(FrameFlag.LOCKED)
    memory.get(frame)
    of_file = bool(memory.flags[frame[0]] & FrameFlag.FILE)
    others = [] if of_file else other_mappers(sought)
    with ExitStack() as changing:
        for mapped in (Mapped(mm, sought.pages, np.zeros(1, np.intp)), *others):
            changing.enter_context(mapped.mm.notifiers.changing(int(mapped.pages[0]), int(mapped.pages[-1])))
        yield from mm.notifiers.invalidate(NotifierEvent.CLEAR, page, page)
        yield from tell_mappers(others)
        if not memory.flags[frame[0]] & FrameFlag.PINNED:
            _take_away(sought, of_file=of_file)
    memory.flags[frame] &= ~np.uint8(FrameFlag.LOCKED)
    memory.put(frame)


def _take_away(sought: Sought, *, of_file: bool) -> None:
    mm, memory, frame = sought.mm, sought.mm.memory, sought.pfns
    mappers = [] if of_file else other_mappers(sought)
    if sought.here().all():
        mappers.append(Mapped(mm, sought.pages, np.zeros(1, np.intp)))
    users = sum(len(mapped.pages) for mapped in mappers)
    if not users:
        return
    entry = pte.NONE
    if not of_file:
        content = b"" if memory.bytes is None else memory.bytes[frame[0]].tobytes()
        entry = mm.swap.store(content, users=users) << 2 | pte.SWAP
    for mapped in mappers:
        entries, at = mapped.entries()
        entries[at] = entry
    memory.references[frame] -= np.uint8(users)
