"""RUN, EVICTED, RESTORE: each row of the table, by what it leaves in the log."""

from pathlib import Path

import pytest

from svmlab.errors import SvmTimeoutError
from svmlab.svm.behaviour_table import PRESETS
from svmlab.svm.eviction import restore_work
from svmlab.svm.queue_state import TRANSITIONS, Input, Output, QueueState, Transition, transition_table

RUN, EVICTED, RESTORE = QueueState
STOPPED = ["queues stop (SVM)", "restore in 1 ms"]
AGAIN = ["rescheduled", "restore in 1 ms"]
DESIGN = Path(__file__).resolve().parents[3] / "DESIGN.md"

every_preset = pytest.mark.parametrize("behaviour", PRESETS)


def one_range(story, behaviour="as-intended", **options):
    """A range over two mappings: its restore sleeps at more than one point."""
    made = story(behaviour, **options)
    made.map("a", 4, 4, at=0x100)
    return made


def evicted(story, behaviour="as-intended"):
    made = one_range(story, behaviour)
    made.process.discard(made.span("a"))
    made.forget()
    assert made.driver.queue_state is EVICTED
    return made


def restoring(story, behaviour="as-intended"):
    """The worker is in the middle of the range, which it found with invalid = 1."""
    made = one_range(story, behaviour)
    for first in (0, 4):  # swapped pages make the walk of each mapping long
        made.process.swap_out(made.span("a", first))
    made.forget()
    made.until("map_to_gpu")
    made.forget()
    assert made.driver.queue_state is RESTORE
    return made


@every_preset
def test_run_an_invalidation_stops_the_queues_and_schedules_the_worker(story, behaviour):
    made = one_range(story, behaviour)
    made.process.discard(made.span("a"))
    assert made.told() == ["CLEAR a[0]", "a: invalid 1, evicted 1", *STOPPED]
    assert made.driver.queue_state is EVICTED


def test_run_a_timer_finds_nothing_to_do(story):
    made = one_range(story)
    made.do(restore_work(made.driver))
    assert (len(made.process.log), made.driver.queue_state) == (made.mark, RUN)


@every_preset
def test_evicted_an_invalidation_only_counts(story, behaviour):
    made = evicted(story, behaviour)
    made.process.discard(made.span("a", 2, 2))
    made.process.discard(made.span("a"))
    assert made.told("notifier") == ["a: invalid 2, evicted 2", "a: invalid 3, evicted 3"]
    assert made.driver.queue_state is EVICTED


@every_preset
def test_evicted_the_timer_starts_the_restore(story, behaviour):
    made = evicted(story, behaviour)
    made.until("restore_range")
    assert made.told() == ["restore: evicted 1", "restore a: invalid 1"]
    assert made.driver.queue_state is RESTORE


@every_preset
def test_restore_an_invalidation_only_counts(story, behaviour):
    made = restoring(story, behaviour)
    made.process.start.swap_out(made.span("a", 1))
    made.until("evict")
    assert made.told() == ["CLEAR a[1]", "a: invalid 3, evicted 3"]
    assert made.driver.queue_state is RESTORE


@every_preset
def test_restore_when_all_is_valid_again_and_nothing_changed_the_queues_run(story, behaviour):
    made = evicted(story, behaviour)
    made.process.run()
    assert made.told() == ["restore: evicted 1", "restore a: invalid 1", "queues run", "restore ends: done 1"]
    assert (made.driver.queue_state, made.driver.svms.evicted_ranges, made.range("a").invalid) == (RUN, 0, 0)
    assert made.process.broken_invariants() == []


@every_preset
def test_restore_an_error_starts_over_in_a_millisecond(story, behaviour):
    made = evicted(story, behaviour)
    made.process.inject("hmm_fault")
    made.until("restore_end")
    made.process.run(for_ns=0)
    ended = made.process.now
    made.until("restore_scheduled")
    assert made.told() == ["restore: evicted 1", "restore a: invalid 1", "restore ends: done 0 EFAULT", *AGAIN]
    assert (made.driver.queue_state, made.range("a").invalid) == (EVICTED, 1)
    made.forget()
    made.process.run()
    assert made.told() == ["restore: evicted 1", "restore a: invalid 1", "queues run", "restore ends: done 1"]
    (start,) = made.process.log.events("restore_start", since=made.mark)
    assert start.time_ns == ended + 1_000_000


