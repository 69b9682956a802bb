"""What a trace adds up to: the same for a simulation and for what a real driver wrote."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from svmlab.errors import errno_name
from svmlab.hardware.describe import table
from svmlab.hardware.words import about, gpu_names, place_name, plural
from svmlab.log.events import KINDS
from svmlab.trace.grammar import Column
from svmlab.trace.residency import Residency, Run
from svmlab.trace.stops import STOPS, Stop, stops
from svmlab.uapi import EvictionTrigger, MigrateTrigger, UnmapTrigger
from svmlab.units import PAGE_SHIFT, PAGE_SIZE, format_time

if TYPE_CHECKING:
    from svmlab.trace.trace import Trace

__all__ = ["REPORTED", "TRIGGERS", "Faults", "Moved", "Span", "Stopped", "Summary", "Unmapped", "summary"]

REPORTED = ("migrate_start", "migrate_end", "page_fault_start", "page_fault_end", *STOPS, "unmap_from_gpu")
"""What a driver reports of all that happens; nothing else counts, so a simulation's own log adds up to the same."""
TRIGGERS = {
    MigrateTrigger.PREFETCH: "prefetch",
    MigrateTrigger.PAGEFAULT_GPU: "GPU page fault",
    MigrateTrigger.PAGEFAULT_CPU: "CPU page fault",
    MigrateTrigger.TTM_EVICTION: "VRAM eviction",
}
"""What made pages move, in words."""
_UNMAPPED = {
    UnmapTrigger.MMU_NOTIFY: "change of the CPU's table",
    UnmapTrigger.MMU_NOTIFY_MIGRATE: "migration",
    UnmapTrigger.UNMAP_FROM_CPU: "munmap",
}
_TO_AND_FRO = 3
"""Pages that moved so often were there, back, and there again."""
_MOST = 5


@dataclass(frozen=True, slots=True)
class Moved:
    """Migrations of one trigger and direction: how many, and the pages of their pieces.

    A log tells which pages were to move, not how many did.
    """

    trigger: str
    source: str
    target: str
    pieces: int
    npages: int

    @property
    def nbytes(self) -> int:
        """The same in bytes."""
        return self.npages * PAGE_SIZE


@dataclass(frozen=True, slots=True)
class Faults:
    """Page faults of one GPU: how many, how many of them moved pages, and how long they took."""

    gpu: int
    count: int
    migrated: int
    time_ns: int


@dataclass(frozen=True, slots=True)
class Stopped:
    """Stops of the queues of one GPU: how many, why, how long, how many restores started over and stops go on."""

    gpu: int
    count: int
    triggers: dict[str, int]
    time_ns: int
    restarts: int
    still: int


@dataclass(frozen=True, slots=True)
class Unmapped:
    """Mappings that one GPU lost for one reason."""

    gpu: int
    trigger: str
    count: int
    npages: int


@dataclass(frozen=True, slots=True)
class Span:
    """Pages with one history: how often they moved, and where they are at the end."""

    start: int
    last: int
    moves: int
    place: str

    @property
    def address(self) -> int:
        """Where it begins, in bytes."""
        return self.start << PAGE_SHIFT

    @property
    def nbytes(self) -> int:
        """How large it is."""
        return (self.last - self.start + 1) * PAGE_SIZE


@dataclass(frozen=True, slots=True)
class Summary:
    """What a trace adds up to; prints as a short report.

    Two summaries are equal if all that both a driver's and a runtime's log can tell is; ``notes`` is the rest.

    Attributes:
        events: how many events the driver reported.
        time_ns: from the first of them to the last.
        moved: by trigger and direction, in order of appearance.
        faults: by GPU.
        stopped: by GPU.
        unmapped: by GPU and reason.
        to_and_fro: spans that moved three times or more, the most pages times moves first.
        most_moved: the five spans that moved most, by pages times moves.
        notes: what only this kind of log tells, and what became of its lines, in sentences.
    """

    events: int
    time_ns: int
    moved: tuple[Moved, ...]
    faults: tuple[Faults, ...]
    stopped: tuple[Stopped, ...]
    unmapped: tuple[Unmapped, ...]
    to_and_fro: tuple[Span, ...]
    most_moved: tuple[Span, ...]
    notes: tuple[str, ...] = field(default=(), compare=False)

    def as_dict(self) -> dict[str, Any]:
        """As plain data, ready for JSON."""
        return asdict(self)

    def __str__(self) -> str:
        parts = [f"{plural(self.events, one='driver event')} in {format_time(self.time_ns)}"]
        parts += [table(rows) for rows in _tables(self) if len(rows) > 1]
        parts += ["\n".join(self.notes)] * bool(self.notes)
        return "\n\n".join(parts)

    __repr__ = __str__


