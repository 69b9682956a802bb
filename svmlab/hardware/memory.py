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
from svmlab.hardware import contents
from svmlab.hardware.arena import arena
from svmlab.hardware.frames import AnyPfns, Frames, Pfns, array_of, runs_of, where
from svmlab.hardware.free_frames import FreeFrames
from svmlab.hardware.machine import Machine
from svmlab.units import PAGE_SIZE

__all__ = ["FIRST_RAM_PFN", "RAM", "ZERO_PFN", "FrameFlag", "Memory", "Pfns", "runs_of"]

ZERO_PFN = 1
"""The shared zero page; pfn 0 names no frame."""
FIRST_RAM_PFN = 2
RAM = -1
"""What stands for RAM where the index of a GPU stands for its VRAM."""
_LARGEST_PFN = 1 << 30
_MOST_REFERENCES = 255


class FrameFlag(IntFlag):
    """State bits of a frame (struct page flags in the kernel)."""

    LOCKED = 1
    MIGRATING = 2
    """Unmapped by migrate_vma_setup: entries that name the frame are migration entries until finalize."""
    FILE = 4
    """In the page cache of a file: it has a mapping, device memory cannot replace it."""
    PINNED = 8


_LOCKED, _PINNED = int(FrameFlag.LOCKED), int(FrameFlag.PINNED)


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
        # One frame is read and written through these: five times as fast as through numpy, whose scalars they spare.
        self._references, self._flags, self._owner = self.references.data, self.flags.data, self.owner.data
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
        gpu = bisect_right(self._borders, frames.start) - 1
        return gpu if gpu >= 0 and frames.stop <= self._borders[gpu + 1] else None

    def is_device(self, pfns: AnyPfns) -> npt.NDArray[np.bool_]:
        """Whether each frame lies in the VRAM of some GPU."""
        device: npt.NDArray[np.bool_] = pfns >= self.vram_start
        return device

    def bits_of(self, frames: Frames) -> int:
        """The flags that any of some frames has."""
        if len(frames) == 1:
            return self._flags[frames[0]]
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

    def used(self, frames: Frames) -> bool:
        """Whether somebody names any of some frames."""
        if len(frames) == 1:
            return self._references[frames[0]] > 0
        return bool(self.references[where(frames)].any())

    def get(self, frames: Frames, *, distinct: bool = False, setting: int = 0) -> None:
        """Add one reference to each frame; a frame named twice gets two.

        Args:
            frames: which.
            distinct: nobody is named twice, and the caller knows.
            setting: flags to set.

        Raises:
            DriverError: ENOMEM, a frame has as many references as can be counted; nothing has changed.
        """
        if len(frames) == 1:
            frame = frames[0]
            count = self._references[frame]
            if count == _MOST_REFERENCES:
                raise _shared_too_often()
            self._references[frame] = count + 1
            if setting:
                self._flags[frame] |= setting
            return
        once, times = (frames, np.uint8(1)) if distinct else _counted(frames)
        at = where(once)
        named = self.references[at]
        if (
            len(once) > 0
            and int(named.max()) + int(times.max()) > _MOST_REFERENCES
            and (named > _MOST_REFERENCES - times).any()
        ):
            raise _shared_too_often()
        self.references[at] += times
        if setting:
            self.flags[at] |= np.uint8(setting)

    def put(self, frames: Frames, *, distinct: bool = False, times: int = 1, clearing: int = 0) -> None:
        """Drop a reference of each frame, two of a frame named twice; the last one frees it.

        Args:
            frames: which.
            distinct: nobody is named twice, and the caller knows.
            times: how many references instead of one.
            clearing: flags to clear.
        """
        if len(frames) == 1:
            frame = frames[0]
            left = self._references[frame] = self._references[frame] - times & _MOST_REFERENCES  # as the column counts
            if clearing:
                self._flags[frame] &= ~clearing
            if not left:
                self._free(frames)
            return
        once, named = (frames, np.uint8(1)) if distinct else _counted(frames)
        at = where(once)
        self.references[at] -= named * np.uint8(times)
        if clearing:
            self.flags[at] &= ~np.uint8(clearing)
        left = self.references[at]
        if left.size and left.min() == 0:
            self._free(once if left.max() == 0 else array_of(once)[left == 0])

    def claim(self, frames: Frames, owner: int) -> None:
        """Device pages become those of a buffer: referenced, locked and owned (svm_migrate_get_vram_page)."""
        self.get(frames, distinct=True, setting=_LOCKED)
        if len(frames) == 1:
            self._owner[frames[0]] = owner
        else:
            self.owner[where(frames)] = owner

    def unlock(self, frames: Frames) -> None:
        """Nobody has the frames locked any more (unlock_page)."""
        if len(frames) == 1:
            self._flags[frames[0]] &= ~_LOCKED
        else:
            self.flags[where(frames)] &= ~np.uint8(_LOCKED)

    def _free(self, gone: Frames) -> None:
        """Frames that nobody names any more, each named once."""
        if self.bits_of(gone):  # without a need, no column is written and takes memory
            self.flags[where(gone)] = 0
        if isinstance(gone, range) and gone.stop <= self.vram_start:  # as after most migrations
            self._free_ram.give_back(gone)
            return
        pfns = array_of(gone)
        on_device = self.is_device(pfns)
        if on_device.any():
            self.device_page_free(gone if on_device.all() else pfns[on_device])
        self._free_ram.give_back(pfns[~on_device])

    def pin(self, pfns: AnyPfns) -> None:
        """Hold frames where they are; the shared zero page needs no holding."""
        real = pfns[pfns != ZERO_PFN]
        self.get(real)
        once, times = _counted(real)
        frames = where(once)
        self.pins[frames] += times
        self.pinned += len(real)
        self.flags[frames] |= np.uint8(_PINNED)

    def unpin(self, pfns: AnyPfns) -> None:
        """Undo one pin of each frame."""
        real = pfns[pfns != ZERO_PFN]
        once, times = _counted(real)
        self.pins[where(once)] -= times
        self.pinned -= len(real)
        self.flags[array_of(once)[self.pins[where(once)] == 0]] &= ~np.uint8(_PINNED)
        self.put(real)

    def copy(self, source: Frames, target: Frames) -> None:
        """Copy whole pages; runs that are contiguous on both sides are one copy each."""
        if self.bytes is not None:
            contents.copy(self.bytes, source, target, border=self.vram_start)

    def read(self, pfns: AnyPfns, out: contents.Bytes) -> None:
        """Gather the bytes of whole pages.

        Args:
            pfns: which frames, shape ``(n,)``; pfn 0 reads as zeros.
            out: where to, shape ``(n, PAGE_SIZE)``; left as it is without payload.
        """
        if self.bytes is not None:
            contents.gather(self.bytes, pfns, out)

    def write(self, pfns: AnyPfns, data: contents.Bytes) -> None:
        """Scatter bytes to whole pages.

        Args:
            pfns: which frames, shape ``(n,)``.
            data: what to write, shape ``(n, PAGE_SIZE)``.
        """
        if self.bytes is not None:
            contents.scatter(self.bytes, pfns, data)

    def clear(self, pfns: AnyPfns) -> None:
        """Fill pages with zeros."""
        if self.bytes is not None:
            contents.clear(self.bytes, pfns)


def _shared_too_often() -> DriverError:
    return DriverError(errno.ENOMEM, f"a page frame cannot be shared more than {_MOST_REFERENCES} times")


def _forget(pfns: Frames) -> None:
    """What becomes of a device page that no driver cares for."""


def _counted(frames: Frames) -> tuple[Frames, npt.NDArray[np.uint8] | np.uint8]:
    """Each frame once, and how often it is named."""
    if isinstance(frames, range) or (frames[1:] > frames[:-1]).all():
        return frames, np.uint8(1)
    once, times = np.unique(frames, return_counts=True)
    return once, times.astype(np.uint8)
