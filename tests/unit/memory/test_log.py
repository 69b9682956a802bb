"""The log: rows are appended and never changed, and everything is derived from its columns."""

from __future__ import annotations

import copy
import re
import time

import numpy as np
import pytest

from svmlab.errors import InputError
from svmlab.hardware.machine import Machine
from svmlab.hardware.tell import tell
from svmlab.log import EVENTS, KINDS, Log, Task
from svmlab.log.events import FIELD_SLOTS


class Clock:
    def __init__(self) -> None:
        self._now = 0

    def log(self) -> Log:
        return Log(clock=self)


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_an_event_knows_when_who_why_and_what(clock: Clock):
    log = clock.log()
    task = log.task = log.new_task("app", pid=3)
    first = log.emit("call_start", 16, 31, text="munmap")
    clock._now = 500
    with log.because(first):
        second = log.emit("queue_eviction", gpu=1, trigger=2)
    event = log[second]
    assert (event.id, event.time_ns, event.name, event.task, event.cause, event.pid) == (
        1,
        500,
        "queue_eviction",
        task,
        first,
        3,
    )
    assert (event.start, event.last, event.npages, event.fields) == (-1, -1, 0, {"gpu": 1, "trigger": 2})
    assert (log[first].npages, log[first].text, log[first].cause) == (16, "munmap", -1)


def test_what_runs_outside_of_every_task_is_the_machine(clock: Clock):
    log = clock.log()
    log.emit("queue_restore", gpu=0)
    assert (log[0].task.name, log[0].pid) == ("machine", 0)


def test_causes_belong_to_the_task_that_follows_from_them(clock: Clock):
    log = clock.log()
    one, two = log.new_task("one", pid=1), log.new_task("two", pid=1, cause=7)
    log.task = one
    with log.because(5):
        log.task = two
        log.emit("queue_restore")
        log.task = one
        log.emit("queue_restore")
    log.emit("queue_restore")
    assert log.column("cause").tolist() == [7, 5, -1]


def test_a_cause_ends_with_its_block_even_after_an_error(clock: Clock):
    log = clock.log()
    with pytest.raises(ValueError, match="x"), log.because(3):
        raise ValueError("x")
    assert log.task.cause == -1


@pytest.mark.parametrize("call", ["emit", "extend"])
def test_a_field_the_kind_does_not_have_is_refused(clock: Clock, call: str):
    log, one = clock.log(), np.zeros(1, np.int64)
    with pytest.raises(InputError, match="an event queue_restore has no npages, x; allowed: gpu"):
        if call == "emit":
            log.emit("queue_restore", gpu=1, npages=3, x=1)
        else:
            log.extend("queue_restore", one, one, one, gpu=1, npages=3, x=1)
    assert len(log) == 0


def test_a_kind_that_is_not_in_the_table_is_refused(clock: Clock):
    with pytest.raises(KeyError):
        clock.log().emit("nothing")


@pytest.mark.parametrize("look", [lambda log: log.events("migrate_ends"), lambda log: log.count("migrate_ends")])
def test_looking_for_a_kind_that_there_is_not_names_those_that_are_near(clock: Clock, look):
    with pytest.raises(InputError, match="no event is called 'migrate_ends'; try: did you mean migrate_end"):
        look(clock.log())


def test_many_events_at_once_are_the_same_as_one_after_another(clock: Clock):
    one, many = clock.log(), clock.log()
    times, pages = np.arange(5) * 10, np.arange(5) * 512
    for at in range(5):
        one.emit("copy_window", pages[at], pages[at] + 511, time_ns=times[at], gpu=2, vram_page=at, npages=512)
    many.extend("copy_window", times, pages, pages + 511, gpu=2, vram_page=np.arange(5), npages=512)
    assert [(e.time_ns, e.start, e.last, e.fields) for e in one] == [
        (e.time_ns, e.start, e.last, e.fields) for e in many
    ]


def test_events_emitted_one_by_one_and_in_bulk_keep_their_order(clock: Clock):
    log, times = clock.log(), np.zeros(2, np.int64)
    ids = [log.emit("populate", npages=1)]
    log.extend("copy_window", times, times, times, npages=2)
    ids.append(log.emit("populate", npages=3))
    assert ([event.name for event in log], ids) == (["populate", "copy_window", "copy_window", "populate"], [0, 3])


