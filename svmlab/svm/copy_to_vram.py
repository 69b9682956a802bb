"""The copy step on the way to VRAM: where the pages go, and what is copied there."""

from __future__ import annotations

import errno
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from svmlab.errors import DriverError
from svmlab.hardware.frames import Frames, part
from svmlab.hardware.memory import Memory, Pfns
from svmlab.hardware.world import Blocking
from svmlab.mm.migrate_block import Block
from svmlab.mm.migrate_vma import MigrateVma
from svmlab.svm import buffers
from svmlab.svm.behaviour import option
from svmlab.svm.copying import Copying, CopyRefusedError, Index, batches, ends, map_for_dma
from svmlab.svm.ranges import Range, VramBuffer, VramPiece
from svmlab.svm.steps import step

__all__ = ["copy_to_vram"]

Mask = npt.NDArray[np.bool_]


def copy_to_vram(copying: Copying) -> Blocking[None]:
    """Give every collected page a page of the range's VRAM and copy what it holds.

    1. get the VRAM buffer of the range and the place of this piece in it
    2. map the source pages for DMA, batch by batch
    3. submit each batch: a run of pages that is contiguous in VRAM
    4. on an error, undo the destinations

    Raises:
        DriverError: ENOMEM, EIO; submitted copies stay in flight.

    Slots: piece_place, buffer_reuse, vram_page_zero, holes, copy_cleanup
    Kernel: svm_migrate_copy_to_vram (kfd_migrate.c)
    """
    driver, args = copying.driver, copying.args
    step(driver, 2, args)
    buffer, offset = yield from _place_in_vram(copying)
    driver.behaviour.vram_page_zero(buffer.page(offset))
    step(driver, 3, args)
    copied, placed = 0, None
    error: DriverError | None = None
    for run, final in batches(_runs_to_vram(copying, buffer, offset)):
        try:
            map_for_dma(copying, run.npages)
            copying.submit(run)
        except CopyRefusedError as refused:
            # the posting's clean-up starts below the current page, which is entered only where a batch is not the last
            current = np.array([] if final else [run.at + run.npages - 1], np.intp)
            placed, error = driver.behaviour.copy_cleanup(current), refused
            break
        except DriverError as failure:
            placed, error = np.zeros(0, np.intp), failure
            break
        _take_off(copying, run)
        copied += run.npages
    for block in args.blocks:
        _place(copying, buffer, block, block.at + offset, placed)
    if error is not None:
        raise error
    yield from driver.world.sleep(copied * driver.costs.dma_map_page_ns)


def _take_off(copying: Copying, run: VramPiece) -> None:
    """The bytes of a batch on their way to VRAM, block by block."""
    target = copying.vram_base + run.vram_page
    for block, pages in copying.args.parts(run.at, run.npages):
        npages = pages.stop - pages.start
        copying.in_flight.append((part(block.source, pages), range(target, target + npages)))
        target += npages


def _runs_to_vram(copying: Copying, buffer: VramBuffer, offset: int) -> Iterator[VramPiece]:
    """What is to be copied, as runs that end with their block at the latest."""
    for block in copying.args.blocks:
        if block.whole:
            yield from buffer.pieces(offset + block.at, block.npages, at=block.at)
        else:
            yield from _scattered_runs(copying, buffer, block, offset + block.at)


def _scattered_runs(copying: Copying, buffer: VramBuffer, block: Block, offset: int) -> Iterator[VramPiece]:
    index = _copied(copying, block)
    vram_pages, nodes = buffer.place(offset, block.npages)
    for first, last in ends(index, vram_pages, nodes):
        yield VramPiece(block.at + first, int(vram_pages[first]), last - first + 1, int(nodes[first]))


def _copied(copying: Copying, block: Block) -> Index:
    """Which pages of a block are copied."""
    return np.flatnonzero(copying.driver.behaviour.holes(block.collected(), block.sources()))


def _place_in_vram(copying: Copying) -> Blocking[tuple[VramBuffer, int]]:
    """The VRAM buffer of the range, and the place of this piece in it.

    It is a new one where somebody else still has pages in the places of this piece.
    """
    driver, range_, args = copying.driver, copying.range, copying.args
    buffer = yield from buffers.attach(driver, range_, copying.gpu)
    offset = driver.behaviour.piece_place(range_, args)
    for block in args.blocks:
        target = part(buffer.frames(copying.vram_base, offset + block.at, block.npages), _chosen(block))
        if not driver.behaviour.buffer_reuse(driver.memory, target):
            buffer = yield from buffers.replace(driver, range_, copying.gpu)
            return buffer, driver.behaviour.piece_place(range_, args)
    return buffer, offset


def _chosen(block: Block) -> Index | slice:
    """The pages of a block that were collected."""
    return slice(0, block.npages) if block.carried is True else np.flatnonzero(block.collected())


@option("buffer_reuse", "always")
def _whoever_is_there(memory: Memory, frames: Frames) -> bool:
    return True


@option("buffer_reuse", "if-free")
def _only_where_nobody_is(memory: Memory, frames: Frames) -> bool:
    return not memory.used(frames)


def _place(copying: Copying, buffer: VramBuffer, block: Block, offset: int, only: Index | None) -> None:
    """Enter VRAM pages as destinations: claimed for the buffer, and cleared where nothing is copied.

    Args:
        copying, buffer, block: whose pages, and where to.
        offset: place of the block in the buffer.
        only: pages that a failed copy leaves in place, counted from the piece's start; None: nothing failed.
    """
    chosen = _chosen(block) if only is None else only[(only >= block.at) & (only < block.at + block.npages)] - block.at
    target = part(buffer.frames(copying.vram_base, offset, block.npages), chosen)
    if not len(target):
        return
    memory = copying.driver.memory
    memory.claim(target, buffer.number)
    copying.driver.behaviour.buffer_life(copying.driver.system, target, taken=True)
    block.aim(target, None if isinstance(chosen, slice) else chosen)
    if only is None and buffer.cleared and not block.whole:
        zeroed = np.setdiff1d(np.arange(block.npages)[chosen], _copied(copying, block), assume_unique=True)
        memory.clear(block.targets()[zeroed])


@option("piece_place", "restart")
def _at_the_start(range_: Range, args: MigrateVma) -> int:
    return range_.offset


@option("piece_place", "own-place")
def _at_its_place(range_: Range, args: MigrateVma) -> int:
    return range_.offset + args.start - range_.start


@option("vram_page_zero", "error")
def _zero_is_an_error(page: int) -> None:
    if page == 0:
        raise DriverError(errno.ENOMEM, "the buffer begins at VRAM address 0")


@option("vram_page_zero", "fine")
def _zero_is_a_page(page: int) -> None:
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
