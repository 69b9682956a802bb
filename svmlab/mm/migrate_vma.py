"""migrate_vma: how the kernel lets a driver move the pages of one VMA (mm/migrate_device.c).

Three calls. ``setup`` collects the pages, tells the notifiers, unmaps what it collected and drops what is pinned.
The driver then allocates and copies. ``pages`` moves the metadata, ``finalize`` puts the new pages (or the old ones
again) into the page tables. Between setup and finalize a collected page is reachable by nobody.
"""

from __future__ import annotations

import errno
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from svmlab.errors import DriverError
from svmlab.hardware.frames import Frames, Pfns
from svmlab.hardware.injection import Injections
from svmlab.hardware.memory import RAM, ZERO_PFN, FrameFlag
from svmlab.hardware.page_column import BLOCK_PAGES
from svmlab.hardware.world import Blocking
from svmlab.mm import entries as pte
from svmlab.mm.address_space import AddressSpace
from svmlab.mm.migrate_block import MIGRATE, PFN_SHIFT, VALID, WRITE, Block, Index, Mask, Words, framed
from svmlab.mm.rmap import Sought, other_mappers, replace_entries, shares_frames, tell_mappers
from svmlab.mm.vma import Vma, VmaKind
from svmlab.uapi import NotifierEvent

__all__ = ["MIGRATE", "PFN_SHIFT", "VALID", "WRITE", "MigrateVma", "finalize", "pages", "setup"]

_LOCKED, _FILE = int(FrameFlag.LOCKED), int(FrameFlag.FILE)
_IN_USE = int(FrameFlag.LOCKED | FrameFlag.MIGRATING)
_UNMOVABLE = (VmaKind.HUGETLB, VmaKind.DEVICE)


@dataclass(slots=True, eq=False)
class MigrateVma:
    """The arguments and results of one migration of part of a VMA (struct migrate_vma).

    Attributes:
        mm, vma: whose pages.
        start, npages, last: which pages (``last`` inclusive); they lie in the VMA.
        from_ram: MIGRATE_VMA_SELECT_SYSTEM when true, MIGRATE_VMA_SELECT_DEVICE_PRIVATE when false.
        owners: GPUs (by index) whose device pages the caller may collect (pgmap_owner).
        gpu: the GPU it is for, by index, if a fault was ordered for one GPU only.
        blocks: its pages, block by block, after setup.
        cpages: how many of them setup collected, holes included.
    """

    mm: AddressSpace
    vma: Vma
    start: int
    npages: int
    from_ram: bool
    owners: frozenset[int] = frozenset()
    gpu: int | None = None
    blocks: list[Block] = field(default_factory=list)
    cpages: int = 0
    last: int = field(init=False)

    def __post_init__(self) -> None:
        self.last = self.start + self.npages - 1

    @property
    def src(self) -> Words:
        """The src entries with the kernel's bits; ``MIGRATE`` stays on what really moved after pages."""
        return _joined(block.src() for block in self.blocks)

    @property
    def dst(self) -> Words:
        """The dst entries with the kernel's bits, filled in by the driver between setup and pages."""
        return _joined(block.dst() for block in self.blocks)

    @property
    def collected(self) -> Mask:
        """Which pages carry MIGRATE, holes included."""
        return _joined(block.collected() for block in self.blocks)

    @property
    def aimed_pages(self) -> int:
        """How many pages have a destination."""
        return sum(map(Block.count_aimed, self.blocks))

    def source_pfns(self) -> Pfns:
        """Frame of each source page; 0 for a hole or a page that was not collected."""
        return _joined(block.sources() for block in self.blocks)

    def target_pfns(self) -> Pfns:
        """Frame of each destination page; 0 where there is none."""
        return _joined(block.targets() for block in self.blocks)

    def moved(self) -> Mask:
        """Which pages really moved; meaningful after ``pages``."""
        return _joined(block.moved() for block in self.blocks)

    def set_targets(self, index: Index, pfns: Pfns) -> None:
        """Give the pages at ``index``, ascending, the destination frames ``pfns``."""
        for block in self.blocks:
            first, stop = np.searchsorted(index, (block.at, block.at + block.npages))
            if first < stop:
                block.aim(pfns[first:stop], index[first:stop] - block.at)

    def parts(self, at: int, npages: int) -> Iterator[tuple[Block, slice]]:
        """The blocks that hold ``npages`` pages from number ``at`` on, and which of their pages these are."""
        number = (self.start + at) // BLOCK_PAGES - self.start // BLOCK_PAGES
        stop = at + npages
        while at < stop:
            block = self.blocks[number]
            until = min(stop, block.at + block.npages)
            yield block, slice(at - block.at, until - block.at)
            at, number = until, number + 1