def test_events_are_found_by_kind_process_and_start(clock: Clock):
    log = clock.log()
    for number in range(10):
        log.emit(
            ["populate", "queue_restore"][number % 2], pid=number // 5, npages=number
        ) if number % 2 == 0 else log.emit("queue_restore", pid=number // 5, gpu=number)
    assert log.select("populate").tolist() == [0, 2, 4, 6, 8]
    assert log.select("populate", since=3, pid=1).tolist() == [6, 8]
    assert log.count("queue_restore", since=2) == 4
    assert log.field("queue_restore", "gpu").tolist() == [1, 3, 5, 7, 9]
    assert log.field("populate", "npages", np.array([4, 8])).tolist() == [4, 8]
    assert [event.id for event in log.events("populate", since=5)] == [6, 8]
    assert log.kinds_since(9) == {"queue_restore"}
    assert log.kinds_since(0) == {"populate", "queue_restore"}
    assert log.kinds_since(10) == set()


def test_a_log_is_a_sequence(clock: Clock):
    log = clock.log()
    for page in range(4):
        log.emit("populate", page, page)
    assert [event.start for event in log] == [0, 1, 2, 3]
    assert (log[-1].start, [event.start for event in log[1:3]], len(log)) == (3, [1, 2], 4)
    with pytest.raises(IndexError, match="the log has 4 events, there is no number 4"):
        log[4]


def test_a_column_that_was_read_does_not_change_and_cannot_be_changed(clock: Clock):
    log = clock.log()
    log.emit("populate", 5, 5)
    starts = log.column("start")
    for page in range(20_000):
        log.emit("populate", page, page)
    assert (starts.tolist(), len(log.column("start"))) == ([5], 20_001)
    with pytest.raises(ValueError, match="read-only"):
        starts[0] = 1


def test_reading_after_every_event_costs_no_copy_of_the_whole_log(clock: Clock):
    """With a copy for each reading, four times as many events would take sixteen times as long."""

    def seconds(events: int) -> float:
        log = clock.log()
        begun = time.perf_counter()
        for _ in range(events):
            log.emit("populate")
            log.column("time")
        return time.perf_counter() - begun

    few, many = min(seconds(10_000) for _ in range(3)), min(seconds(40_000) for _ in range(2))
    assert many < 8 * few


def test_equal_texts_are_kept_once(clock: Clock):
    log = clock.log()
    for text in ("a", "b", "a", ""):
        log.emit("step", text=text)
    assert (log.strings, [event.text for event in log]) == (["", "a", "b"], ["a", "b", "a", ""])


def test_tasks_are_compared_by_identity():
    assert Task(1, "app", 1) != Task(1, "app", 1)


def test_a_log_is_not_pickled(clock: Clock):
    with pytest.raises(TypeError, match="export it"):
        copy.deepcopy(clock.log())


def test_no_kind_has_more_fields_than_a_row_or_a_name_of_another():
    assert max(len(kind.fields) for kind in KINDS) <= FIELD_SLOTS
    assert len(EVENTS) == len(KINDS)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_the_template_of_every_kind_uses_what_the_kind_has(kind):
    names = re.findall(r"\{(\w+)", kind.says)
    assert set(names) <= {"span", "text", *kind.fields}


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_every_kind_can_be_told_with_and_without_pages(kind, clock: Clock):
    log, machine = clock.log(), Machine.find("toy")
    values = {"source": 0, "target": machine.gpus[0].gpu_id, "location": machine.gpus[1].gpu_id, "error": 12}
    fields = {name: values.get(name, 1) for name in kind.fields}
    log.emit(kind.name, 0x10, 0x1F, text="something", **fields)
    log.emit(kind.name, text="something", **fields)
    for event in log:
        line = tell(machine, event)
        assert line.strip()
        assert "{" not in line
        assert "-0x1" not in line


def test_events_are_told_in_words(clock: Clock):
    log, machine = clock.log(), Machine.find("toy")
    gpu1 = machine.gpus[1].gpu_id
    log.emit("migrate_end", 0x200, 0x3FF, source=0, target=gpu1, trigger=0, npages=512, error=12)
    log.emit("migrate_end", 0x200, 0x200, source=gpu1, target=0, trigger=2, npages=1)
    log.emit("queue_eviction", gpu=0, trigger=0)
    log.emit("unmap_from_gpu", 0x10, 0x11, gpu=2, trigger=1)
    log.emit("notifier", 0x10, 0x11, event=6)
    log.emit("cpu_access", 0x10, 0x10, write=1, npages=1)
    log.emit("restore_scheduled", delay_ns=1_000_000)
    log.emit("call_start", text="create_queue")
    assert [tell(machine, event) for event in log] == [
        "512 pages of [0x200, 0x3ff] moved RAM -> gpu1 (prefetch) with ENOMEM",
        "1 page of 0x200 moved gpu1 -> RAM (pagefault_cpu)",
        "queues on gpu0 stop",
        "gpu2 unmaps [0x10, 0x11]",
        "CPU page table of [0x10, 0x11] changes: MIGRATE",
        "CPU writes 0x10",
        "the restore worker will run in 1 ms",
        "create_queue begins",
    ]
