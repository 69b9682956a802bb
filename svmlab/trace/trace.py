"""A trace: a log of what the driver did, simulated or read from a file, and what can be asked about it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from svmlab.errors import InputError
from svmlab.hardware.tell import tell
from svmlab.log import Log
from svmlab.log.events import KINDS
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


def _cells(rows: Column, *titles: str) -> list[tuple[np.ndarray[Any, Any], int]]:
    """Where fields of these names are: for each kind of event that has one, which rows, and the column."""
    kinds = rows[:, HEAD.index("kind")]
    return [
        (np.flatnonzero(kinds == number), len(HEAD) + slot)
        for number in np.unique(kinds).tolist()
        for slot, title in enumerate(KINDS[number].fields)
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
    for number, kind in enumerate(KINDS):
        mine = np.flatnonzero(rows[:, HEAD.index("kind")] == number)
        if len(mine):
            role[mine] = _ROLES[kind.name]
            slots = {title: len(HEAD) + slot for slot, title in enumerate(kind.fields)}
            ends = np.stack([rows[mine, slots[end]] for end in ("source", "target") if end in slots] or [[0]])
            gpu[mine] = rows[mine, slots["gpu"]] if "gpu" in slots else ends.max(axis=0)
    keys = np.column_stack([rows[:, HEAD.index("pid")], role, gpu])
    who, task = np.unique(keys, axis=0, return_inverse=True)
    numbers = [log.new_task(_NAMES[one], pid=pid).id for pid, one, _ in who.tolist()]
    return np.array(numbers, np.int64)[task.reshape(-1)]


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
