"""The copy engines: one ring for each, jobs in order, 512-page windows through the GART."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from svmlab.hardware.costs import Costs
from svmlab.hardware.machine import Machine
from svmlab.log import Log
from svmlab.units import PAGE_SIZE

__all__ = ["Batch", "SdmaEngines", "SdmaRing"]


class Batch(NamedTuple):
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


class SdmaRing:
    """The ring of one copy engine; submitting returns at once.

    Args:
        machine: where it is.
        gpu: whose engine it is, by GPU index.
        costs: the cost model.
        log: where batches and windows are written.

    Attributes:
        free_at_ns: when the last job that was queued will be done.

    Kernel: svm_migrate_copy_memory_gart (kfd_migrate.c)
    """

    def __init__(self, machine: Machine, gpu: int, costs: Costs, log: Log) -> None:
        self.machine, self.gpu, self.costs, self.log = machine, gpu, costs, log
        self.emit = log.emitter()
        self.free_at_ns = 0
        self._known: dict[tuple[int, bool], int] = {}

    def submit(self, batch: Batch, now_ns: int) -> int:
        """Queue one batch: for each window of 512 pages a GART update and a copy.

        Windows are counted from the start of the batch, not from an aligned address. An empty batch is no job.

        Args:
            batch: what to copy.
            now_ns: the time.

        Returns:
            When the fence of its last job signals. The ring is ordered, so that it stands for every earlier job too.

        >>> from svmlab.hardware.machine import Machine
        >>> log = Log()
        >>> ring = SdmaRing(Machine.find("toy"), 0, Costs.load(), log)
        >>> fence_ns = ring.submit(Batch(page=100, vram_page=24, npages=600, to_vram=True), 0)
        >>> log.field("copy_window", "npages").tolist(), fence_ns == ring.free_at_ns
        ([512, 88], True)
        """
        begin = max(now_ns, self.free_at_ns)
        page, vram_page, npages, to_vram = batch
        if not npages:
            return begin
        last, most = page + npages - 1, self.costs.copy_window_pages
        duration = self.window_ns(npages % most, to_vram=to_vram) if npages % most else 0
        if npages >= most:
            duration += npages // most * self.window_ns(most, to_vram=to_vram)
        self.free_at_ns = begin + duration
        copy = self.emit.copy(
            page,
            last,
            time_ns=begin,
            gpu=self.gpu,
            to_vram=to_vram,
            vram_page=vram_page,
            npages=npages,
            duration_ns=duration,
        )
        if npages > most:
            self._windows(batch, begin, copy)
            return self.free_at_ns
        self.emit.copy_window(
            page,
            last,
            time_ns=begin,
            cause=copy,
            gpu=self.gpu,
            to_vram=to_vram,
            vram_page=vram_page,
            npages=npages,
            duration_ns=duration,
        )
        return self.free_at_ns

    def window_ns(self, npages: int, *, to_vram: bool) -> int:
        """How long one window takes: the update of the GART, a job, and the copy."""
        known = self._known.get((npages, to_vram))
        if known is None:
            copy_ns = self.costs.copy_ns(self.machine, self.gpu, to_vram=to_vram, nbytes=npages * PAGE_SIZE)
            known = self._known[npages, to_vram] = self.costs.gart_update_ns + self.costs.sdma_job_ns + copy_ns
        return known

    def _windows(self, batch: Batch, begin_ns: int, copy: int) -> None:
        """Write the windows of a large batch into the log, all of them at once as arrays."""
        first = np.arange(0, batch.npages, self.costs.copy_window_pages, dtype=np.int64)
        begins = begin_ns + np.arange(len(first)) * self.window_ns(self.costs.copy_window_pages, to_vram=batch.to_vram)
        sizes = np.minimum(self.costs.copy_window_pages, batch.npages - first)
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
                duration_ns=np.diff(begins, append=self.free_at_ns),
            )


class SdmaEngines:
    """The copy engines of one GPU: those for the host link first, then those for xGMI, each with a ring of its own.

    The kernel's own copies all go through the ring of engine 0 (``buffer_funcs_ring``), in either direction, however
    many engines there are; the others are for queues of the application.

    Args:
        machine: where they are.
        gpu: whose they are, by GPU index.
        costs: the cost model.
        log: where batches and windows are written.

    Attributes:
        rings: one for each engine.

    >>> from svmlab.hardware.machine import Machine
    >>> engines = SdmaEngines(Machine.find("mi300x-8"), 0, Costs.load(), Log())
    >>> len(engines.rings), engines.buffer_funcs is engines.rings[0]
    (16, True)
    """

    def __init__(self, machine: Machine, gpu: int, costs: Costs, log: Log) -> None:
        spec = machine.gpu(gpu)
        count = max(1, spec.sdma_engines + spec.sdma_xgmi_engines)
        self.rings = [SdmaRing(machine, gpu, costs, log) for _ in range(count)]

    @property
    def buffer_funcs(self) -> SdmaRing:
        """The ring of the kernel's own copies, and so of migration."""
        return self.rings[0]
