"""A trace: a log of what the driver did, simulated or read from a file, and what can be asked about it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from svmlab.errors import InputError
from svmlab.hardware.tell import tell
from svmlab.log import Log
from svmlab.log.events import KINDS, EventKind
from svmlab.log.journal import HEAD
from svmlab.trace.grammar import Column
from svmlab.trace.reading import Report
from svmlab.uapi import SYSMEM, UNDEFINED

if TYPE_CHECKING:
    from svmlab.trace.replay import Replay
    from svmlab.trace.summary import Summary
    from svmlab.trace.why import Chain

__all__ = ["SIMULATION", "Trace", "trace_of", "trace_of_rows"]

SIMULATION = "a simulation"
"""Where a trace comes from that no file told."""


@dataclass(frozen=True, slots=True, eq=False)
class Trace:
    """A log of what the driver did. Views and comparisons take it as they take a process.

    Attributes:
        log: the events. One that was read has only what the driver reports, and no causes.
        gpus: KFD ids by index; of a runtime's log, which has none, the index plus 1.
        origin: where it comes from, in words.
        report: what became of the lines, if it was read from lines.
        title: the file's name, or the process's.
        causes: whether its events know what led to them.
    """

    log: Log
    gpus: tuple[int, ...]
    origin: str
    report: Report = field(default_factory=Report)
    title: str = ""
    causes: bool = False

    def __len__(self) -> int:
        return len(self.log)

    def __repr__(self) -> str:
        return f"<Trace {self.title}: {len(self.log)} events, {self.origin}>"

    def location_name(self, location: int) -> str:
        """What a location number is called: ``"cpu"``, ``"gpu0"``, ..., ``"undefined"``."""
        if location in (SYSMEM, UNDEFINED):
            return "cpu" if location == SYSMEM else "undefined"
        return f"gpu{self.gpus.index(location)}" if location in self.gpus else f"gpu id {location:#x}"

    def summary(self) -> Summary:
        """What it adds up to: bytes by trigger and direction, faults, stops, ranges that come and go."""
        from svmlab.trace.summary import summary

        return summary(self)

    def replay(self) -> Replay:
        """Where its pages were at each moment, and where it contradicts itself."""
        from svmlab.trace.replay import replay

        return replay(self)

    def why(self, number: int) -> Chain:
        """The chain of causes of event ``number``; where the log has none, they are inferred, and said to be."""
        from svmlab.trace.why import why_in

        return why_in(self, number)


def trace_of(thing: Any) -> Trace:
    """The trace of a process, or of anything that has one.

    Args:
        thing: a Process or a Trace.

    Raises:
        InputError: it is neither.

    >>> import svmlab as sl
    >>> trace_of(sl.Process("toy"))
    <Trace main: 1 events, a simulation>
    """
    if isinstance(thing, Trace):
        return thing
    machine, log = getattr(thing, "machine", None), getattr(thing, "log", None)
    if machine is None or not isinstance(log, Log):
        raise InputError(f"{thing!r:.60} has no trace", allowed="a Process or a Trace")
    return Trace(log, tuple(gpu.gpu_id for gpu in machine.gpus), SIMULATION, title=thing.name, causes=True)


def trace_of_rows(rows: Column, report: Report, *, origin: str, path: Path, numbered: bool) -> Trace:
    """Make a trace of what was read.

    Args:
        rows: the events; GPUs and locations as the file has them.
        report: what became of the lines.
        origin: where they come from, in words.
        path: the file.
        numbered: the file has GPUs by their index, and locations as index + 1; otherwise both by id.
    """
    gpus = _numbered(rows, report.gpus) if numbered else _by_id(rows, report.gpus)
    log = Log()
    trace = Trace(log, gpus, origin, report, path.name)
    rows[:, HEAD.index("task")] = _tasks(rows, log)
    log.append(rows)
    log.tell = partial(tell, trace)
    return trace


def _by_kind(rows: Column) -> Iterator[tuple[EventKind, Column]]:
    """The kinds of events that are there, and which rows are of each."""
    kinds = np.ascontiguousarray(rows[:, HEAD.index("kind")])
    for number in np.flatnonzero(np.bincount(kinds)).tolist():
        yield KINDS[number], np.flatnonzero(kinds == number)


def _cells(rows: Column, *titles: str) -> list[tuple[Column, int]]:
    """Where fields of these names are: for each kind of event that has one, which rows, and the column."""
    return [
        (where, len(HEAD) + slot)
        for kind, where in _by_kind(rows)
        for slot, title in enumerate(kind.fields)
        if title in titles
    ]


def _by_id(rows: Column, told: Sequence[int]) -> tuple[int, ...]:
    """Number GPUs as a comment tells, then as they appear; their ids in ``gpu`` become indices."""
    cells = [*_cells(rows, "gpu"), *_cells(rows, "source", "target")]
    ids = np.concatenate([np.zeros(0, np.int64), *(rows[where, slot] for where, slot in cells)])
    ids = ids[np.argsort(np.concatenate([np.zeros(0, np.intp), *(where for where, _ in cells)]), kind="stable")]
    seen = ids[np.sort(np.unique(ids, return_index=True)[1])].tolist()
    gpus = tuple(dict.fromkeys(gpu for gpu in chain(told, seen) if gpu != SYSMEM))
    for where, slot in _cells(rows, "gpu"):
        found, which = np.unique(rows[where, slot], return_inverse=True)
        rows[where, slot] = np.array([gpus.index(gpu) for gpu in found.tolist()])[which]
    return gpus


def _numbered(rows: Column, told: Sequence[int]) -> tuple[int, ...]:
    """Give locations their ids, if a comment tells them."""
    most = [int(rows[where, slot].max()) for where, slot in _cells(rows, "gpu")]
    most += [int(rows[where, slot].max()) - 1 for where, slot in _cells(rows, "source", "target")]
    gpus = tuple(told) + tuple(index + 1 for index in range(len(told), max(most, default=-1) + 1))
    ids = np.array([SYSMEM, *gpus])
    for where, slot in _cells(rows, "source", "target"):
        rows[where, slot] = ids[rows[where, slot]]
    return gpus


def _tasks(rows: Column, log: Log) -> Column:
    """Somebody for each part of the driver that can be busy at a time: views pair events by task."""
    role, gpu = np.zeros(len(rows), np.int64), np.zeros(len(rows), np.int64)
    for kind, where in _by_kind(rows):
        role[where] = _ROLES[kind.name]
        ends = [len(HEAD) + slot for slot, title in enumerate(kind.fields) if title in ("gpu", "source", "target")]
        gpu[where] = rows[where][:, ends].max(axis=1)
    # One number for all three: a process has at most 22 bits, a GPU 32.
    who, task = np.unique((rows[:, HEAD.index("pid")] << 34) + (role << 32) + gpu, return_inverse=True)
    numbers = [log.new_task(_NAMES[one >> 32 & 3], pid=one >> 34).id for one in who.tolist()]
    return np.array(numbers, np.int64)[task]


_NAMES = ("migration", "fault service", "queues", "mapping")
_ROLES = {
    "migrate_start": 0,
    "migrate_end": 0,
    "page_fault_start": 1,
    "page_fault_end": 1,
    "queue_eviction": 2,
    "queue_restore": 2,
    "queue_restore_rescheduled": 2,
    "unmap_from_gpu": 3,
}
