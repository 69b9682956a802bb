"""Chrome JSON back into a log, if svmlab wrote it: nothing is lost on the way."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from svmlab.errors import InputError
from svmlab.hardware.tell import tell
from svmlab.log import EVENTS, KINDS, Log
from svmlab.log.journal import HEAD, WIDTH
from svmlab.trace.chrome import PLACES
from svmlab.trace.chrome_schema import ChromeFile, Shown, complaints, parse
from svmlab.trace.reading import Report
from svmlab.trace.trace import SIMULATION, Trace
from svmlab.uapi import SYSMEM, UNDEFINED

__all__ = ["read_chrome"]

_SHOWN = 5
_NUMBER = {kind.name: number for number, kind in enumerate(KINDS)}


def read_chrome(stream: BinaryIO, path: Path) -> Trace:
    """Read a trace that ``write_chrome`` wrote.

    Args:
        stream: the bytes; all of them are in memory at once.
        path: the file, for messages.

    Returns:
        The trace, with causes if the log had them; what does not hold between its events is in the report.

    Raises:
        InputError: it is no such file.
    """
    file, wrong = parse(stream.read())
    if file is None:
        raise InputError(f"{path} is no trace in Chrome's format: {wrong[0]}", hint="svmlab run --trace x.json")
    if file.other.producer != "svmlab":
        raise InputError(f"{path} is a trace of somebody else", allowed="files that svmlab wrote", hint="Perfetto")
    try:
        return _trace(file, path)
    except (KeyError, TypeError, ValueError, IndexError, OverflowError) as damaged:
        raise InputError(f"{path} is damaged: {type(damaged).__name__}: {damaged}") from None


def _trace(file: ChromeFile, path: Path) -> Trace:
    log = Log()
    del log.tasks[:]
    for name, pid in file.other.tasks:
        log.new_task(name, pid=pid)
    report = Report(events=len(file.shown), notes=[f"{wrong}." for wrong in complaints(file)[:_SHOWN]])
    found = file.other.origin or SIMULATION
    trace = Trace(log, tuple(file.other.gpus), found, report, path.name, causes=found == SIMULATION)
    rows = np.zeros((len(file.shown), WIDTH), np.int64)
    for event in file.shown:
        rows[_place(event, len(rows))] = _row(event, trace)
    log.append(rows)
    log.tell = partial(tell, trace)
    return trace


def _place(event: Shown, count: int) -> int:
    number = event.args["id"]
    if not 0 <= number < count:
        raise ValueError(f"an event has the number {number}, and there are {count} of them")
    return int(number)


def _row(event: Shown, trace: Trace) -> list[int]:
    args = event.args
    kind = EVENTS[args["kind"]]
    if not 0 <= args["task"] < len(trace.log.tasks):
        raise ValueError(f"event {args['id']} is of task {args['task']}")
    head = {
        "time": args.get("ns", round(event.ts * 1000)),
        "kind": _NUMBER[kind.name],
        "task": args["task"],
        "cause": args["cause"],
        "pid": args.get("pid", event.pid),
        "start": args.get("start", -1),
        "last": args.get("last", -1),
        "text": trace.log.intern(str(args.get("text", ""))),
    }
    fields = [_field(trace, title, args[title]) for title in kind.fields]
    return [*(head[name] for name in HEAD), *fields, *[0] * (WIDTH - len(HEAD) - len(fields))]


def _field(trace: Trace, title: str, value: Any) -> int:
    """A field as the log has it: names of locations are numbers there."""
    if title not in PLACES:
        return int(value)
    known = {"cpu": SYSMEM, "undefined": UNDEFINED}
    if value in known:
        return known[value]
    if value.startswith("gpu id "):
        return int(value.removeprefix("gpu id "), 16)
    return trace.gpus[int(value.removeprefix("gpu"))]
