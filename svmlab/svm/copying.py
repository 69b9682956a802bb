"""The copy step of a migration: destination pages, DMA mappings, and batches for the copy engine."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from svmlab.errors import DriverError
from svmlab.hardware.injection import Hit
from svmlab.hardware.memory import FrameFlag, Pfns
from svmlab.hardware.sdma import Batch, Fence
from svmlab.hardware.world import Blocking
from svmlab.mm.migrate_vma import MigrateVma
from svmlab.svm import buffers
from svmlab.svm.behaviour import option
from svmlab.svm.driver import Driver
from svmlab.svm.ranges import Range, VramBuffer
from svmlab.svm.steps import step

__all__ = ["Copying", "copy_to_ram", "copy_to_vram", "undo_copy", "wait_for_copies"]

Index = npt.NDArray[np.intp]
Mask = npt.NDArray[np.bool_]
Counts = npt.NDArray[np.uint8]


class CopyRefusedError(DriverError):
    """The copy engine did not take a batch."""


@dataclass(slots=True, eq=False)
class Copying:
    """One piece on its way.

    Attributes:
        driver, range, args: whose pages, of which range, and what migrate_vma collected.
        gpu: the GPU whose VRAM and copy engine are used, by index.
        fence: of the last batch submitted.
        fresh: RAM pages allocated for pages that come home, batch by batch.
        in_flight: frames that the engine copies, from and to; their bytes move when the fence signals.
    """

    driver: Driver
    range: Range
    args: MigrateVma
    gpu: int
    fence: Fence | None = None
    fresh: list[Pfns] = field(default_factory=list)
    in_flight: list[tuple[Pfns, Pfns]] = field(default_factory=list)

    def submit(self, index: Index, vram_pages: Pfns, *, source: Pfns, target: Pfns) -> None:
        """Hand one batch to the copy engine.

        Raises:
            DriverError: the engine refuses it.
        """
        args = self.args
        batch = Batch(args.start + int(index[0]), int(vram_pages[0]), len(index), args.from_ram)
        if hit := self.driver.faults.first("copy", gpu=self.gpu):
            self.driver.emit(
                "copy_failed",
                batch.page,
                batch.page + batch.npages - 1,
                gpu=self.gpu,
                to_vram=int(batch.to_vram),
                vram_page=batch.vram_page,
                npages=batch.npages,
                error=hit.errno,
            )
            raise CopyRefusedError(hit.errno, f"the copy engine of gpu{self.gpu} was told to fail")
        self.fence = self.driver.rings[self.gpu].submit(batch, self.driver.now)
        self.in_flight.append((source, target))


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
    buffer, vram_pages, nodes = yield from _place_in_vram(copying)
    driver.behaviour.vram_page_zero(int(vram_pages[0]))
    step(driver, 3, args)
    source, target = args.source_pfns(), vram_pages + np.uint32(driver.memory.vram_base[copying.gpu])
    copied = np.flatnonzero(driver.behaviour.holes(args.collected, source))
    placed = np.flatnonzero(args.collected)
    error: DriverError | None = None
    for index, final in _batches(copied, vram_pages, nodes):
        try:
            _map_for_dma(copying, len(index))
            copying.submit(index, vram_pages[index], source=source[index], target=target[index])
        except CopyRefusedError as refused:
            # the posting's clean-up starts below the current page, which is entered only where a batch is not the last
            placed, error = driver.behaviour.copy_cleanup(index[:0] if final else index[-1:]), refused
            break
        except DriverError as failure:
            placed, error = index[:0], failure
            break
    _place(copying, placed, target[placed], buffer.number)
    if error is not None:
        raise error
    if buffer.cleared:
        driver.memory.clear(target[np.setdiff1d(placed, copied, assume_unique=True)])
    yield driver.world.delay(len(copied) * driver.costs.dma_map_page_ns)


def _place_in_vram(copying: Copying) -> Blocking[tuple[VramBuffer, Pfns, Index]]:
    """The VRAM buffer of the range, and VRAM page and node of every page of the piece."""
    driver, range_, args = copying.driver, copying.range, copying.args
    buffer = yield from buffers.attach(driver, range_, copying.gpu)
    vram_pages, nodes = buffer.place(driver.behaviour.piece_place(range_, args), args.npages)
    target = vram_pages[args.collected] + np.uint32(driver.memory.vram_base[copying.gpu])
    if not driver.behaviour.buffer_reuse(driver.memory.references[target]):
        buffer = yield from buffers.replace(driver, range_, copying.gpu)
        vram_pages, nodes = buffer.place(driver.behaviour.piece_place(range_, args), args.npages)
    return buffer, vram_pages, nodes


@option("buffer_reuse", "always")
def _whoever_is_there(references: Counts) -> bool:
    return True


@option("buffer_reuse", "if-free")
def _only_where_nobody_is(references: Counts) -> bool:
    return not references.any()


def _batches(index: Index, vram_pages: Pfns, nodes: npt.NDArray[Any]) -> Iterator[tuple[Index, bool]]:
    """Cut pages into batches at VRAM node borders and where pages are left out; tells which batch is the last."""
    if not len(index):
        return
    ends = (np.diff(index) != 1) | (np.diff(nodes[index]) != 0) | (np.diff(vram_pages[index].astype(np.int64)) != 1)
    cuts = np.flatnonzero(ends) + 1
    edges = [0, *cuts.tolist(), len(index)]
    for begin, end in pairwise(edges):
        yield index[begin:end], end == len(index)


def _map_for_dma(copying: Copying, npages: int) -> None:
    if hit := copying.driver.faults.first("dma_map", npages, gpu=copying.gpu):
        copying.driver.emit("dma_map", copying.args.start, copying.args.last, npages=hit.index, error=hit.errno)
        raise DriverError(hit.errno, "mapping a page for DMA was told to fail")


def _place(copying: Copying, index: Index, target: Pfns, buffer: int) -> None:
    """Enter VRAM pages as destinations: referenced, locked, owned by the buffer."""
    memory = copying.driver.memory
    memory.references[target] += 1
    memory.flags[target] |= np.uint8(FrameFlag.LOCKED)
    memory.owner[target] = buffer
    copying.driver.behaviour.buffer_life(copying.driver.system, target, taken=True)
    copying.args.set_targets(index, target)


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


def copy_to_ram(copying: Copying) -> Blocking[None]:
    """Give every page that comes home a RAM page and copy what it holds.

    1. choose the entries to look at
    2. allocate RAM pages and map them for DMA, run by run
    3. submit each run: pages that are contiguous in VRAM

    Raises:
        DriverError: ENOMEM, EIO; submitted copies stay in flight, and ``undo_copy`` gives the RAM pages back.

    Slots: home_walk
    Kernel: svm_migrate_copy_to_ram (kfd_migrate.c)
    """
    driver, args = copying.driver, copying.args
    source = args.source_pfns()
    walk = driver.behaviour.home_walk(args)
    step(driver, 2, args)
    empty = np.flatnonzero(source[walk] == 0)
    usable = walk[: int(empty[0])] if len(empty) else walk
    vram_pages = source - np.uint32(driver.memory.vram_base[copying.gpu])
    for index, final in _batches(usable, vram_pages, np.zeros(args.npages, np.int8)):
        _ram_pages(copying, len(index))
        if final and len(empty):
            break
        if not copying.in_flight:
            step(driver, 3, args)
        copying.submit(index, vram_pages[index], source=source[index], target=copying.fresh[-1])
    if len(empty):
        raise DriverError(errno.ENOMEM, "an entry without a page was found on the way home")
    args.set_targets(usable, np.concatenate(copying.fresh) if copying.fresh else np.zeros(0, np.uint32))
    yield driver.world.delay(len(usable) * (driver.costs.ram_alloc_page_ns + driver.costs.dma_map_page_ns))


def _ram_pages(copying: Copying, npages: int) -> None:
    """RAM pages for one run, each allocated and mapped before the next; an error leaves the ones before it."""
    driver = copying.driver
    failed = driver.faults.first_of(("ram_alloc", "dma_map"), npages, gpu=copying.gpu)
    fault, hit = failed or ("ram_alloc", Hit(npages, 0))
    try:
        copying.fresh.append(driver.memory.alloc_ram(hit.index, zero=False))
        if failed:
            raise DriverError(hit.errno, f"{fault} was told to fail")
    except DriverError as error:
        driver.emit(fault, copying.args.start, copying.args.last, npages=hit.index, error=error.errno)
        raise


def undo_copy(copying: Copying) -> Blocking[None]:
    """After a failed copy step on the way home: give back the RAM pages that nobody will name.

    Slots: copy_undo
    """
    if copying.fresh:
        yield from copying.driver.behaviour.copy_undo(copying)


@option("copy_undo", "at-once")
def _give_back(copying: Copying) -> Blocking[None]:
    pages = np.concatenate(copying.fresh)
    if len(pages):
        copying.driver.memory.put(pages)
        copying.driver.emit("put_ram_pages", copying.args.start, copying.args.last, npages=len(pages))
    yield from ()


@option("copy_undo", "after-copies")
def _give_back_later(copying: Copying) -> Blocking[None]:
    """A page that the engine still writes must not become somebody else's."""
    if copying.fence is not None:
        yield from wait_for_copies(copying)
        copying.fence, copying.in_flight = None, []
    yield from _give_back(copying)


@option("home_walk", "first-entries")
def _first_entries(args: MigrateVma) -> Index:
    return np.arange(args.cpages)


@option("home_walk", "all-entries")
def _all_entries(args: MigrateVma) -> Index:
    return np.flatnonzero(args.source_pfns() != 0)


def wait_for_copies(copying: Copying) -> Blocking[DriverError | None]:
    """Wait for the last fence; the bytes of what was in flight have moved then.

    Returns:
        The error of the fence, or None.

    Kernel: svm_migrate_copy_done (kfd_migrate.c)
    """
    driver, fence = copying.driver, copying.fence
    hit = driver.faults.first("fence", gpu=copying.gpu) if fence is not None else None
    if fence is not None:
        yield driver.world.delay(max(0, fence.ready_ns - driver.now) + driver.costs.fence_wait_ns)
    driver.emit("fence_wait", copying.args.start, copying.args.last, error=hit.errno if hit else 0)
    if hit:
        return DriverError(hit.errno, f"the copies of gpu{copying.gpu} did not finish")
    if copying.in_flight:
        driver.memory.copy(*(np.concatenate(side) for side in zip(*copying.in_flight, strict=True)))
    return None
