"""Laying out a diagram: hosts as beams over their members, groups as frames, links as straight lines and arcs."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby

from svmlab.views.lettering import fits, shorten, width, wrap
from svmlab.views.scene import Diagram, Group, Node, Wire
from svmlab.views.sheet import MARGIN, ROW, Box, Drawing, Line
from svmlab.views.style import INK, PAPER, look, mix

__all__ = ["lay_diagram"]

_GAP = 14.0
"""Between two frames."""
_PAD = 6.0
_DROP = 48.0
"""From a beam down to the frames: two lines of text."""
_LINE = 18.0
_MOST_IN_A_ROW = 12
_PER_ROW = 8
_RISE = 15.0
"""How much deeper an arc hangs for each column it spans."""
_STRENGTH_OF_A_PIXEL = 25e9
_THINNEST, _WIDEST = 1.0, 9.0
_DOTS = 48
_FEET = 0.8
"""The part of a card's lower edge that arcs may leave from."""
_SAMPLE = 40.0
_FRAME = mix(INK, PAPER, share=0.35)


@dataclass(frozen=True, slots=True)
class _Card:
    """A member on paper: its left end and its width."""

    node: Node
    left: float
    width: float

    @property
    def middle(self) -> float:
        return self.left + self.width / 2


def lay_diagram(sheet: Drawing, diagram: Diagram) -> None:
    """Lay out a diagram below what the sheet already holds.

    Args:
        sheet: takes the shapes.
        diagram: what to lay out; with more than 12 members, its wires are only told.
    """
    if len(diagram.nodes) <= _MOST_IN_A_ROW:
        _lay_row(sheet, diagram)
    else:
        for group in diagram.groups:
            _lay_block(sheet, group)
    _lay_wire_key(sheet, diagram)
    for note in diagram.notes:
        _lay_text(sheet, note)


def _lay_row(sheet: Drawing, diagram: Diagram) -> None:
    cards = {card.node.name: card for card in _cards(sheet, diagram)}
    _lay_beams(sheet, diagram, cards)
    top = sheet.height
    sheet.take(_PAD)
    bottom = max(_lay_card(sheet, card, sheet.height) for card in cards.values())
    sheet.height = bottom
    sheet.take(_lay_arcs(sheet, diagram, cards, bottom) + _PAD)
    at = sheet.height
    sheet.take(max(_lay_caption(sheet, group, cards, at) for group in diagram.groups) + _PAD)
    for group in diagram.groups:
        _frame(sheet, *_extent(group, cards), top, sheet.height)
    sheet.take(_PAD)


def _cards(sheet: Drawing, diagram: Diagram) -> Iterator[_Card]:
    """Share the width of the sheet among all members."""
    room = sheet.width - 2 * MARGIN - _GAP * (len(diagram.groups) - 1) - 2 * _PAD * len(diagram.groups)
    pitch = room / max(len(diagram.nodes), 1)
    left = MARGIN
    for group in diagram.groups:
        left += _PAD
        for node in group.nodes:
            yield _Card(node, left + _PAD / 2, pitch - _PAD)
            left += pitch
        left += _PAD + _GAP


def _extent(group: Group, cards: dict[str, _Card]) -> tuple[float, float]:
    first, last = cards[group.nodes[0].name], cards[group.nodes[-1].name]
    return first.left - 1.5 * _PAD, last.left + last.width + 1.5 * _PAD


def _lay_beams(sheet: Drawing, diagram: Diagram, cards: dict[str, _Card]) -> None:
    """A beam for each run of neighbours on one host, and a line down to each of them."""
    hosts = {node.name: node for node in diagram.hosts}
    above = {b: wire for wire in diagram.wires for a, b in [wire.ends] if a in hosts}
    if not above:
        return
    top = sheet.take(ROW + _DROP)
    runs = groupby(cards.values(), key=lambda card: above[card.node.name].ends[0] if card.node.name in above else "")
    for host, run in runs:
        members = list(run)
        if host:
            _lay_beam(sheet, hosts[host], members, top)
            _lay_drops(sheet, members, above, top + ROW)


def _lay_beam(sheet: Drawing, host: Node, members: list[_Card], top: float) -> None:
    left, right = members[0].left, members[-1].left + members[-1].width
    shown = look(host.style)
    sheet.boxes.append(Box(left, top, right - left, ROW, host.style))
    texts = (f"{shown.letter}  {host.name}: {', '.join(host.lines)}", f"{shown.letter}  {host.name}", host.name)
    text = next((text for text in texts if fits(text, right - left - _PAD)), "")
    sheet.write_around(((left + right) / 2, top + ROW / 2), text)


def _lay_drops(sheet: Drawing, members: list[_Card], above: dict[str, Wire], top: float) -> None:
    said = ""
    for card in members:
        wire = above[card.node.name]
        line = ((card.middle, top), (card.middle, top + _DROP + _PAD))
        sheet.lines.append(_line(line, wire))
        if wire.label != said:
            for number, text in enumerate(_two_lines(wire.label, card.width - 2 * _PAD)):
                sheet.write((card.middle + 2 * _PAD, top + 14 + number * _LINE), text)
        said = wire.label


def _two_lines(label: str, room: float) -> list[str]:
    """A kind and its figure in one line, or one below the other."""
    return [label] if fits(label, room) else [shorten(part, room) for part in label.split(" ", 1)]


