"""The five shapes that published measurements have, in runs of the simulator.

The measurements are of an MI250X die (Cooper, Scogland and Ge, ICS'24) and of an MI300X (its acceptance guide). The
third one, duplicates of faults, is in test_many_waves.py.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

import svmlab as sl
from svmlab.hardware.costs import Costs
from svmlab.hardware.machine import Machine
from svmlab.hardware.sdma import Batch, SdmaRing
from svmlab.log import Log

MIB = 1 << 20
BLOCK_PAGES = 512

# 1. what a migration that a fault asks for consists of


def parts_of_a_fault(npages):
    """ns that each part of serving one fault takes, by the log of a run; what overlaps is counted on both sides."""
    p = sl.Process("mi250x-node", xnack=True, payload=False, ram="1 GiB", vram="1 GiB")
    a = p.mmap(f"{npages} pages", at=0x7F0000000000, populate=True)
    p.set_attr(a, granularity=20)
    p.advance("3 ms")
    raised, mark, costs = p.now, len(p.log), p.driver.costs
    p.gpu(0).touch(sl.Span.of_pages(a.span.start, a.span.start))
    at = {event.name: event.time_ns for event in p.log.events(since=mark)}
    steps = {event.fields["number"]: event.time_ns for event in p.log.events("step", since=mark)}
    windows = p.log.events("copy_window", since=mark)
    window_ns = costs.sdma_job_ns + costs.gart_update_ns
    moving_ns = npages * costs.migrate_pages_page_ns  # its end is hidden behind the wait for the copy
    return {
        "cpu_update": at["migrate_setup"] - steps[1] + moving_ns + at["migrate_end"] - at["migrate_finalize"],
        "sdma_setup": steps[4] - steps[3] + len(windows) * window_ns,
        "alloc": steps[3] - steps[2],
        "wire": sum(event.fields["duration_ns"] - window_ns for event in windows),
        "rest": at["page_fault_start"] - raised + costs.fence_wait_ns + at["page_fault_end"] - at["migrate_end"],
    }


@pytest.mark.parametrize("npages", [512, 2048, 8192])
def test_shape_1_page_tables_setup_and_allocation_are_most_of_a_fault_and_the_wire_is_less_than_half(npages):
    parts = parts_of_a_fault(npages)
    total = sum(parts.values())
    share = (parts["cpu_update"] + parts["sdma_setup"] + parts["alloc"]) / total
    assert 0.70 <= share <= 0.82
    assert parts["wire"] / total < 0.5


# 2. more data than VRAM

CAPACITY = 22
"""Blocks of 2 MiB that the VRAM holds."""
SWEEP = (17, 20, 22, 24, 28, 34)
"""77 % to 155 % of it; 24 blocks are 109 %."""


def run(blocks, passes, compute="0 us"):
    """A GPU walks over unregistered memory of so many blocks; returns ns for each block and pass, and the process."""
    p = sl.Process("toy", xnack=True, payload=False, vram="45 MiB", ram="1 GiB")
    a = p.mmap(f"{blocks * 2} MiB", populate=True)
    p.advance("3 ms")
    begun = p.now
    for _ in range(passes):
        for first in range(int(a.span.start), int(a.span.last), BLOCK_PAGES):
            p.gpu(0).touch(sl.Span.of_pages(first, first + BLOCK_PAGES - 1), write=True)
            p.advance(compute)
    return (p.now - begun) / (blocks * passes), p


def shares(p):
    """The share of each step in the last ten migrations that a fault asked for, by the step's number.

    The second one finds VRAM, which includes the evictions.
    """
    log = p.log
    ends = [event for event in log.events("migrate_end") if event.fields["trigger"] == 1][-10:]
    time_ns = dict.fromkeys(range(1, 6), 0)
    for end in ends:
        steps = [event for event in log.events("step", since=end.cause) if event.cause == end.cause]
        for step, after in pairwise([*steps, end]):
            time_ns[step.fields["number"]] += after.time_ns - step.time_ns
    return {number: ns / sum(time_ns.values()) for number, ns in time_ns.items()}


def test_shape_2_streaming_degrades_linearly():
    totals = [run(blocks, 1)[0] * blocks for blocks in SWEEP]
    slopes = [(later - sooner) / (b - a) for (a, sooner), (b, later) in pairwise(zip(SWEEP, totals, strict=True))]
    below, above = slopes[:2], slopes[3:]
    assert max(below) / min(below) < 1.1
    assert max(above) / min(above) < 1.1
    assert 1 < np.mean(above) / np.mean(below) < 3, "each further block costs an eviction more, and no collapse"


def test_shape_2_a_stencil_drops_to_about_40_percent_near_109_percent_and_stays_there():
    """Three sweeps over all data with 240 us of work on each block."""
    speed = {blocks: 1 / run(blocks, 3, compute="240 us")[0] for blocks in SWEEP}
    relative = {blocks: speed[blocks] / speed[SWEEP[0]] for blocks in SWEEP}
    assert relative[20] == pytest.approx(1.0, abs=0.05)
    assert relative[24] == pytest.approx(0.40, abs=0.05)
    assert [relative[28], relative[34]] == pytest.approx([relative[24]] * 2, abs=0.03)


def test_shape_2_what_reuses_its_data_collapses_above_100_percent_and_allocation_dominates():
    """Ten sweeps over all data and no work in between."""
    fits, within = run(20, 10)
    thrashes, beyond = run(24, 10)
    assert fits / thrashes < 0.10
    assert shares(within)[2] < 0.2
    assert shares(beyond)[2] > 0.5


# 4. xnack off


@pytest.mark.parametrize("behaviour", ["as-posted", "as-intended", "upstream"])
def test_shape_4_with_xnack_off_queues_are_off_for_at_least_1_ms_each_time_they_are_stopped(behaviour):
    p = sl.Process("mi250x-node", behaviour=behaviour, payload=False, ram="1 GiB", vram="1 GiB")
    a = p.mmap("4 MiB", populate=True)
    p.create_queue("gpu0")
    p.set_attr(a, access=["gpu0"], prefetch="gpu0")
    p.run()
    for _ in range(3):
        p.cpu_touch(a)
        p.run()
        p.set_attr(a, prefetch="cpu")
        p.set_attr(a, prefetch="gpu0")
        p.run()
    stopped, resumed = (
        [event.time_ns for event in p.log.events(name) if event.fields["gpu"] == 0]
        for name in ("queue_eviction", "queue_restore")
    )
    assert len(stopped) == len(resumed) >= 4
    assert min(on - off for off, on in zip(stopped, resumed, strict=True)) >= 1_000_000


# 5. copies


def gb_per_s(nbytes, to_vram):
    """What one copy of this size reaches on the ring of an MI300X; its window is as large as the copy."""
    npages = nbytes // 4096
    costs = Costs.load().changed(copy_window_pages=npages, gart_update_ns=0, sdma_job_ns=0)
    log = Log()
    ring = SdmaRing(Machine.find("mi300x-8"), 0, costs, log)
    ring.submit(Batch(page=0, vram_page=0, npages=npages, to_vram=to_vram), 0)
    return nbytes / int(log.field("copy", "duration_ns")[0])


def test_shape_5_copies_of_64_mib_reach_the_published_bandwidths_and_those_of_1_mib_do_not():
    assert [gb_per_s(64 * MIB, to_vram) for to_vram in (True, False)] == pytest.approx([42.0, 55.2], rel=1e-3)
    assert [gb_per_s(MIB, to_vram) < 0.8 * best for to_vram, best in ((True, 42.0), (False, 55.2))] == [True, True]


def test_shape_5_a_peer_copy_would_reach_its_bandwidth_too():
    """No mechanism copies from GPU to GPU: the driver goes through RAM. The cost model knows the link all the same."""
    costs, machine = Costs.load(), Machine.find("mi300x-8")
    law = costs.copy_law(costs.peer_bandwidth(machine, 0, target=5))
    assert 64 * MIB / law.time_ns(64 * MIB) == pytest.approx(48.4, rel=1e-3)
    assert MIB / law.time_ns(MIB) < 0.8 * 48.4
