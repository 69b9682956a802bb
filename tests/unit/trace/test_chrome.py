"""Chrome JSON, out and in: nothing is lost, slices nest, and what is no such file is refused in words."""

import json
from itertools import pairwise
from pathlib import Path

import pytest

import svmlab as sl
from svmlab.errors import InputError
from svmlab.resources import data_path
from svmlab.scenario.runner import load_scenario, run
from svmlab.trace.chrome_schema import complaints, parse
from svmlab.trace.trace import trace_of

SCENARIOS = sorted(data_path("scenarios").rglob("*.toml"))


def saved(thing, tmp_path, name="x.json"):
    sl.write_trace(thing, tmp_path / name)
    return tmp_path / name


def events(path, ph):
    return [event for event in json.loads(path.read_text())["traceEvents"] if event["ph"] == ph]


def slices(path, name):
    """Begin and end of each slice of a name, in ns, in order of their begin."""
    open_, found = {}, []
    for event in json.loads(path.read_text())["traceEvents"]:
        track, ns = (event["pid"], event.get("tid")), round(event.get("ts", 0) * 1000)
        if event["ph"] == "B":
            open_.setdefault(track, []).append((event["name"], ns))
        elif event["ph"] == "E":
            begun, start = open_[track].pop()
            found += [(start, ns)] * (begun == name)
        elif event["ph"] == "X" and event["name"] == name:
            found.append((ns, ns + round(event["dur"] * 1000)))
    return sorted(found)


@pytest.mark.parametrize("path", SCENARIOS, ids=lambda path: path.stem)
def test_a_log_comes_back_as_it_was_and_its_slices_nest_or_are_disjoint(path: Path, tmp_path):
    process = run(load_scenario(path)).process
    file = saved(process, tmp_path)
    back = sl.read_trace(file)
    assert back.report.told() == []
    assert complaints(parse(file.read_bytes())[0]) == []
    assert sl.compare(process, back, times=True).equal
    assert [str(event) for event in back.log] == [str(event) for event in process.log]
    assert [event.cause for event in back.log] == [event.cause for event in process.log]


def test_the_six_steps_of_a_migration_are_slices_one_after_the_other(process, tmp_path):
    steps = [event for event in events(saved(process, tmp_path), "X") if event["args"]["kind"] == "step"][:6]
    assert [step["args"]["number"] for step in steps] == [1, 2, 3, 4, 5, 6]
    for step, following in pairwise(steps[:5]):
        assert round(step["ts"] + step["dur"], 3) == following["ts"]


def test_a_migration_that_makes_room_is_a_slice_inside_of_the_other_and_of_its_step(tmp_path):
    p = sl.Process("toy", vram="5 MiB")
    for name in "ab":
        p.set_attr(p.mmap("3 MiB", name=name), access=["gpu0"], prefetch="gpu0")
    file = saved(p, tmp_path)
    _, comes, goes = slices(file, "migrate")
    step = max(slices(file, "allocate new pages"), key=lambda each: each[1] - each[0])
    assert comes[0] <= step[0] <= goes[0] < goes[1] <= step[1] < comes[1]


def test_a_gpu_fault_is_a_slice_until_it_is_served(faulting, tmp_path):
    starts, ends = (faulting.log.events(f"page_fault_{edge}") for edge in ("start", "end"))
    served = [(start.time_ns, end.time_ns) for start, end in zip(starts, ends, strict=True)]
    assert slices(saved(faulting, tmp_path), "page_fault") == served


def test_queues_are_a_slice_while_they_are_stopped(process, tmp_path):
    stopped = slices(saved(process, tmp_path), "stopped")
    assert len(stopped) == 2 * len(process.machine.gpus)
    assert all(end - start >= 1_000_000 for start, end in stopped)


def test_processes_and_tracks_have_names_and_the_file_is_the_same_every_time(process, tmp_path):
    file = saved(process, tmp_path)
    assert file.read_bytes() == saved(process, tmp_path, "y.json").read_bytes()
    names = {event["args"]["name"] for event in events(file, "M")}
    assert {"main", "machine", "restore worker", "gpu0 SDMA", "gpu0 page table", "gpu0 queues stopped"} <= names


def test_tasks_of_one_name_that_go_on_at_the_same_time_have_tracks_of_their_own(tmp_path):
    p = sl.Process("toy")
    a, b = p.mmap("2 MiB", name="a"), p.mmap("2 MiB", name="b")
    for each in (a, b):
        p.start.set_attr(each, access=["gpu0"], prefetch="gpu0")
    p.run()
    file = saved(p, tmp_path)
    names = [event["args"]["name"] for event in events(file, "M")]
    assert {"main: set_attr", "main: set_attr (2)"} <= set(names)
    assert sl.read_trace(file).report.told() == []


