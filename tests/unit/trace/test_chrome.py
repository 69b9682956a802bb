"""The log as Chrome JSON."""

import json

import pytest

import svmlab as sl
from svmlab.trace.chrome import overlapping, trace_events, write_chrome
from svmlab.trace.slices import slices
from svmlab.trace.trace import trace_of


@pytest.fixture
def process():
    p = sl.Process("toy")
    a = p.mmap("4 MiB", name="a")
    a[:] = 7
    p.set_attr(a, access=["gpu0", "gpu1"], prefetch="gpu0")
    p.run()
    assert a[0] == 7
    p.run()
    return p


def test_slices_of_a_track_nest_or_are_disjoint(process):
    assert overlapping(trace_events(process.log)) == []


def test_the_checker_finds_slices_that_cross():
    crossing = [{"ph": "X", "pid": 1, "tid": 1, "ts": 0, "dur": 2}, {"ph": "X", "pid": 1, "tid": 1, "ts": 1, "dur": 2}]
    assert len(overlapping(crossing)) == 1


def test_the_six_steps_of_a_migration_are_slices_in_order(process):
    steps = [each for each in slices(process.log) if each.event.name == "step"]
    numbers = [each.event.fields["number"] for each in sorted(steps, key=lambda each: each.event.id)]
    assert numbers[:6] == [1, 2, 3, 4, 5, 6]
    assert all(each.end_ns >= each.start_ns for each in steps)


def test_a_migration_that_makes_room_is_a_slice_inside_of_the_other_and_of_its_step():
    p = sl.Process("toy", vram="5 MiB")
    for name in "ab":
        p.set_attr(p.mmap("3 MiB", name=name), access=["gpu0"], prefetch="gpu0")
    moves = [each for each in slices(p.log) if each.name == "migrate"]
    _, goes, comes = sorted(moves, key=lambda each: each.end_ns)
    (step,) = (
        each for each in slices(p.log) if each.name == "allocate new pages" and each.event.cause == comes.event.id
    )
    assert comes.start_ns <= step.start_ns <= goes.start_ns < goes.end_ns <= step.end_ns < comes.end_ns
    assert overlapping(trace_events(p.log)) == []


def test_a_gpu_fault_is_a_slice_until_it_is_served():
    p = sl.Process("toy", xnack=True)
    p.gpu(0).touch(p.mmap("4 MiB", name="a"))
    faults = [(each.start_ns, each.end_ns) for each in slices(p.log) if each.name == "page_fault"]
    starts, ends = (p.log.events(f"page_fault_{edge}") for edge in ("start", "end"))
    assert faults == [(start.time_ns, end.time_ns) for start, end in zip(starts, ends, strict=True)]
    assert len(faults) == 2


def test_queues_are_a_slice_while_they_are_stopped(process):
    stopped = [each for each in slices(process.log) if each.name == "stopped"]
    assert len(stopped) == 2 * len(process.machine.gpus)
    assert all(each.end_ns - each.start_ns >= 1_000_000 for each in stopped)


def test_a_call_that_has_not_ended_lasts_to_the_end_of_the_log():
    p = sl.Process("toy")
    a = p.mmap("4 KiB")
    p.start.set_attr(a, access=["gpu0"], prefetch="gpu0")
    p.advance("600 ns")
    last = [each for each in slices(p.log) if each.event.name == "call_start"][-1]
    assert last.end_ns == max(event.time_ns for event in p.log)


def test_the_file_names_processes_and_tracks_and_is_the_same_every_time(process, tmp_path):
    for name in ("a.json", "b.json"):
        write_chrome(trace_of(process), tmp_path / name)
    assert (tmp_path / "a.json").read_bytes() == (tmp_path / "b.json").read_bytes()
    events = json.loads((tmp_path / "a.json").read_text())["traceEvents"]
    names = {event["args"]["name"] for event in events if event["ph"] == "M"}
    assert {"main", "machine", "restore worker", "gpu0 SDMA", "gpu0 page table"} <= names
    assert {event["ph"] for event in events} == {"M", "X", "i"}
