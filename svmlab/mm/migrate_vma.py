"""migrate_vma: how the kernel lets a driver move the pages of one VMA (mm/migrate_device.c).

Three calls. ``setup`` collects the pages, tells the notifiers, unmaps what it collected and drops what is pinned.
The driver then allocates and copies. ``pages`` moves the metadata, ``finalize`` puts the new pages (or the old ones
again) into the page tables. Between setup and finalize a collected page is reachable by nobody.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from svmlab.errors import DriverError
from svmlab.hardware.injection import Injections
from svmlab.hardware.memory import ZERO_PFN, FrameFlag, Pfns
from svmlab.hardware.page_column import BLOCK_PAGES
from svmlab.hardware.world import Blocking
from svmlab.mm import entries as pte
from svmlab.mm.address_space import AddressSpace
from svmlab.mm.rmap import Sought, other_mappers, replace_entries, shares_frames, tell_mappers
from svmlab.mm.vma import Vma, VmaKind
from svmlab.uapi import NotifierEvent

__all__ = ["MIGRATE", "PFN_SHIFT", "VALID", "WRITE", "MigrateVma", "finalize", "pages", "setup"]

VALID = 1
MIGRATE = 2
WRITE = 8
PFN_SHIFT = 6
"""Bits of a src or dst entry (include/linux/migrate.h); the frame number stands above PFN_SHIFT."""

Words = npt.NDArray[np.uint64]
Mask = npt.NDArray[np.bool_]

_IN_USE = np.uint8(FrameFlag.LOCKED | FrameFlag.MIGRATING)
_NOT_MIGRATE = ~np.uint64(MIGRATE)


@dataclass(slots=True, eq=False)
class MigrateVma:
    """The arguments and results of one migration of part of a VMA (struct migrate_vma).

    Attributes:
        mm, vma: whose pages.
        start, npages: which pages; they lie in the VMA.
        from_ram: MIGRATE_VMA_SELECT_SYSTEM when true, MIGRATE_VMA_SELECT_DEVICE_PRIVATE when false.
        owners: GPUs (by index) whose device pages the caller may collect (pgmap_owner).
        gpu: the GPU it is for, by index, if a fault was ordered for one GPU only.
        src: one entry a page after setup, shape ``(npages,)``; ``MIGRATE`` stays on what really moved after pages.
        dst: one entry a page, filled in by the driver between setup and pages.
    """

    mm: AddressSpace
    vma: Vma
    start: int
    npages: int
    from_ram: bool
    owners: frozenset[int] = frozenset()
    gpu: int | None = None
    src: Words = field(init=False)
    dst: Words = field(init=False)

    def __post_init__(self) -> None:
        self.src = np.zeros(max(0, self.npages), np.uint64)
        self.dst = np.zeros(max(0, self.npages), np.uint64)

    @property
    def last(self) -> int:
        """Last page, inclusive."""
        return self.start + self.npages - 1

    @property
    def collected(self) -> Mask:
        """Which pages carry MIGRATE, holes included."""
        carried: Mask = (self.src & np.uint64(MIGRATE)) != 0
        return carried

    @property
    def cpages(self) -> int:
        """How many pages carry MIGRATE."""
        return sum(int(np.count_nonzero(self.src[block] & np.uint64(MIGRATE))) for block in self.blocks())

    def source_pfns(self) -> Pfns:
        """Frame of each source page; 0 for a hole or a page that was not collected."""
        return _pfns(self.src)

    def target_pfns(self) -> Pfns:
        """Frame of each destination page; 0 where there is none."""
        return _pfns(self.dst)

    def set_targets(self, index: npt.NDArray[np.intp], pfns: Pfns) -> None:
        """Give the pages at ``index`` the destination frames ``pfns``."""
        self.dst[index] = (pfns.astype(np.uint64) << np.uint64(PFN_SHIFT)) | np.uint64(VALID)

    def moved(self) -> Mask:
        """Which pages really moved; meaningful after ``pages``."""
        both: Mask = self.collected & (self.dst != 0)
        return both

    def blocks(self) -> Iterator[slice]:
        """The pages, as slices of src and dst that lie in one block of the page table each."""
        at = 0
        while at < self.npages:
            stop = min(self.npages, BLOCK_PAGES - (self.start + at) % BLOCK_PAGES + at)
            yield slice(at, stop)
            at = stop

    def entries(self, block: slice) -> pte.Entries:
        """What the page table holds for a block."""
        return self.mm.table.view(self.start + block.start, self.start + block.stop - 1)


def _pfns(words: Words) -> Pfns:
    return (words >> np.uint64(PFN_SHIFT)).astype(np.uint32)


def setup(args: MigrateVma, faults: Injections) -> Blocking[None]:
    """Collect and unmap the pages.

    1. refuse what cannot be migrated
    2. tell the notifiers: one MIGRATE event for the whole interval
    3. collect and lock the pages
    4. unmap them everywhere
    5. put back what is pinned

    Args:
        args: what to collect; ``src`` is filled in.
        faults: ordered faults (``setup``, ``page_lock``).

    Raises:
        DriverError: EINVAL for a VMA of a special kind or an interval outside of it.

    Kernel: migrate_vma_setup (mm/migrate_device.c)
    """
    _refuse_special(args, faults)
    yield from args.mm.notifiers.invalidate(NotifierEvent.MIGRATE, args.start, args.last)
    _collect(args, faults)
    yield from _unmap(args)
    _put_back_pinned(args)
    costs = args.mm.costs
    yield args.mm.world.delay(costs.migrate_collect_ns + args.npages * costs.migrate_collect_page_ns)


def _refuse_special(args: MigrateVma, faults: Injections) -> None:
    vma = args.vma
    if vma.kind is VmaKind.HUGETLB or vma.special:
        raise DriverError(errno.EINVAL, f"{vma.name}: pages of a {vma.kind.value} mapping cannot be migrated")
    if args.npages <= 0 or args.start < vma.start or args.last > vma.last:
        raise DriverError(errno.EINVAL, f"pages {args.start:#x} to {args.last:#x} are not inside {vma.name}")
    if hit := faults.first("setup", gpu=args.gpu):
        raise DriverError(hit.errno, "migrate_vma_setup was told to fail")


def _collect(args: MigrateVma, faults: Injections) -> None:
    """Fill src by the state of each entry, and lock the pages (migrate_vma_collect_pmd)."""
    args.mm.migrations.append(args)
    memory = args.mm.memory
    for block in args.blocks():
        entries = args.entries(block)
        pfns = pte.pfn_of(entries)
        empty, paged = _collectable(args, entries, pfns)
        candidates = np.flatnonzero(paged | empty)
        hits = faults.all("page_lock", len(candidates), gpu=args.gpu)
        missed = candidates[[hit.index for hit in hits]]
        paged[missed] = empty[missed] = False
        words = (pfns.astype(np.uint64) << np.uint64(PFN_SHIFT)) | np.uint64(VALID | MIGRATE)
        words[(entries & pte.WRITE) != 0] |= np.uint64(WRITE)
        args.src[block] = np.where(paged, words, np.where(empty, np.uint64(MIGRATE), np.uint64(0)))
        memory.flags[pfns[paged]] |= _IN_USE
        memory.get(pfns[paged])


def _collectable(args: MigrateVma, entries: pte.Entries, pfns: Pfns) -> tuple[Mask, Mask]:
    """Which entries are collected as holes, and which with their pages: the table of migrate_vma."""
    memory = args.mm.memory
    empty = ((entries == pte.NONE) & args.vma.anonymous) | ((entries == pte.ZERO_ENTRY) & args.from_ram)
    framed: Mask = ((entries & pte.SWAP) == 0) & (pfns > ZERO_PFN)
    framed &= ~memory.is_device(pfns) if args.from_ram else memory.in_vram_of(pfns, args.owners)
    framed &= (memory.flags[np.where(framed, pfns, 0)] & _IN_USE) == 0
    return empty, framed


def _unmap(args: MigrateVma) -> Blocking[None]:
    """Make every entry that names a collected page a migration entry; others who map it hear of it page by page.

    The flag of the frame makes all entries migration entries at once, so only the notifications are left to do.
    """
    if not shares_frames(args.mm, args.vma):
        return
    for block in args.blocks():
        pfns = _pfns(args.src[block])
        at = np.flatnonzero(pfns)
        if len(at):
            sought = Sought(args.mm, args.vma, args.start + block.start + at, pfns[at], held=1)
            yield from tell_mappers(other_mappers(sought))


def _put_back_pinned(args: MigrateVma) -> None:
    """A page with more references than mappings is in use by somebody who does not ask the page table."""
    memory = args.mm.memory
    for block in args.blocks() if memory.pinned else ():
        pfns = _pfns(args.src[block])
        pinned = (pfns != 0) & ((memory.flags[pfns] & FrameFlag.PINNED) != 0)
        if pinned.any():
            memory.flags[pfns[pinned]] &= ~_IN_USE
            memory.put(pfns[pinned])
            args.src[block][pinned] = 0


def pages(args: MigrateVma) -> Blocking[None]:
    """Move the metadata of each page to its destination; refuse what cannot be moved.

    1. pages without a destination, and pages of a file that would go to device memory, lose MIGRATE
    2. holes get their destination as a new page, after one more MIGRATE event from the first of them on; those that
       were filled in the meantime lose MIGRATE

    Kernel: migrate_vma_pages (mm/migrate_device.c)
    """
    _refuse_pages(args)
    first = _first_hole(args)
    if first is not None:
        yield from args.mm.notifiers.invalidate(NotifierEvent.MIGRATE, args.start + first, args.last)
        for block in args.blocks():
            _fill_holes(args, block)
    yield args.mm.world.delay(args.npages * args.mm.costs.migrate_pages_page_ns)


def _refuse_pages(args: MigrateVma) -> None:
    memory = args.mm.memory
    for block in args.blocks():
        source, target = _pfns(args.src[block]), _pfns(args.dst[block])
        of_file = (source != 0) & ((memory.flags[source] & FrameFlag.FILE) != 0)
        args.src[block][(target == 0) | (of_file & memory.is_device(target))] &= _NOT_MIGRATE


def _first_hole(args: MigrateVma) -> int | None:
    for block in args.blocks():
        holes = np.flatnonzero(args.src[block] == MIGRATE)
        if len(holes):
            return int(block.start) + int(holes[0])
    return None


def _fill_holes(args: MigrateVma, block: slice) -> None:
    """Put destination pages where nothing was (migrate_vma_insert_page), unless somebody was faster."""
    holes = np.flatnonzero(args.src[block] == MIGRATE)
    if not len(holes):
        return
    entries = next(args.mm.blocks(args.start + block.start, args.start + block.stop - 1))[1]
    taken = (entries[holes] != pte.NONE) & (entries[holes] != pte.ZERO_ENTRY)
    args.src[block][holes[taken]] &= _NOT_MIGRATE
    free = holes[~taken]
    target = _pfns(args.dst[block][free])
    entries[free] = pte.make(target, write=args.vma.writable)
    args.mm.memory.get(target)


def finalize(args: MigrateVma) -> None:
    """Show the new pages (or the old ones again) to everybody and let go of the others.

    1. let every entry that names a page that moved name its new page
    2. unlock the old and the new pages: what did not move is mapped as before
    3. drop the migration's references; pages that nobody names any more are free

    Kernel: migrate_vma_finalize (mm/migrate_device.c)
    """
    memory = args.mm.memory
    for block in args.blocks():
        source, target = _pfns(args.src[block]), _pfns(args.dst[block])
        _replace_moved(args, block, source, target)
        memory.flags[source[source != 0]] &= ~_IN_USE
        memory.flags[target[target != 0]] &= ~np.uint8(FrameFlag.LOCKED)
        memory.put(source[source != 0])
        memory.put(target[target != 0])
    if args in args.mm.migrations:
        args.mm.migrations.remove(args)
    args.mm.migration_finished()


def _replace_moved(args: MigrateVma, block: slice, source: Pfns, target: Pfns) -> None:
    memory, src = args.mm.memory, args.src[block]
    moved = np.flatnonzero(((src & np.uint64(MIGRATE)) != 0) & (source != 0) & (target != 0))
    if not len(moved):
        return
    old, new = source[moved], target[moved]
    sought = Sought(args.mm, args.vma, args.start + block.start + moved, old, held=1)
    mapped = replace_entries(sought, new, write=(src[moved] & np.uint64(WRITE)) != 0)
    memory.references[new] += mapped
    memory.references[old] -= mapped
