"""Reclaim: pages leave RAM for swap, without a lock of the address space and block by block."""

from __future__ import annotations

from contextlib import ExitStack

import numpy as np

from svmlab.hardware.frames import portions
from svmlab.hardware.memory import FrameFlag, Pfns
from svmlab.hardware.world import Blocking
from svmlab.mm import entries as pte
from svmlab.mm.address_space import AddressSpace
from svmlab.mm.rmap import Mapped, Pages, Sought, other_mappers, tell_mappers
from svmlab.mm.span import Span
from svmlab.mm.vma import Vma

__all__ = ["swap_out"]

_BUSY = FrameFlag.LOCKED | FrameFlag.MIGRATING | FrameFlag.PINNED


def swap_out(mm: AddressSpace, span: Span) -> Blocking[None]:
    """Write pages to swap block by block; pages in VRAM, pinned ones and those in use by a migration stay.

    A page that relatives by fork share leaves all of them. A page of a file or of shared memory loses its entry here
    only: its file has the content.

    Raises:
        DriverError: EINVAL for a bad span.

    Kernel: try_to_unmap (mm/rmap.c)
    """
    start, last = span.whole_pages()
    tried = 0
    yield from mm.world.point("before reclaim")
    for vma in mm.vmas_in(start, last):
        for page, entries in list(mm.table.stored(max(start, vma.start), min(last, vma.last))):
            tried += int(np.count_nonzero(_in_ram(mm, page, len(entries))))
            for of_file in (True, False):
                yield from _reclaim(_idle(mm, vma, _in_ram(mm, page, len(entries)), of_file=of_file))
    yield from mm.world.sleep(tried * mm.costs.swap_page_ns)


def _in_ram(mm: AddressSpace, page: int, npages: int) -> Pages:
    """The pages of one block whose entries name frames of RAM."""
    kinds = pte.kinds(mm.table.view(page, page + npages - 1), mm.memory)
    return np.flatnonzero((kinds == pte.EntryKind.READ) | (kinds == pte.EntryKind.WRITE)) + page


def _idle(mm: AddressSpace, vma: Vma, pages: Pages, *, of_file: bool) -> Sought:
    """Of some pages those in the page cache, or those that are not, if neither a pin nor a migration holds them."""
    if not len(pages):
        return Sought(mm, vma, pages, np.zeros(0, np.uint32), held=1)
    frames = pte.pfn_of(mm.table.view(int(pages[0]), int(pages[-1]))[pages - pages[0]])
    flags = mm.memory.flags[frames]
    idle = ((flags & _BUSY) == 0) & (((flags & FrameFlag.FILE) != 0) == of_file)
    return Sought(mm, vma, pages[idle], frames[idle], held=1)


def _reclaim(sought: Sought) -> Blocking[None]:
    """Take pages of one block, all of files or all anonymous, away from everybody who maps them.

    1. lock those that nobody holds, and hold them while the notifiers sleep
    2. tell the notifiers of everybody who maps them, run by run
    3. write those that are still there and nobody has pinned meanwhile, and take them away
    4. let go of them
    """
    memory, frames = sought.mm.memory, sought.pfns
    if not len(frames):
        return
    memory.get(frames)
    memory.flags[frames] |= np.uint8(FrameFlag.LOCKED)
    mappers = [_own(sought), *_others(sought)]
    with ExitStack() as changing:
        for mapped in mappers:
            changing.enter_context(mapped.mm.notifiers.changing(int(mapped.pages[0]), int(mapped.pages[-1])))
        yield from tell_mappers(mappers)
        _take_away(sought)
    memory.flags[frames] &= ~np.uint8(FrameFlag.LOCKED)
    memory.put(frames)


def _own(sought: Sought) -> Mapped:
    """The entries of the address space itself that still name the frames."""
    here = np.flatnonzero(sought.here())
    return Mapped(sought.mm, sought.pages[here], here)


def _of_file(sought: Sought) -> bool:
    return bool(sought.mm.memory.flags[sought.pfns[0]] & FrameFlag.FILE)


def _others(sought: Sought) -> list[Mapped]:
    """Who else loses the pages: relatives lose what is anonymous, nobody what is of a file."""
    return [] if _of_file(sought) else other_mappers(sought)


def _take_away(sought: Sought) -> None:
    """Entries that name an unpinned frame name its place in swap instead, or nothing if a file has the content."""
    memory, frames = sought.mm.memory, sought.pfns
    mappers = [mapped for mapped in (_own(sought), *_others(sought)) if len(mapped.pages)]
    users = np.zeros(len(frames), np.uint32)
    for mapped in mappers:
        np.add.at(users, mapped.index, np.uint32(1))
    users[(memory.flags[frames] & FrameFlag.PINNED) != 0] = 0
    going = users > 0
    new = np.full(len(frames), pte.NONE, np.uint32)
    if not _of_file(sought):
        new[going] = _written(sought.mm, frames[going], users[going])
    for mapped in mappers:
        entries, at = mapped.entries()
        which = going[mapped.index]
        entries[at[which]] = new[mapped.index[which]]
    memory.references[frames] -= users.astype(np.uint8)


def _written(mm: AddressSpace, frames: Pfns, users: pte.Entries) -> pte.Entries:
    """Entries for the places in swap of frames that are written there."""
    slots, contents = mm.swap.take(users), mm.memory.bytes
    if contents is not None:
        for some in portions(len(frames)):
            mm.swap.write(slots[some], contents[frames[some]])
    return slots << np.uint32(2) | np.uint32(pte.SWAP)
