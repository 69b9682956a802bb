"""The page map: where each page of a span is, in the CPU's table and in every GPU's, however many pages there are."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from itertools import groupby
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from svmlab.views.scene import Axis, Bar, Chart, Data, Lane, Scene
from svmlab.views.source import gpu_names
from svmlab.views.style import location_look

if TYPE_CHECKING:
    from svmlab.mm.span import Span
    from svmlab.svm.buffer_view import Buffer
    from svmlab.svm.process import Process

__all__ = ["pagemap", "pagemap_of", "pages_of_runs"]

Places = npt.NDArray[np.integer]
_GPU = re.compile(r"gpu\d+")
_FRAMELESS = {-1: "none", -2: "swapped"}
"""What svm.look calls NOWHERE and SWAPPED; the kernel has no location number for them."""
_CELLS = 256
"""Cells across a lane: at 700 px each is about two pixels wide."""


def pagemap(process: Process, span: Span | Buffer, *, cells: int = _CELLS) -> Scene:
    """Picture where the pages of a span are: in the CPU's page table and in that of every GPU.

    Args:
        process: whose pages.
        span: which of them.
        cells: as for ``pagemap_of``.

    Returns:
        A scene as ``pagemap_of`` makes it.
    """
    name = getattr(span, "name", "")
    where: Any = getattr(span, "span", span)
    gpus = {f"gpu{gpu.index}": process.look.gpu_frames(gpu.index, where) for gpu in process.machine.gpus}
    tables = {"cpu": process.look.locations(where), **gpus}
    title = f"Where the pages of {name} are" if name else "Where the pages are"
    return pagemap_of(tables, process.machine.location_name, title=title, cells=cells)


def pagemap_of(
    tables: Mapping[str, Places],
    names: Callable[[int], str],
    *,
    title: str = "Where the pages are",
    cells: int = _CELLS,
) -> Scene:
    """Picture columns of locations.

    Args:
        tables: for each page table, by its owner (``"cpu"``, ``"gpu0"``, ...; anything else names its lane itself), the
            location of every page, integers of shape ``(npages,)`` of any width; the narrower, the faster.
        names: names a location number of the kernel, usually ``machine.location_name``; -1 is no page, -2 swapped out.
        title: what the span is.
        cells: into how many cells pages are put at most; a cell whose pages differ is drawn as "several places".

    Returns:
        A scene whose bars are runs of equal cells, in pages from the start of the span. GPUs whose tables agree share
        a lane; the CPU keeps its own, because that two tables name one page is what there is to see.
    """

    def name_of(location: int) -> str:
        return _FRAMELESS.get(location) or names(location)

    alike: dict[tuple[bool, tuple[Bar, ...]], list[str]] = {}
    for name, places in tables.items():
        gpu = _GPU.fullmatch(name) is not None
        alike.setdefault((gpu, tuple(_runs(places, name_of, cells))), []).append(name)
    lanes = {_shared(members): runs for (_, runs), members in alike.items()}
    bars = tuple(_in_lane(lane, bar) for lane, runs in lanes.items() for bar in runs)
    npages = max((len(places) for places in tables.values()), default=0)
    chart = Chart(Axis(0, npages, "pages", "page"), tuple(map(Lane, lanes)), bars, kind="page map")
    return Scene("page map", title, (chart,))


def pages_of_runs(starts: Places, locations: Places, *, npages: int) -> Places:
    """Spread run-length columns over pages.

    Args:
        starts: first page of each run, ascending from 0, shape ``(runs,)``.
        locations: location of each run, shape ``(runs,)``.
        npages: pages in all.

    Returns:
        The location of every page, shape ``(npages,)``.
    """
    return np.repeat(locations, np.diff(np.append(starts, npages)))


def _runs(places: Places, names: Callable[[int], str], cells: int) -> Iterator[Bar]:
    """Bars for runs of equal cells; mixed cells stay single, each with its own counts."""
    size = max(1, -(-len(places) // cells))
    lowest, highest = _extremes(places, size)
    style = np.where(lowest == highest, lowest, np.iinfo(np.int64).min)
    numbered = ((int(value), at) for at, value in enumerate(style))
    for value, members in groupby(numbered, key=lambda cell: cell[0] if lowest[cell[1]] == highest[cell[1]] else cell):
        spots = [at for _, at in members]
        start, end = spots[0] * size, min((spots[-1] + 1) * size, len(places))
        yield _uniform(start, end, names(value)) if isinstance(value, int) else _mixed(start, places[start:end], names)


def _extremes(places: Places, size: int) -> tuple[Places, Places]:
    """Smallest and largest location in each cell: two reductions, whatever the number of pages."""
    whole = len(places) // size * size
    body, rest = places[:whole].reshape(-1, size), places[whole:]
    tail = [rest] if len(rest) else []
    lowest = np.append(body.min(axis=1), [part.min() for part in tail])
    highest = np.append(body.max(axis=1), [part.max() for part in tail])
    return lowest.astype(np.int64), highest.astype(np.int64)


def _uniform(start: int, end: int, place: str) -> Bar:
    shown = location_look(place)
    return Bar("", start, end, place, f"{shown.letter} {end - start}", shown.letter)


def _mixed(start: int, places: Places, names: Callable[[int], str]) -> Bar:
    known: Data = tuple((names(value), count) for value, count in _counts(places))
    note = ", ".join(f"{count} {name}" for name, count in known)
    return Bar("", start, start + len(places), "mixed", note=note, data=known)


def _counts(places: Places) -> Iterator[tuple[int, int]]:
    """Each location and how many pages are there; they are few, so a pass for each is faster than sorting."""
    while len(places):
        value = places.min()
        rest = places[places != value]
        yield int(value), len(places) - len(rest)
        places = rest


def _in_lane(lane: str, bar: Bar) -> Bar:
    return Bar(lane, bar.start, bar.end, bar.style, bar.label, bar.short, note=bar.note, data=bar.data)


def _shared(names: list[str]) -> str:
    """One name for tables that agree."""
    gpus = [int(name[3:]) for name in names if _GPU.fullmatch(name)]
    others = ["CPU" if name == "cpu" else name for name in names if not _GPU.fullmatch(name)]
    owners = " and ".join([*others, *([gpu_names(gpus)] if gpus else [])])
    own_name = not gpus and "cpu" not in names
    return owners if own_name else f"{owners} table" + "s" * (len(names) > 1)
