"""Every page frame of the machine in one pfn space: RAM first, then the VRAM of each GPU.

Columns hold the state of the frames, one lazily touched arena their bytes: a 64 GB GPU costs nothing until it is used.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterable
from enum import IntFlag
from typing import Any

import numpy as np
import numpy.typing as npt
import simpy

from svmlab.errors import DriverError, InputError
from svmlab.hardware.arena import arena
from svmlab.hardware.free_frames import FreeFrames
from svmlab.hardware.machine import Machine
from svmlab.hardware.page_column import BLOCK_PAGES
from svmlab.units import PAGE_SIZE

__all__ = ["FIRST_RAM_PFN", "ZERO_PFN", "FrameFlag", "Memory", "Pfns", "runs_of"]

Pfns = npt.NDArray[np.uint32]
"""Frame numbers, any shape."""
AnyPfns = npt.NDArray[np.integer[Any]]

ZERO_PFN = 1
"""The shared zero page; pfn 0 names no frame."""
FIRST_RAM_PFN = 2
_LARGEST_PFN = 1 << 30
_MOST_REFERENCES = 255
_GATHERED_PAGES = 256
"""Scattered pages move in batches that fit the cache."""
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


def runs_of(*columns: AnyPfns) -> list[tuple[int, int]]:
    """Cut parallel columns of frame numbers into runs in which each of them counts up by one.

    Returns:
        ``(offset, length)`` of every run, in order.

    >>> runs_of(np.array([5, 6, 7, 20, 21]))
    [(0, 3), (3, 2)]
    """
    length = len(columns[0])
    if length == 0:
        return []
    breaks = np.zeros(length - 1, bool)
    for column in columns:
        breaks |= column[1:] != column[:-1] + 1
    starts = np.concatenate(([0], np.flatnonzero(breaks) + 1, [length]))
    return list(zip(starts[:-1].tolist(), np.diff(starts).tolist(), strict=True))


class Memory:
    """RAM and every VRAM as one space of page frames.

    Attributes:
        ram_pages: frames of RAM; they are ``FIRST_RAM_PFN`` and the following.
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
        self.bytes = arena((frames, PAGE_SIZE), np.uint8) if payload else None
        self.device_page_free: Callable[[Pfns], None] = _forget
        self.unlocked: list[simpy.Event] = []
        self._free_ram = FreeFrames(self.references, FIRST_RAM_PFN, self.ram_pages)

    @property
    def ram_used(self) -> int:
        """Frames of RAM in use."""
        return self.ram_pages - self._free_ram.npages

    def gpu_of(self, pfns: AnyPfns) -> npt.NDArray[np.intp]:
        """Index of the GPU whose VRAM each frame lies in; -1 for RAM."""
        return np.searchsorted(self.vram_base, pfns, side="right") - 1

    def is_device(self, pfns: AnyPfns) -> npt.NDArray[np.bool_]:
        """Whether each frame lies in the VRAM of some GPU."""
        device: npt.NDArray[np.bool_] = pfns >= self.vram_base[0]
        return device

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

    def get(self, pfns: AnyPfns) -> None:
        """Add one reference to each frame; a frame named twice gets two.

        Raises:
            DriverError: ENOMEM, a frame has as many references as can be counted; none is added.
        """
        frames, times = _counted(pfns)
        if (self.references[frames] > _MOST_REFERENCES - times).any():
            raise DriverError(errno.ENOMEM, f"a page frame cannot be shared more than {_MOST_REFERENCES} times")
        self.references[frames] += times

    def put(self, pfns: AnyPfns) -> None:
        """Drop one reference of each frame, two of a frame named twice; the last one frees it."""
        frames, times = _counted(pfns)
        self.references[frames] -= times
        gone = frames[self.references[frames] == 0]
        if not len(gone):
            return
        self.flags[gone[self.flags[gone] != 0]] = 0
        device = self.is_device(gone)
        if device.any():
            self.device_page_free(gone[device])
        self._free_ram.give_back(gone[~device])

    def pin(self, pfns: AnyPfns) -> None:
        """Hold frames where they are; the shared zero page needs no holding."""
        real = pfns[pfns != ZERO_PFN]
        self.get(real)
        frames, times = _counted(real)
        self.pins[frames] += times
        self.pinned += len(real)
        self.flags[frames] |= np.uint8(FrameFlag.PINNED)

    def unpin(self, pfns: AnyPfns) -> None:
        """Undo one pin of each frame."""
        real = pfns[pfns != ZERO_PFN]
        frames, times = _counted(real)
        self.pins[frames] -= times
        self.pinned -= len(real)
        self.flags[frames[self.pins[frames] == 0]] &= ~np.uint8(FrameFlag.PINNED)
        self.put(real)

    def copy(self, source: AnyPfns, target: AnyPfns) -> None:
        """Copy whole pages; runs that are contiguous on both sides are one copy each."""
        for at in range(0, len(source) if self.bytes is not None else 0, BLOCK_PAGES):
            self._copy_block(self.bytes, source[at : at + BLOCK_PAGES], target[at : at + BLOCK_PAGES])

    def _copy_block(self, pages: Any, source: AnyPfns, target: AnyPfns) -> None:
        runs = _long_runs(source, target)
        for at, count in runs or ():
            src, dst = int(source[at]), int(target[at])
            pages[dst : dst + count] = pages[src : src + count]
        if runs is None:
            self._copy_scattered(pages, source, target)

    def _copy_scattered(self, pages: npt.NDArray[np.uint8], source: AnyPfns, target: AnyPfns) -> None:
        buffer = np.empty((_GATHERED_PAGES, PAGE_SIZE), np.uint8)
        for at in range(0, len(source), _GATHERED_PAGES):
            some = source[at : at + _GATHERED_PAGES]
            gathered = np.take(pages, some, axis=0, out=buffer[: len(some)], mode="clip")
            pages[target[at : at + _GATHERED_PAGES]] = gathered

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


def _forget(pfns: Pfns) -> None:
    """What becomes of a device page that no driver cares for."""


def _counted(pfns: AnyPfns) -> tuple[AnyPfns, Any]:
    """Each frame once, and how often it is named."""
    if (pfns[1:] > pfns[:-1]).all():
        return pfns, np.uint8(1)
    frames, times = np.unique(pfns, return_counts=True)
    return frames, times.astype(np.uint8)


def _long_runs(*columns: AnyPfns) -> list[tuple[int, int]] | None:
    """The runs of parallel columns, or None where they are so short that gathering is faster."""
    runs = runs_of(*columns)
    return runs if len(runs) * _WORTH_A_RUN <= len(columns[0]) or len(runs) <= _WORTH_A_RUN else None
