"""What the model costs between two ends: a page-by-page simulator above it, and numpy's bare copy below it.

All three do one piece of work: a buffer that the CPU has written is prefetched to VRAM and home again. The bare copy
copies its bytes to another place and back, and knows nothing of pages. As a program it prints its rows as
``svmlab bench --json`` does; ``svmlab bench --with FILE`` puts them into its own table.
"""

from __future__ import annotations

import json

import numpy as np

from svmlab.bench.harness import PAIRS, Case, Row, measure
from svmlab.svm.process import Process
from svmlab.units import MIB, PAGE_SIZE
from tests.ends.page_by_page import PageByPage


class ByTheModel:
    """The work by the model; every call does it once."""

    def __init__(self, nbytes: int, *, payload: bool = True) -> None:
        self.process = Process("toy", ram=4 * nbytes, vram=4 * nbytes, payload=payload)
        self.process.create_queue(0)
        self.buffer = self.process.mmap(nbytes)
        self.process.cpu_write(self.buffer, 7)

    def __call__(self) -> None:
        self.process.set_attr(self.buffer, access=["gpu0"], prefetch="gpu0")
        self.process.run()
        self.process.set_attr(self.buffer, prefetch="cpu")
        self.process.run()


class PageByPageInPython:
    """The work by the page-by-page simulator."""

    def __init__(self, nbytes: int, *, payload: bool = True) -> None:
        self.machine = PageByPage(page_size=PAGE_SIZE if payload else 0)
        self.buffer = self.machine.mmap(nbytes // PAGE_SIZE)
        self.machine.cpu_write(*self.buffer, 7)

    def __call__(self) -> None:
        self.machine.prefetch_to_gpu(self.buffer)
        self.machine.prefetch_to_cpu(self.buffer)


class BareCopy:
    """The bytes of the work, copied there and back."""

    def __init__(self, nbytes: int) -> None:
        self.source, self.target = np.full(nbytes, 7, np.uint8), np.zeros(nbytes, np.uint8)

    def __call__(self) -> None:
        np.copyto(self.target, self.source)
        np.copyto(self.source, self.target)


def rows(nbytes: int = 256 * MIB, *, pairs: int = PAIRS) -> list[Row]:
    """The model against both ends."""
    work, slow = f"{nbytes >> 20} MiB to VRAM and home", "page by page in Python, without log, locks and time"
    state = ByTheModel(nbytes, payload=False), PageByPageInPython(nbytes, payload=False)
    cases = [
        Case(f"{work}, page state", slow, 0.1, *state, 1),
        Case(f"{work}, with its bytes", slow, 0.5, ByTheModel(nbytes), PageByPageInPython(nbytes), 1),
        Case(f"{work}, with its bytes", "np.copyto there and back", 1.25, ByTheModel(nbytes), BareCopy(nbytes), 1),
    ]
    return [measure(case, pairs=pairs) for case in cases]


if __name__ == "__main__":
    print(json.dumps({"rows": rows()}, indent=2))
