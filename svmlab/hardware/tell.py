"""Events in words: the event table's templates, with GPUs and locations by name."""

from __future__ import annotations

import re
from collections.abc import Callable

from svmlab.errors import errno_name
from svmlab.hardware.machine import Machine
from svmlab.log import Event
from svmlab.uapi import EvictionTrigger, MigrateTrigger, NotifierEvent, UnmapTrigger
from svmlab.units import format_time

__all__ = ["tell"]

_PLACEHOLDER = re.compile(r"\{(\w+)(?::([^|}]*)\|([^}]*))?\}")
_ONE = re.compile(r"\b1 pages\b")
_ABOUT_A_SPAN = re.compile(r" (?:on|of) \{span\}")
_TRIGGERS = {"queue_eviction": EvictionTrigger, "unmap_from_gpu": UnmapTrigger}


def tell(machine: Machine, event: Event) -> str:
    """One event as one line of text, without its time."""

    def fill(match: re.Match[str]) -> str:
        name, no, yes = match.groups()
        if no is not None:
            return yes if event.fields[name] else no
        return _word(machine, event, name)

    says = event.kind.says if event.start >= 0 else _ABOUT_A_SPAN.sub("", event.kind.says)
    return _ONE.sub("1 page", _PLACEHOLDER.sub(fill, says))


def _word(machine: Machine, event: Event, name: str) -> str:
    if name == "text":
        return event.text
    if name == "span":
        return _span(event)
    value = event.fields[name]
    word = _WORDS.get(name)
    if word is not None:
        return word(machine, event, value)
    return format_time(value) if name.endswith("_ns") else str(value)


def _span(event: Event) -> str:
    if event.npages < 1:
        return "no page"
    return f"{event.start:#x}" if event.npages == 1 else f"[{event.start:#x}, {event.last:#x}]"


def _location(machine: Machine, _event: Event, value: int) -> str:
    return "RAM" if value == 0 else machine.location_name(value)


def _gpu(_machine: Machine, _event: Event, value: int) -> str:
    return f"gpu{value}"


def _error(_machine: Machine, _event: Event, value: int) -> str:
    return f" with {errno_name(value)}" if value else ""


def _trigger(_machine: Machine, event: Event, value: int) -> str:
    return str(_TRIGGERS.get(event.name, MigrateTrigger)(value).name.lower())


def _notifier(_machine: Machine, _event: Event, value: int) -> str:
    return NotifierEvent(value).name


_WORDS: dict[str, Callable[[Machine, Event, int], str]] = {
    "gpu": _gpu,
    "source": _location,
    "target": _location,
    "location": _location,
    "error": _error,
    "trigger": _trigger,
    "event": _notifier,
}