def summary(trace: Trace) -> Summary:
    """Add a trace up.

    Args:
        trace: of a simulation, or read.

    >>> import svmlab as sl
    >>> p = sl.Process("toy")
    >>> a = p.mmap("64 KiB", name="a")
    >>> p.set_attr(a, access=["gpu0"], prefetch="gpu0")
    >>> p.run()
    >>> from svmlab.trace.trace import trace_of
    >>> summary(trace_of(p)).moved
    (Moved(trigger='prefetch', source='cpu', target='gpu0', pieces=1, npages=16),)
    """
    times = _times(trace)
    spans = sorted(_runs(trace), key=lambda run: (-run.npages * run.moves, run.start))
    named = [Span(run.start, run.last, run.moves, trace.location_name(run.place)) for run in spans]
    return Summary(
        events=len(times),
        time_ns=int(np.ptp(times)) if len(times) else 0,
        moved=tuple(_moved(trace)),
        faults=tuple(_faults(trace)),
        stopped=tuple(_stopped(trace, int(times.max(initial=0)))),
        unmapped=tuple(_unmapped(trace)),
        to_and_fro=tuple(span for span in named if span.moves >= _TO_AND_FRO)[:_MOST],
        most_moved=tuple(named[:_MOST]),
        notes=tuple(_notes(trace)),
    )


def _moved(trace: Trace) -> Iterator[Moved]:
    found: dict[tuple[int, ...], list[int]] = {}
    for event in trace.log.events("migrate_start"):
        f = event.fields
        amounts = found.setdefault((f["trigger"], f["source"], f["target"]), [0, 0])
        amounts[0] += 1
        amounts[1] += event.npages
    for (trigger, source, target), (pieces, npages) in found.items():
        ends = trace.location_name(source), trace.location_name(target)
        yield Moved(TRIGGERS[MigrateTrigger(trigger)], *ends, pieces, npages)


def _faults(trace: Trace) -> Iterator[Faults]:
    begun: dict[tuple[int, ...], int] = {}
    found: defaultdict[int, list[int]] = defaultdict(lambda: [0, 0, 0])
    for event in trace.log.events("page_fault_start", "page_fault_end"):
        key = event.pid, event.fields["gpu"], event.start
        if event.name == "page_fault_start":
            begun[key] = event.time_ns
        else:
            amounts = found[event.fields["gpu"]]
            amounts[0] += 1
            amounts[1] += event.fields["migrated"]
            amounts[2] += event.time_ns - begun.pop(key, event.time_ns)
    return (Faults(gpu, *amounts) for gpu, amounts in sorted(found.items()))


def _times(trace: Trace) -> Column:
    """When each event is that a driver reports."""
    kinds = [number for number, kind in enumerate(KINDS) if kind.name in REPORTED]
    times: Column = trace.log.column("time")[np.isin(trace.log.column("kind"), kinds)]
    return times


def _stopped(trace: Trace, end_ns: int) -> Iterator[Stopped]:
    found: defaultdict[int, dict[int, Stop]] = defaultdict(dict)
    for stop, _ in stops(trace.log.events(*STOPS)):
        if stop:
            found[stop.gpu][stop.begin.id] = stop
    for gpu, by_begin in sorted(found.items()):
        mine = by_begin.values()
        triggers = Counter(EvictionTrigger(trigger).name for stop in mine for trigger in stop.triggers)
        lasted = sum((stop.end.time_ns if stop.end else end_ns) - stop.begin.time_ns for stop in mine)
        still = sum(stop.end is None for stop in mine)
        yield Stopped(gpu, len(mine), dict(triggers), lasted, sum(stop.restarts for stop in mine), still)


