"""Events in words: the event table's templates, with GPUs and locations by name."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Protocol

from svmlab.errors import errno_name
from svmlab.log import Event
from svmlab.uapi import EvictionTrigger, MigrateTrigger, NotifierEvent, UnmapTrigger
from svmlab.units import format_time

__all__ = ["Names", "tell"]

_PLACEHOLDER = re.compile(r"\{(\w+)(?::([^|}]*)\|([^}]*))?\}")
_ONE = re.compile(r"\b1 pages\b")
_ABOUT_A_SPAN = re.compile(r" (?:on|of) \{span\}")
_TRIGGERS = {"queue_eviction": EvictionTrigger, "unmap_from_gpu": UnmapTrigger}


class Names(Protocol):
    """Whatever knows what locations are called: a machine, or a log of one."""

    def location_name(self, location: int) -> str:
        """The name of a location number."""


def tell(names: Names, event: Event) -> str:
    """One event as one line of text, without its time."""

    def fill(match: re.Match[str]) -> str:
        name, no, yes = match.groups()
        if no is not None:
            return yes if event.fields[name] else no
        return _word(names, event, name)

    says = event.kind.says if event.start >= 0 else _ABOUT_A_SPAN.sub("", event.kind.says)
    return _ONE.sub("1 page", _PLACEHOLDER.sub(fill, says))


def _word(names: Names, event: Event, name: str) -> str:
    if name == "text":
        return event.text
    if name == "span":
        return _span(event)
    value = event.fields[name]
    word = _WORDS.get(name)
    if word is not None:
        return word(names, event, value)
    return format_time(value) if name.endswith("_ns") else str(value)


def _span(event: Event) -> str:
    if event.npages < 1:
        return "no page"
    return f"{event.start:#x}" if event.npages == 1 else f"[{event.start:#x}, {event.last:#x}]"


def _location(names: Names, _event: Event, value: int) -> str:
    return "RAM" if value == 0 else names.location_name(value)


def _gpu(_names: Names, _event: Event, value: int) -> str:
    return f"gpu{value}"


def _error(_names: Names, _event: Event, value: int) -> str:
    return f" with {errno_name(value)}" if value else ""


def _trigger(_names: Names, event: Event, value: int) -> str:
    return str(_TRIGGERS.get(event.name, MigrateTrigger)(value).name.lower())


def _notifier(_names: Names, _event: Event, value: int) -> str:
    return NotifierEvent(value).name


_WORDS: dict[str, Callable[[Names, Event, int], str]] = {
    "gpu": _gpu,
    "source": _location,
    "target": _location,
    "location": _location,
    "error": _error,
    "trigger": _trigger,
    "event": _notifier,
}