def _lay_card(sheet: Drawing, card: _Card, top: float) -> float:
    """A coloured head with the letter of the place, then its name and what else it says; returns where it ends."""
    shown = look(card.node.style)
    sheet.boxes.append(Box(card.left, top, card.width, ROW, card.node.style))
    size = width(shown.letter)
    if shown.letter:
        sheet.plates.append(Box(card.middle - size / 2 - 3, top + 2, size + 6, ROW - 4, card.node.style))
        sheet.write((card.middle - size / 2, top + ROW / 2), shown.letter, ink=shown.ink)
    texts = (card.node.name, *card.node.lines)
    for number, text in enumerate(texts):
        sheet.write_around((card.middle, top + ROW + (number + 0.6) * _LINE), shorten(text, card.width - 2))
    bottom = top + ROW + len(texts) * _LINE + 4
    _frame(sheet, card.left, card.left + card.width, top, bottom)
    return bottom


def _lay_arcs(sheet: Drawing, diagram: Diagram, cards: dict[str, _Card], top: float) -> float:
    """Hang an arc for every wire between members, wide ones first, so that thin ones stay visible; returns how deep."""
    at = {name: number for number, name in enumerate(cards)}
    inner = [wire for wire in diagram.wires if at.keys() >= set(wire.ends)]
    longest = max((abs(at[wire.ends[1]] - at[wire.ends[0]]) for wire in inner), default=0)
    order = list(cards.values())
    for wire in sorted(inner, key=lambda wire: -wire.strength):
        left, right = sorted(at[end] for end in wire.ends)
        share = _FEET * (longest - right + left + 1) / (longest + 1)
        start = order[left].middle + share * order[left].width / 2
        end = order[right].middle - share * order[right].width / 2
        sheet.lines.append(_line(_arc(start, end, top, _depth(right - left)), wire))
    return _depth(longest) if longest else 0.0


def _depth(span: int) -> float:
    return _RISE * span + 8


def _arc(start: float, end: float, top: float, depth: float) -> tuple[tuple[float, float], ...]:
    """Half an ellipse that hangs below ``top``; arcs of one card leave it in an order that lets them nest."""
    angles = [math.pi * dot / _DOTS for dot in range(_DOTS + 1)]
    return tuple((start + (end - start) * (1 - math.cos(at)) / 2, top + depth * math.sin(at)) for at in angles)


def _lay_caption(sheet: Drawing, group: Group, cards: dict[str, _Card], top: float) -> float:
    """Name a group at the foot of its frame; returns how high the words are."""
    left, right = _extent(group, cards)
    name = f"{group.name}: {group.note}" if group.note else group.name
    lines = wrap(name, right - left - 2 * _PAD)
    for number, line in enumerate(lines):
        sheet.write_around(((left + right) / 2, top + (number + 0.5) * _LINE), line)
    return len(lines) * _LINE


def _frame(sheet: Drawing, left: float, right: float, top: float, bottom: float) -> None:
    corners = ((left, top), (right, top), (right, bottom), (left, bottom), (left, top))
    sheet.lines.append(Line(corners, _FRAME))


def _lay_block(sheet: Drawing, group: Group) -> None:
    """A group of many members: rows of cards in a frame, its name above them."""
    start = sheet.height
    top = sheet.take(ROW + 2 * _PAD) + _PAD
    sheet.write((MARGIN + 2 * _PAD, top + ROW / 2), f"{group.name}: {group.note}" if group.note else group.name)
    pitch = (sheet.width - 2 * MARGIN - 2 * _PAD) / _PER_ROW
    for first in range(0, len(group.nodes), _PER_ROW):
        row = [
            _Card(node, MARGIN + 1.5 * _PAD + at * pitch, pitch - _PAD)
            for at, node in enumerate(group.nodes[first : first + _PER_ROW])
        ]
        sheet.height = max(_lay_card(sheet, card, sheet.height) for card in row) + _PAD
    _frame(sheet, MARGIN, sheet.width - MARGIN, start, sheet.height)
    sheet.take(_PAD)


def _lay_wire_key(sheet: Drawing, diagram: Diagram) -> None:
    """Every kind of link once, with its line and how many there are."""
    counts = Counter((wire.style, wire.strength, wire.label) for wire in diagram.wires)
    x, y = MARGIN, 0.0
    for (style, strength, label), count in sorted(counts.items(), key=lambda item: (-item[0][1], item[0])):
        text = f"{label}, {count} link{'s' if count > 1 else ''}"
        size = _SAMPLE + 6 + width(text) + _GAP
        if y == 0 or x + size - _GAP > sheet.width - MARGIN:
            x, y = MARGIN, sheet.take(ROW) + ROW / 2
        sheet.lines.append(_line(((x, y), (x + _SAMPLE, y)), Wire(("", ""), style, strength)))
        sheet.write((x + _SAMPLE + 6, y), text)
        x += size


def _line(points: tuple[tuple[float, float], ...], wire: Wire) -> Line:
    shown = look(wire.style)
    size = min(max(wire.strength / _STRENGTH_OF_A_PIXEL, _THINNEST), _WIDEST)
    return Line(points, shown.fill, dashed=shown.dashed, width=round(size, 2))


def _lay_text(sheet: Drawing, text: str) -> None:
    for line in wrap(text, sheet.width - 2 * MARGIN):
        sheet.write((MARGIN, sheet.take(_LINE + 1) + _LINE / 2 + 2), line)
