"""Traces: reading a log costs little more than a regular expression on each line, writing JSON much less than dicts."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from svmlab.bench.harness import Case
from svmlab.log.journal import HEAD
from svmlab.svm.process import Process
from svmlab.trace.chrome import write_chrome
from svmlab.trace.formats import FORMATS
from svmlab.trace.rocr import rocr_lines
from svmlab.trace.smi import smi_lines
from svmlab.trace.trace import Trace, trace_of
from svmlab.units import SEC

__all__ = ["EVENTS", "LINES", "cases", "dicts", "lines_of", "trace_with"]

LINES, EVENTS = 200_000, 50_000
_UP_NS = 86_400 * SEC
"""The driver counts from when the machine came up: a day ago."""
_HEX = r"[0-9a-f]+"
_SPAN = rf"@({_HEX})\(({_HEX})\)"
_SMI = re.compile(
    rf"(?:5 (\d+) -(\d+) {_SPAN} ({_HEX})->({_HEX}) ({_HEX}):({_HEX}) (\d)"
    rf"|6 (\d+) -(\d+) {_SPAN} ({_HEX})->({_HEX}) (\d)(?: (-?\d+))?"
    rf"|[78] (\d+) -(\d+) {_SPAN} ([RWMU])|9 (\d+) -(\d+) ({_HEX}) (\d)"
    rf"|a (\d+) -(\d+) ({_HEX})(?: ([R0\0]?))?|b (\d+) -(\d+) {_SPAN} ({_HEX}) (\d))$"
)
_AGENT = r"(CPU|GPU\d+)(?:\(0x[0-9a-f]+\))?"
_ROCR = re.compile(
    rf"ROCr HMM event: (\d+) (?:(MIGRATE_START|MIGRATE_END) (\w+) {_AGENT}->{_AGENT} \[0x({_HEX}), 0x({_HEX})\]"
    rf"|(PAGE_FAULT_START|PAGE_FAULT_END) (\w+) {_AGENT} (\d+)|QUEUE_EVICTION (\w+) {_AGENT}|QUEUE_RESTORE {_AGENT}"
    rf"|UNMAP_FROM_GPU (\w+) {_AGENT} \[0x({_HEX}), 0x({_HEX})\])$"
)
"""One expression for all lines of a format, each number in a group."""


def cases(lines: int = LINES, events: int = EVENTS) -> Iterator[Case]:
    """What is measured, one case after the other.

    Args:
        lines: of the logs that are read.
        events: of the log that is written.
    """
    yield _reading(".smi", lines_of(".smi", lines), _SMI)
    yield _reading(".rocr", lines_of(".rocr", lines), _ROCR)
    yield from _writing(trace_with(events))


def trace_with(events: int) -> Trace:
    """A log of at least so many events: buffers that go to VRAM, come home, and go."""
    p = Process("toy", payload=False)
    p.advance(_UP_NS)
    while len(p.log) < events:
        a = p.mmap("4 MiB", populate=True)
        p.set_attr(a, access=["gpu0"], prefetch="gpu0")
        p.run()
        p.cpu_read(a)
        p.munmap(a)
        p.run()
    return trace_of(p)


def lines_of(ending: str, count: int) -> list[str]:
    """So many lines of a format: those of a run, again and again, each time later."""
    trace = trace_with(2_000)
    trace, write = trace_with(2_000), {".smi": smi_lines, ".rocr": rocr_lines}[ending]
    once, lasts = trace.log.rows().copy(), trace.log[-1].time_ns - _UP_NS
    times = count // sum(1 for _ in write(trace))
    for again in range(1, times + 1):
        rows = once.copy()
        rows[:, HEAD.index("time")] += again * lasts
        trace.log.append(rows)
    return [line for _, line in write(trace)][:count]


def _reading(ending: str, lines: list[str], pattern: re.Pattern[str]) -> Case:
    """A log in memory as a trace, against looking at each of its lines."""
    form, text = FORMATS[ending], "".join(f"{line}\n" for line in lines).encode()

    def subject() -> Trace:
        # Every format that has lines is read.
        return form.read(BytesIO(text), Path(f"x{ending}"))  # type: ignore[misc]

    def baseline() -> None:
        match = pattern.match
        for line in lines:
            match(line)

    return Case(
        f"{len(lines):,} lines of {form.name}", "re.match on each line, nothing else", 3.0, subject, baseline, 1
    )


def _writing(trace: Trace) -> Iterator[Case]:
    """A log as JSON, against a dict for each event and ``json.dumps``, and against ``json.dumps`` of ready dicts."""
    folder = TemporaryDirectory()
    path = Path(folder.name, "x.json")
    ready = dicts(trace)

    def subject() -> None:
        write_chrome(trace, path)

    def from_log() -> None:
        path.write_text(json.dumps({"traceEvents": dicts(trace)}), encoding="utf-8")

    def from_dicts() -> None:
        path.write_text(json.dumps({"traceEvents": ready}), encoding="utf-8")

    name = f"{len(trace):,} events as Chrome JSON"
    yield Case(name, "a dict for each event and json.dumps of them", 0.2, subject, from_log, 1)
    yield Case(name, "json.dumps alone, of dicts made before", 1.0, subject, from_dicts, 1)
    folder.cleanup()


def dicts(trace: Trace) -> list[dict[str, Any]]:
    """The same events as plain data."""
    return [
        {
            "ph": "i",
            "name": event.name,
            "ts": event.time_ns / 1000,
            "cat": event.kind.lane,
            "s": "t",
            "pid": event.pid,
            "tid": event.task.id,
            "args": {
                "kind": event.name,
                "id": event.id,
                "task": event.task.id,
                "cause": event.cause,
                "start": event.start,
                "last": event.last,
                "text": event.text,
                **event.fields,
            },
        }
        for event in trace.log
    ]
