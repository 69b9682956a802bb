"""The sentences that tell a range strip."""

from __future__ import annotations

from collections.abc import Sequence

from svmlab.views.scene import Bar, Chart, Row, Table
from svmlab.views.source import at_place, plural
from svmlab.views.tell import listed

__all__ = ["tell_range_changes", "tell_range_strip", "tell_ranges"]

_MOST = 3


def tell_range_strip(chart: Chart, _title: str) -> list[str]:
    """Tell how many ranges there are and where, or what became of those before."""
    *earlier, latest = chart.lanes
    new = [bar for bar in chart.bars if bar.lane == latest.name and not bar.depth]
    children = [bar for bar in chart.bars if bar.lane == latest.name and bar.depth]
    if earlier:
        told = _became([bar for bar in chart.bars if bar.lane != latest.name and not bar.depth], new, chart)
    else:
        told = f"{plural(len(new), one='range')}: {_where(new)}." if new else "No range is registered."
    wait = "1 child waits" if len(children) == 1 else f"{len(children)} children wait"
    return [told, *([f"{wait} for deferred work."] if children else [])]


def tell_range_changes(table: Table, _title: str) -> list[str]:
    """Tell the attributes that changed, of at most three ranges."""
    changed = [(row, told) for row in table.rows if (told := _news(table, row))]
    sentences = [f"Pages {row.cells[0].text}: {told}." for row, told in changed[:_MOST]]
    if len(changed) > _MOST:
        sentences = [*sentences[: _MOST - 1], f"Attributes of {len(changed) - _MOST + 1} more ranges change."]
    return sentences or ["No attribute changes."]


def tell_ranges(_table: Table, _title: str) -> list[str]:
    """Nothing: the strip above it has told the ranges."""
    return []


def _became(old: Sequence[Bar], new: Sequence[Bar], chart: Chart) -> str:
    counts = f"{plural(len(old), one='range')} before, {plural(len(new), one='range')} after"
    splits = [mark.at for mark in chart.marks]
    cut = [(bar, [at for at in splits if bar.start < at < bar.end]) for bar in old]
    parts = [f"pages {_pages(bar)} are split at {listed(map(str, at))}" for bar, at in cut if at]
    more = [f"{len(parts) - _MOST} more are split"] if len(parts) > _MOST else []
    return f"{counts}{': ' * bool(parts)}{listed([*parts[:_MOST], *more]) if parts else ''}."


def _where(bars: Sequence[Bar]) -> str:
    told = [f"pages {_pages(bar)} {at_place(bar.style)}" for bar in bars[:_MOST]]
    return listed([*told, *([f"{len(bars) - _MOST} more"] if len(bars) > _MOST else [])])


def _pages(bar: Bar) -> str:
    return f"{bar.start}-{bar.end - 1}"


def _news(table: Table, row: Row) -> str:
    named = zip(table.columns, row.cells, strict=True)
    parts = [f"{head} {cell.text}" for head, cell in named if " -> " in cell.text]
    alone = row.cells[1].text if row.cells[1].text in ("new", "no longer registered") else ""
    return "; ".join([*([alone] if alone else []), *parts])
