"""A moment of a recording in words: what happens, why, and who could reach the pages now."""

from __future__ import annotations

import re
from collections.abc import Callable

from svmlab.log import Event
from svmlab.svm.look import NOWHERE
from svmlab.svm.steps import STEPS
from svmlab.uapi import SYSMEM, UNDEFINED
from svmlab.units import format_time
from svmlab.widgets.recording import Moment, Recording

__all__ = ["cause", "entries", "headline", "reach", "reason", "told"]

_PAGES = re.compile(r"(?:\[(0x[0-9a-f]+), (0x[0-9a-f]+)\]|(0x[0-9a-f]+))")
"""An interval of pages, or one page, as the log writes them."""


def headline(recording: Recording, number: int) -> str:
    """Which moment it is, when, who acts, and which of the six steps it belongs to."""
    moment, events = recording.moments[number], recording.events(number)
    what = [f"step {event.fields['number']} of {len(STEPS)}, {event.text}" for event in events if event.name == "step"]
    who = events[0].task.name if events else "before the call"
    return "; ".join([f"moment {number} of {len(recording.moments) - 1}, {format_time(moment.time_ns)}", who, *what])


def told(recording: Recording, number: int) -> list[str]:
    """The events of a moment as lines of text; what is alike on several GPUs is one line."""
    alike: dict[str, list[str]] = {}
    for event in recording.events(number):
        line = _line(recording, event)
        # Only events about a GPU and no pages (queues stop, queues run) are the same on each.
        shared = "gpu" in event.fields and event.start < 0
        alike.setdefault(event.name if shared else line, []).append(line)
    return [_together(lines) for lines in alike.values()]


def _together(lines: list[str]) -> str:
    if len(lines) == 1:
        return lines[0]
    same = len(set(lines)) == 1
    return f"{lines[0]} " + (f"({len(lines)} times)" if same else f"(and on {len(lines) - 1} more GPUs)")


def cause(recording: Recording, number: int) -> str:
    """What the events of a moment follow from; an empty text for what the application does of its own accord."""
    events = recording.events(number)
    earlier = [event.cause for event in events if 0 <= event.cause < recording.moments[number].since]
    return _line(recording, recording.process.log[earlier[0]]) if earlier else ""


def reason(recording: Recording, number: int) -> str:
    """Where the pages shall be by now, and why."""
    decided = recording.latest("decision", number)
    if decided is None:
        return "nothing is decided yet"
    place = decided.fields["location"]
    where = "where they are" if place == UNDEFINED else _memory(recording.process.machine.location_name(place))
    return f"{where}, because {decided.text}"


_ENTRIES = {
    "migration": "migration entries, whose pages are under way",
    "none": "empty",
    "zero": "of the zero page",
    "read": "of RAM, to be read",
    "write": "of RAM, to be read and written",
    "device": "device-private, of VRAM",
    "swap": "of swap",
}


def entries(recording: Recording, number: int) -> str:
    """What the entries of the CPU's page table say: what a migration collects, and what it leaves."""
    counts = recording.moments[number].entries
    return ", ".join(f"{count} {_ENTRIES[kind]}" for kind, count in counts.items())


def reach(recording: Recording, number: int, *, gpu: int = 0) -> tuple[str, str]:
    """What the CPU and one GPU would meet if they touched the pages now.

    Args:
        recording: the run.
        number: which moment.
        gpu: index of the GPU.
    """
    moment = recording.moments[number]
    names, xnack = recording.process.machine.location_name, recording.process.xnack
    return f"CPU: {_cpu(moment)}", f"gpu{gpu}: {_gpu(moment, gpu, names, xnack=xnack)}"


def _cpu(moment: Moment) -> str:
    places = set(moment.tables["cpu"].tolist())
    if moment.migrating:
        return "a touch waits until the pages have arrived"
    if places == {SYSMEM}:
        return "loads and stores, the pages are in RAM"
    fault = "a touch of a page in VRAM is a fault that brings it home"
    return f"loads and stores in RAM; {fault}" if SYSMEM in places else fault


def _gpu(moment: Moment, gpu: int, names: Callable[[int], str], *, xnack: bool) -> str:
    places = sorted(set(moment.tables[f"gpu{gpu}"].tolist()))
    if moment.stopped[gpu]:
        return "its queues stand still, it touches nothing"
    missing = "a touch is a fault that the driver serves" if xnack else "so a touch would be fatal"
    mapped = " and ".join(_memory(names(place)) for place in places if place != NOWHERE)
    if NOWHERE not in places:
        return f"loads and stores {mapped}"
    if not (mapped and xnack):
        return "its page table has no entry, " + missing
    return f"loads and stores {mapped}; where its page table has no entry, {missing}"


def _memory(place: str) -> str:
    return "in RAM" if place == "cpu" else f"in the VRAM of {place}"


def _line(recording: Recording, event: Event) -> str:
    """An event as text, with pages counted from the first one that is looked at."""
    first, last = recording.span.start, recording.span.last

    def near(match: re.Match[str]) -> str:
        pages = [int(number, 16) - first for number in match.groups() if number]
        inside = all(0 <= page <= last - first for page in pages)
        return f"[{', '.join(map(str, pages))}]" if inside else match[0]

    return _PAGES.sub(near, str(event))
