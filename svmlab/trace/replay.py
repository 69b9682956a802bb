"""A trace replayed: where its pages were at each moment, and where it contradicts itself.

A driver's log tells which pieces were to move, not which pages did; what a log does not contradict need not be true.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from svmlab.errors import InputError
from svmlab.hardware.words import place_name, plural
from svmlab.log import Event
from svmlab.trace.residency import Residency, Run
from svmlab.trace.stops import STOPS, stops
from svmlab.uapi import MigrateTrigger
from svmlab.units import PAGE_SHIFT, format_time

if TYPE_CHECKING:
    from svmlab.trace.trace import Trace

__all__ = ["Contradiction", "Moment", "Replay", "replay"]

_UNSEEN = -1
_MOST_PAGES = 1 << 20
_MOMENTS = 12


@dataclass(frozen=True, slots=True)
class Contradiction:
    """Where a trace contradicts itself: an event that cannot follow from those before it, and why not."""

    event: Event
    because: str

    def __str__(self) -> str:
        return f"event {self.event.id} at {format_time(self.event.time_ns)}: {self.event}: {self.because}"


@dataclass(frozen=True, slots=True, eq=False)
class Moment:
    """Where pages were at one moment, as ``sl.pagemap_over_time`` takes it.

    Attributes:
        time_ns: when.
        tables: under ``"cpu"`` the location of every page, shape ``(pages,)``; -1: not told yet.
        names: names a location number.
        says: what moved last.
        of: which pages these are.
    """

    time_ns: int
    tables: dict[str, npt.NDArray[np.int64]]
    names: Callable[[int], str]
    says: str
    of: str


@dataclass(frozen=True, slots=True, eq=False)
class Replay:
    """What became of replaying a trace; prints what does not fit.

    Attributes:
        trace: which.
        contradictions: in order of the events.
        residency: which pages are where at the end, by process.
    """

    trace: Trace
    contradictions: tuple[Contradiction, ...]
    residency: dict[int, Residency] = field(repr=False)

    def __str__(self) -> str:
        if not self.contradictions:
            return "The log does not contradict itself."
        head = f"The log contradicts itself {plural(len(self.contradictions), one='time')}:"
        return "\n".join([head, *(f"  {each}" for each in self.contradictions)])

    __repr__ = __str__

    def region(self) -> tuple[int, int, int]:
        """The pages that are worth a picture: process, first and last of the neighbourhood in which most moved.

        Raises:
            InputError: nothing moved.
        """
        areas = [(pid, *area) for pid, known in self.residency.items() for area in _areas(known)]
        if not areas:
            raise InputError("no page moves in this trace, so there is no page map of it")
        pid, start, last, _ = max(areas, key=lambda area: (area[3], -area[1]))
        return pid, start, min(last, start + _MOST_PAGES - 1)

    def moments(self) -> list[Moment]:
        """Where the pages of ``region`` were: before the first move, and after up to eleven of them, the last too.

        Raises:
            InputError: nothing moved.

        >>> import svmlab as sl
        >>> from svmlab.resources import data_path
        >>> moments = sl.read_trace(data_path("traces", "first-migration.smi")).replay().moments()
        >>> [moment.says for moment in moments]
        ['before', 'RAM -> gpu0', 'gpu0 -> RAM', 'gpu0 -> RAM']
        """
        pid, start, last = self.region()
        moves = [event for event in _moves(self.trace, pid) if event.start <= last and event.last >= start]
        shown = set(np.linspace(0, len(moves) - 1, min(len(moves), _MOMENTS - 1)).round().astype(int).tolist())
        places = _homes(self.residency[pid], start, last)
        of = f"{start << PAGE_SHIFT:#x}"
        begin_ns = int(self.trace.log.column("time").min())
        moments = [Moment(begin_ns, {"cpu": places.copy()}, self._name, "before", of)]
        for number, event in enumerate(moves):
            places[max(event.start - start, 0) : event.last - start + 1] = event.fields["target"]
            if number in shown:
                moments.append(Moment(event.time_ns, {"cpu": places.copy()}, self._name, self._way(event), of))
        return moments

    def _name(self, location: int) -> str:
        return self.trace.location_name(location)

    def _way(self, event: Event) -> str:
        return " -> ".join(place_name(self._name(event.fields[end])) for end in ("source", "target"))


def replay(trace: Trace) -> Replay:
    """Let everything happen again that a trace tells.

    Args:
        trace: of a simulation, or read.

    >>> from svmlab import Process
    >>> from svmlab.trace.trace import trace_of
    >>> replay(trace_of(Process("toy")))
    The log does not contradict itself.
    """
    residency: defaultdict[int, Residency] = defaultdict(Residency)
    wrong = [*_wrong_moves(trace, residency), *_wrong_stops(trace), *_wrong_faults(trace)]
    found = sorted((Contradiction(*each) for each in wrong), key=lambda each: each.event.id)
    return Replay(trace, tuple(found), dict(residency))


_Wrong = tuple[Event, str]


def _moves(trace: Trace, pid: int) -> Iterator[Event]:
    """The ends of migrations that did not fail, and the starts of those that have no end."""
    ends = trace.log.events("migrate_end", pid=pid)
    if not ends:
        return iter(trace.log.events("migrate_start", pid=pid))
    return (event for event in ends if not event.fields["error"])


def _wrong_moves(trace: Trace, residency: dict[int, Residency]) -> Iterator[_Wrong]:
    going_on: dict[tuple[int, ...], Event] = {}
    for event in trace.log.events("migrate_start", "migrate_end"):
        f = event.fields
        key = event.pid, event.start, event.last, f["source"], f["target"], f["trigger"]
        if event.name == "migrate_start":
            if key in going_on:
                yield event, f"the same began at event {going_on[key].id} and has not ended"
            going_on[key] = event
            continue
        if going_on.pop(key, None) is None:
            yield event, "it ends and has not begun"
        if not f["error"]:
            before = residency[event.pid].move(event.start, event.last, source=f["source"], target=f["target"])
            yield from ((event, why) for why in _impossible(trace, event, before))


def _impossible(trace: Trace, event: Event, before: list[Run]) -> Iterator[str]:
    """Why pages cannot have come from where the event says: all of them are known, and none was there.

    Pages that are where they shall go already are left out by the driver, and no line tells; but a CPU fault is of a
    page that is in VRAM.
    """
    f, places = event.fields, {run.place for run in before}
    if sum(run.npages for run in before) < event.npages or not before or f["source"] in places:
        return
    if places - {f["target"]} or f["trigger"] == MigrateTrigger.PAGEFAULT_CPU:
        named = sorted(place_name(trace.location_name(place)) for place in places)
        yield f"none of its pages was there; they were in {', '.join(named)}"


def _wrong_stops(trace: Trace) -> Iterator[_Wrong]:
    """Queues that resume and were not stopped; two stops in a row are none, since the first resume may be going on."""
    seen: set[tuple[int, int]] = set()
    for stop, event in stops(trace.log.events(*STOPS)):
        key = event.pid, event.fields["gpu"]
        if stop is None and key in seen:
            yield event, "its queues were not stopped"
        seen.add(key)


def _wrong_faults(trace: Trace) -> Iterator[_Wrong]:
    begun: dict[tuple[int, ...], Event] = {}
    moved: defaultdict[int, int] = defaultdict(lambda: -1)
    for event in trace.log.events("page_fault_start", "page_fault_end", "migrate_end"):
        if event.name == "migrate_end":
            if event.fields["trigger"] == MigrateTrigger.PAGEFAULT_GPU:
                moved[event.pid] = event.time_ns
            continue
        key = event.pid, event.fields["gpu"], event.start
        if event.name == "page_fault_start":
            if key in begun:
                yield event, f"the same fault began at event {begun[key].id} and has not ended"
            begun[key] = event
            continue
        start = begun.pop(key, None)
        if start is None:
            yield event, "it ends and has not begun"
        elif event.fields["migrated"] and moved[event.pid] < start.time_ns:
            yield event, "no page moved since it began"


def _areas(known: Residency) -> Iterator[tuple[int, int, int]]:
    """Neighbourhoods of runs: first page, last page, pages times moves."""
    start, last, weight = 0, -2, 0
    for run in known:
        if run.start != last + 1:
            if weight:
                yield start, last, weight
            start, weight = run.start, 0
        last, weight = run.last, weight + run.npages * run.moves
    if weight:
        yield start, last, weight


def _homes(known: Residency, start: int, last: int) -> npt.NDArray[np.int64]:
    """Where pages were before the first move of each."""
    places = np.full(last - start + 1, _UNSEEN, np.int64)
    for run in known.within(start, last):
        places[run.start - start : run.last - start + 1] = run.home
    return places