@every_preset
def test_restore_a_range_that_changed_meanwhile_fails_the_first_exchange(story, behaviour):
    made = restoring(story, behaviour)
    made.process.start.swap_out(made.span("a", 1))
    made.until("restore_scheduled")
    assert made.told("notifier") == ["a: invalid 3, evicted 3", "restore ends: done 0", *AGAIN]
    assert (made.driver.queue_state, made.range("a").invalid) == (EVICTED, 3), "the count keeps its value"
    made.forget()
    made.process.run()
    assert made.told() == ["restore: evicted 3", "restore a: invalid 3", "queues run", "restore ends: done 1"]
    assert made.process.broken_invariants() == []


@every_preset
def test_restore_another_range_that_changed_meanwhile_fails_the_second_exchange(story, behaviour):
    made = story(behaviour)
    made.map("b", 4, at=0x200)
    made.map("a", 4, 4, at=0x100)
    made.process.swap_out(made.span("a", 4))
    made.forget()
    made.until("restore_range")
    made.process.start.swap_out(made.span("b"))
    made.until("restore_scheduled")
    assert made.told("notifier") == [
        "restore: evicted 1",
        "restore a: invalid 1",
        "b: invalid 1, evicted 2",
        "restore ends: done 0",
        *AGAIN,
    ]
    assert (made.range("a").invalid, made.range("b").invalid) == (0, 1)
    made.forget()
    made.process.run()
    assert made.told() == ["restore: evicted 2", "restore b: invalid 1", "queues run", "restore ends: done 1"]


@every_preset
def test_ranges_restored_in_a_failed_pass_are_not_restored_again(story, behaviour):
    made = story(behaviour)
    made.map("a", 4, at=0x100)
    made.map("b", 4, at=0x200)
    made.map("c", 4, at=0x300)
    for name in "abc":
        made.process.discard(made.span(name))
    made.process.inject("hmm_fault", nth=2)
    made.forget()
    made.process.run()
    assert made.told() == [
        "restore: evicted 3",
        "restore a: invalid 1",
        "restore b: invalid 1",
        "restore ends: done 0 EFAULT",
        *AGAIN,
        "restore: evicted 3",
        "restore b: invalid 1",
        "restore c: invalid 1",
        "queues run",
        "restore ends: done 1",
    ]


@every_preset
def test_ranges_are_restored_in_the_order_they_were_registered(story, behaviour):
    made = story(behaviour)
    for name, at in (("z", 0x300), ("a", 0x100), ("m", 0x200)):
        made.map(name, 4, at=at)
    for name in "amz":
        made.process.discard(made.span(name))
    made.forget()
    made.process.run()
    assert [line for line in made.told() if line.startswith("restore ") and ":" in line][:3] == [
        "restore z: invalid 1",
        "restore a: invalid 1",
        "restore m: invalid 1",
    ]


@every_preset
def test_an_invalidation_between_the_second_exchange_and_the_resume_keeps_the_queues_stopped(story, behaviour):
    made = one_range(story, behaviour)
    made.process.create_queue("gpu0")
    made.process.discard(made.span("a"))
    made.forget()
    while made.driver.queue_state is not RUN:  # the exchange is made, the first GPU takes its time
        made.driver.world.env.step()
    made.process.start.swap_out(made.span("a", 3))
    made.until("restore_end")
    assert made.process.look.queues(0) == "evicted"
    made.process.run()
    assert made.told("notifier", "restore_scheduled") == [
        "restore: evicted 1",
        "restore a: invalid 1",
        "a: invalid 1, evicted 1",
        "queues stop (SVM)",  # gpu0: its second stop
        "queues run",  # gpu0: one stop is left; the others run, for a moment
        "restore ends: done 1",
        "queues stop (SVM) on gpu1",
        "queues stop (SVM) on gpu2",
        "restore: evicted 1",
        "restore a: invalid 1",
        "queues run",
        "restore ends: done 1",
    ]
    assert (made.process.look.queues(), made.driver.queue_state) == ("running", RUN)


@every_preset
def test_queues_that_cannot_be_resumed_stay_stopped_for_good(story, behaviour):
    made = evicted(story, behaviour)
    made.process.inject("queue_resume", gpu="gpu1")
    made.process.run()
    assert made.told() == [
        "restore: evicted 1",
        "restore a: invalid 1",
        "queues run",
        "queues could not be resumed: nobody tries again ETIME",
        "restore ends: done 1",
    ]
    assert [made.process.look.queues(gpu) for gpu in range(3)] == ["running", "evicted", "running"]
    made.process.discard(made.span("a"))
    made.process.run()
    assert [made.process.look.queues(gpu) for gpu in range(3)] == ["running", "evicted", "running"]


