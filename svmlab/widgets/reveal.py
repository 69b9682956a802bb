"""A picture of a whole run shown only up to a moment, with a line where we are; nothing else moves on the page."""

from __future__ import annotations

from dataclasses import replace

from svmlab.units import format_time
from svmlab.views import Bar, Chart, Mark, Scene

__all__ = ["reveal"]


def reveal(scene: Scene, now: int, *, until: int) -> Scene:
    """Hide what has not happened yet.

    A timeline of the events so far would have other lanes and other cuts in its axis at each moment; this one stays.

    Args:
        scene: the timeline of the whole run.
        now: the moment, in ns; a line is drawn there.
        until: when the next thing happens; until then all goes on as it is.
    """
    panels = (_chart(panel, now, until) if isinstance(panel, Chart) else panel for panel in scene.panels)
    return replace(scene, panels=tuple(panels))


def _chart(chart: Chart, now: int, until: int) -> Chart:
    begun = (bar for bar in chart.bars if bar.start < until or bar.end <= now)
    marks = tuple(mark for mark in chart.marks if mark.at <= now)
    return replace(chart, bars=tuple(_cut(bar, until) for bar in begun), marks=(*marks, Mark("", now, "now", "now")))


def _cut(bar: Bar, until: int) -> Bar:
    if bar.end <= until:
        return bar
    # How long it will last is not known yet.
    label = bar.label.replace(format_time(bar.end - bar.start), "so far")
    return replace(bar, end=until, label=label, data=(*bar.data, ("still", 1)))
