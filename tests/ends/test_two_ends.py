"""The model and a page-by-page simulator do the same with the same work."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from svmlab.svm.buffer_view import Buffer
from svmlab.svm.look import NOWHERE
from svmlab.svm.process import Process
from svmlab.units import PAGE_SIZE
from tests.ends import measure
from tests.ends.page_by_page import PageByPage


class Both:
    """The same calls to both."""

    def __init__(self, sizes: list[int]) -> None:
        self.model, self.slow = Process("toy", ram="64 MiB", vram="64 MiB"), PageByPage()
        self.model.create_queue(0)
        first = self.slow.next_page = 1 << 10
        self.buffers: list[tuple[Buffer, tuple[int, int]]] = []
        for size in sizes:
            self.buffers.append((self.model.mmap(size * PAGE_SIZE, at=first * PAGE_SIZE), self.slow.mmap(size)))
            first += size

    def do(self, what: str, which: int, part: tuple[float, float], byte: int) -> None:
        buffer, (first, last) = self.buffers[which % len(self.buffers)]
        begin, end = sorted(int(share * (last - first)) for share in part)
        some = buffer.pages(begin, end - begin + 1)
        if what == "cpu_write":
            self.model.cpu_write(some, byte)
            self.model.run()
            self.slow.cpu_write(first + begin, first + end, byte)
        elif what == "cpu_read":
            seen = self.model.cpu_read(some)[::PAGE_SIZE].tolist()
            self.model.run()
            assert seen == self.slow.cpu_read(first + begin, first + end)
        elif what == "prefetch":
            self.model.set_attr(buffer, access=["gpu0"], prefetch="gpu0")
            self.model.run()
            self.slow.prefetch_to_gpu((first, last))
        elif what == "prefetch home":
            self.model.set_attr(buffer, prefetch="cpu")
            self.model.run()
            self.slow.prefetch_to_cpu((first, last))
        elif first in self.slow.gpu:
            self.model.gpu_write(0, some, byte)
            self.slow.gpu_write(first + begin, first + end, byte)

    def compare(self) -> None:
        gpu = self.model.machine.gpus[0].gpu_id
        numbers = {"nowhere": NOWHERE, "ram": 0, "vram": gpu}
        for buffer, (first, last) in self.buffers:
            pages = range(first, last + 1)
            for table, seen in (
                (self.slow.cpu, self.model.look.locations(buffer.span)),
                (self.slow.gpu, self.model.look.gpu_frames(0, buffer.span)),
            ):
                assert seen.tolist() == [numbers[table.get(page, ("nowhere",))[0]] for page in pages]
            memory = {"vram": self.slow.vram, "ram": self.slow.ram}
            frames = [self.slow.cpu.get(page, ("ram", 0)) for page in pages]
            held = [memory[place].get(frame, bytes(PAGE_SIZE)) for place, frame in frames]
            assert self.model.look.content(buffer.span).tobytes() == b"".join(held)
        counted = self.model.look.counters(0)
        assert (counted["page_in"], counted["page_out"]) == (self.slow.moved_in, self.slow.moved_out)


STEPS = st.tuples(
    st.sampled_from(["cpu_write", "cpu_read", "prefetch", "prefetch home", "gpu_write"]),
    st.integers(0, 1),
    st.tuples(st.floats(0, 1), st.floats(0, 1)),
    st.integers(1, 255),
)


@given(sizes=st.lists(st.integers(1, 1500), min_size=1, max_size=2), steps=st.lists(STEPS, min_size=1, max_size=8))
@settings(max_examples=40)
def test_both_put_every_page_and_every_byte_in_the_same_place(sizes: list[int], steps: list[tuple[Any, ...]]):
    both = Both(sizes)
    for step in steps:
        both.do(*step)
        both.compare()


def test_what_is_measured_is_the_same_work():
    model, slow, bare = measure.ByTheModel(1 << 20), measure.PageByPageInPython(1 << 20), measure.BareCopy(1 << 20)
    for work in (model, slow, bare):
        work()
    assert model.process.look.counters(0)["page_in"] == slow.machine.moved_in == 256
    assert (np.asarray(bare.target) == 7).all()


def test_the_rows_are_those_of_a_bench():
    rows = measure.rows(1 << 20, pairs=7)
    assert [sorted(row) for row in rows] == [["base", "goal", "met", "ms", "name", "ratio", "spread"]] * 3
