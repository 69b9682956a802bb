"""Counters: how many bytes moved and why, how long GPUs waited, how often what happened; all of it from the log."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from svmlab.errors import InputError
from svmlab.trace.summary import TRIGGERS
from svmlab.uapi import MigrateTrigger
from svmlab.units import PAGE_SIZE, format_time
from svmlab.views.excerpt import Column, Excerpt, Spans
from svmlab.views.scene import Axis, Bar, Cell, Chart, Lane, Row, Scene, Table, data
from svmlab.views.source import about, gpu_names, place_name, plural, source_of

__all__ = ["TRIGGERS", "counters"]

_COUNTED = {
    "cpu_fault": ("CPU fault on a page in VRAM", "CPU faults on pages in VRAM"),
    "page_fault_end": ("GPU page fault served", "GPU page faults served"),
    "page_fault_dropped": ("GPU page fault dropped", "GPU page faults dropped"),
    "memory_exception": ("fatal GPU access", "fatal GPU accesses"),
    "queue_eviction": ("queue stop", "queue stops"),
    "queue_restore_rescheduled": ("restore that started over", "restores that started over"),
    "vram_free": ("VRAM buffer freed", "VRAM buffers freed"),
    "map_to_gpu": ("mapping to a GPU", "mappings to GPUs"),
}
"""Kinds of event that are counted for each GPU: what one and several are called."""


def counters(thing: Any, *, since: int = 0, until: int | None = None) -> Scene:
    """Picture what a log adds up to: bytes by trigger and direction, time GPUs waited, how often what happened.

    Args:
        thing: a Process, a Log or a ``Source``.
        since: first event that counts (an event id).
        until: first event that does not count any more; default: all count.

    Returns:
        A scene with a chart of bytes, a chart of times and a table of counts; a chart that would be empty is left out.

    Raises:
        InputError: ``thing`` has no log, or ``since`` lies behind ``until``.

    >>> from svmlab import Process, show
    >>> p = Process("toy")
    >>> a = p.mmap("64 KiB", name="a")
    >>> a[:] = 7
    >>> p.set_attr(a, access=["gpu0"], prefetch="gpu0")
    >>> p.run()
    >>> show(counters(p))
    64 KiB moved from RAM to gpu0 (prefetch). Queues on gpu0... stood still for ... in 1 stop. Counted: ...
    """
    source = source_of(thing)
    end = len(source.log) if until is None else until
    if not 0 <= since <= end:
        raise InputError(f"the events from {since} to {end}", allowed=f"0 to {len(source.log)}, the first one first")
    x = Excerpt(source, since, until)
    moved, waited = _bytes_moved(x), _time_waited(x)
    charts = tuple(chart for chart in (moved, waited) if chart.bars)
    return Scene("counters", "What it adds up to", (*charts, _counts(x)))


def _bytes_moved(x: Excerpt) -> Chart:
    """A lane for each trigger, a bar for each way in it."""
    bars = tuple(_in_rows([bar for bar in _ways(x) if bar.end]))
    lanes = tuple(Lane(words) for words in TRIGGERS.values() if any(bar.lane == words for bar in bars))
    axis = Axis(0, max((bar.end for bar in bars), default=0), "bytes", "moved")
    title = "Bytes moved, by what made them move and where they went"
    return Chart(axis, lanes, bars, title=title, kind="bytes moved")


def _ways(x: Excerpt) -> Iterator[Bar]:
    ends = x.ids("migrate_end")
    ways = np.stack([x.values(ends, name) for name in ("trigger", "source", "target")])
    npages = x.values(ends, "npages")
    kinds, firsts = np.unique(ways, axis=1, return_index=True)
    for way in kinds.T[np.argsort(firsts)]:
        mine = (way == ways.T).all(axis=1)
        yield _way(x, way.tolist(), npages=int(npages[mine].sum()), count=int(np.count_nonzero(npages[mine])))


def _way(x: Excerpt, way: list[int], *, npages: int, count: int) -> Bar:
    trigger, source, target = TRIGGERS[MigrateTrigger(way[0])], x.source.names(way[1]), x.source.names(way[2])
    nbytes = npages * PAGE_SIZE
    moves = plural(count, one="migration")
    short = f"{place_name(source)} -> {place_name(target)}: {about(nbytes)}"
    known = data(source=source, target=target, trigger=trigger, npages=npages, count=count)
    return Bar(trigger, 0, nbytes, target, f"{short} in {moves}", short, data=known)


def _in_rows(bars: list[Bar]) -> Iterator[Bar]:
    """Bars of one lane below each other, all beginning at zero, so that the eye can compare them."""
    for number, bar in enumerate(bars):
        row = sum(before.lane == bar.lane for before in bars[:number])
        yield Bar(bar.lane, 0, bar.end, bar.style, bar.label, bar.short, depth=row, data=bar.data)


def _time_waited(x: Excerpt) -> Chart:
    """How long the queues of each GPU were stopped, and how long its page faults took; GPUs that agree share a lane."""
    stops = x.pairs("queue_eviction", "queue_restore", key="gpu", nested=True)
    faults = x.pairs("page_fault_start", "page_fault_end", key="task")
    alike: dict[tuple[Bar, ...], list[int]] = {}
    for gpu in sorted({*x.gpus(stops.opens), *x.gpus(faults.opens)}):
        waits = (_stopped(x.of_gpu(stops, gpu)), _faulting(x.of_gpu(faults, gpu)))
        alike.setdefault(tuple(bar for bar in waits if bar.end), []).append(gpu)
    named = [(gpu_names(gpus), waits) for waits, gpus in alike.items() if waits]
    bars = tuple(bar for name, waits in named for bar in _in_rows([_in_lane(name, bar) for bar in waits]))
    axis = Axis(0, max((bar.end for bar in bars), default=0), "ns", "waited")
    return Chart(axis, tuple(Lane(name) for name, _ in named), bars, title="Time GPUs waited", kind="time waited")


def _in_lane(lane: str, bar: Bar) -> Bar:
    return Bar(lane, 0, bar.end, bar.style, bar.label, bar.short, data=bar.data)


def _stopped(stops: Spans) -> Bar:
    length, still = _length(stops), bool((stops.closes < 0).any())
    label = f"stopped {format_time(length)} in {plural(len(stops), one='stop')}" + ", and still" * still
    return Bar("", 0, length, "stopped", label, format_time(length), data=data(count=len(stops), still=int(still)))


def _faulting(faults: Spans) -> Bar:
    length = _length(faults)
    label = f"{plural(len(faults), one='page fault')}, {format_time(length)}"
    return Bar("", 0, length, "fault", label, format_time(length), data=data(count=len(faults)))


def _length(spans: Spans) -> int:
    return int((spans.end - spans.start).sum())


def _counts(x: Excerpt) -> Table:
    """How often what happened; what never happened stays in the table, since that tells something too."""
    ends = x.ids("migrate_end")
    failed = int(np.count_nonzero(x.values(ends, "error")))
    rows = [_row(("migration", "migrations"), len(ends), f"{failed} failed" if failed else "")]
    rows += [_row(words, int(_times(x, kind).sum()), _by_gpu(x, kind)) for kind, words in _COUNTED.items()]
    return Table(("times", "what", "where"), tuple(rows), title="How often", kind="counts")


def _times(x: Excerpt, kind: str) -> Column:
    """How often each event of a kind tells that it happened: one event may drop many reports of faults."""
    ids = x.ids(kind)
    return x.values(ids, "count") if kind == "page_fault_dropped" else np.ones(len(ids), np.int64)


def _row(words: tuple[str, str], count: int, where: str) -> Row:
    return Row((Cell(str(count)), Cell(words[count != 1]), Cell(where)), "" if count else "pale")


def _by_gpu(x: Excerpt, kind: str) -> str:
    """Counts by GPU; GPUs with the same count together."""
    gpus, who = np.unique(x.values(x.ids(kind), "gpu"), return_inverse=True)
    counts = np.bincount(who, _times(x, kind), len(gpus)).astype(int)
    alike: dict[int, list[int]] = {}
    for gpu, count in zip(gpus.tolist(), counts.tolist(), strict=True):
        alike.setdefault(count, []).append(gpu)
    return _spoken(alike)


def _spoken(alike: Mapping[int, list[int]]) -> str:
    each = {1: ""}
    parts = (f"{gpu_names(gpus)}: {count}{each.get(len(gpus), ' each')}" for count, gpus in alike.items())
    return "; ".join(parts)
