"""The runtime's log (HSA_SVM_PROFILE): what ROCr writes of the driver's events, out and in.

The runtime writes addresses in bytes and GPUs by its own numbers; it leaves out the process, prefetch and preferred
location, the error of a migration and the mark of a restore. So a restore that starts over looks like one that is done;
only the restore that follows it, without an eviction in between, tells them apart.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from itertools import product
from typing import TYPE_CHECKING

import numpy as np

from svmlab.log import EVENTS, KINDS, Event
from svmlab.log.journal import HEAD
from svmlab.trace.grammar import Column, Form, Grammar, Match
from svmlab.trace.reading import Dialect
from svmlab.uapi import UNDEFINED, EvictionTrigger, MigrateTrigger, UnmapTrigger
from svmlab.units import GIB, PAGE_SHIFT, PAGE_SIZE

if TYPE_CHECKING:
    from svmlab.trace.trace import Trace

__all__ = ["ROCR", "rocr_lines"]

_PREFIX = "ROCr HMM event: "
_HANDLE = 0x5500_0000_0000
"""Where the handle of the first GPU would be; a simulation has none."""
_GPUS = ("gpu", "source_gpu", "target_gpu")
_MOST_GPUS = 1023
_SIZE_LIMIT = 4 * GIB
"""The runtime counts the bytes of a piece in 32 bits."""
_ERROR = b"ROCr HMM event error: "
_STOP, _RESTORE, _AGAIN = (
    KINDS.index(EVENTS[name]) for name in ("queue_eviction", "queue_restore", "queue_restore_rescheduled")
)


def _agent(name: str) -> str:
    return f"GPU{{{name}:d}}(0x{{{name}_handle_:x}})"


def _form(event: str, words: str, detail: str, values: Mapping[str, int]) -> Form:
    text = f"{_PREFIX}{{time:d}} {words} {detail}".rstrip()
    return Form(event, text, values, {name: (0, _MOST_GPUS) for name in _GPUS if f"{{{name}:d}}" in text})


def _forms() -> Iterator[Form]:
    gpu, span = _agent("gpu"), "[0x{first:x}, 0x{final:x}]"
    for kind, trigger in product(("migrate_start", "migrate_end"), MigrateTrigger):
        for ends in product((_agent("source_gpu"), "CPU"), (_agent("target_gpu"), "CPU")):
            yield _form(kind, f"{kind.upper()} {trigger.name}", f"{'->'.join(ends)} {span}", {"trigger": trigger})
    for write, word in enumerate(("Read", "Write")):
        yield _form("page_fault_start", f"PAGE_FAULT_START {word}", f"{gpu} {{address:d}}", {"write": write})
    for migrated, word in enumerate(("Map", "Migration")):
        yield _form("page_fault_end", f"PAGE_FAULT_END {word}", f"{gpu} {{address:d}}", {"migrated": migrated})
    for stop in EvictionTrigger:
        yield _form("queue_eviction", f"QUEUE_EVICTION {stop.name}", gpu, {"trigger": stop})
    yield _form("queue_restore", "QUEUE_RESTORE", gpu, {})
    for reason in UnmapTrigger:
        yield _form("unmap_from_gpu", f"UNMAP_FROM_GPU {reason.name}", f"{gpu} {span}", {"trigger": reason})


def _columns(match: Match) -> Mapping[str, Column | int]:
    found = match.values
    values: dict[str, Column | int] = {"time": found["time"], **match.form.values}
    if "first" in found:
        # A piece of 4 GiB, or a multiple of it, ends before it begins.
        size = (found["final"] - found["first"] + 1) % _SIZE_LIMIT
        size[size == 0] = _SIZE_LIMIT
        values["start"] = found["first"] >> PAGE_SHIFT
        values["last"] = (found["first"] + size - 1) >> PAGE_SHIFT
    if "address" in found:
        values["start"] = values["last"] = found["address"] >> PAGE_SHIFT
    if "gpu" in found:
        values["gpu"] = found["gpu"]
    if match.form.event.startswith("migrate"):
        # Locations are index + 1 until the whole log is read: 0 is RAM.
        values |= {end: found.get(f"{end}_gpu", -1) + 1 for end in ("source", "target")}
    if match.form.event == "migrate_start":
        values |= {"prefetch": UNDEFINED, "preferred": UNDEFINED}
    if match.form.event == "migrate_end":
        values["npages"] = values["last"] - values["start"] + 1
    return values


def _other(line: bytes) -> str:
    return "read errors of the runtime" if line.startswith(_ERROR) else ""


def _mended(line: bytes) -> bytes:
    return line.strip(b"\0") + b"\n" if line.startswith(b"\0") else b""


def _settled(rows: Column) -> int:
    """Find the restores that started over: another one follows before queues are stopped again.

    Their rows become ``queue_restore_rescheduled``. Queues that are stopped twice resume with the second restore.

    Returns:
        How many there are.
    """
    kinds, gpus, found = rows[:, HEAD.index("kind")], rows[:, len(HEAD)], 0
    depth: Counter[int] = Counter()
    last: dict[int, int] = {}
    where = np.flatnonzero((kinds == _STOP) | (kinds == _RESTORE))
    where = where[np.isin(gpus[where], _twice(kinds[where], gpus[where]))]
    for row in where.tolist():
        gpu = int(gpus[row])
        if kinds[row] == _STOP:
            depth[gpu] += 1
            continue
        if depth[gpu]:
            depth[gpu] -= 1
        elif gpu in last:
            rows[last[gpu], HEAD.index("kind")] = _AGAIN
            found += 1
        last[gpu] = row
    return found


def _twice(kinds: Column, gpus: Column) -> Column:
    """The GPUs that have a restore right behind another one: only there is something to find."""
    order = np.argsort(gpus, kind="stable")
    restores, same = kinds[order] == _RESTORE, np.diff(gpus[order]) == 0
    return np.unique(gpus[order][1:][same & restores[1:] & restores[:-1]])


ROCR = Dialect(Grammar(_forms()), _columns, _other, _mended, _settled)
"""How the runtime's log is read; words that it does not know itself (UNKNOWN) make a line unknown."""


