"""Pinned pages: held where they are for a device that does not ask the page table, as RDMA does (FOLL_LONGTERM)."""

from __future__ import annotations

import errno
from dataclasses import dataclass

import numpy as np

from svmlab.errors import BusError, DriverError, SegmentationFault
from svmlab.hardware.memory import Pfns
from svmlab.hardware.page_column import BLOCK_PAGES
from svmlab.hardware.world import Blocking
from svmlab.mm import entries as pte
from svmlab.mm.address_space import AddressSpace
from svmlab.mm.fault import fault_in
from svmlab.mm.span import Span

__all__ = ["Pinned", "pin", "unpin", "unpin_all"]


@dataclass(slots=True, eq=False)
class Pinned:
    """Frames that one call has pinned; they stay pinned whatever becomes of the mapping.

    Attributes:
        start: first page of the call.
        frames: the frame of each page, 0 where it was let go, shape ``(pages,)``.
    """

    start: int
    frames: Pfns

    @property
    def last(self) -> int:
        """Last page of the call, inclusive."""
        return self.start + len(self.frames) - 1

    def common(self, start: int, last: int) -> tuple[slice, slice]:
        """Where the pages it shares with a span are in its own frames, and where in the span."""
        low, high = max(start, self.start), min(last, self.last) + 1
        return slice(low - self.start, max(low, high) - self.start), slice(low - start, max(low, high) - start)


def pin(mm: AddressSpace, span: Span) -> Blocking[None]:
    """Fault pages in (those in VRAM home) and hold them where they are.

    Raises:
        DriverError: EINVAL for a bad span, EFAULT where a page cannot be had; then none of them is held.

    Kernel: pin_user_pages (mm/gup.c)
    """
    start, last = span.whole_pages()
    pinned = Pinned(start, np.zeros(last - start + 1, np.uint32))
    mm.pinned.append(pinned)
    page = start
    while page <= last:
        vma = mm.vma_at(page)
        try:
            stop = yield from fault_in(mm, page, last, write=vma is None or vma.writable)
            frames = pte.pfn_of(mm.table.view(page, stop))
            mm.memory.pin(frames)
        except (SegmentationFault, BusError, DriverError) as error:
            _let_go(mm, pinned)
            raise DriverError(errno.EFAULT, f"page {page:#x} cannot be pinned: {error.given}") from error
        pinned.frames[page - start : stop + 1 - start] = frames
        yield from mm.world.sleep((stop - page + 1) * mm.costs.cpu_access_page_ns)
        page = stop + 1


def _let_go(mm: AddressSpace, pinned: Pinned) -> None:
    for at in range(0, len(pinned.frames), BLOCK_PAGES):
        frames = pinned.frames[at : at + BLOCK_PAGES]
        mm.memory.unpin(frames[frames != 0])
    mm.pinned.remove(pinned)


def unpin(mm: AddressSpace, span: Span) -> Blocking[None]:
    """Let pinned pages go, the newest pin of each page first.

    Raises:
        DriverError: EINVAL, a page of the span is not pinned; the ones before it are let go.
    """
    start, last = span.whole_pages()
    held = np.zeros(last - start + 1, bool)
    for pinned in mm.pinned:
        theirs, ours = pinned.common(start, last)
        held[ours] |= pinned.frames[theirs] != 0
    count = len(held) if held.all() else int(held.argmin())
    for at in range(0, count, BLOCK_PAGES):
        _release(mm, start + at, min(BLOCK_PAGES, count - at))
    yield from mm.world.sleep(mm.costs.mm_syscall_ns)
    if count < len(held):
        raise DriverError(errno.EINVAL, f"page {start + count:#x} is not pinned")


def _release(mm: AddressSpace, start: int, count: int) -> None:
    """Undo the newest pin of each of ``count`` pages."""
    left = np.ones(count, bool)
    for pinned in reversed(mm.pinned):
        theirs, ours = pinned.common(start, start + count - 1)
        hit = left[ours] & (pinned.frames[theirs] != 0)
        mm.memory.unpin(pinned.frames[theirs][hit])
        pinned.frames[theirs][hit] = 0
        left[ours][hit] = False
    mm.pinned[:] = [pinned for pinned in mm.pinned if pinned.frames.any()]


def unpin_all(mm: AddressSpace) -> None:
    """Let everything go: what a device held for a process ends with the process."""
    for pinned in list(mm.pinned):
        _let_go(mm, pinned)