def test_a_log_that_was_read_can_be_written_for_a_viewer(written, tmp_path):
    trace = written("9 1 -1 8a3f 0", "5 2 -1 @100(10) 0->8a3f 0:0 0", "6 3 -1 @100(10) 0->8a3f 0 0", "a 4 -1 8a3f 0")
    back = sl.read_trace(saved(trace, tmp_path))
    assert (back.origin, back.causes, back.report.told()) == ("kernel SMI text", False, [])
    assert back.summary() == trace.summary()


def test_a_quotation_mark_in_a_name_does_no_harm(tmp_path):
    p = sl.Process("toy", name='"a"\\ \u00fc\n')
    assert sl.read_trace(saved(p, tmp_path)).log[0].text == '"a"\\ \u00fc\n'


def track(*shown, named=True):
    name = {"ph": "M", "name": "thread_name", "pid": 1, "tid": 1, "args": {"name": "t"}}
    rows = [{"pid": 1, "tid": 1, "name": "a", **each} for each in shown]
    file, wrong = parse(json.dumps({"traceEvents": [*([name] if named else []), *rows]}).encode())
    assert wrong == []
    return complaints(file)


@pytest.mark.parametrize(
    ("shown", "told"),
    [
        ([{"ph": "X", "ts": 0, "dur": 2}, {"ph": "X", "ts": 1, "dur": 1}], []),
        ([{"ph": "X", "ts": 0, "dur": 2}, {"ph": "X", "ts": 2, "dur": 1}], []),
        ([{"ph": "X", "ts": 0, "dur": 2}, {"ph": "X", "ts": 1, "dur": 2}], ["a at 1.000 us ends after a"]),
        ([{"ph": "B", "ts": 0}, {"ph": "X", "ts": 1, "dur": 2}, {"ph": "E", "ts": 2}], ["a ends at 2.000 us while a"]),
        ([{"ph": "E", "ts": 2}], ["a ends at 2.000 us and has not begun"]),
        ([{"ph": "B", "ts": 1}, {"ph": "E", "ts": 2, "name": "b"}], ["b ends at 2.000 us while another slice"]),
        ([{"ph": "i", "ts": 1, "args": {"id": 1}}] * 2, ["two events have the number 1"]),
        ([{"ph": "i", "ts": 1, "args": {"id": 1, "cause": 1}}], ["event 1 follows from event 1"]),
    ],
)
def test_what_must_hold_between_events_is_checked(shown, told):
    found = track(*shown)
    assert len(found) == len(told)
    assert all(part in whole for part, whole in zip(told, found, strict=True))


def test_a_track_without_a_name_is_told():
    assert track({"ph": "i", "ts": 1}, named=False) == ["track 1 of process 1 has no name"]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "EOF while parsing"),
        ("[]", "an object"),
        ('{"traceEvents":[{"ph":"X"}]}', "traceEvents.0.X.ts: field required"),
        ('{"traceEvents":[{"ph":"Q"}]}', "traceEvents.0"),
        ('{"traceEvents":[{"ph":"i","ts":-1,"pid":1,"tid":1}]}', "greater than or equal to 0"),
        ('{"traceEvents":[]}', "of somebody else"),
        ('{"traceEvents":[{"ph":"i","ts":1,"pid":1,"tid":1}],"otherData":{"producer":"svmlab"}}', "damaged: KeyError"),
        ("[" * 100_000, "no trace in Chrome's format"),
    ],
)
def test_what_is_no_trace_of_svmlab_is_refused_in_one_line(tmp_path, text, told):
    (tmp_path / "x.json").write_text(text)
    with pytest.raises(InputError, match=told.replace("(", r"\(")) as refused:
        sl.read_trace(tmp_path / "x.json")
    assert "\n" not in str(refused.value)


def test_numbers_that_cannot_be_are_refused(process, tmp_path):
    whole = json.loads(saved(process, tmp_path).read_text())
    for name, value in (("id", 10**6), ("id", "x"), ("task", 999), ("cause", 1 << 70), ("kind", "nap")):
        damaged = json.loads(json.dumps(whole))
        damaged["traceEvents"][-1]["args"][name] = value
        (tmp_path / "y.json").write_text(json.dumps(damaged))
        with pytest.raises(InputError, match="damaged"):
            sl.read_trace(tmp_path / "y.json")


def test_why_of_a_trace_that_svmlab_wrote_needs_no_inference(process, tmp_path):
    back = sl.read_trace(saved(process, tmp_path))
    number = int(process.log.select("map_to_gpu")[-1])
    assert str(back.why(number)) == str(trace_of(process).why(number))
    assert not back.why(number).inferred
