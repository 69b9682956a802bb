"""Chrome JSON: the trace format that Perfetto and chrome://tracing read."""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from svmlab.log import Event, Log
from svmlab.trace.slices import Slice, Track, instants, slices

if TYPE_CHECKING:
    from svmlab.trace.trace import Trace

__all__ = ["overlapping", "trace_events", "write_chrome"]


def trace_events(log: Log) -> list[dict[str, Any]]:
    """A log as trace events: names of tracks, complete slices (``X``) and instants (``i``), sorted by time.

    ``ts`` and ``dur`` are in microseconds, as the format wants it; three decimals keep every nanosecond.
    """
    found = sorted(slices(log), key=lambda each: (each.start_ns, -each.end_ns))
    marks = list(instants(log))
    tracks = sorted({each.track for each in found} | {each.track for each in marks})
    numbers = {track: number for number, track in enumerate(tracks, start=1)}
    rows = [_complete(each, numbers) for each in found]
    rows += [
        {**_common(mark.event, mark.track, numbers), "name": mark.event.name, "ph": "i", "s": "t"} for mark in marks
    ]
    rows.sort(key=lambda row: (row["ts"], -row.get("dur", 0)))
    return [*_names(log, tracks, numbers), *rows]


def _names(log: Log, tracks: list[Track], numbers: dict[Track, int]) -> list[dict[str, Any]]:
    people = {event.pid: event.text for event in log.events("process_start")}
    rows: list[dict[str, Any]] = []
    for pid in sorted({track.pid for track in tracks}):
        rows.append({"ph": "M", "name": "process_name", "pid": pid, "args": {"name": people.get(pid, "machine")}})
    for track in tracks:
        rows.append(
            {"ph": "M", "name": "thread_name", "pid": track.pid, "tid": numbers[track], "args": {"name": track.name}}
        )
    return rows


def _common(event: Event, track: Track, numbers: dict[Track, int]) -> dict[str, Any]:
    args: dict[str, Any] = {"id": event.id, "cause": event.cause, **event.fields, "says": str(event)}
    if event.start >= 0:
        args |= {"start": hex(event.start), "npages": event.npages}
    return {"cat": event.kind.lane, "ts": event.time_ns / 1000, "pid": track.pid, "tid": numbers[track], "args": args}


def _complete(each: Slice, numbers: dict[Track, int]) -> dict[str, Any]:
    return {
        **_common(each.event, each.track, numbers),
        "name": each.name,
        "ph": "X",
        "dur": (each.end_ns - each.start_ns) / 1000,
    }


def overlapping(events: list[dict[str, Any]]) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """Pairs of slices of one track that neither nest nor are disjoint; a valid trace has none."""
    tracks: dict[tuple[int, int], list[dict[str, Any]]] = defaultdict(list)
    for event in events:
        if event["ph"] == "X":
            tracks[event["pid"], event["tid"]].append(event)
    return [pair for track in tracks.values() for pair in _crossing(track)]


def _crossing(track: list[dict[str, Any]]) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    wrong = []
    stack: list[dict[str, Any]] = []
    for event in sorted(track, key=lambda each: (each["ts"], -each["dur"])):
        while stack and _end(stack[-1]) <= event["ts"] + 1e-6:
            stack.pop()
        if stack and _end(event) > _end(stack[-1]) + 1e-6:
            wrong.append((stack[-1], event))
        stack.append(event)
    return wrong


def _end(event: dict[str, Any]) -> float:
    return float(event["ts"] + event["dur"])


def write_chrome(trace: Trace, path: Path) -> None:
    """Write a trace as Chrome JSON.

    Args:
        trace: what happened.
        path: the file, replaced if it exists.
    """
    content = {"traceEvents": trace_events(trace.log), "displayTimeUnit": "ns", "otherData": {"producer": "svmlab"}}
    path.write_text(json.dumps(content, separators=(",", ":")) + "\n", encoding="utf-8")
