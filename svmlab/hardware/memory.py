"""Every page frame of the machine in one pfn space: RAM first, then the VRAM of each GPU.

Columns hold the state of the frames, one lazily touched arena their bytes: a 64 GB GPU costs nothing until it is used.
"""

from __future__ import annotations

import errno
from bisect import bisect_right
from collections.abc import Callable, Iterable
from enum import IntFlag

import numpy as np
import numpy.typing as npt
import simpy

from svmlab.errors import DriverError, InputError
from svmlab.hardware.arena import arena
from svmlab.hardware.frames import (
    PORTION_PAGES,
    AnyPfns,
    Frames,
    Pfns,
    array_of,
    breaks_of,
    compact,
    portions,
    runs_between,
    runs_of,
    where,
)
from svmlab.hardware.free_frames import FreeFrames
from svmlab.hardware.machine import Machine
from svmlab.hardware.page_column import BLOCK_PAGES
from svmlab.units import PAGE_SIZE

__all__ = ["FIRST_RAM_PFN", "RAM", "ZERO_PFN", "FrameFlag", "Memory", "Pfns", "runs_of"]

Bytes = npt.NDArray[np.uint8]

ZERO_PFN = 1
"""The shared zero page; pfn 0 names no frame."""
FIRST_RAM_PFN = 2
RAM = -1
"""What stands for RAM where the index of a GPU stands for its VRAM."""
_LARGEST_PFN = 1 << 30
_MOST_REFERENCES = 255
_WORTH_A_RUN = 8
"""Runs of this many pages on average are cheaper to copy one by one than to gather."""


class FrameFlag(IntFlag):
    """State bits of a frame (struct page flags in the kernel)."""

    LOCKED = 1
    MIGRATING = 2
    """Unmapped by migrate_vma_setup: entries that name the frame are migration entries until finalize."""
    FILE = 4
    """In the page cache of a file: it has a mapping, device memory cannot replace it."""
    PINNED = 8


