"""Kernel SMI text: the lines that the driver's event files give, out and in.

A line is ``<id> <time> -<pid> ...``: id in hexadecimal without prefix, time in nanoseconds, addresses and sizes in
pages, in hexadecimal, GPUs by their KFD id.

Kernel: kfd_smi_event_migration_start, kfd_smi_event_queue_restore (kfd_smi_events.c)
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING

import numpy as np

from svmlab.log import Event
from svmlab.trace.grammar import Column, Form, Grammar, Match
from svmlab.trace.reading import Dialect
from svmlab.uapi import SYSMEM, UNDEFINED, EvictionTrigger, MigrateTrigger, UnmapTrigger

if TYPE_CHECKING:
    from svmlab.trace.trace import Trace

__all__ = ["SMI", "smi_line", "smi_lines"]

_HEAD = "{time:d} -{pid:d}"
_SPAN = _HEAD + " @{start:x}({npages:x})"
_WAY = _SPAN + " {source:x}->{target:x}"
_GPU = (1, UNDEFINED - 1)
_PLACE = (SYSMEM, UNDEFINED - 1)


def _form(event: str, text: str, values: Mapping[str, int] | None = None, **most: int) -> Form:
    """A form whose fields are within what the driver can mean."""
    limits = {"pid": (0, 1 << 22), "gpu": _GPU, "source": _PLACE, "target": _PLACE}
    limits |= {name: (0, greatest) for name, greatest in most.items()}
    return Form(event, text, values or {}, {name: limit for name, limit in limits.items() if f"{{{name}:" in text})


_MOVE, _STOP, _UNMAP = max(MigrateTrigger), max(EvictionTrigger), max(UnmapTrigger)
_FORMS = (
    _form("migrate_start", "5 " + _WAY + " {prefetch:x}:{preferred:x} {trigger:d}", trigger=_MOVE),
    # The error came about 6.13; it is 0 or a negative errno.
    _form("migrate_end", "6 " + _WAY + " {trigger:d} {error:d}", trigger=_MOVE, error=0),
    _form("migrate_end", "6 " + _WAY + " {trigger:d} -{error:d}", trigger=_MOVE, error=4095),
    _form("migrate_end", "6 " + _WAY + " {trigger:d}", {"error": 0}, trigger=_MOVE),
    _form("page_fault_start", "7 " + _HEAD + " @{start:x}({gpu:x}) W", {"write": 1}),
    _form("page_fault_start", "7 " + _HEAD + " @{start:x}({gpu:x}) R", {"write": 0}),
    _form("page_fault_end", "8 " + _HEAD + " @{start:x}({gpu:x}) M", {"migrated": 1}),
    _form("page_fault_end", "8 " + _HEAD + " @{start:x}({gpu:x}) U", {"migrated": 0}),
    _form("queue_eviction", "9 " + _HEAD + " {gpu:x} {trigger:d}", trigger=_STOP),
    # The mark of a restore was nothing at first, then a blank and a NUL by mistake, then 0.
    _form("queue_restore", "a " + _HEAD + " {gpu:x} 0"),
    _form("queue_restore", "a " + _HEAD + " {gpu:x} \0"),
    _form("queue_restore", "a " + _HEAD + " {gpu:x} "),
    _form("queue_restore", "a " + _HEAD + " {gpu:x}"),
    _form("queue_restore_rescheduled", "a " + _HEAD + " {gpu:x} R"),
    # A proposal gives it an id of its own, 14; whether a release has it is UNVERIFIED.
    _form("queue_restore_rescheduled", "e " + _HEAD + " {gpu:x}"),
    _form("unmap_from_gpu", "b " + _SPAN + " {gpu:x} {trigger:d}", trigger=_UNMAP),
)
_OTHERS = {
    rb"1 [0-9a-f]+:.*": "VMFAULT",
    rb"2 [0-9a-f]+:[0-9a-f]+": "THERMAL_THROTTLE",
    rb"3 [0-9a-f]+(?: .*)?": "GPU_PRE_RESET",
    rb"4 [0-9a-f]+(?: .*)?": "GPU_POST_RESET",
    rb"c [0-9a-f]+ .*": "PROCESS_START",
    rb"d [0-9a-f]+ .*": "PROCESS_END",
}
"""Lines without a time."""
_GLUED = re.compile(rb"(a \d+ -\d+ [0-9a-f]+ )([5-9ab] \d+ -.*)")


def _columns(match: Match) -> Mapping[str, Column | int]:
    values: dict[str, Column | int] = {**match.form.values, **match.values}
    if "start" in values:
        npages = values.pop("npages", 1)
        values["last"] = values["start"] + npages - 1
        if match.form.event == "migrate_end":
            values["npages"] = np.where(np.asarray(values["error"]) == 0, npages, 0)
    return values


def _other(line: bytes) -> str:
    return next((name for pattern, name in _OTHERS.items() if re.fullmatch(pattern, line)), "")


def _mended(line: bytes) -> bytes:
    """What a program leaves that takes the kernel's bytes for a C string: the NUL and the end of a line are lost."""
    if glued := _GLUED.fullmatch(line):
        return glued[1] + b"\n" + glued[2] + b"\n"
    return line.strip(b"\0") + b"\n" if line.startswith(b"\0") else b""


