"""One GPU as one process sees it: page table, queues, and work that stops between two pages."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from svmlab.errors import MemoryExceptionError
from svmlab.hardware.gpu import ProcessDevice, PteFlag, Touching
from svmlab.hardware.page_column import BLOCK_PAGES
from svmlab.hardware.world import World

READ = np.uint8(PteFlag.VALID | PteFlag.READABLE)
BOTH = np.uint8(PteFlag.VALID | PteFlag.READABLE | PteFlag.WRITEABLE)


class Bench:
    """A device on which one piece of work touches pages at 10 ns each, and what it did."""

    def __init__(self) -> None:
        self.world = World()
        self.device = ProcessDevice(self.world, 0)
        self.done: list[tuple[int, int, int, int]] = []

    def map(self, start: int, npages: int, first_frame: int = 100) -> None:
        self.device.map(start, np.arange(first_frame, first_frame + npages, dtype=np.uint32), np.full(npages, BOTH))

    def touching(self, page: int, npages: int) -> Touching:
        def apply(first: int, last: int) -> None:
            self.done.append((self.world.now, first, last, self.device.frames.at(first)))

        return Touching(page, npages, 10, self.world.now, apply)

    def work(self, page: int, npages: int) -> Any:
        return self.world.spawn("work", self.device.touch(self.touching(page, npages)), pid=1)

    def at(self, ns: int, what: Any) -> None:
        def task() -> Any:
            yield from self.world.sleep(ns)
            what()

        self.world.spawn("other", task(), pid=1)


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_entries_are_written_cleared_and_read_back(bench: Bench):
    bench.map(10, 4)
    bench.device.unmap(11, 12)
    assert bench.device.frames.get(9, 14).tolist() == [0, 100, 0, 0, 103, 0]
    assert bench.device.flags.get(9, 14).tolist() == [0, BOTH, 0, 0, BOTH, 0]


def test_flags_of_zero_mean_unmapped(bench: Bench):
    bench.device.map(10, np.array([5, 6], np.uint32), np.array([0, READ], np.uint8))
    assert bench.device.frames.get(10, 11).tolist() == [0, 6]


@pytest.mark.parametrize(
    ("page", "write", "count"), [(10, False, 4), (10, True, 2), (12, True, 0), (9, False, 0), (13, False, 1)]
)
def test_what_a_gpu_may_touch_is_a_run_of_valid_entries(bench: Bench, page: int, write: bool, count: int):
    bench.device.map(10, np.arange(100, 104, dtype=np.uint32), np.array([BOTH, BOTH, READ, READ], np.uint8))
    assert bench.device.accessible(page, 99, write=write) == count


def test_a_run_ends_with_the_span_and_with_its_block(bench: Bench):
    bench.map(BLOCK_PAGES - 2, 4)
    assert bench.device.accessible(BLOCK_PAGES - 2, BLOCK_PAGES + 1, write=True) == 2
    assert bench.device.accessible(BLOCK_PAGES, BLOCK_PAGES, write=True) == 1


def test_work_touches_its_pages_at_a_steady_pace(bench: Bench):
    bench.map(0, 8)
    work = bench.work(0, 8)
    bench.world.env.run()
    assert (work.value, bench.world.now, bench.done) == (8, 80, [(80, 0, 7, 100)])


def test_looking_on_settles_the_pages_whose_time_has_come(bench: Bench):
    bench.map(0, 8)
    bench.work(0, 8)
    bench.at(35, bench.device.settle)
    bench.world.env.run()
    assert bench.done == [(35, 0, 2, 100), (80, 3, 7, 103)]


def test_work_stops_between_two_pages_when_the_queues_stop(bench: Bench):
    bench.map(0, 8)
    work = bench.work(0, 8)
    bench.at(35, bench.device.stop)
    bench.world.env.run(until=work)
    assert (work.value, bench.world.now, bench.done) == (3, 35, [(35, 0, 2, 100)])


@pytest.mark.parametrize("change", ["map", "unmap"])
def test_what_was_due_goes_to_the_old_frame_when_the_page_table_changes(bench: Bench, change: str):
    bench.map(0, 8)
    work = bench.work(0, 8)
    bench.at(40, (lambda: bench.map(0, 8, 500)) if change == "map" else (lambda: bench.device.unmap(0, 7)))
    bench.world.env.run(until=work)
    assert (work.value, bench.done) == (4, [(40, 0, 3, 100)])


def test_two_pieces_of_work_do_not_disturb_each_other(bench: Bench):
    bench.map(0, 8)
    first, second = bench.work(0, 4), bench.work(4, 4)
    bench.world.env.run()
    assert (first.value, second.value) == (4, 4)


def test_stops_are_counted(bench: Bench):
    device = bench.device
    device.stop()
    device.stop()
    device.resume()
    half = device.running
    device.resume()
    assert (half, device.running) == (False, True)


def test_who_waits_for_the_queues_goes_on_when_the_last_stop_is_undone(bench: Bench):
    device = bench.device
    device.stop()
    device.stop()
    waiting = bench.world.spawn("work", device.until_running(), pid=1)
    bench.at(10, device.resume)
    bench.at(30, device.resume)
    bench.world.env.run(until=waiting)
    assert bench.world.now == 30


def test_running_queues_are_not_waited_for(bench: Bench):
    assert list(bench.device.until_running()) == []


def test_killed_queues_never_run_again(bench: Bench):
    bench.map(0, 8)
    work = bench.work(0, 8)
    bench.at(35, bench.device.kill)
    bench.world.env.run(until=work)
    bench.device.resume()
    assert (work.value, bench.device.running, bench.device.dead) == (3, False, True)
    with pytest.raises(MemoryExceptionError, match="the queues of gpu0 were killed"):
        next(bench.device.until_running())


def test_who_waits_when_the_queues_are_killed_learns_of_it(bench: Bench):
    bench.device.stop()
    waiting = bench.world.spawn("work", bench.device.until_running(), pid=1)
    bench.at(10, bench.device.kill)
    with pytest.raises(MemoryExceptionError):
        bench.world.env.run(until=waiting)


def test_queues_have_numbers_that_are_not_used_again(bench: Bench):
    first, second = bench.device.create_queue(), bench.device.create_queue()
    bench.device.queues.remove(second)
    assert (first, second, bench.device.create_queue(), bench.device.queues) == (1, 2, 3, [1, 3])


def test_work_that_takes_no_time_is_done_at_once(bench: Bench):
    touching = bench.touching(0, 4)
    touching.page_ns = 0
    touching.settle(bench.world.now)
    touching.settle(bench.world.now)
    assert (touching.done, bench.done) == (4, [(0, 0, 3, 0)])