def _unmapped(trace: Trace) -> Iterator[Unmapped]:
    found: defaultdict[tuple[int, int], list[int]] = defaultdict(lambda: [0, 0])
    for event in trace.log.events("unmap_from_gpu"):
        amounts = found[event.fields["gpu"], event.fields["trigger"]]
        amounts[0] += 1
        amounts[1] += event.npages
    return (Unmapped(gpu, _UNMAPPED[UnmapTrigger(why)], *amounts) for (gpu, why), amounts in sorted(found.items()))


def _runs(trace: Trace) -> Iterator[Run]:
    """Spans that moved, of all processes."""
    known: defaultdict[int, Residency] = defaultdict(Residency)
    for event in trace.log.events("migrate_start"):
        known[event.pid].move(event.start, event.last, source=event.fields["source"], target=event.fields["target"])
    return (run for residency in known.values() for run in residency)


def _notes(trace: Trace) -> Iterator[str]:
    failed = Counter(event.fields["error"] for event in trace.log.events("migrate_end") if event.fields["error"])
    for error, count in failed.items():
        yield f"{plural(count, one='migration')} counted above failed with {errno_name(error)}."
    fatal = trace.log.count("memory_exception")
    if fatal:
        yield f"{plural(fatal, one='fatal GPU access', many='fatal GPU accesses')}."
    pids = sorted({*trace.log.column("pid").tolist()} - {0})
    if len(pids) > 1:
        yield f"{len(pids)} processes: {', '.join(map(str, pids[:_MOST]))}{', ...' * (len(pids) > _MOST)}."
    yield from trace.report.told()


def _tables(found: Summary) -> Iterator[list[tuple[str, ...]]]:
    yield [("moved by", "from", "to", "pieces", "bytes"), *map(_move_row, found.moved)]
    yield [("queues on", "stops", "because of", "stood still", ""), *_together(map(_stop_row, found.stopped))]
    yield [("page faults of", "served", "with migration", "took"), *_together(map(_fault_row, found.faults))]
    yield [("unmapped from", "times", "pages", "because of"), *_together(map(_unmap_row, found.unmapped))]
    yield [("to and fro", "moves", "bytes", "now in"), *map(_span_row, found.to_and_fro)]
    yield [("most moved", "moves", "bytes", "now in"), *map(_span_row, found.most_moved)]


_Row = tuple[int, tuple[str, ...]]


def _together(rows: Iterable[_Row]) -> Iterator[tuple[str, ...]]:
    """GPUs of which the same is told share a row."""
    alike: dict[tuple[str, ...], list[int]] = {}
    for gpu, cells in rows:
        alike.setdefault(cells, []).append(gpu)
    return ((gpu_names(gpus), *cells) for cells, gpus in alike.items())


def _move_row(moved: Moved) -> tuple[str, ...]:
    ends = (place_name(moved.source), place_name(moved.target))
    return moved.trigger, *ends, str(moved.pieces), about(moved.nbytes)


def _stop_row(stopped: Stopped) -> _Row:
    why = ", ".join(f"{name} {count}" for name, count in stopped.triggers.items())
    also = [f"{stopped.restarts} restores started over"] * bool(stopped.restarts)
    also += ["still stopped at the end"] * bool(stopped.still)
    return stopped.gpu, (str(stopped.count), why, format_time(stopped.time_ns), ", ".join(also))


def _fault_row(faults: Faults) -> _Row:
    return faults.gpu, (str(faults.count), str(faults.migrated), format_time(faults.time_ns))


def _unmap_row(unmapped: Unmapped) -> _Row:
    return unmapped.gpu, (str(unmapped.count), str(unmapped.npages), unmapped.trigger)


def _span_row(span: Span) -> tuple[str, ...]:
    return f"{span.address:#x}", str(span.moves), about(span.nbytes), place_name(span.place)
