"""A picture of a whole run shown only up to a moment, with a line where we are; nothing else moves on the page."""

from __future__ import annotations

from dataclasses import replace

from svmlab.units import format_time
from svmlab.views import Bar, Chart, Mark, Scene

__all__ = ["reveal"]


def reveal(whole: Scene, so_far: Scene, *, now: int, until: int) -> Scene:
    """Hide what has not happened yet.

    The timeline of the events so far has other lanes and other cuts in its axis at each moment; that of the whole run
    has what is to come. So the places are the whole one's, and the other one tells which bars and marks there are yet.

    Args:
        whole: the timeline of the whole run.
        so_far: the timeline of the events so far.
        now: the moment, in ns; a line is drawn there.
        until: when the next thing happens; until then all goes on as it is.
    """
    begun = {(bar.style, bar.start) for chart in so_far.charts for bar in chart.bars}
    happened = {(mark.style, mark.at) for chart in so_far.charts for mark in chart.marks}
    here = Mark("", now, "now", "now")

    def shown(chart: Chart) -> Chart:
        bars = tuple(_cut(bar, until) for bar in chart.bars if (bar.style, bar.start) in begun)
        marks = tuple(mark for mark in chart.marks if (mark.style, mark.at) in happened)
        return replace(chart, bars=bars, marks=(*marks, here))

    panels = (shown(panel) if isinstance(panel, Chart) else panel for panel in whole.panels)
    return replace(whole, panels=tuple(panels))


def _cut(bar: Bar, until: int) -> Bar:
    if bar.end <= until:
        return bar
    # How long it will last is not known yet.
    label = bar.label.replace(format_time(bar.end - bar.start), "so far")
    return replace(bar, end=until, label=label, data=(*bar.data, ("still", 1)))
