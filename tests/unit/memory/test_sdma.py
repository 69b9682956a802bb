"""The copy engine: windows counted from the start of a batch, jobs in order, times as arrays."""

from __future__ import annotations

import numpy as np
import pytest

from svmlab.hardware.costs import Costs
from svmlab.hardware.machine import Machine
from svmlab.hardware.sdma import Batch, SdmaEngines, SdmaRing
from svmlab.log import Log
from svmlab.svm.process import Process

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
    assert begins == [100, first]
    assert second == engine.free_at_ns > first


def test_an_idle_engine_begins_at_once():
    log = Log()
    engine = ring(log)
    fence_ns = engine.submit(Batch(page=0, vram_page=1, npages=1, to_vram=True), 100)
    engine.submit(Batch(page=1, vram_page=2, npages=1, to_vram=True), fence_ns + 5)
    assert log.events("copy")[1].time_ns == fence_ns + 5


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


@pytest.mark.parametrize("name", ["toy", "pcie-pair", "mi210-two-hives", "mi300x-8"])
def test_every_engine_of_every_gpu_has_a_ring_of_its_own(name: str):
    machine = Machine.find(name)
    for gpu in machine.gpus:
        rings = SdmaEngines(machine, gpu.index, COSTS, Log()).rings
        assert len({id(each) for each in rings}) == gpu.sdma_engines + gpu.sdma_xgmi_engines


def test_the_engines_of_one_gpu_do_not_wait_for_each_other():
    log = Log()
    for engine in SdmaEngines(TOY, 0, COSTS, log).rings:
        engine.submit(Batch(page=0, vram_page=1, npages=512, to_vram=True), 7)
    assert {event.time_ns for event in log.events("copy")} == {7}


def moved_and_back(behaviour: str) -> Process:
    process = Process("toy", behaviour=behaviour)
    buffer = process.mmap("1300 pages", name="a")
    process.cpu_write(buffer, 7)
    process.set_attr(buffer, access=["gpu0"], prefetch="gpu0")
    process.run()
    process.set_attr(buffer, prefetch="cpu")
    process.run()
    return process


@pytest.mark.parametrize("behaviour", ["as-intended", "upstream"])
def test_migration_takes_the_ring_of_the_first_engine_in_both_directions(behaviour: str):
    process = moved_and_back(behaviour)
    assert set(process.log.field("copy", "to_vram").tolist()) == {0, 1}
    first, *others = process.driver.engines[0].rings
    assert first.free_at_ns > 0
    assert {ring.free_at_ns for ring in others} == {0}


def test_a_migration_waits_once_for_the_fence_of_its_last_batch():
    process = Process("toy", vram="16 MiB")
    process.driver.vrams[0].force_layout([(600, 600), (1300, 100), (1500, 600)])
    buffer = process.mmap("1300 pages")
    process.cpu_write(buffer, 7)
    process.set_attr(buffer, access=["gpu0"], prefetch="gpu0")
    last = process.log.events("copy_window")[-1]
    waits = process.log.events("fence_wait")
    assert len(waits) == 1
    assert (
        waits[0].time_ns >= last.time_ns + last.fields["duration_ns"] == process.driver.engines[0].rings[0].free_at_ns
    )


def test_windows_are_counted_from_the_start_of_each_batch_of_a_migration():
    process = Process("toy", vram="16 MiB")
    process.driver.vrams[0].force_layout([(512, 512), (1100, 300), (1500, 600)])
    buffer = process.mmap("1300 pages")
    process.cpu_write(buffer, 7)
    process.set_attr(buffer, access=["gpu0"], prefetch="gpu0")
    for batch in process.log.events("copy"):
        sizes = [event.npages for event in process.log.events("copy_window") if event.cause == batch.id]
        full, rest = divmod(batch.npages, 512)
        assert sizes == [512] * full + [rest] * bool(rest)
    assert process.log.field("copy", "npages").sum() == 1300


def test_the_jobs_of_two_processes_on_one_gpu_follow_each_other_on_its_ring():
    first = Process("toy")
    both = (first, first.spawn("other"))
    for process in both:
        buffer = process.mmap("600 pages")
        process.cpu_write(buffer, 7)
        process.start.set_attr(buffer, access=["gpu0"], prefetch="gpu0")
    first.run()
    ids = first.log.select("copy")
    begins, durations = first.log.column("time")[ids], first.log.field("copy", "duration_ns")
    assert set(first.log.column("pid")[ids].tolist()) == {process.pid for process in both}
    assert (begins[1:] >= begins[:-1] + durations[:-1]).all()
