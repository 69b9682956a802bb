"""Where a trace viewer shows each event, and as what: the tracks of tasks and of GPUs, and how long steps take."""

from __future__ import annotations

import numpy as np

from svmlab.log import EVENTS, KINDS, Log
from svmlab.log.journal import HEAD
from svmlab.svm.steps import STEPS
from svmlab.trace.grammar import Column

__all__ = ["LASTING", "PAIRS", "PHASES", "Tracks", "durations_of_steps", "name_of"]

PAIRS = {
    "call_start": "call_end",
    "migrate_start": "migrate_end",
    "restore_start": "restore_end",
    "page_fault_start": "page_fault_end",
    "gpu_work_start": "gpu_work_end",
    "lock_wait": "lock_acquired",
    "queue_eviction": "queue_restore",
}
"""Kinds of event that begin a slice, and those that end it."""
LASTING = ("copy", "copy_window", "map_to_gpu")
"""Kinds of event that say how long they take."""
PHASES = {
    **dict.fromkeys(PAIRS, "B"),
    **dict.fromkeys(PAIRS.values(), "E"),
    **dict.fromkeys(LASTING, "X"),
    "step": "X",
}
"""How each kind of event is shown, in the letters of the format; all others are instants, ``i``."""
_GPU_TRACKS = {
    "copy": "SDMA",
    "copy_window": "SDMA",
    "map_to_gpu": "page table",
    "queue_eviction": "queues stopped",
    "queue_restore": "queues stopped",
    "queue_restore_rescheduled": "queues stopped",
}
_PARTS = ("SDMA", "page table", "queues stopped")
_PART_OF_KIND = np.array([_PARTS.index(_GPU_TRACKS[kind.name]) if kind.name in _GPU_TRACKS else -1 for kind in KINDS])
"""These kinds have the GPU as their first field."""
_FIRST_GPU_TRACK = 1 << 20
"""Tracks of tasks have smaller numbers."""
_NUMBER = {kind.name: number for number, kind in enumerate(KINDS)}


def name_of(kind: str) -> str | None:
    """What an event of a kind is called in a viewer; None: its own text is its name."""
    if kind in ("call_start", "step"):
        return None
    if kind == "call_end":
        return ""  # its text also has the error, and an end needs no name
    if kind in ("queue_eviction", "queue_restore"):
        return "stopped"
    starts = {end: start for start, end in PAIRS.items()}
    return starts.get(kind, kind).removesuffix("_start")


class Tracks:
    """The tracks of a log: for tasks, and for the parts of GPUs.

    Tasks of one name and process share a track if one ends before the next begins.

    Args:
        log: whose.

    Attributes:
        pid, tid: the process and the number of the track of each event, shape ``(events,)``.
        names: the name of each track that has an event, by process and number.
    """

    def __init__(self, log: Log) -> None:
        of_task, titles = _of_tasks(log)
        rows = log.rows()
        part = _PART_OF_KIND[rows[:, HEAD.index("kind")]]
        gpu = rows[:, len(HEAD)]
        # A copy engine works for all processes.
        self.pid = np.where(part == _PARTS.index("SDMA"), 0, log.column("pid"))
        self.tid = np.where(part < 0, of_task[log.column("task")], _FIRST_GPU_TRACK + gpu * len(_PARTS) + part)
        self.names: dict[tuple[int, int], str] = {}
        for pid, tid in sorted(set(zip(self.pid.tolist(), self.tid.tolist(), strict=True))):
            gpu_index, which = divmod(tid - _FIRST_GPU_TRACK, len(_PARTS))
            self.names[pid, tid] = titles[tid - 1] if gpu_index < 0 else f"gpu{gpu_index} {_PARTS[which]}"


def _of_tasks(log: Log) -> tuple[Column, list[str]]:
    """The number of the track of each task, from 1, and their names."""
    of_task, titles = np.zeros(len(log.tasks), np.int64), []
    free: dict[tuple[int, str], list[tuple[int, int]]] = {}
    for task, (first, last) in zip(log.tasks, _lives(log), strict=True):
        lanes = free.setdefault((task.pid, task.name), [])
        at = next((at for at, (_, until) in enumerate(lanes) if until < first), len(lanes))
        if at == len(lanes):
            titles.append(f"{task.name} ({at + 1})" if at else task.name)
            lanes.append((len(titles), last))
        lanes[at] = lanes[at][0], last
        of_task[task.id] = lanes[at][0]
    return of_task, titles


def _lives(log: Log) -> list[tuple[int, int]]:
    """From which event to which one each task does something; one that does nothing from 0 to -1."""
    task, ids = log.column("task"), np.arange(len(log))
    first, last = np.zeros(len(log.tasks), np.int64), np.full(len(log.tasks), -1)
    first[task[::-1]], last[task] = ids[::-1], ids
    return list(zip(first.tolist(), last.tolist(), strict=True))


def durations_of_steps(rows: Column) -> Column:
    """How long each step takes, in ns: until the next one of the same migration, or the end of what it is a step of.

    What makes room for a migration is a migration of other pages inside of it, and leaves its step open. A step that
    has not ended lasts to the end of the log.

    Args:
        rows: all events of a log.

    Returns:
        An array of one element for each event; 0 for those that are no steps.
    """
    kinds, time = rows[:, HEAD.index("kind")], rows[:, HEAD.index("time")]
    lasts = np.zeros(len(rows), np.int64)
    ends = [_NUMBER[end] for start, end in PAIRS.items() if start not in ("lock_wait", "queue_eviction")]
    closing = np.flatnonzero(np.isin(kinds, [_NUMBER["step"], *ends]))
    pages = _pages(rows[closing])
    for own in (True, False):
        steps = (kinds[closing] == _NUMBER["step"]) & ((pages != _NO_PAGES) == own)
        among = pages != _NO_PAGES if own else np.ones(len(closing), bool)
        until = _next(rows, closing[among], pages[among] if own else np.zeros(int(among.sum()), np.int64))
        at = closing[among][steps[among]]
        after = until[steps[among]]
        last = int(time.max(initial=0))
        lasts[at] = np.where(after < 0, last, time[after]) - time[at]
    return lasts


_NO_PAGES = -1


def _pages(rows: Column) -> Column:
    """The first page of a migration and of its steps, which may lie inside of one another."""
    kinds, number = rows[:, HEAD.index("kind")], rows[:, len(HEAD) + EVENTS["step"].fields.index("number")]
    moving = (kinds == _NUMBER["migrate_end"]) | ((kinds == _NUMBER["step"]) & (number < len(STEPS)))
    return np.where(moving, rows[:, HEAD.index("start")], _NO_PAGES)


def _next(rows: Column, ids: Column, keys: Column) -> Column:
    """The next of some events with the same task and key, for each of them; -1 where there is none."""
    task = rows[ids, HEAD.index("task")]
    order = np.lexsort((ids, keys, task))
    who = np.stack([task, keys])[:, order]
    same = (who[:, 1:] == who[:, :-1]).all(axis=0)
    found = np.full(len(ids), -1, np.int64)
    found[order[:-1][same]] = ids[order[1:][same]]
    return found
