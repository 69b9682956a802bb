"""Queues stop per process and GPU, and stops nest; several processes share the GPUs and not their queues."""

import pytest

from svmlab.svm.behaviour_table import PRESETS
from svmlab.svm.queues import quiesce, resume
from svmlab.uapi import EvictionTrigger

every_preset = pytest.mark.parametrize("behaviour", PRESETS)
BOTH = pytest.mark.parametrize("xnack", [False, True])


def queues(process):
    return [process.look.queues(gpu) for gpu in range(3)]


def counts(made):
    return [device.evictions for device in made.driver.devices]


@pytest.mark.parametrize("other", [EvictionTrigger.USERPTR, EvictionTrigger.TTM, EvictionTrigger.SUSPEND])
def test_queues_stopped_for_two_reasons_run_when_both_are_gone(story, other):
    made = story()
    made.map("a", 4, at=0x100)
    made.do(quiesce(made.driver, other))
    made.process.discard(made.span("a"))
    assert (counts(made), made.process.look.queues()) == ([2, 2, 2], "evicted")
    made.process.run()
    assert (counts(made), made.process.look.queues()) == ([1, 1, 1], "evicted"), "the restore took its own back"
    made.do(resume(made.driver))
    assert made.told("notifier") == [
        f"queues stop ({other.name})",
        "a: invalid 1, evicted 1",
        "queues stop (SVM)",
        "restore in 1 ms",
        "restore: evicted 1",
        "restore a: invalid 1",
        "queues run",
        "restore ends: done 1",
        "queues run",
    ]
    assert (counts(made), made.process.look.queues()) == ([0, 0, 0], "running")


def test_the_other_reason_may_go_first(story):
    made = story()
    made.map("a", 4, at=0x100)
    made.do(quiesce(made.driver, EvictionTrigger.TTM))
    made.process.discard(made.span("a"))
    made.do(resume(made.driver))
    assert made.process.look.queues() == "evicted"
    made.process.run()
    assert (counts(made), made.process.look.queues()) == ([0, 0, 0], "running")


def test_gpu_work_goes_on_where_it_was_when_the_last_stop_is_taken_back(story):
    made = story()
    made.map("a", 64, at=0x100)
    work = made.process.start.gpu_write("gpu0", made.span("a", 0, 64), 9)
    made.do(quiesce(made.driver, EvictionTrigger.TTM))
    made.do(quiesce(made.driver, EvictionTrigger.USERPTR))
    made.do(resume(made.driver))
    made.process.run()
    assert not work.done
    made.do(resume(made.driver))
    made.process.run()
    assert work.done
    assert made.process.cpu_read(made.span("a", 63)).tolist() == [9] * 4096


def test_resuming_queues_that_run_changes_nothing(story):
    made = story()
    made.do(resume(made.driver))
    assert (counts(made), made.process.look.queues()) == ([0, 0, 0], "running")


def test_a_queue_that_is_opened_while_queues_are_stopped_does_not_run(story):
    made = story()
    made.map("a", 4, at=0x100)
    made.process.discard(made.span("a"))
    made.process.create_queue("gpu0")
    work = made.process.start.gpu_write("gpu0", made.span("a"), 1)
    made.process.run(for_ns="900 us")
    assert not work.done
    made.process.run()
    assert work.done


@every_preset
def test_one_process_stops_while_the_other_works(story, behaviour):
    made = story(behaviour)
    made.map("a", 4, at=0x100)
    other = made.process.spawn("other")
    b = other.mmap("1 MiB", name="b", populate=True)
    other.set_attr(b, access=["gpu0"])
    other.run()
    made.forget()
    work = other.start.gpu_write("gpu0", b, 5)
    made.process.discard(made.span("a"))
    assert (queues(made.process), queues(other)) == (["evicted"] * 3, ["running"] * 3)
    other.wait(work)
    assert made.process.look.queues() == "evicted", "less than a millisecond has passed"
    made.process.run()
    log = made.process.log
    stops = {event.pid for event in log.events("queue_eviction", "queue_restore", since=made.mark)}
    assert stops == {made.process.pid}
    assert (made.process.broken_invariants(), other.broken_invariants()) == ([], [])


