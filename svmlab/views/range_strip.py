"""The range strip: the ranges of a span as bars over its pages, before and after a call, and what changed in them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from svmlab.errors import InputError
from svmlab.uapi import SYSMEM
from svmlab.views.scene import Axis, Bar, Cell, Chart, Data, Lane, Mark, Panel, Row, Scene, Table
from svmlab.views.style import look

if TYPE_CHECKING:
    from svmlab.mm.span import Span
    from svmlab.svm.buffer_view import SpanLike
    from svmlab.svm.process import Process
    from svmlab.svm.ranges import Range

__all__ = ["range_strip"]

_PLACES = ("actual", "prefetch", "preferred")
_AS_ACTUAL = "as actual"
_PLAIN = {
    "actual": "",
    "VRAM": _AS_ACTUAL,
    "prefetch": "none",
    "preferred": "none",
    "access": "none",
    "in place": "none",
    "mapped": "none",
    "flags": "default",
    "granule": "2 MiB",
    "state": "ok",
}
"""What attributes nobody asked for look like: such columns are left out."""
_OPS = {
    "UNMAP_RANGE": "to be removed",
    "ADD_RANGE": "to be registered",
    "UPDATE_RANGE_NOTIFIER": "to be registered anew",
}
_MOST = 10
_ARROW = " -> "
_GONE, _NEW = "no longer registered", "new"


@dataclass(frozen=True, slots=True)
class _Line:
    """A line of the table.

    Attributes:
        pages: which pages.
        cells: its attributes, those that changed as ``old -> new``.
        became: what it was before, if not the same range; of a child, what it waits for.
        changed: whether anything about it is new.
    """

    pages: str
    cells: dict[str, Any]
    became: str = ""
    changed: bool = False


def range_strip(process: Process, span: SpanLike, *, before: Scene | None = None, call: str = "a call") -> Scene:
    """Picture the SVM ranges of a span, and what a call changed in them.

    Args:
        process: whose ranges.
        span: which pages; ranges that reach beyond are cut there.
        before: what ``range_strip`` gave for the same span before the call; None: no comparison.
        call: what was called in between, for the title.

    Returns:
        A scene: a chart whose bars are ranges, coloured by the location the driver believes them at, children below
        their range, lines where a range was split; and a table of their attributes, in which a change reads
        ``old -> new``. It is a snapshot: keep it to compare with later.

    Raises:
        InputError: ``before`` is of other pages, or there is none, and neither a mapping nor a range is in the span.

    >>> import svmlab as sl
    >>> p = sl.Process("toy")
    >>> a = p.mmap("64 KiB", name="a")
    >>> p.set_attr(a, access=["gpu0"])
    >>> before = range_strip(p, a)
    >>> p.set_attr(a.pages(4, 4), access=["gpu1"])
    >>> print(sl.describe(range_strip(p, a, before=before)))
    1 range before, 3 ranges after: pages 0-15 are split at 4 and 8. Pages 4-7: \
