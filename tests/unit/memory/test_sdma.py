"""The copy engine: windows counted from the start of a batch, jobs in order, times as arrays."""

from __future__ import annotations

import numpy as np
import pytest

from svmlab.hardware.costs import Costs
from svmlab.hardware.machine import Machine
from svmlab.hardware.sdma import Batch, SdmaRing
from svmlab.log import Log

COSTS = Costs.load()
TOY = Machine.find("toy")


def ring(log: Log, gpu: int = 0, costs: Costs = COSTS) -> SdmaRing:
    return SdmaRing(TOY, gpu, costs, log)


def windows(log: Log) -> list[tuple[int, int, int]]:
    """First page, first VRAM page and size of every window."""
    return [(event.start, event.fields["vram_page"], event.npages) for event in log.events("copy_window")]


@pytest.mark.parametrize(
    ("npages", "sizes"),
    [(1, [1]), (512, [512]), (513, [512, 1]), (600, [512, 88]), (1300, [512, 512, 276]), (0, [])],
)
def test_a_batch_is_cut_into_windows_from_its_start(npages: int, sizes: list[int]):
    log = Log()
    ring(log).submit(Batch(page=1000, vram_page=24, npages=npages, to_vram=True), 0)
    at = np.cumsum([0, *sizes[:-1]]).tolist() if sizes else []
    assert windows(log) == [(1000 + done, 24 + done, size) for done, size in zip(at, sizes, strict=True)]


def test_the_log_has_the_batch_and_its_windows_as_its_consequences():
    log = Log()
    ring(log, 1).submit(Batch(page=64, vram_page=512, npages=700, to_vram=False), 50)
    copy, *parts = log
    assert (copy.name, copy.start, copy.last, copy.time_ns) == ("copy", 64, 763, 50)
    assert (copy.fields["gpu"], copy.fields["to_vram"], copy.fields["npages"]) == (1, 0, 700)
    assert [(part.name, part.cause) for part in parts] == [("copy_window", copy.id)] * 2
    assert copy.fields["duration_ns"] == sum(part.fields["duration_ns"] for part in parts)


def test_every_window_takes_a_gart_update_a_job_and_a_copy():
    log = Log()
    ring(log).submit(Batch(page=0, vram_page=1, npages=600, to_vram=True), 0)
    fixed = COSTS.gart_update_ns + COSTS.sdma_job_ns
    wires = [fixed + COSTS.copy_ns(TOY, 0, to_vram=True, nbytes=pages * 4096) for pages in (512, 88)]
    first, second = log.events("copy_window")
    assert [part.fields["duration_ns"] for part in (first, second)] == wires
    assert second.time_ns == first.time_ns + wires[0]


def test_jobs_run_in_the_order_they_were_submitted():
    log = Log()
    engine = ring(log)
    first = engine.submit(Batch(page=0, vram_page=1, npages=512, to_vram=True), 100)
    second = engine.submit(Batch(page=512, vram_page=600, npages=1, to_vram=False), 200)
    begins = [event.time_ns for event in log.events("copy")]
    assert begins == [100, first.ready_ns]
    assert second.ready_ns == engine.free_at_ns > first.ready_ns


def test_an_idle_engine_begins_at_once():
    log = Log()
    engine = ring(log)
    fence = engine.submit(Batch(page=0, vram_page=1, npages=1, to_vram=True), 100)
    engine.submit(Batch(page=1, vram_page=2, npages=1, to_vram=True), fence.ready_ns + 5)
    assert log.events("copy")[1].time_ns == fence.ready_ns + 5


def test_the_rings_of_two_gpus_do_not_wait_for_each_other():
    log = Log()
    for gpu in (0, 1):
        ring(log, gpu).submit(Batch(page=0, vram_page=1, npages=512, to_vram=True), 0)
    assert [event.time_ns for event in log.events("copy")] == [0, 0]


def test_an_empty_batch_is_no_job_and_its_fence_stands_for_the_jobs_before():
    log = Log()
    engine = ring(log)
    before = engine.submit(Batch(page=0, vram_page=1, npages=5, to_vram=True), 0)
    events = len(log)
    assert engine.submit(Batch(page=5, vram_page=6, npages=0, to_vram=True), 1) == before
    assert len(log) == events


def test_the_size_of_a_window_is_a_constant_of_the_cost_model():
    log = Log()
    ring(log, costs=COSTS.changed(copy_window_pages=1024)).submit(
        Batch(page=0, vram_page=1, npages=1500, to_vram=True), 0
    )
    assert [npages for *_, npages in windows(log)] == [1024, 476]