SMI = Dialect(Grammar(_FORMS), _columns, _other, _mended)
"""How SMI text is read; trigger numbers that the driver does not have make a line unknown."""


def _migrate_end(event: Event) -> str:
    way = f"{event.fields['source']:x}->{event.fields['target']:x}"
    return f"6 {_span(event)} {way} {event.fields['trigger']} {-event.fields['error']}"


def _migrate_start(event: Event) -> str:
    f = event.fields
    way = f"{f['source']:x}->{f['target']:x} {f['prefetch']:x}:{f['preferred']:x}"
    return f"5 {_span(event)} {way} {f['trigger']}"


def _head(event: Event) -> str:
    return f"{event.time_ns} -{event.pid}"


def _span(event: Event) -> str:
    return f"{_head(event)} @{event.start:x}({event.npages:x})"


_Line = Callable[[Event, int], str]
_LINES: dict[str, _Line] = {
    "migrate_start": lambda event, _gpu: _migrate_start(event),
    "migrate_end": lambda event, _gpu: _migrate_end(event),
    "page_fault_start": lambda event, gpu: f"7 {_head(event)} @{event.start:x}({gpu:x}) {'RW'[event.fields['write']]}",
    "page_fault_end": lambda event, gpu: f"8 {_head(event)} @{event.start:x}({gpu:x}) {'UM'[event.fields['migrated']]}",
    "queue_eviction": lambda event, gpu: f"9 {_head(event)} {gpu:x} {event.fields['trigger']}",
    "queue_restore": lambda event, gpu: f"a {_head(event)} {gpu:x} 0",
    "queue_restore_rescheduled": lambda event, gpu: f"a {_head(event)} {gpu:x} R",
    "unmap_from_gpu": lambda event, gpu: f"b {_span(event)} {gpu:x} {event.fields['trigger']}",
    "memory_exception": lambda event, _gpu: f"1 {event.pid:x}:{_task_name(event)}",
}


def _task_name(event: Event) -> str:
    """The name of the process, as far as the kernel keeps names: 15 bytes."""
    begun = (start for start in event.log.events("process_start") if start.pid == event.pid)
    return next((start.text for start in begun), "?")[:15]


def smi_line(event: Event, gpus: tuple[int, ...]) -> str:
    """One event as a line, without its end.

    Args:
        event: of a kind that the driver reports.
        gpus: KFD ids by index.

    >>> import svmlab as sl
    >>> p = sl.Process("toy")
    >>> a = p.mmap("8 KiB", name="a")
    >>> p.set_attr(a, access=["gpu0"], prefetch="gpu0")
    >>> smi_line(p.log.events("migrate_start")[0], tuple(gpu.gpu_id for gpu in p.machine.gpus))  # doctest: +ELLIPSIS
    '5 ... -1 @7e0000000(2) 0->... 0'
    """
    index = event.fields.get("gpu", -1)
    return _LINES[event.name](event, gpus[index] if index >= 0 else 0)


def smi_lines(trace: Trace) -> Iterator[tuple[Event, str]]:
    """Every event that the driver reports, with its line, in order of emission."""
    for event in trace.log.events(*_LINES):
        yield event, smi_line(event, trace.gpus)
