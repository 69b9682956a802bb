"""The three race timelines, by the scenario files that are shipped: every count and every lock, in order."""

import pytest

from svmlab.resources import data_path
from svmlab.scenario.format import Overrides
from svmlab.scenario.runner import load_scenario, run
from svmlab.svm.behaviour_table import PRESETS

RACES = data_path("scenarios") / "races"
HEAP, HERE = 0x7E0000000, 0x7F0000000

every_preset = pytest.mark.parametrize("behaviour", PRESETS)


@pytest.fixture
def race(story):
    def go(file, behaviour, names, since):
        result = run(load_scenario(RACES / f"{file}.toml", Overrides(behaviour=behaviour)))
        assert result.failures == []
        return story.of(result.process, names, since)

    return go


@every_preset
def test_a_pages_that_change_while_the_worker_works_are_noticed_by_either_exchange(race, behaviour):
    made = race("changed-while-restoring", behaviour, {HEAP: "second", HERE: "first"}, "swap_out")
    assert made.told() == [
        "CLEAR first[16]",
        "first: invalid 1, evicted 1",
        "queues stop (SVM)",
        "restore in 1 ms",
        "restore: evicted 1",
        "restore first: invalid 1",
        "CLEAR first[3]",
        "first: invalid 2, evicted 2",
        "restore ends: done 0",  # 1 -> 0 finds 2
        "rescheduled",
        "restore in 1 ms",
        "restore: evicted 2",
        "restore first: invalid 2",
        "CLEAR second[0]",
        "second: invalid 1, evicted 3",
        "restore ends: done 0",  # first: 2 -> 0; evicted: 2 -> 0 finds 3
        "rescheduled",
        "restore in 1 ms",
        "restore: evicted 3",
        "restore second: invalid 1",
        "queues run",
        "restore ends: done 1",
    ]


@every_preset
def test_a_page_that_changes_while_the_queues_are_resumed_keeps_them_stopped(race, behaviour):
    made = race("changed-while-resuming", behaviour, {HEAP: "a"}, "swap_out")
    assert made.told("notifier", "restore_scheduled") == [
        "a: invalid 1, evicted 1",
        "queues stop (SVM)",
        "restore: evicted 1",
        "restore a: invalid 1",
        "a: invalid 1, evicted 1",  # evicted went to 0 before
        "queues stop (SVM)",
        "queues run",
        "restore ends: done 1",
        "queues stop (SVM) on gpu1",
        "restore: evicted 1",
        "restore a: invalid 1",
        "queues run",
        "restore ends: done 1",
    ]


MOVING = [
    "MIGRATE a[0..2047]",
    "a: invalid 1, evicted 1",
    "queues stop (SVM)",
    "restore in 1 ms",
    "restore: evicted 1",
    "restore worker waits for process_info lock of main",
    "MIGRATE a[2048..4095]",
    "a: invalid 2, evicted 2",
    "MIGRATE a[4096..6143]",
    "a: invalid 3, evicted 3",
    "restore worker gets process_info lock of main",
    "restore a: invalid 3",
]


def moved(race, behaviour):
    made = race("migrating-while-restoring", behaviour, {HERE: "a"}, "set_attr")
    made.mark = made.process.log.events("call_start")[-1].id
    return made


def test_b_a_migration_that_goes_on_while_the_worker_waits_makes_it_start_over_as_posted(race):
    made = moved(race, "as-posted")
    assert made.told(locks=True) == [
        *MOVING,
        "restore ends: done 0",  # a: 3 -> 0; evicted: 1 -> 0 finds 3
        "rescheduled",
        "restore in 1 ms",
        "restore: evicted 3",
        "queues run",  # nothing was invalid
        "restore ends: done 1",
    ]


@pytest.mark.parametrize("behaviour", ["as-intended", "upstream"])
def test_b_a_worker_that_reads_the_count_under_its_locks_does_not_start_over(race, behaviour):
    assert moved(race, behaviour).told(locks=True) == [*MOVING, "queues run", "restore ends: done 1"]


def test_b_the_spurious_failure_costs_a_millisecond_of_standstill(race):
    made = moved(race, "as-posted")
    first, last = made.process.log.events("restore_end", since=made.mark)
    again = made.process.log.events("queue_restore", since=made.mark)[0]
    assert (again.time_ns - first.time_ns, last.fields["done"]) == (1_000_000, 1)


FAULT = [
    "MIGRATE a[2048..4095]",
    "a: invalid 1, evicted 1",
    "queues stop (SVM)",
    "restore in 1 ms",
    "restore: evicted 1",
    "restore worker waits for mmap_lock of main",
    "cpu_write waits for mmap_lock of main",  # a reader behind a waiting writer
]
"""The handler has mmap_lock for reading until its migration is done."""

LISTED = [
    "deferred worker waits for mmap_lock of main",
    "restore worker gets mmap_lock of main",
    "cpu_write gets mmap_lock of main",  # the worker saw the list and gave the lock up
    "deferred worker gets mmap_lock of main",
]


def test_c_the_worker_waits_for_the_pieces_of_a_fault_and_as_posted_forgets_the_one_that_moved(race):
    made = race("faulting-while-restoring", "as-posted", {HEAP: "b", HERE: "a"}, "cpu_read")
    assert made.told(locks=True)[: made.told(locks=True).index("restore ends: done 1") + 1] == [
        *FAULT,
        *LISTED,
        "deferred: ADD_RANGE a[2048..4095]",
        "deferred: UPDATE_RANGE_NOTIFIER a",
        "restore a: invalid 1",  # a[2048..4095] moved, and is not restored
        "queues run",
        "restore ends: done 1",
    ]


def test_c_as_intended_the_range_becomes_the_block_that_moves_so_that_it_is_restored(race):
    made = race("faulting-while-restoring", "as-intended", {HEAP: "b", HERE: "a"}, "cpu_read")
    assert made.told(locks=True)[: made.told(locks=True).index("restore ends: done 1") + 1] == [
        FAULT[0],
        "a[2048..4095]: invalid 1, evicted 1",
        *FAULT[2:],
        *LISTED,
        "deferred: ADD_RANGE a",
        "deferred: UPDATE_RANGE_NOTIFIER a[2048..4095]",
        "restore a[2048..4095]: invalid 1",
        "queues run",
        "restore ends: done 1",
    ]


def test_c_upstream_nothing_is_cut_and_nothing_has_to_be_registered(race):
    made = race("faulting-while-restoring", "upstream", {HEAP: "b", HERE: "a"}, "cpu_read")
    assert made.told(locks=True)[: made.told(locks=True).index("restore ends: done 1") + 1] == [
        *FAULT,
        "restore worker gets mmap_lock of main",
        "restore a: invalid 1",
        "queues run",
        "restore ends: done 1",
    ]
