"""Events as scenario files speak of them: counting them, and comparing a list of them with the log."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import islice

from svmlab.errors import errno_name
from svmlab.hardware.machine import Machine
from svmlab.log import Event, Log
from svmlab.scenario.expectations import EVENT_NAMES, LogEntry
from svmlab.scenario.values import same_error
from svmlab.uapi import EvictionTrigger, MigrateTrigger, UnmapTrigger
from svmlab.units import PAGE_SHIFT, format_time

__all__ = ["FirstPage", "all_counts", "compare_log", "in_words", "seen_events"]

FirstPage = Callable[[LogEntry], int | None]
"""Tells the first page an entry asks for, or None if it asks for none."""

_TRIGGERS = {
    "migrate_start": MigrateTrigger,
    "migrate_end": MigrateTrigger,
    "queue_eviction": EvictionTrigger,
    "unmap_from_gpu": UnmapTrigger,
}
_SHOWN = 6


def all_counts(log: Log) -> dict[str, int]:
    """How often each event of the format happened in the whole run, in all processes."""
    return {name: log.count(name) for name in EVENT_NAMES}


def seen_events(log: Log, machine: Machine, *, since: int, pid: int, gpu: str | None) -> list[Event]:
    """The events of the format that ``expect`` looks at, in the order they happened."""
    events = log.events(*EVENT_NAMES, since=since, pid=pid)
    return [event for event in events if gpu is None or gpu in _gpus(event, machine)]


def _gpus(event: Event, machine: Machine) -> list[str]:
    """The GPUs an event is about; a migration is about both its ends."""
    if "gpu" in event.fields:
        return [f"gpu{event.fields['gpu']}"]
    return [end for end in _ends(event, machine) or () if end != "cpu"]


def _ends(event: Event, machine: Machine) -> tuple[str, str] | None:
    """Where an event moves pages from and to."""
    if "source" in event.fields:
        return machine.location_name(event.fields["source"]), machine.location_name(event.fields["target"])
    if "to_vram" in event.fields:
        ends = "cpu", f"gpu{event.fields['gpu']}"
        return ends if event.fields["to_vram"] else (ends[1], ends[0])
    return None


def _facts(event: Event, machine: Machine) -> dict[str, object]:
    """What there is to compare about an event, in a scenario's words."""
    facts: dict[str, object] = {}
    gpus, ends = _gpus(event, machine), _ends(event, machine)
    if gpus:
        facts["gpu"] = gpus[0] if len(gpus) == 1 else gpus
    if ends:
        facts["from"], facts["to"] = ends
    if event.name in _TRIGGERS:
        facts["trigger"] = _TRIGGERS[event.name](event.fields["trigger"]).name.lower()
    if "write" in event.fields:
        facts["access"] = "write" if event.fields["write"] else "read"
    if event.start >= 0:
        facts["page"], facts["npages"] = event.start, event.npages
    if event.fields.get("error"):
        facts["error"] = errno_name(event.fields["error"])
    return facts


def in_words(event: Event, machine: Machine) -> str:
    """An event as an entry of ``log`` would name it."""
    facts = _facts(event, machine)
    if "page" in facts:
        facts["page"] = f"{facts['page']:#x}"
    told = " ".join(f"{key}={value}" for key, value in facts.items())
    return f"{event.name} {told}".rstrip()


def compare_log(
    wanted: Sequence[str | LogEntry], events: Sequence[Event], *, machine: Machine, first_page: FirstPage
) -> Iterator[tuple[str, str]]:
    """Compare a list of entries, ``"..."`` among them, with the events that happened.

    Yields:
        The first entry that nothing matches (or the end of the list) and what is there instead.
    """

    def matches(entry: LogEntry, event: Event) -> bool:
        return _matches(entry, event, machine, first_page(entry))

    reached, at = _align(wanted, events, matches)
    if reached is None:
        return
    expected = _entry_in_words(wanted[reached]) if reached < len(wanted) else "no more events"
    rest = [f"{format_time(event.time_ns)}: {in_words(event, machine)}" for event in islice(events, at, at + _SHOWN)]
    more = len(events) - at - len(rest)
    found = "; ".join([*rest, *([f"and {more} more"] if more > 0 else [])]) or "no more events"
    yield f"log item {reached + 1}: {expected}", f"from event {at + 1} of {len(events)} on: {found}"


def _align(
    wanted: Sequence[str | LogEntry], events: Sequence[Event], matches: Callable[[LogEntry, Event], bool]
) -> tuple[int | None, int]:
    """Match greedily, going back to the last ``"..."`` only: an earlier match never spoils a later one.

    Returns:
        The entry that cannot be matched (None: all are) and the event it would have to be.
    """
    item, at = 0, 0
    star: tuple[int, int] | None = None
    farthest = (0, 0)
    while at < len(events) or item < len(wanted):
        entry = wanted[item] if item < len(wanted) else None
        if isinstance(entry, str):
            item += 1
            star = (item, at)
            continue
        if entry is not None and at < len(events) and matches(entry, events[at]):
            item, at = item + 1, at + 1
            continue
        farthest = max(farthest, (item, at))
        if star is None or star[1] >= len(events):
            return farthest
        star = (star[0], star[1] + 1)
        item, at = star
    return None, at


def _matches(entry: LogEntry, event: Event, machine: Machine, page: int | None) -> bool:
    if entry.event != event.name or (entry.gpu is not None and entry.gpu not in _gpus(event, machine)):
        return False
    facts = _facts(event, machine)
    if entry.error is not None and not same_error(entry.error, str(facts.get("error"))):
        return False
    asked = {
        "from": entry.source,
        "to": entry.target,
        "trigger": entry.trigger,
        "access": entry.access,
        "npages": entry.npages,
        "page": page,
    }
    return all(facts.get(key) == value for key, value in asked.items() if value is not None)


def _entry_in_words(entry: str | LogEntry) -> str:
    if isinstance(entry, str):
        return entry
    given = entry.model_dump(by_alias=True, exclude_none=True)
    if entry.address is not None:
        given["page"] = f"{given.pop('address') >> PAGE_SHIFT:#x}"
    return " ".join([given.pop("event"), *(f"{key}={value}" for key, value in given.items())])
