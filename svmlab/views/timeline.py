"""The timeline: who does what when, lane by lane, with every wait named."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from itertools import chain
from typing import Any

from svmlab.views.breaks import find_breaks
from svmlab.views.excerpt import Excerpt
from svmlab.views.scene import Axis, Bar, Chart, Lane, Mark, Scene
from svmlab.views.source import source_of
from svmlab.views.tell_timeline import mover
from svmlab.views.track import OF_TASK, Track
from svmlab.views.track_gpu import copy_engines, mapping, queues
from svmlab.views.track_kernel import application, driver, notifier, restore

__all__ = ["time_axis", "timeline"]

_TRACKS = (application, driver, notifier, queues, copy_engines, restore, mapping)
"""From the cause to the effect, as a reader's eye goes down."""


_WORK = ("step", "copy", "restore", "map")
"""What is never cut out of the axis; of all else a long stretch may be: it is somebody who waits, or computes."""


def timeline(thing: Any, *, since: int = 0, until: int | None = None, zoom: tuple[int, int] | None = None) -> Scene:
    """Picture a log as lanes of bars along virtual time.

    Args:
        thing: a Process, a Log or a ``Source``.
        since: first event that counts (an event id).
        until: first event that does not exist yet; what is not over then is drawn up to there and says "still".
        zoom: the piece of time to show, ``(start, end)`` in ns; default: all of it.

    Returns:
        A scene with one chart; GPUs that do the same share a lane, and long waits are cut out of the axis.

    Raises:
        InputError: ``thing`` has no log.
    """
    x = Excerpt(source_of(thing), since, until, zoom)
    tracks = [track for make in _TRACKS for track in make(x) if track.items]
    bars = tuple(chain.from_iterable(_stacked(track) for track in tracks))
    marks = tuple(replace(mark, lane=track.name) for track in tracks for mark in track.marks)
    lanes = tuple(Lane(track.name) for track in tracks)
    return Scene("timeline", _title(bars), (Chart(time_axis(bars, marks, zoom), lanes, bars, marks, kind="timeline"),))


def _stacked(track: Track) -> Iterable[Bar]:
    """Give bars that overlap rows of their own; parts stay in the rows below their whole, which their task tells."""
    levels = 1 + max((bar.depth for bar in track.bars), default=0)
    ends: dict[int, list[int]] = {level: [] for level in range(levels)}
    wholes: dict[int, tuple[int, int]] = {}
    for bar in sorted(track.bars, key=lambda bar: (bar.start, bar.depth, bar.end)):
        task = bar.get(OF_TASK)
        least, until = wholes.get(task, (0, 0)) if bar.depth else (0, 0)
        row = _free_row(ends[bar.depth], bar, least if bar.start < until else 0)
        if task and not bar.depth:
            wholes[task] = row, bar.end
        known = tuple(each for each in bar.data if each[0] != OF_TASK)
        yield replace(bar, lane=track.name, depth=row * levels + bar.depth, data=known)


def _free_row(ends: list[int], bar: Bar, least: int) -> int:
    """The first row from ``least`` on whose last bar is over; ``ends`` holds when that is, and is kept up to date."""
    ends += [bar.start] * (least - len(ends))
    row = next((row for row, end in enumerate(ends) if row >= least and end <= bar.start), len(ends))
    ends[row : row + 1] = [bar.end]
    return row


def time_axis(bars: tuple[Bar, ...], marks: tuple[Mark, ...], zoom: tuple[int, int] | None = None) -> Axis:
    """The axis of some bars and marks, with the long waits among them cut out.

    Args:
        bars, marks: what it must hold; times in ns.
        zoom: further times it must hold.
    """
    moments = {edge for bar in bars for edge in (bar.start, bar.end)} | {mark.at for mark in marks} | set(zoom or ())
    start, end = min(moments, default=0), max(moments, default=0)
    work = [(bar.start, bar.end) for bar in bars if bar.style in _WORK]
    return Axis(start, end, "ns", "virtual time", find_breaks(moments, work))


def _title(bars: tuple[Bar, ...]) -> str:
    calls = [bar for bar in bars if bar.style == "call"]
    count = sum(bar.get("count", 1) for bar in calls)
    named = calls[0] if count == 1 else mover(bars)
    if named:
        return f"Timeline of {named.get('call')}"
    return f"Timeline of {count} calls" if calls else "Timeline"
