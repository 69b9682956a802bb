"""Looking without touching: where pages are, who maps them, what they hold. No fault is taken, nothing is flushed."""

from __future__ import annotations

import errno
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from svmlab.hardware.frames import Pfns, where
from svmlab.hardware.gpu import GpuEntries, PteFlag
from svmlab.hardware.memory import FrameFlag, Memory
from svmlab.mm import entries as pte
from svmlab.mm.access import Bytes, peek
from svmlab.mm.span import Span
from svmlab.svm import queries
from svmlab.svm.attributes import Request
from svmlab.svm.driver import Driver
from svmlab.svm.queue_state import QueueState
from svmlab.svm.ranges import Range
from svmlab.units import PAGE_SIZE

__all__ = ["NOWHERE", "SWAPPED", "Look"]

Places = npt.NDArray[np.int64]
"""Locations of pages, shape ``(pages,)``."""
NOWHERE = -1
SWAPPED = -2
"""Locations of pages that have no frame: not populated, or in swap."""


@dataclass(frozen=True, slots=True)
class Look:
    """Everything that can be seen of a process from outside.

    Attributes:
        driver: whose.
    """

    driver: Driver

    def locations(self, span: Span) -> Places:
        """Where each page is: 0 for RAM, a gpu id for VRAM, ``NOWHERE`` or ``SWAPPED``; shape ``(pages,)``."""
        return self._cpu_places(self.driver.mm.table.get(span.start, span.last))

    def gpu_frames(self, gpu: int, span: Span) -> Places:
        """What a GPU's page table shows for each page: a location as ``locations``; ``NOWHERE`` is no mapping."""
        device = self.driver.devices[gpu]
        return self._gpu_places(device.frames.get(span.start, span.last), device.flags.get(span.start, span.last))

    def keep(self, span: Span) -> dict[str, Callable[[], Places]]:
        """Copies of the page tables as they are now, by their owner; called, each tells locations.

        Keeping costs no more than the copies do, and what is kept has a few bytes a page: locations take longer, and
        often nobody asks.

        >>> from svmlab.svm.process import Process
        >>> p = Process("toy")
        >>> a = p.mmap("8 KiB")
        >>> kept = p.look.keep(a.span)
        >>> a[:] = 1
        >>> kept["cpu"]().tolist(), p.look.locations(a.span).tolist()
        ([-1, -1], [0, 0])
        """
        start, last = span.start, span.last
        kept: dict[str, Callable[[], Places]] = {
            "cpu": partial(self._cpu_places, self.driver.mm.table.get(start, last))
        }
        for device in self.driver.devices:
            copies = device.frames.get(start, last), device.flags.get(start, last)
            kept[f"gpu{device.gpu}"] = partial(self._gpu_places, *copies)
        return kept

    def _cpu_places(self, entries: pte.Entries) -> Places:
        places = self._places_of(pte.pfn_of(entries))
        places[(entries & pte.SWAP) != 0] = SWAPPED
        places[entries == pte.NONE] = NOWHERE
        return places

    def _gpu_places(self, frames: GpuEntries, flags: npt.NDArray[np.uint8]) -> Places:
        places = self._places_of(frames)
        places[(flags & PteFlag.VALID) == 0] = NOWHERE
        return places

    def _places_of(self, frames: Pfns) -> Places:
        ids = np.array([0, *(gpu.gpu_id for gpu in self.driver.machine.gpus)], np.int64)
        return ids[self.driver.memory.gpu_of(frames) + 1]

    def cpu_entries(self, span: Span) -> npt.NDArray[np.uint8]:
        """The ``EntryKind`` of each page's CPU page table entry, shape ``(pages,)``."""
        return pte.kinds(self.driver.mm.table.get(span.start, span.last), self.driver.memory)

    def mapped(self, span: Span) -> dict[int, npt.NDArray[np.bool_]]:
        """For each GPU (by index) whether it maps each page to the frame that holds it now, shape ``(pages,)``."""
        entries = self.driver.mm.table.get(span.start, span.last)
        frames = pte.pfn_of(entries)
        present = (entries != pte.NONE) & ((entries & pte.SWAP) == 0)
        return {
            device.gpu: self._valid(device.gpu, span) & present & (device.frames.get(span.start, span.last) == frames)
            for device in self.driver.devices
        }

    def any_mapping(self, gpu: int, span: Span) -> npt.NDArray[np.bool_]:
        """Whether a GPU maps each page to anything, shape ``(pages,)``."""
        return self._valid(gpu, span)

    def _valid(self, gpu: int, span: Span) -> npt.NDArray[np.bool_]:
        flags = self.driver.devices[gpu].flags.get(span.start, span.last)
        valid: npt.NDArray[np.bool_] = (flags & PteFlag.VALID) != 0
        return valid

    def content(self, span: Span) -> Bytes:
        """The bytes of a span as the CPU would read them, wherever the pages are."""
        for device in self.driver.devices:
            device.settle()
        return peek(self.driver.mm, span)

    def ranges(self, span: Span | None = None) -> list[Range]:
        """The registered ranges (of a span), in address order."""
        if span is None:
            return list(self.driver.svms)
        return list(self.driver.svms.overlapping(span.start, span.last))

    def attributes(self, span: Span, request: Request) -> list[tuple[int, int]]:
        """What get_attr would answer, without flushing deferred work."""
        return queries.fold(self.driver, self.driver.svms.overlapping(span.start, span.last), request)

    def actual(self, span: Span) -> list[int]:
        """The recorded actual location of every range of a span."""
        return [range_.actual_loc for range_ in self.ranges(span)]

    def queues(self, gpu: int | None = None) -> str:
        """``"running"``, ``"evicted"`` or ``"dead"``: the state of one process-device, or of them all together."""
        devices = self.driver.devices if gpu is None else [self.driver.devices[gpu]]
        if any(device.dead or device.closed for device in devices):
            return "dead"
        return QueueState.RUN.value if all(device.running for device in devices) else QueueState.EVICTED.value

    def state(self) -> QueueState:
        """Where the restore of the process stands, by the table of ``queue_state``."""
        return self.driver.queue_state

    def vram_used(self, gpu: int) -> int:
        """VRAM that SVM buffers of all processes hold on a GPU, in bytes."""
        return self.driver.vrams[gpu].used_pages * PAGE_SIZE

    def locked(self, span: Span) -> dict[str, int]:
        """How many frames are locked: of those in RAM that the CPU's table names, and of the ranges' VRAM."""
        memory = self.driver.memory
        named = pte.pfn_of(self.driver.mm.table.get(span.start, span.last))
        buffers = {range_.buffer.number: range_.buffer for range_ in self.ranges(span) if range_.buffer is not None}
        held = [where(each.frames(memory.first_of(each.gpu))) for each in buffers.values()]
        return {
            "RAM": _count_locked(memory, named[~memory.is_device(named)]),
            "VRAM": sum(_count_locked(memory, frames) for frames in held),
        }

    def counters(self, gpu: int, *, since: int = 0) -> dict[str, int]:
        """Counters of a process-device, derived from the log: pages in, pages out, faults served."""
        log, pid, own = self.driver.log, self.driver.pid, self.driver.machine.gpu(gpu).gpu_id
        ends = log.select("migrate_end", since=since, pid=pid)
        moved = log.field("migrate_end", "npages", ends)
        served = log.select("page_fault_end", since=since, pid=pid)
        served = served[log.field("page_fault_end", "error", served) != errno.EAGAIN]
        return {
            "page_in": int(moved[log.field("migrate_end", "target", ends) == own].sum()),
            "page_out": int(moved[log.field("migrate_end", "source", ends) == own].sum()),
            "faults": int(np.count_nonzero(log.field("page_fault_end", "gpu", served) == gpu)),
        }


def _count_locked(memory: Memory, frames: Any) -> int:
    return int(np.count_nonzero(memory.flags[frames] & FrameFlag.LOCKED))