def test_a_gpu_that_cannot_be_stopped_lets_those_before_it_run_again(story):
    made = one_range(story)
    made.process.inject("queue_stop", gpu="gpu1")
    made.process.discard(made.span("a"))
    assert made.told() == [
        "CLEAR a[0]",
        "a: invalid 1, evicted 1",
        "queues stop (SVM)",
        "queues run",
        "the queues could not be stopped: they go on ETIME",
        "restore in 1 ms",
    ]
    assert made.process.look.queues() == "running"
    made.process.run()
    assert (made.process.look.queues(), made.driver.queue_state) == ("running", RUN)


def test_a_gpu_in_reset_counts_as_stopped(story):
    made = one_range(story)
    made.process.inject("queue_stop", gpu="gpu1", error="EIO")
    made.process.discard(made.span("a"))
    assert made.told() == ["CLEAR a[0]", "a: invalid 1, evicted 1", *STOPPED]
    assert [made.process.look.queues(gpu) for gpu in range(3)] == ["evicted"] * 3


# errors that never end


def test_a_permanent_error_starts_over_for_ever_and_is_told_as_such(story):
    """As posted, a RAM range is always validated for stores: a read-only mapping can never be restored."""
    made = one_range(story, "as-posted")
    made.process.mprotect(made.span("a", 0, 4), "r")
    made.forget()
    error = made.error(made.process.run)
    once = ["restore: evicted 1", "restore a: invalid 1", "restore ends: done 0 EPERM"]
    assert made.told()[:16] == [
        *once,
        *AGAIN,
        *once,
        *AGAIN,
        *once,
        "stuck with a after 3: EPERM, the mapping is read-only",
        *AGAIN,
    ]
    assert made.process.log.count("restore_stuck") == 1, "said once"
    assert isinstance(error, SvmTimeoutError)
    assert "the restore of pages 0x100 to 0x107 fails with EPERM every time" in str(error)
    assert "the queues of process 1 stay stopped" in str(error)
    assert made.process.look.queues() == "evicted"


def test_an_error_that_passes_is_not_told_as_permanent(story):
    made = evicted(story)
    made.process.inject("hmm_fault", count=2)
    made.process.run()
    assert made.process.log.count("restore_end", since=made.mark) == 3
    assert made.process.log.count("restore_stuck") == 0


def test_a_permanent_error_ends_when_its_cause_goes(story):
    made = one_range(story, "as-posted")
    made.process.mprotect(made.span("a", 0, 4), "r")
    made.process.run(for_ns="10 ms")
    made.process.mprotect(made.span("a", 0, 4), "rw")
    made.process.run()
    assert (made.process.look.queues(), made.driver.restore_trouble) == ("running", None)


# the table itself


def test_the_table_has_a_row_for_every_pair_that_can_occur():
    assert {(state, given): row.state for (state, given), row in TRANSITIONS.items()} == {
        (RUN, Input.INVALIDATION): EVICTED,
        (RUN, Input.TIMER): RUN,
        (EVICTED, Input.INVALIDATION): EVICTED,
        (EVICTED, Input.TIMER): RESTORE,
        (RESTORE, Input.INVALIDATION): RESTORE,
        (RESTORE, Input.RESTORED): RUN,
        (RESTORE, Input.NOT_RESTORED): EVICTED,
    }


def test_only_leaving_run_stops_queues_and_only_returning_there_resumes_them():
    stops = [pair for pair, row in TRANSITIONS.items() if Output.QUIESCE in row.outputs]
    resumes = [pair for pair, row in TRANSITIONS.items() if Output.RESUME in row.outputs]
    assert (stops, resumes) == ([(RUN, Input.INVALIDATION)], [(RESTORE, Input.RESTORED)])


def test_the_mechanism_does_what_the_table_says_and_nothing_else(story, monkeypatch):
    """A table in which the timer leads nowhere: nobody restores anything."""
    made = evicted(story)
    monkeypatch.setitem(TRANSITIONS, (EVICTED, Input.TIMER), Transition(EVICTED))
    made.process.run()
    assert (made.told(), made.process.look.queues()) == ([], "evicted")


def test_the_design_shows_the_table_that_runs():
    assert transition_table() in DESIGN.read_text(encoding="utf-8")
