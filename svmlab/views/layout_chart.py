"""Laying out a chart: lanes, bars, marks, torn axis, ticks, and the key of its numbered bars."""

from __future__ import annotations

from collections.abc import Iterable

from svmlab.units import format_size, format_time
from svmlab.views.lettering import shorten, width
from svmlab.views.placing import GLYPH, PAD, Placed, Strip, place
from svmlab.views.room import Room
from svmlab.views.ruler import Ruler
from svmlab.views.scene import Bar, Chart, Mark
from svmlab.views.sheet import MARGIN, ROW, Box, Drawing, Line, Word
from svmlab.views.source import about
from svmlab.views.style import GLYPHS, INK, PAPER, look, mix

__all__ = ["lay_chart", "lay_glyph", "names_width"]

_NAMES_PX = 220.0
_LANE_GAP = 6.0
_INSET = 2.0
_CUT_DIGITS = 3
_GREY = mix(INK, PAPER, share=0.35)


def names_width(charts: Iterable[Chart]) -> float:
    """How much room the names of lanes need in pixels; charts of one picture share it, so that their axes align."""
    names = [name for chart in charts for name in (*(lane.name for lane in chart.lanes), Ruler(chart.axis, 0, 1).words)]
    return min(max(map(width, names), default=0.0), _NAMES_PX)


def lay_chart(sheet: Drawing, chart: Chart, names_px: float) -> list[str]:
    """Lay out a chart below what the sheet already holds.

    Args:
        sheet: takes the shapes.
        chart: what to lay out.
        names_px: room for the names of its lanes.

    Returns:
        The key: what the numbers on its bars mean, if any bar had no room to say so itself.
    """
    ruler = Ruler(chart.axis, MARGIN + names_px + 3 * PAD, sheet.width - 2 * MARGIN)
    strips = place(chart, ruler)
    flags = ROW if any(not mark.lane for mark in chart.marks) else 0
    top = sheet.take(flags)
    for number, strip in enumerate(strips):
        strip.top = sheet.take(strip.height + _LANE_GAP)
        _lay_strip(sheet, strip, ruler, shaded=number % 2 == 0)
    _lay_breaks(sheet, ruler, top + flags)
    _lay_lines_through(sheet, chart, ruler, top)
    _lay_axis(sheet, ruler)
    return _key(strips)


def lay_glyph(sheet: Drawing, at: tuple[float, float], *, style: str) -> None:
    """Draw a mark around a point."""
    shown = look(style)
    corners = [(at[0] + right * GLYPH, at[1] + down * GLYPH) for right, down in GLYPHS[shown.glyph]]
    sheet.lines.append(Line((*corners, corners[0]), INK, fill=shown.fill))


def _lay_strip(sheet: Drawing, strip: Strip, ruler: Ruler, *, shaded: bool) -> None:
    if shaded:
        sheet.ground.append(Box(MARGIN, strip.top, sheet.width - 2 * MARGIN, strip.height, "band"))
    sheet.write((MARGIN + PAD / 2, strip.middle(0)), shorten(strip.lane.name, ruler.left - MARGIN - PAD))
    for placed in strip.bars:
        _lay_bar(sheet, strip, placed, ruler.axis.unit)
    for placed in strip.marks:
        lay_glyph(sheet, (placed.middle, strip.middle(0)), style=placed.item.style)
    for placed in strip.items():
        _lay_word(sheet, strip, placed)


def _lay_bar(sheet: Drawing, strip: Strip, placed: Placed, unit: str) -> None:
    top = strip.middle(placed.row) - ROW / 2 + _INSET
    tip = _tip(placed.item, unit) if sheet.tips and isinstance(placed.item, Bar) else ""
    sheet.boxes.append(Box(placed.left, top, placed.right - placed.left, ROW - 2 * _INSET, placed.item.style, tip))


def _lay_word(sheet: Drawing, strip: Strip, placed: Placed) -> None:
    if not placed.word:
        return
    inside, middle = placed.where == "inside", strip.middle(strip.rows if placed.where == "below" else placed.row)
    shown = look(placed.item.style)
    if placed.where == "below":
        _lay_leader(sheet, placed, strip.middle(placed.row) + ROW / 2 - _INSET, middle - ROW / 2 + 3)
    elif inside and shown.hatch:
        top = middle - ROW / 2 + _INSET + 1
        sheet.plates.append(Box(placed.at - 2, top, width(placed.word) + 4, ROW - 2 * _INSET - 2, placed.item.style))
    sheet.write((placed.at, middle), placed.word, ink=shown.ink if inside else INK)


def _lay_leader(sheet: Drawing, placed: Placed, top: float, bottom: float) -> None:
    """A line from a bar to the nearest part of its hanging word."""
    foot = min(max(placed.middle, placed.at + 3), placed.at + width(placed.word) - 3)
    sheet.lines.append(Line(((placed.middle, top), (foot, bottom)), _GREY))


