"""The copy step on the way to VRAM: where the pages go, and what is copied there."""

from __future__ import annotations

import errno

import numpy as np
import numpy.typing as npt

from svmlab.errors import DriverError
from svmlab.hardware.frames import Frames, array_of, part
from svmlab.hardware.memory import Memory, Pfns
from svmlab.hardware.world import Blocking
from svmlab.mm.migrate_block import Block
from svmlab.mm.migrate_vma import MigrateVma
from svmlab.svm import buffers
from svmlab.svm.behaviour import option
from svmlab.svm.copying import CopyRefusedError, Index, Piece, ends, go_on, map_for_dma
from svmlab.svm.ranges import Range
from svmlab.svm.steps import ALLOCATE, COPY
from svmlab.svm.vram_buffer import VramBuffer, VramPiece, frames_of

__all__ = ["copy_to_vram"]

Mask = npt.NDArray[np.bool_]
Place = tuple[Block, list[VramPiece], Index | None, Frames]
"""A block, where in VRAM its pages would go, which of them were collected (None: all), and the frames for these."""


def copy_to_vram(piece: Piece) -> Blocking[None]:
    """Give every collected page a page of the range's VRAM and copy what it holds.

    1. get the VRAM buffer of the range and the place of each block in it; a new buffer where somebody else still has
       pages in these places
    2. map the source pages for DMA, batch by batch
    3. submit each batch: a run of pages that is contiguous in VRAM
    4. on an error, undo the destinations

    Raises:
        DriverError: ENOMEM, EIO; submitted copies stay in flight.

    Slots: piece_place, buffer_reuse, vram_page_zero, holes, copy_cleanup
    Kernel: svm_migrate_copy_to_vram (kfd_migrate.c)
    """
    driver = piece.driver
    driver.emit.step(piece.args.start, piece.args.last, text=ALLOCATE, number=2)
    buffer = yield from buffers.attach(driver, piece.range, piece.gpu)
    places = _places(piece, buffer)
    if not driver.behaviour.buffer_reuse(driver.memory, places):
        buffer = yield from buffers.replace(driver, piece.range, piece.gpu)
        places = _places(piece, buffer)
    driver.behaviour.vram_page_zero(places)
    driver.emit.step(piece.args.start, piece.args.last, text=COPY, number=3)
    copied, placed = 0, None
    error: DriverError | None = None
    runs = _runs_to_vram(piece, places)
    for run in runs:
        try:
            map_for_dma(piece, run.npages)
            piece.submit(run)
        except CopyRefusedError as refused:
            # the posting's clean-up starts below the current page, which is entered only where a batch is not the last
            current = np.array([] if run is runs[-1] else [run.at + run.npages - 1], np.intp)
            placed, error = driver.behaviour.copy_cleanup(current), refused
            break
        except DriverError as failure:
            placed, error = np.zeros(0, np.intp), failure
            break
        _take_off(piece, run)
        copied += run.npages
    for place in places:
        _enter(piece, buffer, place, placed)
    if error is not None:
        raise error
    yield from driver.world.sleep(copied * driver.costs.dma_map_page_ns)


def _places(piece: Piece, buffer: VramBuffer) -> list[Place]:
    offset, places = piece.driver.behaviour.piece_place(piece.range, piece.args), []
    for block in piece.args.blocks:
        there = buffer.pieces(offset + block.at, block.npages, at=block.at)
        chosen = None if block.carried is True else np.flatnonzero(block.collected())
        places.append((block, there, chosen, part(frames_of(there, piece.vram_base), chosen)))
    return places


def _runs_to_vram(piece: Piece, places: list[Place]) -> list[VramPiece]:
    """What is to be copied, as runs that are contiguous in VRAM."""
    runs: list[VramPiece] = []
    for block, there, _, _ in places:
        go_on(runs, there if block.whole else _scattered_runs(piece, block, there))
    return runs


def _scattered_runs(piece: Piece, block: Block, there: list[VramPiece]) -> list[VramPiece]:
    vram_pages = array_of(frames_of(there, 0))
    nodes = np.repeat([each.node for each in there], [each.npages for each in there])
    return [
        VramPiece(block.at + first, int(vram_pages[first]), last - first + 1, int(nodes[first]))
        for first, last in ends(_copied(piece, block), vram_pages, nodes)
    ]


def _copied(piece: Piece, block: Block) -> Index:
    """Which pages of a block are copied."""
    return np.flatnonzero(piece.driver.behaviour.holes(block.collected(), block.sources()))


def _take_off(piece: Piece, run: VramPiece) -> None:
    """The bytes of a batch on their way to VRAM, block by block."""
    if piece.driver.memory.bytes is None:
        return
    target = piece.vram_base + run.vram_page
    for block, pages in piece.args.parts(run.at, run.npages):
        behind = target + pages.stop - pages.start
        piece.in_flight.append((part(block.source, pages), range(target, behind)))
        target = behind


def _enter(piece: Piece, buffer: VramBuffer, place: Place, only: Index | None) -> None:
    """Enter VRAM pages as destinations: claimed for the buffer, and cleared where nothing is copied.

    Args:
        piece, buffer, place: whose pages, and where to.
        only: pages that a failed copy leaves in place, counted from the piece's start; None: nothing failed.
    """
    driver, (block, there, chosen, target) = piece.driver, place
    if only is not None:
        chosen = only[(only >= block.at) & (only < block.at + block.npages)] - block.at
        target = part(frames_of(there, piece.vram_base), chosen)
    if not len(target):
        return
    driver.memory.claim(target, buffer.number)
    driver.behaviour.buffer_life(driver.system, target, taken_by=buffer)
    block.aim(target, chosen)
    if only is None and buffer.cleared and not block.whole:
        collected = np.arange(block.npages) if chosen is None else chosen
        zeroed = np.setdiff1d(collected, _copied(piece, block), assume_unique=True)
        driver.memory.clear(block.targets()[zeroed])


@option("buffer_reuse", "always")
def _whoever_is_there(memory: Memory, places: list[Place]) -> bool:
    return True


@option("buffer_reuse", "if-free")
def _only_where_nobody_is(memory: Memory, places: list[Place]) -> bool:
    for _, _, _, target in places:  # noqa: SIM110  # most pieces have one block, and a generator for it costs more
        if memory.used(target):
            return False
    return True


@option("piece_place", "restart")
def _at_the_start(range_: Range, args: MigrateVma) -> int:
    return range_.offset


@option("piece_place", "own-place")
def _at_its_place(range_: Range, args: MigrateVma) -> int:
    return range_.offset + args.start - range_.start


@option("vram_page_zero", "error")
def _zero_is_an_error(places: list[Place]) -> None:
    _, there, *_ = places[0]
    if there[0].vram_page == 0:
        raise DriverError(errno.ENOMEM, "the buffer begins at VRAM address 0")


@option("vram_page_zero", "fine")
def _zero_is_a_page(places: list[Place]) -> None:
    """An address like any other."""


@option("holes", "as-pages")
def _holes_too(collected: Mask, source: Pfns) -> Mask:
    return collected


@option("holes", "zeroed")
def _without_holes(collected: Mask, source: Pfns) -> Mask:
    copied: Mask = collected & (source != 0)
    return copied


@option("copy_cleanup", "below-index")
def _current_page_stays(current: Index) -> Index:
    return current


@option("copy_cleanup", "all")
def _nothing_stays(current: Index) -> Index:
    return current[:0]
