"""LateReport: when memory goes while faults are under way, read off the page and held against the log."""

import pytest

from svmlab.widgets import LateReport


@pytest.fixture(scope="module")
def lab():
    return LateReport()


@pytest.fixture
def start(lab, read):
    lab.reset.click()
    return read(lab)


def test_reports_that_a_munmap_made_stale_do_no_harm(start):
    assert start.headline == "Munmap 200 us after the touch: gpu0's work is done, and its queues run on"
    assert "dropped (999): it was reported before a munmap" in start.said
    assert "the others are older than the munmap, and nobody needs them" in start.said


def test_a_driver_that_does_not_tell_them_kills_a_process_that_did_nothing_wrong(lab, start):
    lab.stale.value = "not at all"
    assert start.headline == "Munmap 200 us after the touch: gpu0's work was done, and yet an access of it is fatal"
    lab.of.value = "other pages"
    assert start.headline.endswith("its queues run on")


def test_memory_that_goes_while_a_gpu_wants_it_is_fatal_however_reports_are_told(lab, start):
    lab.munmap.value = 5
    for how, _ in lab.stale.options:
        lab.stale.value = how
        assert start.headline == "Munmap 5 us after the touch: gpu0's work ends with a fatal access"


def test_a_report_that_is_dropped_though_it_is_needed_comes_again(lab, start):
    lab.munmap.value, lab.of.value = 5, "other pages"
    assert start.headline.endswith("its queues run on")
    assert "gpu0 reports again, and is served" in start.said


@pytest.mark.parametrize("us", [0, 5, 25, 200, 600])
@pytest.mark.parametrize("of", ["the page itself", "other pages"])
def test_every_report_is_served_dropped_or_fatal(lab, us, of):
    run = lab._run(us, of, "by their time")
    events = run.process.log.events("page_fault_end", "page_fault_dropped", "memory_exception", since=run.since)
    assert sum(event.fields.get("count", 1) for event in events) >= 1000 or run.dead
    assert run.process.broken_invariants() == []
