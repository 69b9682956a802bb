"""The page map over time: a row for each moment, so that pages can be seen to move."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby, pairwise, product
from typing import Any

import numpy as np
import numpy.typing as npt

from svmlab.errors import InputError
from svmlab.units import format_time
from svmlab.views.pagemap import Names, owners, place_names
from svmlab.views.pagemap_cells import CELLS, Cells, Places, put_into_cells
from svmlab.views.scene import Axis, Bar, Chart, Lane, Scene
from svmlab.views.style import location_look

__all__ = ["pagemap_over_time"]

Flags = npt.NDArray[np.bool_]
_ROWS = 12
_EDGES = 3
_ALWAYS = "at all moments"


def pagemap_over_time(
    moments: Sequence[Any], names: Names | None = None, *, rows: int = _ROWS, cells: int = CELLS
) -> Scene:
    """Picture where pages are at several moments, one row for each, and what moved from row to row.

    Args:
        moments: in order of time; a ``Snapshot``, or whatever has ``time_ns`` and ``tables`` like one. A moment at
            which every page is where it was the moment before is left out.
        names: names a location number; default: as the first moment does.
        rows: how many rows there are at most, 2 or more; of more moments some in between are left out.
        cells: into how many cells pages are put at most.

    Returns:
        A scene with a chart for each page table; tables with one history share it. What changed since the row above
        says from where to where. A table that never changes has one row.

    Raises:
        InputError: there is no moment, or the moments are not about the same pages and page tables.

    >>> from svmlab import Process, show
    >>> from svmlab.views import snapshot
    >>> p = Process("toy")
    >>> a = p.mmap("64 KiB", name="a")
    >>> a[:] = 7
    >>> moments = [snapshot(p, a, "before")]
    >>> p.set_attr(a, access=["gpu0"], prefetch="gpu0")
    >>> moments.append(snapshot(p, a, "call is back"))
    >>> show(pagemap_over_time(moments))
    CPU table: at ... (call is back) 16 pages change from RAM to gpu0. gpu0-gpu2 tables: nothing changes.
    """
    _check(moments, rows)
    changes = [moments[0], *(after for before, after in pairwise(moments) if not _equal(before.tables, after.tables))]
    chosen = [changes[at] for at in np.unique(np.linspace(0, len(changes) - 1, rows).round().astype(int))]
    lanes, named = _lanes(chosen), place_names(names or moments[0].names)
    alike: dict[int, list[str]] = {}
    for owner in moments[0].tables:
        first = next((known for known, (one, *_) in alike.items() if _one_history(chosen, one, owner)), len(alike))
        alike.setdefault(first, []).append(owner)
    charts = tuple(
        _chart(owners(members), lanes, [put_into_cells(moment.tables[members[0]], cells) for moment in chosen], named)
        for members in alike.values()
    )
    return Scene("page map over time", _title(moments[0], len(chosen), len(changes)), charts)


def _title(first: Any, shown: int, changes: int) -> str:
    of = getattr(first, "of", "")
    some = f", {shown} of {changes} moments" if shown < changes else ""
    return f"Where the pages{f' of {of}' if of else ''} are, moment by moment{some}"


def _check(moments: Sequence[Any], rows: int) -> None:
    if rows < 2:
        raise InputError(f"{rows} rows", allowed="2 or more")
    if not moments or not all(hasattr(moment, "tables") and hasattr(moment, "time_ns") for moment in moments):
        raise InputError(
            f"{moments!r:.60} are no moments", allowed="one Snapshot or more", hint="svmlab.snapshot(p, a)"
        )
    shapes = {tuple((owner, len(places)) for owner, places in moment.tables.items()) for moment in moments}
    if len(shapes) > 1:
        raise InputError("moments of different pages or page tables", allowed="snapshots of one span of one process")


def _equal(one: Mapping[str, Places], other: Mapping[str, Places]) -> bool:
    return all(np.array_equal(places, other[owner]) for owner, places in one.items())


def _one_history(moments: Sequence[Any], one: str, other: str) -> bool:
    """Whether two GPUs' tables agree at every moment; the CPU's stays on its own."""
    if "cpu" in (one, other):
        return False
    return all(np.array_equal(moment.tables[one], moment.tables[other]) for moment in moments)


def _lanes(moments: Sequence[Any]) -> tuple[Lane, ...]:
    """A name for each moment: its time, and what it is; the number of the row where two would have one name."""
    times = [(format_time(one.time_ns), getattr(one, "says", "")) for one in moments]
    seen = Counter(times)
    names = [", ".join(filter(None, words)) for words in times]
    unique = (
        name if seen[words] == 1 else f"{at}: {name}"
        for at, (name, words) in enumerate(zip(names, times, strict=True), 1)
    )
    notes = [f"at {time}" + (f" ({says})" if says else "") for time, says in times]
    return tuple(map(Lane, unique, notes))


def _chart(title: str, lanes: tuple[Lane, ...], history: list[Cells], names: Names) -> Chart:
    changed = [np.zeros(len(history[0]), bool), *(_changes(before, after) for before, after in pairwise(history))]
    if not any(row.any() for row in changed):
        lanes, history, changed = (Lane(_ALWAYS),), history[:1], changed[:1]
    befores = [history[0], *history[:-1]]
    rows = zip(lanes, map(_Row, befores, history, changed), strict=True)
    bars = tuple(replace(bar, lane=lane.name) for lane, row in rows for bar in row.bars(names))
    axis = Axis(0, len(history[0].places), "pages", "page")
    return Chart(axis, lanes, bars, title=title, kind="page map over time")


def _changes(before: Cells, after: Cells) -> Flags:
    """Which cells are not as they were."""
    return np.array([not after.same_as(before, cell) for cell in range(len(after))], bool)


@dataclass(frozen=True, slots=True, eq=False)
class _Row:
    """Cells at one moment and at the one before, and which of them changed."""

    before: Cells
    after: Cells
    changed: Flags

    def bars(self, names: Names) -> Iterator[Bar]:
        """Bars for runs of cells that are alike and were alike."""
        for _, members in groupby(range(len(self.after)), key=self._kind):
            spots = list(members)
            first, pages = spots[0], self.after.pages(spots[0], spots[-1])
            place = "mixed" if self.after.mixed(first) else names(self.after.value(first))
            bar = Bar("", *pages, place, "", "" if place == "mixed" else location_look(place).letter)
            yield self._told(bar, spots, names) if self.changed[first] else bar

    def _kind(self, cell: int) -> tuple[int | None, ...]:
        """What is equal for cells that make one bar: where they are and, if they changed, where they were."""
        return (self.after.only(cell), self.before.only(cell), 1) if self.changed[cell] else (self.after.only(cell),)

    def _told(self, bar: Bar, spots: list[int], names: Names) -> Bar:
        """The bar with where its pages came from, and how many came."""
        ways: Counter[tuple[int, int]] = Counter()
        for cell in spots:
            ways.update(self._ways(cell))
        known = tuple((f"{names(source)} > {names(target)}", count) for (source, target), count in sorted(ways.items()))
        # A cell on the edge of a run is too narrow for words, and the run beside it says the same.
        if len(spots) < _EDGES and self.after.size > 1:
            return replace(bar, short="", data=known)
        source = "mixed" if self.before.mixed(spots[0]) else names(self.before.value(spots[0]))
        letters = _letters(source, bar.style)
        return replace(bar, label=f"{letters} {sum(ways.values())}", short=letters, data=known)

    def _ways(self, cell: int) -> dict[tuple[int, int], int]:
        """How many pages of a cell went from where to where."""
        pages = slice(*self.after.pages(cell, cell))
        old, new = self.before.places[pages], self.after.places[pages]
        ends = product(dict(self.before.counts(cell)), dict(self.after.counts(cell)))
        ways = {(a, b): int(np.count_nonzero((old == a) & (new == b))) for a, b in ends if a != b}
        return {way: count for way, count in ways.items() if count}


def _letters(source: str, target: str) -> str:
    """From where to where, by the letters of the legend."""
    old, new = location_look(source).letter, location_look(target).letter
    if source == "none":
        return f"new {new}"
    return f"{old} lost" if target == "none" else f"{old} -> {new}"