@every_preset
def test_each_process_has_its_own_restore_worker_and_counts(story, behaviour):
    made = story(behaviour)
    made.map("a", 4, at=0x100)
    other = made.process.spawn("other")
    b = other.mmap("16 KiB", name="b", populate=True)
    other.set_attr(b, access=["gpu0"])
    other.run()
    made.process.discard(made.span("a"))
    made.process.run(for_ns="400 us")
    other.discard(b)
    other.discard(b)
    assert [each.driver.svms.evicted_ranges for each in (made.process, other)] == [1, 2]
    made.forget()
    made.process.run()
    starts = made.process.log.events("restore_start", since=made.mark)
    assert [(event.pid, event.fields["evicted_ranges"]) for event in starts] == [(1, 1), (2, 2)]
    assert 400_000 <= starts[1].time_ns - starts[0].time_ns < 410_000
    assert [each.look.queues() for each in (made.process, other)] == ["running"] * 2


@pytest.mark.parametrize("behaviour", ["as-intended", "upstream"])
def test_a_full_gpu_takes_the_vram_of_another_process_whose_queues_stop_for_it(story, behaviour):
    made = story(behaviour, vram="1 MiB")
    made.map("a", 200, at=0x1000, prefetch="gpu0")
    other = made.process.spawn("other")
    b = other.mmap("800 KiB", name="b", populate=True)
    other.cpu_write(b, 8)
    other.set_attr(b, access=["gpu0"], prefetch="gpu0")
    log = made.process.log
    moved = [(event.pid, event.npages) for event in log.events("migrate_end", since=made.mark)]
    stopped = {event.pid for event in log.events("queue_eviction", since=made.mark)}
    assert moved == [(made.process.pid, 200), (other.pid, 200)]
    never_mapped = {other.pid} if behaviour == "upstream" else set()
    assert stopped == {made.process.pid, other.pid} - never_mapped
    made.process.run()
    assert [each.look.queues() for each in (made.process, other)] == ["running"] * 2
    assert (made.process.broken_invariants(), other.broken_invariants()) == ([], [])


@every_preset
@BOTH
def test_a_process_may_end_while_its_restore_is_at_work(story, behaviour, xnack):
    made = story(behaviour, xnack)
    made.map("a", 64, at=0x100)
    other = made.process.spawn("other")
    made.process.discard(made.span("a", 0, 64))
    if not (xnack and made.process.look.queues() == "running"):
        made.until("restore_range")
    made.process.exit()
    ended = len(made.process.log)
    other.run()
    assert len(made.process.log) == ended, "no worker is left"
    assert (made.process.broken_invariants(), other.broken_invariants()) == ([], [])
    assert not any(device.frames.view(0x100, 0x13F).any() for device in made.driver.devices)


@every_preset
@BOTH
def test_a_process_may_end_while_its_gpu_works(story, behaviour, xnack):
    made = story(behaviour, xnack)
    made.map("a", 64, at=0x100)
    other = made.process.spawn("other")
    work = made.process.start.gpu_write("gpu0", made.span("a", 0, 64), 1)
    made.process.run(for_ns=20)
    made.process.exit()
    other.run()
    assert work.error.name == "MEMORY_EXCEPTION"
    assert made.process.log.count("memory_exception") == 0, "nobody accessed anything"
    assert (made.process.broken_invariants(), other.broken_invariants()) == ([], [])


def test_a_process_ends_once(story):
    made = story()
    made.map("a", 4, at=0x100)
    first, second = made.process.start.exit(), made.process.start.exit()
    made.process.run()
    assert (first.error, second.error.name) == (None, "ESRCH")
    assert made.error(made.process.exit).name == "ESRCH"