def _lay_breaks(sheet: Drawing, ruler: Ruler, top: float) -> None:
    """Tear the chart where the axis is cut."""
    bottom = sheet.height
    for left, right in ruler.breaks():
        sheet.plates.append(Box(left, top, right - left, bottom - top, ""))
        for x in (left, right):
            sheet.lines.append(Line(_zigzag(x, top, bottom), _GREY))


def _zigzag(x: float, top: float, bottom: float) -> tuple[tuple[float, float], ...]:
    teeth = max(int((bottom - top) // 8), 1)
    height = (bottom - top) / teeth
    return tuple((x + (2.5 if tooth % 2 else 0), top + tooth * height) for tooth in range(teeth + 1))


def _lay_lines_through(sheet: Drawing, chart: Chart, ruler: Ruler, top: float) -> None:
    room = Room(ruler.left, ruler.right, [])
    for mark in (mark for mark in chart.marks if not mark.lane):
        x = float(ruler.at(mark.at))
        for start, end in _clear(sheet, x, top + ROW):
            sheet.lines.append(Line(((x, start), (x, end)), look(mark.style).fill, dashed=True))
        _lay_flag(sheet, room, (x, top + ROW / 2), mark)


def _clear(sheet: Drawing, x: float, top: float) -> list[tuple[float, float]]:
    """The pieces of a line down the sheet that cross no word."""
    words = (word for word in sheet.words if word.x - 2 < x < word.x + word.width + 2 and word.y > top)
    edges = [top, *(edge for word in sorted(words, key=lambda word: word.y) for edge in _extent(word)), sheet.height]
    return [(start, end) for start, end in zip(edges[::2], edges[1::2], strict=True) if start < end]


def _extent(word: Word) -> tuple[float, float]:
    return word.y - 0.8 * word.size, word.y + 0.25 * word.size


def _lay_flag(sheet: Drawing, room: Room, at: tuple[float, float], mark: Mark) -> None:
    size = width(mark.label)
    left = min(max(at[0] - size / 2, room.left), room.right - size)
    if room.claim(left, left + size):
        sheet.write((left, at[1]), mark.label)


def _lay_axis(sheet: Drawing, ruler: Ruler) -> None:
    y = sheet.take(ROW + 4)
    sheet.lines.append(Line(((ruler.left, y), (ruler.right, y))))
    sheet.write((MARGIN + PAD / 2, y + ROW / 2 + 4), shorten(ruler.words, ruler.left - MARGIN - PAD))
    room = Room(ruler.left - MARGIN, ruler.right + MARGIN, [])
    for x, text in ruler.ticks():
        if _write_at(sheet, room, (x, y + ROW / 2 + 4), text):
            sheet.lines.append(Line(((x, y), (x, y + 5))))
    _lay_cuts(sheet, ruler)


def _lay_cuts(sheet: Drawing, ruler: Ruler) -> None:
    """Say below each break how much of the axis is missing."""
    if not ruler.axis.breaks:
        return
    y = sheet.take(ROW) + ROW / 2
    room = Room(ruler.left - MARGIN, ruler.right + MARGIN, [])
    for (left, right), (start, end) in zip(ruler.breaks(), ruler.axis.breaks, strict=True):
        hidden = end - start
        size = about(hidden) if ruler.axis.unit == "bytes" else _amount(_rounded(hidden), ruler.axis.unit)
        text = f"{size} cut out"
        half = width(text) / 2 + PAD
        middle = min(max((left + right) / 2, room.left + half), room.right - half)
        _write_at(sheet, room, (middle, y), text)


def _write_at(sheet: Drawing, room: Room, at: tuple[float, float], text: str) -> bool:
    claimed = room.claim(at[0] - width(text) / 2 - PAD, at[0] + width(text) / 2 + PAD)
    if claimed:
        sheet.write_around(at, text)
    return claimed


def _rounded(value: int) -> int:
    return int(round(value, min(0, _CUT_DIGITS - len(str(value)))))


def _amount(value: int, unit: str) -> str:
    if unit == "ns":
        return format_time(value)
    return format_size(value) if unit == "bytes" else f"{value} {unit}"


def _tip(bar: Bar, unit: str) -> str:
    return f"{bar.label or look(bar.style).name}: {_amount(bar.end - bar.start, unit)}" + (bar.note and f"; {bar.note}")


def _key(strips: Iterable[Strip]) -> list[str]:
    """The labels of numbered bars in order of their numbers; empty if all of them could be written in full."""
    numbered = [placed for strip in strips for placed in strip.bars if placed.texts[-1].isdigit()]
    if all(placed.word == placed.texts[0] for placed in numbered):
        return []
    return list(dict.fromkeys(placed.texts[0] for placed in sorted(numbered, key=lambda placed: int(placed.texts[-1]))))
