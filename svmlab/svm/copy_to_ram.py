"""The copy step on the way home: RAM pages for what comes, and giving them back where it fails."""

from __future__ import annotations

import errno

import numpy as np

from svmlab.errors import DriverError
from svmlab.hardware.frames import Pfns
from svmlab.hardware.injection import Hit
from svmlab.hardware.world import Blocking
from svmlab.mm.migrate_block import Block
from svmlab.mm.migrate_vma import MigrateVma
from svmlab.svm.behaviour import option
from svmlab.svm.copying import Index, Piece, ends, go_on, wait_for_copies
from svmlab.svm.steps import ALLOCATE, COPY
from svmlab.svm.vram_buffer import VramPiece

__all__ = ["copy_to_ram", "undo_copy"]


def copy_to_ram(piece: Piece) -> Blocking[None]:
    """Give every page that comes home a RAM page and copy what it holds.

    1. choose the entries to look at
    2. allocate RAM pages and map them for DMA, run by run
    3. submit each run: pages that are contiguous in VRAM

    Raises:
        DriverError: ENOMEM, EIO; submitted copies stay in flight, and ``undo_copy`` gives the RAM pages back.

    Slots: home_walk
    Kernel: svm_migrate_copy_to_ram (kfd_migrate.c)
    """
    driver, args = piece.driver, piece.args
    driver.emit.step(args.start, args.last, text=ALLOCATE, number=2)
    walk, stopped = _walk_home(piece)
    homes: list[tuple[VramPiece, Pfns]] = []
    runs: list[VramPiece] = []
    for block, index in walk:
        go_on(runs, _runs_home(piece, block, index))
    for run in runs:
        _ram_pages(piece, run.npages)
        if stopped and run is runs[-1]:
            break
        if not homes:
            driver.emit.step(args.start, args.last, text=COPY, number=3)
        piece.submit(run)
        homes.append((run, piece.fresh[-1]))
        first = piece.vram_base + run.vram_page
        piece.in_flight.append((range(first, first + run.npages), piece.fresh[-1]))
    if stopped:
        raise DriverError(errno.ENOMEM, "an entry without a page was found on the way home")
    for run, pfns in homes:
        _aim_home(args, run, pfns)
    npages = sum(run.npages for run, _ in homes)
    yield from driver.world.sleep(npages * (driver.costs.ram_alloc_page_ns + driver.costs.dma_map_page_ns))


def _walk_home(piece: Piece) -> tuple[list[tuple[Block, Index | None]], bool]:
    """Which pages of each block to bring home (None: all), up to an entry without a page, and whether there is one."""
    walk: list[tuple[Block, Index | None]] = []
    for block in piece.args.blocks:
        index = piece.driver.behaviour.home_walk(piece.args, block)
        empty = np.flatnonzero(block.sources()[index] == 0) if index is not None else np.zeros(0, np.intp)
        if index is not None and len(empty):
            return [*walk, (block, index[: int(empty[0])])], True
        walk.append((block, index))
    return walk, False


def _runs_home(piece: Piece, block: Block, index: Index | None) -> list[VramPiece]:
    if index is None and isinstance(block.source, range):
        return [VramPiece(block.at, block.source.start - piece.vram_base, block.npages)]
    vram_pages = block.sources() - np.uint32(piece.vram_base)
    return [
        VramPiece(block.at + first, int(vram_pages[first]), last - first + 1)
        for first, last in ends(np.arange(block.npages) if index is None else index, vram_pages)
    ]


def _aim_home(args: MigrateVma, run: VramPiece, pfns: Pfns) -> None:
    """Enter RAM pages as destinations."""
    done = 0
    for block, pages in args.parts(run.at, run.npages):
        npages = pages.stop - pages.start
        block.aim(pfns[done : done + npages], np.arange(pages.start, pages.stop))
        done += npages


def _ram_pages(piece: Piece, npages: int) -> None:
    """RAM pages for one run, each allocated and mapped before the next; an error leaves the ones before it."""
    driver = piece.driver
    failed = driver.faults.first_of(("ram_alloc", "dma_map"), npages, gpu=piece.gpu)
    fault, hit = failed or ("ram_alloc", Hit(npages, 0))
    try:
        piece.fresh.append(driver.memory.alloc_ram(hit.index, zero=False))
        if failed:
            raise DriverError(hit.errno, f"{fault} was told to fail")
    except DriverError as error:
        driver.emit(fault, piece.args.start, piece.args.last, npages=hit.index, error=error.errno)
        raise


def undo_copy(piece: Piece) -> Blocking[None]:
    """After a failed copy step on the way home: give back the RAM pages that nobody will name.

    Slots: copy_undo
    """
    if piece.fresh:
        yield from piece.driver.behaviour.copy_undo(piece)


@option("copy_undo", "at-once")
def _give_back(piece: Piece) -> Blocking[None]:
    pages = np.concatenate(piece.fresh)
    if len(pages):
        piece.driver.memory.put(pages)
        piece.driver.emit.put_ram_pages(piece.args.start, piece.args.last, npages=len(pages))
    yield from ()


@option("copy_undo", "after-copies")
def _give_back_later(piece: Piece) -> Blocking[None]:
    """A page that the engine still writes must not become somebody else's."""
    if piece.fence_ns is not None:
        yield from wait_for_copies(piece)
        piece.fence_ns, piece.in_flight = None, []
    yield from _give_back(piece)


@option("home_walk", "first-entries")
def _first_entries(args: MigrateVma, block: Block) -> Index | None:
    """As many entries as pages were collected, whichever these were."""
    return np.arange(max(0, min(block.npages, args.cpages - block.at)))


@option("home_walk", "all-entries")
def _all_entries(args: MigrateVma, block: Block) -> Index | None:
    return None if block.whole else np.flatnonzero(block.sources())