def _joined(parts: Iterable[npt.NDArray[Any]]) -> npt.NDArray[Any]:
    found = list(parts)
    return np.concatenate(found) if found else np.zeros(0, np.uint32)


def setup(args: MigrateVma, faults: Injections) -> Blocking[None]:
    """Collect and unmap the pages.

    1. refuse what cannot be migrated
    2. tell the notifiers: one MIGRATE event for the whole interval
    3. collect and lock the pages
    4. unmap them everywhere
    5. put back what is pinned

    Args:
        args: what to collect; ``blocks`` and ``cpages`` are filled in.
        faults: ordered faults (``setup``, ``page_lock``).

    Raises:
        DriverError: EINVAL for a VMA of a special kind or an interval outside of it.

    Kernel: migrate_vma_setup (mm/migrate_device.c)
    """
    _refuse_special(args, faults)
    yield from args.mm.notifiers.invalidate(NotifierEvent.MIGRATE, args.start, args.last)
    _collect(args, faults)
    if shares_frames(args.mm, args.vma):
        yield from _unmap(args)
    if args.mm.memory.pinned:
        _put_back_pinned(args)
    costs = args.mm.costs
    duration = costs.migrate_collect_ns + args.npages * costs.migrate_collect_page_ns
    yield from args.mm.world.sleep(duration, "after collecting")


def _refuse_special(args: MigrateVma, faults: Injections) -> None:
    vma = args.vma
    if vma.kind in _UNMOVABLE:
        raise DriverError(errno.EINVAL, f"{vma.name}: pages of a {vma.kind.value} mapping cannot be migrated")
    if args.npages <= 0 or args.start < vma.start or args.last > vma.last:
        raise DriverError(errno.EINVAL, f"pages {args.start:#x} to {args.last:#x} are not inside {vma.name}")
    if hit := faults.first("setup", gpu=args.gpu):
        raise DriverError(hit.errno, "migrate_vma_setup was told to fail")


def _collect(args: MigrateVma, faults: Injections) -> None:
    """Fill src by the state of each entry, and lock the pages (migrate_vma_collect_pmd)."""
    mm, page = args.mm, args.start
    args.blocks, args.cpages = [], 0
    mm.migrations.append(args)
    while page <= args.last:
        last = min(args.last, page | BLOCK_PAGES - 1)
        block = _plain_block(args, page, last) or _any_block(args, page, last)
        cpages = block.cpages
        if hits := faults.all("page_lock", cpages, gpu=args.gpu):
            missed = np.zeros(block.npages, bool)
            missed[np.flatnonzero(block.collected())[[hit.index for hit in hits]]] = True
            block.forget(missed)
            cpages -= len(hits)
        mm.memory.get(framed(block.source), distinct=True, setting=_IN_USE)
        args.blocks.append(block)
        args.cpages += cpages
        page = last + 1


def _plain_block(args: MigrateVma, page: int, last: int) -> Block | None:
    """A block of which every page can be collected and whose frames count up by one; None if it is no such block."""
    memory = args.mm.memory
    run = pte.run_at(args.mm.table, page, last)
    if run is None:
        return None
    frames, writable = run
    home = memory.home_of(frames) if frames.start > ZERO_PFN else None
    if (home != RAM if args.from_ram else home not in args.owners) or memory.bits_of(frames) & _IN_USE:
        return None
    return Block(page - args.start, last - page + 1, frames, carried=True, whole=True, writable=writable)


def _any_block(args: MigrateVma, page: int, last: int) -> Block:
    entries = args.mm.table.view(page, last)
    pfns = pte.pfn_of(entries)
    empty, paged = _collectable(args, entries, pfns)
    return Block(
        page - args.start,
        len(entries),
        np.where(paged, pfns, np.uint32(0)),
        carried=bool((paged | empty).all()) or paged | empty,
        whole=bool(paged.all()),
        writable=(entries & pte.WRITE) != 0,
    )


def _collectable(args: MigrateVma, entries: pte.Entries, pfns: Pfns) -> tuple[Mask, Mask]:
    """Which entries are collected as holes, and which with their pages: the table of migrate_vma."""
    memory = args.mm.memory
    empty = ((entries == pte.NONE) & args.vma.anonymous) | ((entries == pte.ZERO_ENTRY) & args.from_ram)
    framed: Mask = ((entries & pte.SWAP) == 0) & (pfns > ZERO_PFN)
    framed &= ~memory.is_device(pfns) if args.from_ram else memory.in_vram_of(pfns, args.owners)
    framed &= (memory.flags[np.where(framed, pfns, 0)] & _IN_USE) == 0
    return empty, framed


def _unmap(args: MigrateVma) -> Blocking[None]:
    """Let others who map a collected page hear of it, run by run.

    The flag of the frame has made all entries that name it migration entries, so that only this is left to do.
    """
    for block in args.blocks:
        pfns = block.sources()
        at = np.flatnonzero(pfns)
        if len(at):
            sought = Sought(args.mm, args.vma, args.start + block.at + at, pfns[at], held=1)
            yield from tell_mappers(other_mappers(sought))


