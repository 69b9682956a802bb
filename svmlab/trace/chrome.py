"""Chrome JSON: the trace format that Perfetto and chrome://tracing read; every event of the log is one of the trace's.

What takes time is a slice: calls, migrations, faults, GPU work, waits for locks and stopped queues begin (``B``) with
one event and end (``E``) with another; steps, copies and mappings say how long they take (``X``). The rest are instants
(``i``). ``args`` have the rest of the event, so that nothing is lost. ``ts`` and ``dur`` are in microseconds, as the
format wants it; three decimals keep every nanosecond.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from svmlab.log.events import KINDS, EventKind
from svmlab.log.journal import HEAD
from svmlab.trace.grammar import Column
from svmlab.trace.text_columns import Part, number, rows_of_text, word
from svmlab.trace.tracks import LASTING, PHASES, Tracks, durations_of_steps, name_of
from svmlab.uapi import SYSMEM, UNDEFINED

if TYPE_CHECKING:
    from svmlab.trace.trace import Trace

__all__ = ["PLACES", "write_chrome"]

PLACES = ("source", "target", "prefetch", "preferred", "location")
"""Fields that are locations; the file has their names."""
_BLOCK = 1 << 15
"""Rows that are made at once."""
_EXACT_NS = 10**15
"""From here on, after 11 days, a floating-point number of microseconds does not keep every nanosecond."""
_COLUMN = {name: at for at, name in enumerate(HEAD)}


def write_chrome(trace: Trace, path: Path) -> None:
    """Write a trace as Chrome JSON.

    Args:
        trace: what happened.
        path: the file, replaced if it exists.
    """
    rows = trace.log.rows()
    tracks, steps = Tracks(trace.log), durations_of_steps(rows)
    more = {"gpus": trace.gpus, "tasks": [(task.name, task.pid) for task in trace.log.tasks]}
    top = {"displayTimeUnit": "ns", "otherData": {"producer": "svmlab", "origin": trace.origin, **more}}
    with path.open("wb") as out:
        out.write(json.dumps(top, separators=(",", ":"))[:-1].encode() + b',"traceEvents":[\n')
        out.write(b",\n".join(json.dumps(name, separators=(",", ":")).encode() for name in _names(trace, tracks)))
        for begin in range(0, len(rows), _BLOCK):
            out.write(b",\n" + b",\n".join(_texts(trace, tracks, (begin, rows[begin : begin + _BLOCK], steps))))
        out.write(b"\n]}\n")


def _names(trace: Trace, tracks: Tracks) -> Iterator[dict[str, Any]]:
    """What processes and tracks are called."""
    people = {event.pid: event.text for event in trace.log.events("process_start")}
    for pid in sorted({pid for pid, _ in tracks.names}):
        yield _name(pid, None, people.get(pid, f"process {pid}" if pid else "machine"))
    for (pid, tid), name in tracks.names.items():
        yield _name(pid, tid, name)


def _name(pid: int, tid: int | None, name: str) -> dict[str, Any]:
    which = "process_name" if tid is None else "thread_name"
    return {"ph": "M", "name": which, "pid": pid, **({} if tid is None else {"tid": tid}), "args": {"name": name}}


def _texts(trace: Trace, tracks: Tracks, block: tuple[int, Column, Column]) -> list[bytes]:
    """The events of a block in their order, as JSON; it is the first's number, the rows, and times of all steps."""
    begin, rows, steps = block
    kinds, made, order = rows[:, _COLUMN["kind"]].copy(), [], []
    for kind in np.flatnonzero(np.bincount(kinds)).tolist():
        where = np.flatnonzero(kinds == kind)
        made += _of_kind(trace, KINDS[kind], rows[where], (where + begin, steps[where + begin], tracks))
        order.append(where)
    places = np.argsort(np.concatenate(order)).tolist()
    return [made[place] for place in places]


class _Pattern:
    """What the texts of one kind of event share, and the columns in it."""

    def __init__(self, begin: str) -> None:
        self.pattern: list[bytes | str] = [begin.encode()]
        self.parts: dict[str, Part] = {}

    def add(self, before: str, part: Part) -> None:
        """A text and a column behind it."""
        name = str(len(self.parts))
        self.pattern += [before.encode(), name]
        self.parts[name] = part

    def add_time(self, before: str, ns: Column) -> None:
        """A text, and a time in microseconds with three decimals behind it."""
        self.add(before, number(ns // 1000))
        self.add(".", number(ns % 1000, 3))


def _of_kind(trace: Trace, kind: EventKind, rows: Column, more: tuple[Column, Column, Tracks]) -> list[bytes]:
    """Events of one kind: a pattern of what they share, with a part for each column."""
    ids, steps, tracks = more
    phase, title = PHASES.get(kind.name, "i"), name_of(kind.name)
    made = _Pattern(f'{{"ph":"{phase}","name":' + ("" if title is None else json.dumps(title)))
    if title is None:
        made.add("", _texts_of(trace, rows[:, _COLUMN["text"]]))
    made.add_time(',"ts":', rows[:, _COLUMN["time"]])
    if phase == "X":
        lasting = len(HEAD) + kind.fields.index("duration_ns") if kind.name in LASTING else None
        made.add_time(',"dur":', steps if lasting is None else rows[:, lasting])
    made.add(f',"cat":"{kind.lane}","s":"t","pid":', number(tracks.pid[ids]))
    made.add(',"tid":', number(tracks.tid[ids]))
    made.add(f',"args":{{"kind":"{kind.name}","id":', number(ids))
    _add_args(made, trace, kind, rows)
    if not np.array_equal(tracks.pid[ids], rows[:, _COLUMN["pid"]]):
        made.add(',"pid":', number(rows[:, _COLUMN["pid"]]))
    made.pattern.append(b"}}")
    return rows_of_text(made.pattern, made.parts, len(rows))


def _add_args(made: _Pattern, trace: Trace, kind: EventKind, rows: Column) -> None:
    """What no viewer asks for, and the log knows."""
    pages = ("start", "last") if (rows[:, _COLUMN["start"]] >= 0).any() else ()
    time = rows[:, _COLUMN["time"]]
    if (time >= _EXACT_NS).any():
        made.add(',"ns":', number(time))
    for name in ("task", "cause", *pages):
        made.add(f',"{name}":', number(rows[:, _COLUMN[name]]))
    if rows[:, _COLUMN["text"]].any():
        made.add(',"text":', _texts_of(trace, rows[:, _COLUMN["text"]]))
    for slot, name in enumerate(kind.fields, start=len(HEAD)):
        values = rows[:, slot]
        made.add(f',"{name}":', _places(trace, values) if name in PLACES else number(values))


def _texts_of(trace: Trace, texts: Column) -> Part:
    """Texts of the log, of which only those that occur decide the width."""
    found = np.flatnonzero(np.bincount(texts))
    return word(
        [json.dumps(trace.log.strings[text]).encode() for text in found.tolist()], np.searchsorted(found, texts)
    )


def _places(trace: Trace, values: Column) -> Part:
    known = np.unique([SYSMEM, UNDEFINED, *trace.gpus])
    words = [json.dumps(trace.location_name(place)).encode() for place in known.tolist()]
    return word(words, np.searchsorted(known, values))
