"""Logs written and read again, whatever is in them; and files of any bytes."""

import io
import json
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import svmlab as sl
from svmlab.errors import InputError
from svmlab.log import EVENTS, KINDS, Log
from svmlab.log.journal import HEAD, WIDTH
from svmlab.trace.formats import FORMATS
from svmlab.trace.rocr import rocr_lines
from svmlab.trace.smi import smi_lines
from svmlab.trace.trace import Trace
from svmlab.uapi import UNDEFINED, EvictionTrigger, MigrateTrigger, UnmapTrigger

GPUS = (0x8A3F, 0x77B2, 0xFFFF_FFFE)
PAGES = st.integers(0, (1 << 36) - 1)
PLACES = st.sampled_from((0, *GPUS))
FIELDS = {
    "gpu": st.integers(0, len(GPUS) - 1),
    "source": PLACES,
    "target": PLACES,
    "prefetch": st.sampled_from((0, *GPUS, UNDEFINED)),
    "preferred": st.sampled_from((0, *GPUS, UNDEFINED)),
    "write": st.integers(0, 1),
    "migrated": st.integers(0, 1),
    "error": st.sampled_from((0, 1, 12, 28)),
    "npages": st.integers(0, 1 << 20),
}
TRIGGERS = {"queue_eviction": EvictionTrigger, "unmap_from_gpu": UnmapTrigger}


@st.composite
def events(draw, pid=None):
    """One event that a driver reports: kind, time, process, pages, fields."""
    kind = draw(
        st.sampled_from(
            ("migrate_start", "migrate_end", "page_fault_start", "page_fault_end", "queue_eviction", "unmap_from_gpu")
        )
    )
    npages = 1 if kind.startswith("page_fault") else draw(st.integers(1, (1 << 20) - 1))
    start = draw(PAGES)
    names = [name for name in EVENTS[kind].fields if name != "trigger"]
    fields = {name: draw(FIELDS[name]) for name in names}
    if kind == "page_fault_end":
        fields["error"] = 0  # no log of a driver has it
    if "trigger" in EVENTS[kind].fields:
        fields["trigger"] = int(draw(st.sampled_from(TRIGGERS.get(kind, MigrateTrigger))))
    if kind == "migrate_end":
        fields["npages"] = 0 if fields["error"] else npages
    pages = (-1, -1) if kind == "queue_eviction" else (start, start + npages - 1)
    who = draw(st.integers(1, 1 << 22)) if pid is None else pid
    return kind, draw(st.integers(0, 10**17)), who, pages, fields


def trace_of_events(made):
    """A trace with these events, in order of time."""
    log = Log()
    for kind, time_ns, pid, (start, last), fields in sorted(made, key=lambda event: event[1]):
        log.emit(kind, start, last, pid=pid, time_ns=time_ns, **fields)
    return Trace(log, GPUS, "a test")


def read(ending, lines):
    head = "# gpus: " + " ".join(f"{gpu:x}" for gpu in GPUS)
    text = "".join(f"{line}\n" for line in (head, *lines)).encode()
    return FORMATS[ending].read(io.BytesIO(text), Path(f"x{ending}"))


def told(log, *without):
    """What a log says, event by event, but for some fields."""
    return [
        (
            event.name,
            event.time_ns,
            event.pid * ("pid" not in without),
            event.start,
            event.last,
            {name: value for name, value in event.fields.items() if name not in without},
        )
        for event in log
    ]


@given(st.lists(events(), max_size=30))
def test_smi_text_comes_back_as_it_was(made):
    trace = trace_of_events(made)
    back = read(".smi", (line for _, line in smi_lines(trace)))
    assert (back.gpus, back.report.unknown, told(back.log)) == (GPUS, 0, told(trace.log))


@given(st.lists(events(pid=7), max_size=30))
def test_a_runtime_log_comes_back_but_for_what_it_leaves_out(made):
    trace = trace_of_events(made)
    back = read(".rocr", (line for _, line in rocr_lines(trace)))
    lost = ("pid", "prefetch", "preferred", "error", "npages")
    assert (back.gpus, back.report.unknown, told(back.log, *lost)) == (GPUS, 0, told(trace.log, *lost))


