"""Migration: the whole path from set_attr to the restore, against bare copies of the same bytes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import cast

import numpy as np
import numpy.typing as npt

from svmlab.bench.harness import Case
from svmlab.hardware.memory import Pfns
from svmlab.hardware.page_column import BLOCK_PAGES
from svmlab.mm import entries as pte
from svmlab.svm.buffer_view import Buffer
from svmlab.svm.process import Process
from svmlab.units import GIB, PAGE_SIZE

__all__ = ["FRAGMENT_PAGES", "cases"]

FRAGMENT_PAGES = 512
WINDOW_BYTES = FRAGMENT_PAGES * PAGE_SIZE


def cases(nbytes: int = GIB, state_bytes: int = 128 * GIB) -> Iterator[Case]:
    """What is measured, one case after the other.

    Args:
        nbytes: what is moved with its contents.
        state_bytes: what is moved as page state only.
    """
    yield _contiguous(nbytes)
    yield _fragments(nbytes)
    yield _scattered(nbytes)
    yield _page_state(state_bytes)


class Mover:
    """A buffer that goes to VRAM and comes home again, on a machine of its own.

    Args:
        nbytes: its size.
        vram_bytes: of the GPU.
        payload: whether its bytes are kept.
    """

    def __init__(self, nbytes: int, *, vram_bytes: int, payload: bool = True) -> None:
        self.process = Process("toy", ram=nbytes + nbytes // 8, vram=vram_bytes, payload=payload)
        self.process.create_queue(0)
        self.buffer: Buffer = self.process.mmap(nbytes)
        self.process.cpu_touch(self.buffer, write=True)

    def warm(self) -> Mover:
        """Touch every byte that will ever be touched: contents in RAM and in VRAM, page tables, the log."""
        if self.process.driver.memory.bytes is not None:
            self.process.cpu_write(self.buffer, 7)
        self.go()
        self.home()
        return self

    def go(self) -> None:
        """To VRAM, and on until the GPU may go on; this is what is measured."""
        self.process.set_attr(self.buffer, access=["gpu0"], prefetch="gpu0")
        self.process.run()

    def home(self) -> None:
        """Back to RAM."""
        self.process.set_attr(self.buffer, prefetch="cpu")
        self.process.run()

    def frames(self) -> Pfns:
        """The frames it is in."""
        span = self.buffer.span
        return pte.pfn_of(self.process.driver.mm.table.get(span.start, span.last))

    def contents(self) -> npt.NDArray[np.uint8]:
        """The bytes of every frame of the machine."""
        return cast("npt.NDArray[np.uint8]", self.process.driver.memory.bytes)

    def scatter(self) -> None:
        """Home, and then every page in a frame of its own, in no order."""
        self.home()
        span, table = self.buffer.span, self.process.driver.mm.table
        table.set(span.start, np.random.default_rng(1).permutation(table.get(span.start, span.last)))


def _contiguous(nbytes: int) -> Case:
    mover = Mover(nbytes, vram_bytes=2 * nbytes).warm()
    ram = mover.frames()
    mover.go()
    vram = mover.frames()
    return Case(
        f"{nbytes >> 20} MiB to VRAM in one piece",
        "np.copyto of the same bytes",
        1.25,
        mover.go,
        _slices(mover, ram, vram, count=len(ram)),
        1,
        mover.home,
    )


def _fragments(nbytes: int) -> Case:
    mover = Mover(nbytes, vram_bytes=3 * nbytes)
    vram = mover.process.driver.vrams[0]
    vram.force_layout((first, FRAGMENT_PAGES) for first in range(512, vram.npages - 512, 2 * FRAGMENT_PAGES))
    mover.warm()
    ram = mover.frames()
    mover.go()
    vram_frames = mover.frames()
    return Case(
        f"{nbytes >> 20} MiB to VRAM in fragments of 2 MiB",
        f"{nbytes // WINDOW_BYTES} bare slice copies",
        1.2,
        mover.go,
        _slices(mover, ram, vram_frames, count=FRAGMENT_PAGES),
        1,
        mover.home,
    )


def _slices(mover: Mover, source: Pfns, target: Pfns, *, count: int) -> Callable[[], None]:
    """Copy pages, ``count`` at a time."""
    pages = mover.contents()
    pairs = [
        (pages[target[at] : target[at] + count], pages[source[at] : source[at] + count])
        for at in range(0, len(source), count)
    ]

    def copy() -> None:
        for here, there in pairs:
            np.copyto(here, there)

    return copy


def _scattered(nbytes: int) -> Case:
    mover = Mover(nbytes, vram_bytes=2 * nbytes).warm()
    mover.scatter()
    ram = mover.frames()
    mover.go()
    first, memory = int(mover.frames()[0]), mover.process.driver.memory
    pages = mover.contents()
    out = pages[first : first + len(ram)]
    return Case(
        f"{nbytes >> 20} MiB to VRAM from frames in no order",
        "np.take(..., out=) of the same rows",
        1.25,
        mover.go,
        partial(np.take, pages[: memory.vram_start], ram, axis=0, out=out, mode="clip"),
        1,
        mover.scatter,
    )


def _page_state(nbytes: int) -> Case:
    mover = Mover(nbytes, vram_bytes=2 * nbytes, payload=False).warm()
    return Case(
        f"page state of {nbytes >> 30} GiB to VRAM, every window logged",
        "writing the result columns once",
        5.0,
        mover.go,
        _columns(nbytes // PAGE_SIZE, nbytes // WINDOW_BYTES),
        1,
        mover.home,
    )


def _columns(npages: int, windows: int) -> Callable[[], None]:
    """Write what a migration leaves: CPU entries, references, flags, owners, GPU entries, and rows of the log."""
    entries, owners, gpu_frames = (np.zeros(npages, np.uint32) for _ in range(3))
    bytes_of_state = [np.zeros(npages, np.uint8) for _ in range(5)]
    words, rows = np.arange(BLOCK_PAGES, dtype=np.uint32), np.zeros((windows, 17), np.int64)

    def write() -> None:
        for column in (entries, owners, gpu_frames):
            for at in range(0, npages, BLOCK_PAGES):
                column[at : at + BLOCK_PAGES] = words[: npages - at]
        for state in bytes_of_state:
            state[:] = 1
        rows[:] = 1

    return write
