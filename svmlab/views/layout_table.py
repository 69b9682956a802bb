"""Laying out a table: column widths, wrapped cells, and a frame around the row that counts."""

from __future__ import annotations

from svmlab.views.lettering import width, wrap
from svmlab.views.scene import Cell, Row, Table
from svmlab.views.sheet import MARGIN, ROW, Box, Drawing, Line
from svmlab.views.style import INK, LOCATIONS, look

__all__ = ["lay_table"]

_PAD = 6.0
_LINE = 18.0
_SLACK = 0.5
_BOLD_ROOM = 1.2
"""Bold text is at most this much wider than the text it was measured as."""


def lay_table(sheet: Drawing, table: Table) -> None:
    """Lay out a table below what the sheet already holds.

    Args:
        sheet: takes the shapes.
        table: what to lay out; a column as wide as its text needs, the widest ones wrapped where paper is short.
    """
    widths = _column_widths(table, sheet.width - 2 * MARGIN)
    head = Row(tuple(Cell(name) for name in table.columns), "head")
    for row in (head, *table.rows):
        _lay_row(sheet, row, widths)
    sheet.take(_PAD)


def _column_widths(table: Table, room: float) -> list[float]:
    """Share the room: narrow columns get all they want, the others the same part of what is left."""
    columns = zip(table.columns, *([_text(cell) for cell in row.cells] for row in table.rows), strict=True)
    wanted = [max(width(text) for text in column) * _BOLD_ROOM + 2 * _PAD for column in columns]
    widths = [0.0] * len(wanted)
    left, share = room, room
    for count, at in enumerate(sorted(range(len(wanted)), key=lambda at: wanted[at])):
        share = left / (len(wanted) - count)
        widths[at] = min(wanted[at], share)
        left -= widths[at]
    return widths


def _text(cell: Cell) -> str:
    """A location is written with its letter, so that its colour is not needed."""
    place = LOCATIONS.get(cell.style)
    return f"{place.letter} {cell.text}" if place else cell.text


def _lay_row(sheet: Drawing, row: Row, widths: list[float]) -> None:
    rooms = [(size - 2 * _PAD) / _BOLD_ROOM + _SLACK for size in widths]
    lines = [wrap(_text(cell), room) for cell, room in zip(row.cells, rooms, strict=True)]
    height = max(len(cell) for cell in lines) * _LINE + ROW - _LINE
    top = sheet.take(height)
    left = MARGIN
    for cell, text, size in zip(row.cells, lines, widths, strict=True):
        style = cell.style or row.style
        sheet.ground.append(Box(left, top, size, height, style))
        for number, line in enumerate(text):
            bold = row.style in ("lit", "head")
            sheet.write((left + _PAD, top + ROW / 2 + number * _LINE), line, ink=look(style).ink, bold=bold)
        left += size
    if row.style == "lit":
        sheet.lines.append(Line(_frame(MARGIN, top, left, top + height), INK))


def _frame(left: float, top: float, right: float, bottom: float) -> tuple[tuple[float, float], ...]:
    return ((left, top), (right, top), (right, bottom), (left, bottom), (left, top))
