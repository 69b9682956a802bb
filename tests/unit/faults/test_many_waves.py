"""Waves that fault together: one report is served, the others are read later and dropped, or are stale by then.

The workload: 1,000 waves walk side by side over one range of 16 MiB that nobody touched, granularity 9, so that there
are 8 blocks. Where a block is missing all of them report a fault.
"""

from __future__ import annotations

import pytest

from svmlab.errors import SvmError

WAVES = 1_000


@pytest.fixture
def after_the_kernel(lab):
    def make(behaviour="as-intended"):
        x = lab(behaviour=behaviour, size="16 MiB", vram="64 MiB", payload=False)
        x.p.set_attr(x.a, access=["gpu0"])
        x.p.gpu(0).touch(x.a, write=True, waves=WAVES)
        return x

    return make


@pytest.mark.parametrize("behaviour", ["as-intended", "upstream"])
def test_with_1000_waves_on_one_range_at_least_97_percent_of_the_raw_faults_are_duplicates(after_the_kernel, behaviour):
    x = after_the_kernel(behaviour)
    x.p.run()
    served = x.p.log.count("page_fault_end")
    duplicates = int(x.p.log.field("page_fault_dropped", "count").sum())
    assert served == 8, "one fault served for each block"
    assert duplicates / (served + duplicates) >= 0.97
    assert (served + duplicates) % WAVES == 0, "each time all waves report"


def test_reports_that_are_alike_are_one_event_with_their_number(after_the_kernel):
    x = after_the_kernel()
    x.p.run()
    counts = x.p.log.field("page_fault_dropped", "count").tolist()
    assert set(counts) == {1, WAVES - 1}
    assert counts.count(WAVES - 1) >= 8


def test_reports_that_are_read_after_a_munmap_are_stale_and_dropped(after_the_kernel):
    x = after_the_kernel()
    x.mark()
    x.p.munmap(x.a)
    x.p.run()
    assert x.told("page_fault_dropped", "memory_exception")[-1].endswith("count=999 it was reported before a munmap")
    assert x.p.look.queues() == "running"


def test_without_the_timestamps_the_same_reports_kill_the_process(after_the_kernel):
    x = after_the_kernel({"stale_faults": "fatal"})
    x.mark()
    x.p.munmap(x.a)
    x.p.run()
    assert [event.name for event in x.p.log.events("memory_exception")] == ["memory_exception"]
    with pytest.raises(SvmError, match="killed by an earlier memory exception"):
        x.p.gpu(0).touch(x.p.mmap("4 KiB"))


def test_reports_of_a_process_that_has_gone_are_dropped(after_the_kernel):
    x = after_the_kernel()
    x.mark()
    x.p.exit()
    x.p.run()
    assert x.told("page_fault_dropped")[-1].endswith("count=999 its process has gone")


def test_a_single_wave_reports_every_fault_once(lab):
    x = lab()
    x.p.gpu(0).touch(x.pages(0, 1))
    x.p.run()
    assert x.told("page_fault_start", "page_fault_dropped") == ["page_fault_start 0-0 gpu=0 write=0"]


def test_no_wave_at_all_is_refused(lab):
    x = lab()
    with pytest.raises(SvmError, match="0 waves; allowed: 1 or more"):
        x.p.gpu(0).touch(x.a, waves=0)