def _put_back_pinned(args: MigrateVma) -> None:
    """A page with more references than mappings is in use by somebody who does not ask the page table."""
    memory = args.mm.memory
    for block in args.blocks:
        pfns = block.sources()
        pinned = (pfns != 0) & ((memory.flags[pfns] & FrameFlag.PINNED) != 0)
        if pinned.any():
            memory.put(pfns[pinned], distinct=True, clearing=_IN_USE)
            block.forget(pinned)
            args.cpages -= int(np.count_nonzero(pinned))


def pages(args: MigrateVma) -> Blocking[None]:
    """Move the metadata of each page to its destination; refuse what cannot be moved.

    1. pages without a destination, and pages of a file that would go to device memory, lose MIGRATE
    2. holes get their destination as a new page, after one more MIGRATE event from the first of them on; those that
       were filled in the meantime lose MIGRATE

    Kernel: migrate_vma_pages (mm/migrate_device.c)
    """
    holed = []
    for block in args.blocks:
        _refuse_pages(args, block)
        if not block.whole and len(block.holes()):
            holed.append(block)
    if holed:
        first = args.start + holed[0].at + int(holed[0].holes()[0])
        yield from args.mm.notifiers.invalidate(NotifierEvent.MIGRATE, first, args.last)
        for block in holed:
            _fill_holes(args, block)
    yield from args.mm.world.sleep(args.npages * args.mm.costs.migrate_pages_page_ns)


def _refuse_pages(args: MigrateVma, block: Block) -> None:
    if not isinstance(block.target, range):
        block.drop(block.targets() == 0)
    if args.vma.file is not None:
        memory = args.mm.memory
        of_file = (memory.flags[block.sources()] & _FILE) != 0
        block.drop(of_file & memory.is_device(block.targets()))


def _fill_holes(args: MigrateVma, block: Block) -> None:
    """Put destination pages where nothing was (migrate_vma_insert_page), unless somebody was faster."""
    holes = block.holes()
    first = args.start + block.at
    entries = next(args.mm.blocks(first, first + block.npages - 1))[1]
    taken = np.zeros(block.npages, bool)
    taken[holes] = (entries[holes] != pte.NONE) & (entries[holes] != pte.ZERO_ENTRY)
    block.drop(taken)
    free = holes[~taken[holes]]
    target = block.targets()[free]
    entries[free] = pte.make(target, write=args.vma.writable)
    args.mm.memory.get(target, distinct=True)


def finalize(args: MigrateVma) -> int:
    """Show the new pages (or the old ones again) to everybody and let go of the others.

    1. let every entry that names a page that moved name its new page
    2. unlock the old and the new pages: what did not move is mapped as before
    3. drop the migration's references; pages that nobody names any more are free

    Returns:
        How many pages moved.

    Kernel: migrate_vma_finalize (mm/migrate_device.c)
    """
    mm, memory, moved = args.mm, args.mm.memory, 0
    for block in args.blocks:
        target = block.target
        if target is not None and _replace_whole(args, block, target):
            # the reference of a new page is that of its entry now; an old one loses its entry's and the migration's
            memory.put(block.source, distinct=True, times=2, clearing=_IN_USE)
            memory.unlock(target)
            moved += block.npages
            continue
        _replace_moved(args, block)
        memory.put(framed(block.source), distinct=True, clearing=_IN_USE)
        if target is not None:
            memory.put(framed(target), distinct=True, clearing=_LOCKED)
            moved += int(np.count_nonzero(block.moved()))
    if args in mm.migrations:
        mm.migrations.remove(args)
    mm.migration_finished()
    return moved


def _replace_whole(args: MigrateVma, block: Block, target: Frames) -> bool:
    """Replace the entries of a whole block, if nobody else can name its pages and nobody touched them; tells whether.

    Most blocks move like that.
    """
    if not block.whole or shares_frames(args.mm, args.vma) or not (isinstance(target, range) or target.all()):
        return False
    return pte.replace(args.mm.table, args.start + block.at, block.source, new=target, write=block.writable)


def _replace_moved(args: MigrateVma, block: Block) -> None:
    """Replace whatever entries name pages that moved, whoever has them; their references go over to the new pages."""
    index = block.moving()
    if not len(index):
        return
    old, new = block.sources()[index], block.targets()[index]
    writable = np.broadcast_to(np.asarray(block.writable), (block.npages,))[index]
    sought = Sought(args.mm, args.vma, args.start + block.at + index, old, held=1)
    mapped = replace_entries(sought, new, write=writable)
    memory = args.mm.memory
    memory.references[new] += mapped
    memory.references[old] -= mapped
