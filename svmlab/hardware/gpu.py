"""One GPU as one process sees it: its page table, its queues, and the work that runs on them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import IntFlag

import numpy as np
import numpy.typing as npt
import simpy

from svmlab.errors import MemoryExceptionError
from svmlab.hardware.frames import AnyPfns, Pfns
from svmlab.hardware.page_column import PageColumn
from svmlab.hardware.world import Blocking, World

__all__ = ["GpuEntries", "ProcessDevice", "PteFlag", "RawFault", "Touching"]


class PteFlag(IntFlag):
    """Bits of a GPU page table entry (AMDGPU_PTE_*); the memory type stands in the two bits above."""

    VALID = 1
    SYSTEM = 2
    SNOOPED = 4
    READABLE = 8
    WRITEABLE = 16
    EXECUTABLE = 32


_LOAD, _STORE = int(PteFlag.VALID | PteFlag.READABLE), int(PteFlag.VALID | PteFlag.WRITEABLE)
MTYPE_SHIFT = 6
GpuEntries = Pfns
"""Frames that a GPU's page table names, shape ``(pages,)``."""


@dataclass(slots=True, eq=False)
class Touching:
    """Work that touches a run of mapped pages in address order, at a steady pace.

    Attributes:
        page, npages: the run.
        page_ns: time for each page.
        begun_ns: when it started.
        apply: moves the bytes of the pages ``first`` to ``last``.
        done: pages whose bytes have moved.
    """

    page: int
    npages: int
    page_ns: int
    begun_ns: int
    apply: Callable[[int, int], None]
    done: int = 0

    def settle(self, now_ns: int) -> None:
        """Move the bytes of every page whose time has come, through the page table as it is now."""
        due = min(self.npages, (now_ns - self.begun_ns) // self.page_ns if self.page_ns else self.npages)
        if due > self.done:
            self.apply(self.page + self.done, self.page + due - 1)
            self.done = due


@dataclass(slots=True, eq=False)
class RawFault:
    """What a GPU reports of an access that found no entry; the driver may be slow to read it.

    Attributes:
        page: the page.
        write: whether it was a store.
        raised_ns: when the GPU reported it.
        count: how many waves reported the same at once.
        entered_ns: when the driver began to serve it.
    """

    page: int
    write: bool
    raised_ns: int
    count: int = 1
    entered_ns: int = 0


class ProcessDevice:
    """One GPU opened by one process (struct kfd_process_device).

    Attributes:
        gpu: GPU index.
        frames: the frame each page is mapped to, ``uint32``, 0 where nothing is mapped.
        flags: ``PteFlag`` bits and memory type of each page, ``uint8``.
        evictions: how many times its queues were stopped and not resumed yet; they run at 0.
        queues: ids of its user queues, oldest first.
        dead: a memory exception has killed its queues for good.
        closed: its process has ended.
        checkpoint_ns: faults reported up to then may be about memory that a munmap took away (checkpoint_ts).
    """

    def __init__(self, world: World, gpu: int) -> None:
        self.world, self.gpu = world, gpu
        self.frames = PageColumn(np.uint32)
        self.flags = PageColumn(np.uint8)
        self.evictions = 0
        self.queues: list[int] = []
        self.dead = self.closed = False
        self.checkpoint_ns = -1
        self._next_queue = 1
        self._touching: list[Touching] = []
        self._interrupt = world.event()
        self._resumed = world.event()

    @property
    def running(self) -> bool:
        """Whether its queues may run."""
        return self.evictions == 0 and not self.dead and not self.closed

    def create_queue(self) -> int:
        """Open one more user queue; returns its id."""
        self.queues.append(self._next_queue)
        self._next_queue += 1
        return self.queues[-1]

    def accessible(self, page: int, last: int, *, write: bool) -> int:
        """How many pages from ``page`` on the GPU can access without a fault, up to ``last`` and the block's end."""
        need = _STORE if write else _LOAD
        return self.flags.leading(page, last, lambda flags: (flags & need) == need)

    def map(self, start: int, frames: AnyPfns, flags: npt.NDArray[np.uint8]) -> None:
        """Write entries for consecutive pages.

        Args:
            start: the first of them.
            frames: what they name, shape ``(n,)``.
            flags: bits of each, shape ``(n,)``; 0 means unmapped.
        """
        self.settle()
        self.frames.set(start, frames if flags.all() else np.where(flags != 0, frames, np.uint32(0)))
        self.flags.set(start, flags)
        self._wake(interrupt=True)

    def map_run(self, start: int, frames: range, flags: int) -> None:
        """Write entries for pages of one block, 64 Ki at most, whose frames count up by one.

        Args:
            start: the first of the pages.
            frames: what the entries name.
            flags: bits that they have in common.
        """
        last, busy = start + len(frames) - 1, self._touching
        if busy:  # else there are no bytes to settle, and nobody to interrupt
            self.settle()
        self.frames.set_run(start, last, frames.start, 1)
        self.flags.fill(start, last, flags)
        if busy:
            self._wake(interrupt=True)

    def unmap(self, start: int, last: int) -> None:
        """Clear the entries of a span."""
        self.settle()
        self.frames.clear(start, last)
        self.flags.clear(start, last)
        self._wake(interrupt=True)

    def stop(self) -> None:
        """Stop the queues once more (evict_process_queues); the first stop halts the work."""
        self.settle()
        self.evictions += 1
        self._wake(interrupt=True)

    def resume(self) -> None:
        """Undo one stop, if there is one; the last one lets the work go on (restore_process_queues)."""
        if not self.evictions:
            return
        self.evictions -= 1
        if self.running:
            self._wake(interrupt=False)

    def kill(self) -> None:
        """A memory exception: the queues never run again."""
        self.settle()
        self.dead = True
        self._wake(interrupt=True)
        self._wake(interrupt=False)

    def close(self) -> None:
        """The process is gone: no queues, an empty page table; work in flight stops where it is."""
        self.settle()
        self.queues.clear()
        self.frames, self.flags = PageColumn(np.uint32), PageColumn(np.uint8)
        self.closed = True
        self._wake(interrupt=True)
        self._wake(interrupt=False)

    def settle(self) -> None:
        """Bring the bytes of work in flight up to date, before anybody changes what it sees."""
        for touching in self._touching:
            touching.settle(self.world.now)

    def until_running(self) -> Blocking[None]:
        """Sleep while the queues are stopped.

        Raises:
            MemoryExceptionError: they were killed.
        """
        while not self.running:
            if self.dead or self.closed:
                raise MemoryExceptionError(
                    f"the queues of gpu{self.gpu} were killed by "
                    + ("the end of their process" if self.closed else "an earlier memory exception"),
                    hint="a new process",
                )
            yield self._resumed

    def touch(self, touching: Touching) -> Blocking[int]:
        """Run work on pages until it is done, the queues stop, or the page table changes.

        Returns:
            How many pages it got through.
        """
        if self.world.explorer is not None:
            touching.page_ns = 0  # nothing takes time while orders are explored
        self._touching.append(touching)
        try:
            finished = self.world.timer(touching.page_ns * touching.npages)
            yield simpy.AnyOf(self.world.env, [finished, self._interrupt])
            touching.settle(self.world.now)
        finally:
            self._touching.remove(touching)
        return touching.done

    def _wake(self, *, interrupt: bool) -> None:
        event = self._interrupt if interrupt else self._resumed
        if not event.callbacks:
            return  # nobody waits for it, so it may stay
        if interrupt:
            self._interrupt = self.world.event()
        else:
            self._resumed = self.world.event()
        event.succeed()
