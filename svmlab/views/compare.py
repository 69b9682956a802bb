"""Two runs on one axis, one below the other, with the first event in which they differ marked in both."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from svmlab.log import Event
from svmlab.trace.compare import compare
from svmlab.views.scene import Chart, Mark, Scene
from svmlab.views.timeline import time_axis, timeline

__all__ = ["two_runs"]


def two_runs(
    first: Any, second: Any, *, names: tuple[str, str] = ("first", "second"), zoom: tuple[int, int] | None = None
) -> Scene:
    """Picture two runs on one axis, with the first event in which they differ.

    Args:
        first, second: processes or logs.
        names: what tells the runs apart, usually their behaviours.
        zoom: the piece of time to show, ``(start, end)`` in ns; default: all of it.

    Returns:
        A scene of two timelines along one axis. A dashed line is where each first does something the other does not.

    Raises:
        InputError: one of them has no log.

    >>> import svmlab as sl
    >>> scene = two_runs(sl.Process("toy"), sl.Process("toy"))
    >>> scene.title
    'Two runs, the same 1 event'
    """
    found = compare(first, second)
    pairs = zip((first, second), names, (found.first, found.second), strict=True)
    charts = [_chart(thing, name, event, zoom) for thing, name, event in pairs]
    axis = time_axis(
        tuple(bar for chart in charts for bar in chart.bars),
        tuple(mark for chart in charts for mark in chart.marks),
        zoom,
    )
    count = f"{found.same} event" + "s" * (found.same != 1)
    title = f"Two runs, the same {count}" if found.equal else f"Two runs that part after {count}"
    return Scene("two runs", title, tuple(replace(chart, axis=axis) for chart in charts))


def _chart(thing: Any, name: str, event: Event | None, zoom: tuple[int, int] | None) -> Chart:
    (chart,) = timeline(thing, zoom=zoom).charts
    marks = (*chart.marks, _mark(event)) if event and _inside(event.time_ns, zoom) else chart.marks
    return replace(chart, marks=marks, title=name, kind="run")


def _mark(event: Event) -> Mark:
    return Mark("", event.time_ns, "difference", "first difference", note=str(event))


def _inside(time_ns: int, zoom: tuple[int, int] | None) -> bool:
    return zoom is None or zoom[0] <= time_ns <= zoom[1]
