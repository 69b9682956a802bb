"""Laying out a table: column widths, wrapped cells, and a frame around the row that counts."""

from __future__ import annotations

from collections.abc import Callable

from svmlab.views.lettering import width, wrap
from svmlab.views.scene import Cell, Row, Table
from svmlab.views.sheet import MARGIN, ROW, Box, Drawing, Line
from svmlab.views.source import place_name
from svmlab.views.style import INK, LOCATIONS, look

__all__ = ["lay_table"]

_PAD = 6.0
_LINE = 18.0
_SLACK = 0.5
_RIM = 0.75
_BOLD_ROOM = 1.2
"""Bold text is at most this much wider than the text it was measured as."""


def lay_table(sheet: Drawing, table: Table) -> None:
    """Lay out a table below what the sheet already holds.

    Args:
        sheet: takes the shapes.
        table: what to lay out; a column as wide as its text needs, the widest ones wrapped where paper is short.
    """
    head = Row(tuple(Cell(name) for name in table.columns), "head")
    rows = (head, *table.rows)
    widths = _column_widths(rows, sheet.width - 2 * MARGIN)
    for row in rows:
        _lay_row(sheet, row, widths)
    sheet.take(_PAD)


def _column_widths(rows: tuple[Row, ...], room: float) -> list[float]:
    """All that every column wants, or else its longest word and a share of the rest; then heads are broken first."""
    whole = [_cell_widths(row, _whole) for row in rows]
    broken = [_cell_widths(row, str.split) for row in rows]
    everything, least = _widest(whole), _widest(broken)
    if sum(everything) <= room:
        return everything
    if sum(least) > room:
        return _shared(least, room)
    wanted = _widest([broken[0], *whole[1:]])
    extra = _shared([most - word for most, word in zip(wanted, least, strict=True)], room - sum(least))
    return [word + more for word, more in zip(least, extra, strict=True)]


def _shared(wanted: list[float], room: float) -> list[float]:
    """Share room among some who want different amounts, so that the modest are served in full."""
    given = [0.0] * len(wanted)
    for count, at in enumerate(sorted(range(len(wanted)), key=lambda at: wanted[at])):
        given[at] = min(wanted[at], room / (len(wanted) - count))
        room -= given[at]
    return given


def _widest(rows: list[list[float]]) -> list[float]:
    return [max(column) for column in zip(*rows, strict=True)]


def _whole(text: str) -> list[str]:
    return [text]


def _cell_widths(row: Row, parts: Callable[[str], list[str]]) -> list[float]:
    """How wide the widest part of each cell is, with its padding."""
    texts = (parts(_text(cell)) for cell in row.cells)
    return [max(map(width, text), default=0.0) * _boldness(row) + 2 * _PAD + _SLACK for text in texts]


def _boldness(row: Row) -> float:
    return _BOLD_ROOM if row.style in ("lit", "head") else 1.0


def _text(cell: Cell) -> str:
    """A location is named or written with its letter, so that its colour is not needed."""
    place = LOCATIONS.get(cell.style)
    named = place is None or cell.text.startswith(place_name(cell.style))
    return cell.text if place is None or named else f"{place.letter} {cell.text}"


def _lay_row(sheet: Drawing, row: Row, widths: list[float]) -> None:
    rooms = [(size - 2 * _PAD) / _boldness(row) + _SLACK for size in widths]
    lines = [wrap(_text(cell), room) for cell, room in zip(row.cells, rooms, strict=True)]
    height = max(len(cell) for cell in lines) * _LINE + ROW - _LINE
    top = sheet.take(height)
    left = MARGIN
    for cell, text, size in zip(row.cells, lines, widths, strict=True):
        style = cell.style or row.style
        # A coloured cell keeps a rim of paper: neighbours of one colour are still two cells.
        rim = _RIM if cell.style in LOCATIONS else 0.0
        sheet.ground.append(Box(left + rim, top + rim, size - 2 * rim, height - 2 * rim, style))
        for number, line in enumerate(text):
            _lay_line(sheet, (left + _PAD, top + ROW / 2 + number * _LINE), line, (style, _boldness(row) > 1))
        left += size
    if row.style == "lit":
        sheet.lines.append(Line(_frame(MARGIN, top, left, top + height), INK))


def _lay_line(sheet: Drawing, at: tuple[float, float], text: str, how: tuple[str, bool]) -> None:
    """Write a line of a cell in its style and weight, on a plate where the cell is hatched."""
    style, bold = how
    if look(style).hatch:
        size = width(text) * (_BOLD_ROOM if bold else 1)
        sheet.plates.append(Box(at[0] - 2, at[1] - _LINE / 2 + 1, size + 4, _LINE - 2, style))
    sheet.write(at, text, ink=look(style).ink, bold=bold)


def _frame(left: float, top: float, right: float, bottom: float) -> tuple[tuple[float, float], ...]:
    return ((left, top), (right, top), (right, bottom), (left, bottom), (left, top))