@settings(max_examples=30)
@given(st.lists(events(), max_size=12))
def test_chrome_json_comes_back_as_it_was(tmp_path_factory, made):
    trace, path = trace_of_events(made), tmp_path_factory.mktemp("chrome") / "x.json"
    sl.write_trace(trace, path)
    json.loads(path.read_text())
    back = sl.read_trace(path)
    assert (back.gpus, told(back.log)) == (GPUS, told(trace.log))
    assert [event.task.name for event in back.log] == [event.task.name for event in trace.log]


ROW = st.tuples(
    st.integers(0, 10**17),
    st.integers(0, len(KINDS) - 1),
    st.integers(-1, 100),
    st.integers(0, 1 << 40),
    st.text(max_size=12),
    st.lists(st.integers(0, 1 << 50), min_size=WIDTH - len(HEAD), max_size=WIDTH - len(HEAD)),
)


@settings(max_examples=30)
@given(st.lists(ROW, max_size=12))
def test_any_log_of_a_simulation_comes_back_from_chrome_json(tmp_path_factory, rows):
    log = Log()
    for number, (time_ns, kind, cause, start, text, values) in enumerate(rows):
        fields = dict(zip(KINDS[kind].fields, values, strict=False))
        fields |= {name: GPUS[value % 3] for name, value in fields.items() if name in ("source", "target", "location")}
        fields |= {name: UNDEFINED for name in fields if name in ("prefetch", "preferred")}
        fields |= {name: value % 3 for name, value in fields.items() if name == "gpu"}
        log.emit(KINDS[kind].name, start, start, text=text, time_ns=time_ns, cause=min(cause, number - 1), **fields)
    path = tmp_path_factory.mktemp("chrome") / "x.json"
    sl.write_trace(Trace(log, GPUS, "a simulation"), path)
    back = sl.read_trace(path).log
    assert told(back) == told(log)
    assert [(event.text, event.cause) for event in back] == [(event.text, event.cause) for event in log]


LINES = [
    b"5 81234567890123 -4242 @7f3c40000(200) 0->8a3f 8a3f:ffffffff 0",
    b"6 81234567990456 -4242 @7f3c40000(200) 0->8a3f 0 0",
    b"9 81234567891000 -4242 8a3f 0",
    b"a 81234569000200 -4242 8a3f \0",
    b"ROCr HMM event: 1 MIGRATE_START PREFETCH CPU->GPU0(0x1) [0x7f3c40000000, 0x7f3c401fffff]",
    b"ROCr HMM event: 2 QUEUE_RESTORE GPU0(0x1)",
    b'{"traceEvents":[{"ph":"i","ts":1,"pid":1,"tid":1,"args":{"id":0}}],"otherData":{"producer":"svmlab"}}',
]


@st.composite
def files(draw):
    """Lines that are nearly those of a log."""
    lines = draw(st.lists(st.sampled_from(LINES) | st.binary(max_size=40), max_size=12))
    text = bytearray(draw(st.sampled_from((b"\n", b"\r\n", b"\0", b""))).join(lines))
    for at, value in draw(st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255)), max_size=4)):
        if at < len(text):
            text[at] = value
    return bytes(text) + draw(st.sampled_from((b"", b"\n")))


def attempt(path):
    """The trace, or what is said about a file that is none."""
    try:
        return sl.read_trace(path), ""
    except InputError as refused:
        return None, str(refused)


@settings(max_examples=60)
@given(files() | st.binary(max_size=200), st.sampled_from((".smi", ".rocr", ".json", ".txt")))
def test_a_file_of_any_bytes_gives_a_trace_or_one_line(tmp_path_factory, content, ending):
    path = tmp_path_factory.mktemp("any") / f"x{ending}"
    path.write_bytes(content)
    trace, refused = attempt(path)
    assert "\n" not in refused
    if trace is None:
        return
    assert str(trace.summary())
    assert str(trace.replay())
    assert sl.describe(sl.timeline(trace))
    for number in range(len(trace)):
        assert str(trace.why(number))
    assert trace.report.lines == 0 or len(trace) <= 2 * trace.report.lines


@pytest.mark.parametrize("line", [b"x", b"\0", b"%099d\n" % 0], ids=["no end", "NULs", "unknown lines"])
def test_memory_does_not_grow_with_what_is_no_event(tmp_path, line):
    peaks = []
    for mib in (1, 4):
        path = tmp_path / "x.smi"
        path.write_bytes(b"9 1 -1 8a3f 0\n" + line * (mib * (1 << 20) // len(line)))
        tracemalloc.start()
        assert len(sl.read_trace(path)) == 1
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.2 * peaks[0]
