"""The CPU touches pages in VRAM: served, SIGBUS, SIGSEGV, and the ping-pong between CPU and GPU."""

from __future__ import annotations

import pytest

import svmlab as sl
from svmlab.errors import BusError, SegmentationFault
from svmlab.hardware.memory import Memory

BEHAVIOURS = ["as-posted", "as-intended", "upstream"]


def in_vram(lab, behaviour="as-intended", **options):
    x = lab(behaviour=behaviour, size="64 KiB", **({"xnack": False} | options))
    x.a[:] = 7
    x.p.set_attr(x.a, access=["gpu0"], prefetch="gpu0")
    x.p.run()
    x.mark()
    return x


SERVED = ["migrate_start 0-15 gpu0->cpu trigger=2", "migrate_end 0-15 npages=16 error=0 gpu0->cpu trigger=2"]


@pytest.mark.parametrize("behaviour", BEHAVIOURS)
def test_a_load_of_a_page_in_vram_brings_its_block_home(lab, behaviour):
    x = in_vram(lab, behaviour)
    assert x.a[3 * 4096] == 7
    assert x.told("cpu_fault", "migrate_start", "migrate_end") == ["cpu_fault 3-3", *SERVED]


@pytest.mark.parametrize("fault", ["copy", "ram_alloc", "dma_map", "setup"])
@pytest.mark.parametrize("behaviour", ["as-intended", "upstream"])
def test_a_page_that_cannot_come_home_is_sigbus_and_keeps_its_contents(lab, behaviour, fault):
    x = in_vram(lab, behaviour)
    x.p.inject(fault)
    with pytest.raises(BusError, match="cannot come home"):
        x.p.cpu_read(x.pages(3, 1))
    assert set(x.a[:].tolist()) == {7}
    assert x.p.broken_invariants() == []


@pytest.mark.parametrize("behaviour", BEHAVIOURS)
def test_where_nothing_is_mapped_is_sigsegv_before_any_driver_is_asked(lab, behaviour):
    x = in_vram(lab, behaviour)
    x.p.munmap(x.pages(3, 1))
    x.mark()
    with pytest.raises(SegmentationFault, match="where nothing is mapped"):
        x.p.cpu_read(x.pages(3, 1))
    assert x.told("cpu_fault", "migrate_start") == []


@pytest.mark.parametrize("behaviour", BEHAVIOURS)
def test_a_store_that_the_mapping_forbids_is_sigsegv_and_the_page_stays_in_vram(lab, behaviour):
    x = in_vram(lab, behaviour)
    x.p.mprotect(x.a, "r")
    x.mark()
    with pytest.raises(SegmentationFault, match="forbids"):
        x.p.cpu_write(x.pages(3, 1), 1)
    assert x.told("cpu_fault", "migrate_start") == []
    assert set(x.p.look.locations(x.a.span).tolist()) == {x.p.machine.gpus[0].gpu_id}


@pytest.mark.parametrize(
    ("behaviour", "outcome"), [("as-posted", "SIGBUS"), ("as-intended", "served"), ("upstream", "served")]
)
def test_a_forked_child_that_touches_a_page_in_vram(lab, behaviour, outcome):
    x = in_vram(lab, behaviour)
    child = x.p.fork()
    if outcome == "SIGBUS":
        with pytest.raises(BusError, match="no range of its process covers it"):
            child.cpu_read(x.pages(3, 1))
    else:
        assert child.cpu_read(x.pages(3, 1))[0] == 7


def bounced(x, rounds):
    """CPU and GPU store to the buffer in turn."""
    for number in range(rounds):
        x.p.cpu_write(x.pages(0, 1), number + 1)
        x.p.gpu(0).write(x.pages(0, 1), number + 101)
    x.p.run()


@pytest.mark.parametrize("behaviour", ["as-intended", "upstream"])
def test_ping_pong_with_xnack_on_is_a_migration_a_touch_and_no_queue_ever_stops(lab, behaviour):
    x = in_vram(lab, behaviour, xnack=True)
    bounced(x, 3)
    there = ["migrate_start 0-15 cpu->gpu0 trigger=1", "migrate_end 0-15 npages=16 error=0 cpu->gpu0 trigger=1"]
    assert x.told("migrate_start", "migrate_end", "queue_eviction") == (SERVED + there) * 3
    assert x.p.log.count("cpu_fault", since=x.seen) == 3
    assert x.a[0] == 103


@pytest.mark.parametrize("behaviour", ["as-intended", "upstream"])
def test_ping_pong_within_2_ms_of_the_last_mapping_waits_for_the_filter(lab, behaviour):
    """A block that the GPU has just mapped went home at once: the GPU's faults are dropped until 2 ms have passed."""
    x = in_vram(lab, behaviour, xnack=True)
    bounced(x, 2)
    starts = [event.time_ns for event in x.p.log.events("page_fault_start", since=x.seen)]
    ends = [event.time_ns for event in x.p.log.events("page_fault_end", since=x.seen)]
    assert starts[1] - ends[0] >= 2_000_000 - 100_000
    assert set(x.told("page_fault_dropped")) == {
        "page_fault_dropped 0-0 count=1 the range was mapped less than 2 ms ago"
    }


@pytest.mark.parametrize("behaviour", BEHAVIOURS)
def test_ping_pong_with_xnack_off_comes_home_once_and_the_gpu_goes_on_in_ram(lab, behaviour):
    x = in_vram(lab, behaviour)
    bounced(x, 3)
    assert x.told("migrate_start", "migrate_end") == SERVED
    assert x.a[0] == 103
    assert set(x.p.look.locations(x.a.span).tolist()) == {0}


def test_after_sigbus_the_program_may_try_again(lab):
    x = in_vram(lab)
    x.p.inject("copy", count=2)
    outcomes = []
    for _ in range(3):
        try:
            outcomes.append(int(x.p.cpu_read(x.pages(0, 1))[0]))
        except sl.SvmError as error:
            outcomes.append(error.name)
    assert outcomes == ["SIGBUS", "SIGBUS", 7]


def test_the_way_home_block_by_block_does_not_look_at_the_whole_range_for_every_block(monkeypatch):
    looked_at = 0
    in_vram_of = Memory.in_vram_of

    def counted(memory, pfns, gpus):
        nonlocal looked_at
        looked_at += pfns.size
        return in_vram_of(memory, pfns, gpus)

    process = sl.Process("toy", xnack=False, ram="1 GiB", vram="512 MiB", payload=False)
    buffer = process.mmap("128 MiB", populate=True)
    process.set_attr(buffer, access=["gpu0"], prefetch="gpu0")
    process.run()
    monkeypatch.setattr(Memory, "in_vram_of", counted)
    for first in range(0, buffer.npages, 512):
        process.cpu_read(buffer.pages(first))
    assert process.look.counters(0)["page_out"] == buffer.npages
    assert looked_at < 4 * buffer.npages
