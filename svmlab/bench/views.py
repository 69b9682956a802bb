"""Views: a picture for a slider must cost less than a figure, a big one not much more than its bare polygons."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from svmlab.bench.harness import Case
from svmlab.svm.process import Process
from svmlab.units import PAGE_SIZE, USEC
from svmlab.views.draw_svg import svg
from svmlab.views.pagemap import pagemap_of
from svmlab.views.scene import Axis, Bar, Chart, Lane, Scene
from svmlab.views.snapshot import snapshot

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["BARS", "MANY_BARS", "PAGES", "cases", "scene_of_bars"]

BARS, MANY_BARS, PAGES = 500, 10_000, 1 << 25
_LANES = 8
_STYLES = ("copy", "map", "work", "stopped")


def cases(bars: int = BARS, many_bars: int = MANY_BARS, pages: int = PAGES) -> Iterator[Case]:
    """What is measured, one case after the other.

    Args:
        bars: of the timeline for a slider.
        many_bars: of the figure.
        pages: of the page map and of the snapshot; 2**25 are 33.5 million, 128 GiB.
    """
    yield _slider(bars)
    yield _figure(many_bars)
    yield _reduction(pages)
    yield _keeping(pages)


def scene_of_bars(count: int, *, lanes: int = _LANES) -> Scene:
    """A chart of so many bars with labels, in order of time, in lanes of four styles.

    >>> scene = scene_of_bars(10)
    >>> [len(chart.bars) for chart in scene.charts]
    [10]
    """
    names = [f"lane {number}" for number in range(lanes)]
    bars = tuple(_bar(number, names[number % lanes]) for number in range(count))
    axis = Axis(0, bars[-1].end, "ns", "virtual time")
    return Scene("timeline", f"{count} bars", (Chart(axis, tuple(map(Lane, names)), bars, kind="timeline"),))


def _bar(number: int, lane: str) -> Bar:
    start = number * 50 * USEC
    return Bar(lane, start, start + 300 * USEC, _STYLES[number % 4], f"{number} x copy, 512 pages", str(number % 10))


def _slider(count: int) -> Case:
    """A scene as SVG, against the same scene as a new figure and its PNG."""
    from svmlab.views.draw_mpl import png

    scene = scene_of_bars(count)
    return Case(
        f"SVG of a timeline of {count} bars",
        "the same picture as a new matplotlib figure with PNG",
        0.25,
        lambda: svg(scene),
        lambda: png(scene),
        1,
    )


def _figure(count: int) -> Case:
    """A scene as a figure, drawn, against a figure with nothing in it but one collection of as many polygons."""
    from svmlab.views.draw_mpl import draw

    scene = scene_of_bars(count)
    (chart,) = scene.charts
    size = draw(scene).get_size_inches()

    def subject() -> None:
        _drawn(draw(scene))

    return Case(
        f"figure of {count:,} bars",
        "a figure of one PolyCollection with as many polygons",
        2.0,
        subject,
        lambda: _drawn(_bare(chart, size)),
        1,
    )


def _drawn(figure: Figure) -> None:
    canvas: Any = figure.canvas
    canvas.draw()


def _bare(chart: Chart, size: npt.NDArray[np.float64]) -> Figure:
    """The least that shows the bars of a chart: their polygons and colours, no text, no hatch, no axis."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.collections import PolyCollection
    from matplotlib.figure import Figure

    from svmlab.views.style import look

    figure = Figure(figsize=(float(size[0]), float(size[1])), dpi=96)
    FigureCanvasAgg(figure)
    axes = figure.add_axes((0, 0, 1, 1))
    rows = {lane.name: row for row, lane in enumerate(chart.lanes)}
    sides = np.array([(bar.start, rows[bar.lane], bar.end, rows[bar.lane] + 0.8) for bar in chart.bars], np.float64)
    corners = sides[:, [0, 1, 2, 1, 2, 3, 0, 3]].reshape(-1, 4, 2)
    axes.add_collection(
        PolyCollection(list(corners), facecolors=[look(bar.style).fill for bar in chart.bars]), autolim=False
    )
    axes.set(xlim=(chart.axis.start, chart.axis.end), ylim=(len(rows), 0))
    axes.set_axis_off()
    return figure


def _keeping(pages: int) -> Case:
    """A snapshot, against copying the arrays that it keeps."""
    process = Process("toy", ram=pages * PAGE_SIZE * 9 // 8, payload=False)
    buffer = process.mmap(pages * PAGE_SIZE)
    process.cpu_touch(buffer, write=True)
    process.set_attr(buffer, access=[f"gpu{gpu.index}" for gpu in process.machine.gpus])
    process.run()
    arrays = [array for kept in process.look.keep(buffer.span).values() for array in getattr(kept, "args", ())]
    return Case(
        f"snapshot of {pages:,} pages",
        "copying its arrays",
        1.3,
        lambda: snapshot(process, buffer),
        lambda: [array.copy() for array in arrays],
        1,
    )


def _reduction(pages: int) -> Case:
    """A page map, against looking at every page once."""
    places = np.repeat(np.array([0, 1, 0, 2, 1], np.int32), pages // 5 + 1)[:pages]
    places[pages // 3 : pages // 3 + 1000] = 2
    names = ("cpu", "gpu0", "gpu1")
    return Case(
        f"page map of {pages:,} pages",
        "one numpy reduction of them",
        3.0,
        lambda: pagemap_of({"cpu": places}, names.__getitem__),
        places.max,
        1,
    )