access gpu0 -> gpu0, gpu1; mapped gpu0 -> gpu0, gpu1.
    """
    # Only here: importing the views loads nothing that runs a simulation.
    from svmlab.svm.buffer_view import span_of

    where = span_of(span)
    if before is None:  # what is gone since an earlier strip is worth a picture
        _check(process, where)
    lane = Lane("after" if before else "ranges", f"{where.npages} pages from {where.start:#x}")
    bars = tuple(_bars(process, where, lane.name))
    old = () if before is None else _as_before(before, lane)
    chart = Chart(
        Axis(0, where.npages, "pages", "page"),
        (Lane("before", lane.note), lane) if before else (lane,),
        (*old, *bars),
        tuple(Mark("", at, "now", "split") for at in _splits(old, bars)),
        kind="range strip",
    )
    name = getattr(span, "name", "") or "the span"
    title = f"SVM ranges of {name} before and after {call}" if before else f"SVM ranges of {name}"
    lines = list(_changed(old, bars)) if before else list(map(_line, bars))
    panels: tuple[Panel, ...] = (chart, _table(lines, compared=before is not None)) if lines else (chart,)
    return Scene("range strip", title, panels)


def _check(process: Process, where: Span) -> None:
    driver = process.driver
    if not driver.svms.overlapping(where.start, where.last) and not driver.mm.vmas_in(where.start, where.last):
        raise InputError(
            f"nothing is mapped or registered in pages {where.start:#x} to {where.last:#x}",
            allowed="part of a mapping of this process",
            hint="a = p.mmap(...), then p.set_attr(a, ...) registers a range",
        )


def _bars(process: Process, where: Span, lane: str) -> Iterator[Bar]:
    from svmlab.svm.range_table import RangeTable

    found = process.look.ranges(where)
    for range_, row in zip(found, RangeTable(process.driver, found).rows(), strict=True):
        yield _bar(range_, row, where, lane)
        for child, its_row in zip(range_.children, RangeTable(process.driver, range_.children).rows(), strict=True):
            bar = _bar(child, its_row, where, lane)
            pages = _pages(bar.start, bar.end)
            yield replace(bar, depth=1, label=f"child {pages}", short="child", note=_OPS.get(child.op.name, "waiting"))


def _bar(range_: Range, row: dict[str, str], where: Span, lane: str) -> Bar:
    start, end = max(range_.start - where.start, 0), min(range_.last, where.last) - where.start + 1
    place = row["actual"]
    letter = look(place).letter
    known = row | {"VRAM": _in_vram(range_)}
    held: Data = tuple((name, _plainly(name, text)) for name, text in known.items() if name in _PLAIN)
    return Bar(lane, start, end, place, f"{letter} {_pages(start, end)}", letter, data=held)


def _in_vram(range_: Range) -> str:
    """How many of its pages are in VRAM, if the location of the range does not say it."""
    expected = 0 if range_.actual_loc == SYSMEM else range_.npages
    return _AS_ACTUAL if range_.vram_pages == expected else f"{range_.vram_pages} of {range_.npages}"


def _plainly(name: str, text: str) -> str:
    """A cell of the table of ranges as the pictures say it."""
    if text == "-":
        return "none"
    return "RAM" if name in _PLACES and text == "cpu" else text.replace(",", ", ")


def _pages(start: int, end: int) -> str:
    return f"{start}-{end - 1}" if end - start > 1 else str(start)


def _as_before(before: Scene, lane: Lane) -> tuple[Bar, ...]:
    """The latest state that an earlier strip of the same span shows."""
    chart = next(before.charts, None)
    if before.kind != "range strip" or chart is None or chart.lanes[-1].note != lane.note:
        raise InputError("before is no strip of these pages", hint="before = range_strip(p, a), with the same p and a")
    return tuple(replace(bar, lane="before") for bar in chart.bars if bar.lane == chart.lanes[-1].name)


def _splits(old: Sequence[Bar], new: Sequence[Bar]) -> list[int]:
    """Pages at which a new range begins or ends within an old one."""
    edges = {edge for bar in new if not bar.depth for edge in (bar.start, bar.end)}
    return sorted(edge for edge in edges for bar in old if not bar.depth and bar.start < edge < bar.end)


def _line(bar: Bar) -> _Line:
    """A range as it is, compared with nothing."""
    pages = _pages(bar.start, bar.end)
    return _Line(f"{pages} (child, {bar.note})" if bar.depth else pages, dict(bar.data))


def _changed(old: Sequence[Bar], new: Sequence[Bar]) -> Iterator[_Line]:
    """What became of each range, child and piece that is gone."""
    for bar in new:
        was = next((it for it in old if not it.depth and it.start < bar.end and bar.start < it.end), None)
        yield (
            _Line(_pages(bar.start, bar.end), dict(bar.data), _NEW, changed=True)
            if was is None
            else _compared(was, bar)
        )
    for start, end in _gone(old, new):
        yield _Line(_pages(start, end), {}, _GONE, changed=True)


def _compared(was: Bar, now: Bar) -> _Line:
    whole = (was.start, was.end) == (now.start, now.end)
    news = {name for name, value in now.data if was.get(name) != value}
    cells = {name: f"{was.get(name)}{_ARROW}{value}" if name in news else value for name, value in now.data}
    became = "" if whole else f"part of {_pages(was.start, was.end)}"
    if now.depth:
        became = f"child of {_pages(was.start, was.end)}, {now.note}"
    return _Line(_pages(now.start, now.end), cells, became, changed=bool(news) or not whole)


def _gone(old: Sequence[Bar], new: Sequence[Bar]) -> Iterator[tuple[int, int]]:
    """Pages of old ranges that no range or child has any more; neighbours are one piece."""
    begun = edge = 0
    for start, end in _lost(old, new):
        if start != edge and begun < edge:
            yield begun, edge
        begun, edge = (begun if start == edge else start), end
    if begun < edge:
        yield begun, edge


def _lost(old: Sequence[Bar], new: Sequence[Bar]) -> Iterator[tuple[int, int]]:
    for was in (bar for bar in old if not bar.depth):
        at = was.start
        for bar in sorted(new, key=lambda bar: bar.start):
            if bar.start < was.end:
                yield from [(at, bar.start)] if at < bar.start else []
                at = max(at, bar.end)
        yield from [(at, was.end)] if at < was.end else []


def _table(lines: list[_Line], *, compared: bool) -> Table:
    """The attributes that somebody asked for or that changed, for the lines that matter most."""
    names = [name for name, plain in _PLAIN.items() if any(line.cells.get(name, plain) != plain for line in lines)]
    shown = lines if len(lines) <= _MOST else sorted(lines, key=lambda line: not line.changed)[: _MOST - 1]
    rows = [_row(line, names, compared=compared) for line in shown]
    if len(shown) < len(lines):
        blank = (Cell(""),) * (len(names) + compared)
        rows.append(Row((Cell(f"{len(lines) - len(shown)} more ranges"), *blank), "pale"))
    heads = ("pages", "before", *names) if compared else ("pages", *names)
    return Table(heads, tuple(rows), kind="range changes" if compared else "ranges")


def _row(line: _Line, names: list[str], *, compared: bool) -> Row:
    texts = [line.cells.get(name, "") for name in names]
    cells = (Cell(text, "lit" if _ARROW in text else "") for text in texts)
    became = (Cell(line.became, "lit" if line.became else ""),) if compared else ()
    return Row((Cell(line.pages), *became, *cells), "pale" if compared and not line.changed else "")
