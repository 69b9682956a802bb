"""The page map: where each page of a span is, in the CPU's table and in every GPU's, however many pages there are."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from itertools import groupby
from typing import TYPE_CHECKING

import numpy as np

from svmlab.views.pagemap_cells import CELLS, Cells, Places, put_into_cells
from svmlab.views.scene import Axis, Bar, Chart, Data, Lane, Scene
from svmlab.views.snapshot import snapshot
from svmlab.views.source import gpu_names
from svmlab.views.style import location_look

if TYPE_CHECKING:
    from svmlab.mm.span import Span
    from svmlab.svm.buffer_view import Buffer
    from svmlab.svm.process import Process

__all__ = ["Names", "owners", "pagemap", "pagemap_of", "pages_of_runs", "place_names", "several_places"]

Names = Callable[[int], str]
_GPU = re.compile(r"gpu\d+")
_FRAMELESS = {-1: "none", -2: "swapped"}
"""What svm.look calls NOWHERE and SWAPPED; the kernel has no location number for them."""


def pagemap(process: Process, span: Span | Buffer, *, cells: int = CELLS) -> Scene:
    """Picture where the pages of a span are: in the CPU's page table and in that of every GPU.

    Args:
        process: whose pages.
        span: which of them.
        cells: as for ``pagemap_of``.

    Returns:
        A scene as ``pagemap_of`` makes it.

    >>> from svmlab import Process, show
    >>> p = Process("toy")
    >>> a = p.mmap("64 KiB", name="a")
    >>> a[:4096] = 7
    >>> show(pagemap(p, a))
    CPU table: 1 page in RAM and 15 absent. gpu0-gpu2 tables: 16 pages absent.
    """
    now = snapshot(process, span)
    title = f"Where the pages of {now.of} are" if now.of else "Where the pages are"
    return pagemap_of(now.tables, now.names, title=title, cells=cells)


def pagemap_of(
    tables: Mapping[str, Places], names: Names, *, title: str = "Where the pages are", cells: int = CELLS
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
    named = place_names(names)
    alike: dict[tuple[bool, tuple[Bar, ...]], list[str]] = {}
    for name, places in tables.items():
        gpu = _GPU.fullmatch(name) is not None
        alike.setdefault((gpu, tuple(_runs(put_into_cells(places, cells), named))), []).append(name)
    lanes = {owners(members): runs for (_, runs), members in alike.items()}
    bars = tuple(replace(bar, lane=lane) for lane, runs in lanes.items() for bar in runs)
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


def place_names(names: Names) -> Names:
    """The same names, and some for pages without a frame."""
    return lambda location: _FRAMELESS.get(location) or names(location)


def several_places(cells: Cells, cell: int, names: Names) -> Bar:
    """A bar for one cell whose pages are in different places, with how many are where."""
    start, end = cells.pages(cell, cell)
    known: Data = tuple((names(value), count) for value, count in cells.counts(cell))
    note = ", ".join(f"{count} {name}" for name, count in known)
    return Bar("", start, end, "mixed", note=note, data=known)


def owners(names: Iterable[str]) -> str:
    """One name for page tables that agree.

    >>> owners(["cpu"]), owners(["gpu0", "gpu1", "gpu2"]), owners(["before"])
    ('CPU table', 'gpu0-gpu2 tables', 'before')
    """
    names = list(names)
    gpus = [int(name[3:]) for name in names if _GPU.fullmatch(name)]
    others = ["CPU" if name == "cpu" else name for name in names if not _GPU.fullmatch(name)]
    together = " and ".join([*others, *([gpu_names(gpus)] if gpus else [])])
    own_name = not gpus and "cpu" not in names
    return together if own_name else f"{together} table" + "s" * (len(names) > 1)


def _runs(cells: Cells, names: Names) -> Iterator[Bar]:
    """Bars for runs of equal cells; mixed cells stay single, each with its own counts."""
    for (_, mixed), members in groupby(range(len(cells)), key=lambda cell: (cells.value(cell), cells.mixed(cell))):
        spots = list(members)
        if mixed:
            yield from (several_places(cells, cell, names) for cell in spots)
        else:
            yield _uniform(cells.pages(spots[0], spots[-1]), names(cells.value(spots[0])))


def _uniform(pages: tuple[int, int], place: str) -> Bar:
    shown = location_look(place)
    return Bar("", *pages, place, f"{shown.letter} {pages[1] - pages[0]}", shown.letter)