def _bytes(event: Event) -> str:
    first = event.start * PAGE_SIZE
    return f"[{first:#x}, {first + event.npages * PAGE_SIZE % _SIZE_LIMIT - 1:#x}]"


def _way(event: Event, agent: Callable[[int], str]) -> str:
    ends = (agent(event.fields[end]) for end in ("source", "target"))
    return f"{MigrateTrigger(event.fields['trigger']).name} {'->'.join(ends)} {_bytes(event)}"


def _address(event: Event) -> str:
    return str(event.start * PAGE_SIZE)


_Line = Callable[[Event, str, Callable[[int], str]], str]
_LINES: dict[str, _Line] = {
    "migrate_start": lambda event, _gpu, agent: f"MIGRATE_START {_way(event, agent)}",
    "migrate_end": lambda event, _gpu, agent: f"MIGRATE_END {_way(event, agent)}",
    "page_fault_start": lambda event, gpu, _: (
        f"PAGE_FAULT_START {('Read', 'Write')[event.fields['write']]} {gpu} {_address(event)}"
    ),
    "page_fault_end": lambda event, gpu, _: (
        f"PAGE_FAULT_END {('Map', 'Migration')[event.fields['migrated']]} {gpu} {_address(event)}"
    ),
    "queue_eviction": lambda event, gpu, _: f"QUEUE_EVICTION {EvictionTrigger(event.fields['trigger']).name} {gpu}",
    "queue_restore": lambda _event, gpu, _agent: f"QUEUE_RESTORE {gpu}",
    "queue_restore_rescheduled": lambda _event, gpu, _agent: f"QUEUE_RESTORE {gpu}",
    "unmap_from_gpu": lambda event, gpu, _: (
        f"UNMAP_FROM_GPU {UnmapTrigger(event.fields['trigger']).name} {gpu} {_bytes(event)}"
    ),
}


def rocr_lines(trace: Trace) -> Iterator[tuple[Event, str]]:
    """Every event that the runtime writes, with its line, in order of emission.

    The runtime sees only its own process: of a run with several, the first that the driver told anything about.
    """
    events = trace.log.events(*_LINES)
    pid = events[0].pid if events else 0
    index = {gpu: number for number, gpu in enumerate(trace.gpus)}

    def agent(location: int) -> str:
        number = index[location] if location else -1
        return "CPU" if number < 0 else f"GPU{number}({_HANDLE + 256 * number:#x})"

    for event in events:
        if event.pid == pid:
            gpu = event.fields.get("gpu", -1)
            yield event, f"{_PREFIX}{event.time_ns} {_LINES[event.name](event, agent(trace.gpus[gpu]), agent)}"
