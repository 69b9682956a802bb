"""What the copy steps of both directions share: batches for the copy engine, and the wait for what is in flight."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from svmlab.errors import DriverError
from svmlab.hardware.frames import Frames, Pfns
from svmlab.hardware.sdma import Batch
from svmlab.hardware.world import Blocking
from svmlab.mm.migrate_vma import MigrateVma
from svmlab.svm.driver import Driver
from svmlab.svm.ranges import Range
from svmlab.svm.vram_buffer import VramPiece

__all__ = ["CopyRefusedError", "Index", "Piece", "ends", "go_on", "map_for_dma", "wait_for_copies"]

Index = npt.NDArray[np.intp]
Mask = npt.NDArray[np.bool_]
Counts = npt.NDArray[np.uint8]


class CopyRefusedError(DriverError):
    """The copy engine did not take a batch."""


@dataclass(slots=True, eq=False)
class Piece:
    """One piece on its way: the part of a range that lies in one VMA.

    Attributes:
        driver, range, args: whose pages, of which range, and what migrate_vma collects.
        gpu: the GPU whose VRAM and copy engine are used, by index.
        vram_base: first pfn of its VRAM.
        moved: how many pages moved, whether the migration failed or not.
        fence_ns: when the fence of the last batch submitted signals.
        fresh: RAM pages allocated for pages that come home, batch by batch.
        in_flight: frames that the engine copies, from and to; their bytes move when the fence signals.
    """

    driver: Driver
    range: Range
    args: MigrateVma
    gpu: int
    vram_base: int
    moved: int = 0
    fence_ns: int | None = None
    fresh: list[Pfns] = field(default_factory=list)
    in_flight: list[tuple[Frames, Frames]] = field(default_factory=list)

    def submit(self, run: VramPiece) -> None:
        """Hand one batch to the copy engine.

        Raises:
            DriverError: the engine refuses it.
        """
        driver, gpu = self.driver, self.gpu
        batch = Batch(self.args.start + run.at, run.vram_page, run.npages, self.args.from_ram)
        if hit := driver.faults.first("copy", gpu=gpu):
            driver.emit.copy_failed(
                batch.page,
                batch.page + batch.npages - 1,
                gpu=gpu,
                to_vram=batch.to_vram,
                vram_page=batch.vram_page,
                npages=batch.npages,
                error=hit.errno,
            )
            raise CopyRefusedError(hit.errno, f"the copy engine of gpu{gpu} was told to fail")
        self.fence_ns = driver.engines[gpu].buffer_funcs.submit(batch, driver.now)


def ends(index: Index, vram_pages: Pfns, nodes: Index | None = None) -> Iterator[tuple[int, int]]:
    """First and last page of every run: cut where pages are left out, and at the borders of VRAM nodes."""
    if not len(index):
        return
    cuts = (np.diff(index) != 1) | (np.diff(vram_pages[index].astype(np.int64)) != 1)
    if nodes is not None:
        cuts |= np.diff(nodes[index]) != 0
    edges = np.flatnonzero(cuts)
    starts, ends = index[np.concatenate(([0], edges + 1))], index[np.concatenate((edges, [len(index) - 1]))]
    yield from zip(starts.tolist(), ends.tolist(), strict=True)


def go_on(runs: list[VramPiece], more: list[VramPiece]) -> None:
    """Append the runs of the next block; one that a block's border cut is a single one.

    >>> runs = [VramPiece(0, 10, 2)]
    >>> go_on(runs, [VramPiece(2, 12, 3), VramPiece(5, 40, 1)])
    >>> [(run.at, run.npages) for run in runs]
    [(0, 5), (5, 1)]
    """
    if runs and more and more[0].follows(runs[-1]):
        before, first = runs.pop(), more[0]
        more = [VramPiece(before.at, before.vram_page, before.npages + first.npages, before.node), *more[1:]]
    runs += more


def map_for_dma(piece: Piece, npages: int) -> None:
    """Make pages known to the copy engine.

    Raises:
        DriverError: a page was told to fail.
    """
    if hit := piece.driver.faults.first("dma_map", npages, gpu=piece.gpu):
        piece.driver.emit.dma_map(piece.args.start, piece.args.last, npages=hit.index, error=hit.errno)
        raise DriverError(hit.errno, "mapping a page for DMA was told to fail")


def wait_for_copies(piece: Piece) -> Blocking[DriverError | None]:
    """Wait for the last fence; the bytes of what was in flight have moved then.

    Returns:
        The error of the fence, or None.

    Kernel: svm_migrate_copy_done (kfd_migrate.c)
    """
    driver, hit = piece.driver, None
    if piece.fence_ns is not None:
        hit = driver.faults.first("fence", gpu=piece.gpu)
        duration = max(0, piece.fence_ns - driver.now) + driver.costs.fence_wait_ns
        yield from driver.world.sleep(duration, "while copies are under way")
    driver.emit.fence_wait(piece.args.start, piece.args.last, error=hit.errno if hit else 0)
    if hit:
        return DriverError(hit.errno, f"the copies of gpu{piece.gpu} did not finish")
    for source, target in piece.in_flight:
        driver.memory.copy(source, target)
    return None
