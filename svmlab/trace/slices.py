"""The log as slices on tracks: what trace viewers want. Slices of one track nest or are disjoint."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from svmlab.log import Event, Log
from svmlab.svm.steps import STEPS

__all__ = ["Instant", "Slice", "Track", "instants", "slices"]

_PAIRS = {
    "call_start": "call_end",
    "migrate_start": "migrate_end",
    "restore_start": "restore_end",
    "page_fault_start": "page_fault_end",
    "gpu_work_start": "gpu_work_end",
    "lock_wait": "lock_acquired",
}
_ENDS = {end: start for start, end in _PAIRS.items()}
_NO_PAGES = -1
_TIMED = ("copy", "copy_window", "map_to_gpu")


@dataclass(frozen=True, slots=True, order=True)
class Track:
    """One row of a trace viewer.

    Attributes:
        pid: the process; 0 for the machine.
        name: what happens on it: a task, or a part of a GPU.
    """

    pid: int
    name: str


@dataclass(frozen=True, slots=True)
class Slice:
    """Something that takes time.

    Attributes:
        track: where.
        name: what.
        start_ns, end_ns: when.
        event: the event that began it.
    """

    track: Track
    name: str
    start_ns: int
    end_ns: int
    event: Event


@dataclass(frozen=True, slots=True)
class Instant:
    """Something that takes no time."""

    track: Track
    event: Event


def slices(log: Log) -> Iterator[Slice]:
    """Everything in a log that takes time.

    A pair of events of one task is a slice on the task's track, a step lasts until the next one of the same migration;
    copies and mappings have tracks of their own; queues are slices while they are stopped. What has not ended lasts to
    the end of the log.
    """
    end_ns = max((event.time_ns + event.fields.get("duration_ns", 0) for event in log), default=0)
    open_: dict[tuple[object, ...], Event] = {}
    for event in log:
        if event.name in _TIMED:
            yield _timed(event)
        elif event.name in ("queue_eviction", "queue_restore"):
            yield from _queues(open_, event)
        elif event.name in _PAIRS or event.name in _ENDS or event.name == "step":
            yield from _tasks(open_, event)
    for event in open_.values():
        yield Slice(_track(event), _name(event), event.time_ns, end_ns, event)


def _tasks(open_: dict[tuple[object, ...], Event], event: Event) -> Iterator[Slice]:
    """Open and close the slices of a task; a step ends with the next one, or with what it is a step of.

    What makes room for a migration is a migration of other pages inside of it, and leaves its step open.
    """
    task, pages = event.task.id, _pages(event)
    if event.name == "step" or (event.name in _ENDS and event.name != "lock_acquired"):
        for key in {(task, "step", pages), (task, "step", _NO_PAGES)} & open_.keys():
            yield _closed(open_.pop(key), event.time_ns)
    if event.name == "step" or event.name in _PAIRS:
        open_[task, event.name, pages] = event
    elif (begun := open_.pop((task, _ENDS[event.name], pages), None)) is not None:
        yield _closed(begun, event.time_ns)


def _pages(event: Event) -> int:
    """The first page of a migration and of its steps, which may lie inside of one another."""
    moving = event.name in ("migrate_start", "migrate_end") or event.fields.get("number", len(STEPS)) < len(STEPS)
    return event.start if moving else _NO_PAGES


def _queues(open_: dict[tuple[object, ...], Event], event: Event) -> Iterator[Slice]:
    key = (event.pid, "queues", event.fields["gpu"])
    if event.name == "queue_eviction":
        open_.setdefault(key, event)
    elif key in open_:
        yield _closed(open_.pop(key), event.time_ns)


def _closed(event: Event, end_ns: int) -> Slice:
    return Slice(_track(event), _name(event), event.time_ns, end_ns, event)


def _timed(event: Event) -> Slice:
    return Slice(_track(event), _name(event), event.time_ns, event.time_ns + event.fields["duration_ns"], event)


def _track(event: Event) -> Track:
    gpu = event.fields.get("gpu")
    if event.name in ("copy", "copy_window"):
        return Track(0, f"gpu{gpu} SDMA")
    if event.name == "map_to_gpu":
        return Track(event.pid, f"gpu{gpu} page table")
    if event.name == "queue_eviction":
        return Track(event.pid, f"gpu{gpu} queues stopped")
    return Track(event.pid, event.task.name)


def _name(event: Event) -> str:
    if event.name in ("call_start", "step"):
        return event.text
    if event.name == "queue_eviction":
        return "stopped"
    return event.name.removesuffix("_start")


def instants(log: Log) -> Iterator[Instant]:
    """Everything in a log that takes no time, on the tracks of the tasks."""
    other = {*_PAIRS, *_ENDS, *_TIMED, "step", "queue_eviction", "queue_restore"}
    for event in log:
        if event.name not in other:
            yield Instant(Track(event.pid, event.task.name), event)