class Memory:
    """RAM and every VRAM as one space of page frames.

    Attributes:
        ram_pages: frames of RAM; they are ``FIRST_RAM_PFN`` and the following.
        vram_start: first pfn of VRAM.
        vram_base: first pfn of each GPU's VRAM, by GPU index, and one past the last frame.
        references: how many page table entries, page caches, pins and migrations name each frame, shape ``(frames,)``.
        flags: ``FrameFlag`` bits, shape ``(frames,)``.
        pins: how many pins hold each frame, shape ``(frames,)``.
        pinned: how many pins there are.
        owner: number of the svm_bo a device page belongs to, 0 for none, shape ``(frames,)``.
        bytes: contents, shape ``(frames, PAGE_SIZE)``, or None without payload.
        device_page_free: called with the pfns of device pages whose last reference went (dev_pagemap_ops.page_free).
        unlocked: events of those who wait for some migration to finish.
    """

    def __init__(self, machine: Machine, *, payload: bool = True) -> None:
        self.ram_pages = machine.ram_bytes // PAGE_SIZE
        sizes = [FIRST_RAM_PFN + self.ram_pages, *(gpu.vram_bytes // PAGE_SIZE for gpu in machine.gpus)]
        self.vram_base: npt.NDArray[np.int64] = np.cumsum(sizes)
        frames = int(self.vram_base[-1])
        if frames > _LARGEST_PFN:
            raise InputError(
                f"machine {machine.name} has {frames} page frames",
                allowed=f"at most {_LARGEST_PFN} (4 TiB)",
                hint="give less with vram= or ram=",
            )
        self.references = arena((frames,), np.uint8)
        self.flags = arena((frames,), np.uint8)
        self.pins = arena((frames,), np.uint8)
        self.pinned = 0
        self.owner = arena((frames,), np.int32)
        self.bytes = arena((frames, PAGE_SIZE), np.uint8, huge=True) if payload else None
        self.device_page_free: Callable[[Frames], None] = _forget
        self.unlocked: list[simpy.Event] = []
        self._borders: list[int] = self.vram_base.tolist()
        self.vram_start = self._borders[0]
        self._free_ram = FreeFrames(self.references, FIRST_RAM_PFN, self.ram_pages)

    @property
    def ram_used(self) -> int:
        """Frames of RAM in use."""
        return self.ram_pages - self._free_ram.npages

    def first_of(self, gpu: int) -> int:
        """First pfn of a GPU's VRAM by its index, of RAM for -1, and one past the last frame for the number of GPUs."""
        return FIRST_RAM_PFN if gpu < 0 else self._borders[gpu]

    def gpu_at(self, pfn: int) -> int:
        """Index of the GPU whose VRAM one frame lies in; -1 for RAM."""
        return bisect_right(self._borders, pfn) - 1

    def borders_of(self, home: int) -> tuple[int, int]:
        """The first frame of a GPU's VRAM, or of RAM for ``RAM``, and the one behind its last."""
        return (0, self.vram_start) if home == RAM else (self._borders[home], self._borders[home + 1])

    def gpu_of(self, pfns: AnyPfns) -> npt.NDArray[np.int16]:
        """Index of the GPU whose VRAM each frame lies in; -1 for RAM."""
        owners = np.full(pfns.shape, -1, np.int16)
        for first in self.vram_base.tolist():  # a machine has few GPUs; a search would take longer
            owners += pfns >= first
        return owners

    def home_of(self, frames: range) -> int | None:
        """Index of the GPU in whose VRAM a run of frames lies, -1 for RAM; None where it lies in two places."""
        if frames.stop <= self.vram_start:
            return RAM
        first, last = self.gpu_at(frames.start), self.gpu_at(frames.stop - 1)
        return first if first == last else None

    def is_device(self, pfns: AnyPfns) -> npt.NDArray[np.bool_]:
        """Whether each frame lies in the VRAM of some GPU."""
        device: npt.NDArray[np.bool_] = pfns >= self.vram_start
        return device

    def bits_of(self, frames: Frames) -> int:
        """The flags that any of some frames has."""
        if len(frames) == 1:
            return int(self.flags[frames[0]])
        bits: int = int(np.bitwise_or.reduce(self.flags[where(frames)]))
        return bits

    def in_vram_of(self, pfns: AnyPfns, gpus: Iterable[int]) -> npt.NDArray[np.bool_]:
        """Whether each frame lies in the VRAM of one of these GPUs (by index)."""
        inside = np.zeros(pfns.shape, bool)
        for gpu in gpus:
            inside |= (pfns >= self.vram_base[gpu]) & (pfns < self.vram_base[gpu + 1])
        return inside

    def alloc_ram(self, npages: int, *, zero: bool = True) -> Pfns:
        """Take RAM frames, each with one reference.

        Args:
            npages: how many.
            zero: whether they must read as zeros.

        Returns:
            Their numbers in ascending order, shape ``(npages,)``: the lowest that are free.

        Raises:
            DriverError: ENOMEM, there are not so many; none is taken.
        """
        if npages > self._free_ram.npages:
            raise DriverError(
                errno.ENOMEM,
                f"{npages} RAM pages are wanted, {self._free_ram.npages} are free",
                hint="a larger ram= or smaller buffers",
            )
        pfns, used_before = self._free_ram.take(npages)
        if zero:
            self.clear(pfns[:used_before])
        return pfns

    def get(self, frames: Frames, *, distinct: bool = False) -> None:
        """Add one reference to each frame; a frame named twice gets two.

        Args:
            frames: which.
            distinct: nobody is named twice, and the caller knows.

        Raises:
            DriverError: ENOMEM, a frame has as many references as can be counted; none is added.
        """
        once, times = (frames, np.uint8(1)) if distinct else _counted(frames)
        at = where(once)
        named = self.references[at]
        if isinstance(at, int):
            shared_too_often = named == _MOST_REFERENCES
        else:
            shared_too_often = (
                len(once) > 0
                and int(named.max()) + int(times.max()) > _MOST_REFERENCES
                and (named > _MOST_REFERENCES - times).any()
            )
        if shared_too_often:
            raise DriverError(errno.ENOMEM, f"a page frame cannot be shared more than {_MOST_REFERENCES} times")
        self.references[at] += times

    def put(self, frames: Frames, *, distinct: bool = False) -> None:
        """Drop one reference of each frame, two of a frame named twice; the last one frees it."""
        once, times = (frames, np.uint8(1)) if distinct else _counted(frames)
        at = where(once)
        self.references[at] -= times
        left = self.references[at]
        if isinstance(at, int):
            if not left:
                self._free(once)
        elif left.size and left.min() == 0:
            self._free(once if left.max() == 0 else array_of(once)[left == 0])

    def _free(self, gone: Frames) -> None:
        """Frames that nobody names any more, each named once."""
        if not len(gone):
            return
        if self.bits_of(gone):  # without a need, no column is written and takes memory
            self.flags[where(gone)] = 0
        device: Frames
        ram: Frames
        if isinstance(gone, range):
            device, ram = (
                range(max(gone.start, self.vram_start), gone.stop),
                range(gone.start, min(gone.stop, self.vram_start)),
            )
        else:
            on_device = self.is_device(gone)
            device, ram = gone[on_device], gone[~on_device]
        if len(device):
            self.device_page_free(device)
        self._free_ram.give_back(ram)

    def pin(self, pfns: AnyPfns) -> None:
        """Hold frames where they are; the shared zero page needs no holding."""
        real = pfns[pfns != ZERO_PFN]
        self.get(real)
        once, times = _counted(real)
        frames = where(once)
        self.pins[frames] += times
        self.pinned += len(real)
        self.flags[frames] |= np.uint8(FrameFlag.PINNED)

    def unpin(self, pfns: AnyPfns) -> None:
        """Undo one pin of each frame."""
        real = pfns[pfns != ZERO_PFN]
        once, times = _counted(real)
        self.pins[where(once)] -= times
        self.pinned -= len(real)
        self.flags[array_of(once)[self.pins[where(once)] == 0]] &= ~np.uint8(FrameFlag.PINNED)
        self.put(real)

    def copy(self, source: Frames, target: Frames) -> None:
        """Copy whole pages; runs that are contiguous on both sides are one copy each."""
        pages = self.bytes
        if pages is None:
            return
        source, target = compact(source), compact(target)
        if isinstance(source, range) and isinstance(target, range):
            pages[where(target)] = pages[where(source)]
            return
        for at in range(0, len(source), BLOCK_PAGES):
            some = slice(at, at + BLOCK_PAGES)
            self._copy_block(pages, compact(source[some]), compact(target[some]))

    def _copy_block(self, pages: Bytes, source: Frames, target: Frames) -> None:
        runs = _long_runs(*(side for side in (source, target) if not isinstance(side, range)))
        for at, count in runs or ():
            src, dst = int(source[at]), int(target[at])
            pages[dst : dst + count] = pages[src : src + count]
        if runs is not None:
            return
        if isinstance(target, range) and target.start >= self.vram_start > array_of(source).max():
            # numpy copies in between what might overlap, and what lies on one side of the border cannot
            np.take(pages[: self.vram_start], source, axis=0, out=pages[where(target)], mode="clip")
        else:
            self._copy_scattered(pages, array_of(source), array_of(target))

    def _copy_scattered(self, pages: Bytes, source: AnyPfns, target: AnyPfns) -> None:
        buffer = np.empty((PORTION_PAGES, PAGE_SIZE), np.uint8)
        for some in portions(len(source)):
            gathered = np.take(pages, source[some], axis=0, out=buffer[: len(source[some])], mode="clip")
            pages[target[some]] = gathered

    def read(self, pfns: AnyPfns, out: npt.NDArray[np.uint8]) -> None:
        """Gather the bytes of whole pages.

        Args:
            pfns: which frames, shape ``(n,)``; pfn 0 reads as zeros.
            out: where to, shape ``(n, PAGE_SIZE)``; left as it is without payload.
        """
        if self.bytes is None:
            return
        runs = _long_runs(pfns)
        for at, count in runs or ():
            first = int(pfns[at])
            out[at : at + count] = self.bytes[first : first + count]
        if runs is None:
            np.take(self.bytes, pfns, axis=0, out=out, mode="clip")

    def write(self, pfns: AnyPfns, data: npt.NDArray[np.uint8]) -> None:
        """Scatter bytes to whole pages.

        Args:
            pfns: which frames, shape ``(n,)``.
            data: what to write, shape ``(n, PAGE_SIZE)``.
        """
        if self.bytes is None:
            return
        runs = _long_runs(pfns)
        for at, count in runs or ():
            first = int(pfns[at])
            self.bytes[first : first + count] = data[at : at + count]
        if runs is None:
            self.bytes[pfns] = data

    def clear(self, pfns: AnyPfns) -> None:
        """Fill pages with zeros."""
        pages = self.bytes
        if pages is None:
            return
        for start in range(0, len(pfns), BLOCK_PAGES):
            some = pfns[start : start + BLOCK_PAGES]
            runs = _long_runs(some)
            for at, count in runs or ():
                pages[int(some[at]) : int(some[at]) + count] = 0
            if runs is None:
                pages[some] = 0


def _forget(pfns: Frames) -> None:
    """What becomes of a device page that no driver cares for."""


def _counted(frames: Frames) -> tuple[Frames, npt.NDArray[np.uint8] | np.uint8]:
    """Each frame once, and how often it is named."""
    if isinstance(frames, range) or (frames[1:] > frames[:-1]).all():
        return frames, np.uint8(1)
    once, times = np.unique(frames, return_counts=True)
    return once, times.astype(np.uint8)


def _long_runs(*columns: AnyPfns) -> list[tuple[int, int]] | None:
    """The runs of parallel columns, or None where they are so short that gathering is faster."""
    breaks, length = breaks_of(*columns), len(columns[0])
    return runs_between(breaks, length) if (len(breaks) + 1) * _WORTH_A_RUN <= max(length, _WORTH_A_RUN**2) else None
