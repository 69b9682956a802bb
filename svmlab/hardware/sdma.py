"""The copy engine that migration uses: one ring per GPU, jobs in order, 512-page windows through the GART."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from svmlab.hardware.costs import Costs
from svmlab.hardware.machine import Machine
from svmlab.log import Log
from svmlab.units import PAGE_SIZE

__all__ = ["Batch", "Fence", "SdmaRing"]


@dataclass(frozen=True, slots=True)
class Batch:
    """A run of pages that is contiguous in VRAM; the RAM side is gathered by the GART.

    Attributes:
        page: first virtual page.
        vram_page: first page of VRAM, counted from the GPU's VRAM.
        npages: how many.
        to_vram: the direction.
    """

    page: int
    vram_page: int
    npages: int
    to_vram: bool


@dataclass(frozen=True, slots=True)
class Fence:
    """Signals when a job is done; the ring is ordered, so it stands for every earlier job too.

    Attributes:
        ready_ns: virtual time at which it signals.
    """

    ready_ns: int


class SdmaRing:
    """The ring of one GPU; submitting returns at once.

    Args:
        machine: where it is.
        gpu: whose ring it is, by GPU index.
        costs: the cost model.
        log: where batches and windows are written.

    Attributes:
        free_at_ns: when the last job that was queued will be done.

    Kernel: svm_migrate_copy_memory_gart (kfd_migrate.c)
    """

    def __init__(self, machine: Machine, gpu: int, costs: Costs, log: Log) -> None:
        self.machine, self.gpu, self.costs, self.log = machine, gpu, costs, log
        self.free_at_ns = 0

    def submit(self, batch: Batch, now_ns: int) -> Fence:
        """Queue one batch: for each window of 512 pages a GART update and a copy.

        Windows are counted from the start of the batch, not from an aligned address. An empty batch is no job.

        Args:
            batch: what to copy.
            now_ns: the time.

        Returns:
            The fence of its last job.

        >>> from svmlab.hardware.machine import Machine
        >>> log = Log()
        >>> ring = SdmaRing(Machine.find("toy"), 0, Costs.load(), log)
        >>> fence = ring.submit(Batch(page=100, vram_page=24, npages=600, to_vram=True), 0)
        >>> log.field("copy_window", "npages").tolist(), fence.ready_ns == ring.free_at_ns
        ([512, 88], True)
        """
        if not batch.npages:
            return Fence(max(now_ns, self.free_at_ns))
        window = self.costs.copy_window_pages
        first = np.arange(0, batch.npages, window, dtype=np.int64)
        sizes = np.minimum(window, batch.npages - first)
        durations = (
            self.costs.gart_update_ns
            + self.costs.sdma_job_ns
            + self.costs.copy_ns(self.machine, self.gpu, to_vram=batch.to_vram, nbytes=sizes * PAGE_SIZE)
        )
        ends = max(now_ns, self.free_at_ns) + np.cumsum(durations)
        begins = ends - durations
        self.free_at_ns = int(ends[-1])
        copy = self.log.emit(
            "copy",
            batch.page,
            batch.page + batch.npages - 1,
            time_ns=int(begins[0]),
            gpu=self.gpu,
            to_vram=int(batch.to_vram),
            vram_page=batch.vram_page,
            npages=batch.npages,
            duration_ns=int(ends[-1] - begins[0]),
        )
        with self.log.because(copy):
            self.log.extend(
                "copy_window",
                begins,
                start=batch.page + first,
                last=batch.page + first + sizes - 1,
                gpu=self.gpu,
                to_vram=int(batch.to_vram),
                vram_page=batch.vram_page + first,
                npages=sizes,
                duration_ns=durations,
            )
        return Fence(self.free_at_ns)
