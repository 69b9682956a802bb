"""Where the words of a chart go, so that nothing is ever written over anything.

A label, or else its short form, stands in its bar, else to the right of it, else below the lane on a line, else to the
left. What finds no room is left out: the key, the tip and the table of the scene still tell it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from math import inf

from svmlab.views.lettering import fits, width
from svmlab.views.room import Room
from svmlab.views.ruler import Ruler
from svmlab.views.scene import Bar, Chart, Lane, Mark
from svmlab.views.sheet import ROW

__all__ = ["GLYPH", "PAD", "Placed", "Strip", "place"]

PAD = 4.0
GLYPH = 5.5
"""Half the width of a mark."""
_NARROWEST = 2.0
_CROWD = 40
"""A lane with more bars and marks than this gets words only inside its bars."""
_CLEAR = 3.0
"""How far words keep from torn edges and from a line through all lanes."""
_ASIDE = 12.0
"""How far a hanging word may be from below its bar."""


@dataclass(slots=True)
class Placed:
    """A bar or a mark on paper, and what became of its words.

    Attributes:
        item: the bar or mark.
        left, right: its ends in pixels.
        middle: the pixel its hanging word belongs to.
        row: its row in the lane.
        texts: what it could say, the best first.
        word: what it says, or nothing.
        at: where the word begins in pixels.
        where: ``"inside"``, ``"beside"`` or ``"below"``.
    """

    item: Bar | Mark
    left: float
    right: float
    middle: float
    row: int
    texts: tuple[str, ...]
    word: str = ""
    at: float = 0.0
    where: str = ""

    def say(self, word: str, at: float, *, where: str) -> None:
        """Settle what it says."""
        self.word, self.at, self.where = word, at, where


@dataclass(slots=True)
class Strip:
    """A lane on paper.

    Attributes:
        lane: the lane.
        bars, marks: what it holds.
        rows: how many rows its bars need.
        top: where it begins in pixels.
    """

    lane: Lane
    bars: list[Placed]
    marks: list[Placed]
    rows: int = 1
    top: float = 0.0
    rooms: list[Room] = field(default_factory=list)

    @property
    def height(self) -> float:
        """Its height in pixels, with a row for hanging words if there are any."""
        return (self.rows + any(placed.where == "below" for placed in self.items())) * ROW

    def middle(self, row: int) -> float:
        """The middle of a row in pixels; the row below the last one is that of hanging words."""
        return self.top + (row + 0.5) * ROW

    def items(self) -> Iterator[Placed]:
        """Bars and marks."""
        yield from self.bars
        yield from self.marks


def place(chart: Chart, ruler: Ruler) -> list[Strip]:
    """Put the bars, marks and words of a chart along its ruler.

    Args:
        chart: what to place.
        ruler: its axis on paper.

    Returns:
        One strip for each lane, not yet placed in height.
    """
    strips = _strips(chart, ruler)
    lines = ruler.at([mark.at for mark in chart.marks if not mark.lane]).tolist()
    upright = [*ruler.breaks(), *((at, at) for at in lines)]
    in_the_way = [(left - _CLEAR, right + _CLEAR) for left, right in upright]
    for strip in strips:
        _place_words(strip, ruler, in_the_way)
    return strips


def _strips(chart: Chart, ruler: Ruler) -> list[Strip]:
    bars: defaultdict[str, list[Placed]] = defaultdict(list)
    marks: defaultdict[str, list[Placed]] = defaultdict(list)
    lefts = ruler.at([bar.start for bar in chart.bars]).tolist()
    rights = ruler.at([bar.end for bar in chart.bars]).tolist()
    for bar, left, right in zip(chart.bars, lefts, rights, strict=True):
        texts = (bar.label, bar.short) if bar.short else (bar.label,)
        end = max(right, left + _NARROWEST)
        bars[bar.lane].append(Placed(bar, left, end, (left + end) / 2, bar.depth, texts))
    for mark, at in zip(chart.marks, ruler.at([mark.at for mark in chart.marks]).tolist(), strict=True):
        marks[mark.lane].append(Placed(mark, at - GLYPH, at + GLYPH, at, 0, (mark.label,)))
    return [_strip(lane, bars[lane.name], marks[lane.name]) for lane in chart.lanes]


def _strip(lane: Lane, bars: list[Placed], marks: list[Placed]) -> Strip:
    """A lane; marks that would cover its bars get the first row for themselves."""
    free = Room(-inf, inf, [(bar.left, bar.right) for bar in bars if bar.row == 0])
    if not all(free.free(mark.left, mark.right) for mark in marks):
        for bar in bars:
            bar.row += 1
    return Strip(lane, bars, marks, 1 + max((bar.row for bar in bars), default=0))


def _place_words(strip: Strip, ruler: Ruler, in_the_way: list[tuple[float, float]]) -> None:
    written = [Room(ruler.left, ruler.right, []) for _ in range(strip.rows)]
    whole = Room(ruler.left, ruler.right, in_the_way)
    for placed in strip.bars:
        _place_inside(placed, whole, written[placed.row])
    items = list(strip.items())
    if len(items) > _CROWD:
        return
    taken = [[(item.left, item.right) for item in items if item.row == row] + in_the_way for row in range(strip.rows)]
    strip.rooms = [Room(ruler.left, ruler.right, pieces) for pieces in taken]
    for item in items:
        _place_beside(item, strip.rooms[item.row])
    if len(items) > 1:
        _place_below(strip, Room(ruler.left, ruler.right, in_the_way))
    for item in items:
        _place_beside(item, strip.rooms[item.row], left=True)


def _place_inside(placed: Placed, free: Room, written: Room) -> None:
    if placed.right - placed.left <= 3 * PAD:
        return
    left, right = free.widest(placed.left, placed.right)
    placed.middle = (left + right) / 2
    room = right - left - 2 * PAD
    text = next((text for text in placed.texts if text and fits(text, room)), "") if room > PAD else ""
    at = placed.middle - width(text) / 2
    # A scene whose bars overlap in one row is no reason to write over what is written.
    if text and written.claim(at, at + width(text)):
        placed.say(text, at, where="inside")


def _place_beside(item: Placed, room: Room, *, left: bool = False) -> None:
    for text in item.texts:
        at = item.left - PAD - width(text) if left else item.right + PAD
        if text and not item.word and room.claim(at - PAD / 2, at + width(text) + PAD / 2):
            item.say(text, at, where="beside")


def _place_below(strip: Strip, room: Room) -> None:
    """Hang the words of the homeless, from left to right, each as near to its place as the last one lets it."""
    edge = room.left
    homeless = [item for item in strip.items() if not item.word and item.texts[-1]]
    for item in sorted(homeless, key=lambda item: item.middle):
        if _falls(strip, item):
            edge = max(edge, _hang(item, room, edge))


def _hang(item: Placed, room: Room, edge: float) -> float:
    """Hang the word of one item: under its middle, else to the left or right of it; returns where the word ends."""
    text, middle = item.texts[-1], item.middle
    size = width(text)
    for left in (middle - size / 2, middle - size + PAD, middle - PAD):
        at = min(max(edge, left), room.right - size)
        near = at - _ASIDE <= middle <= at + size + _ASIDE
        if near and room.claim(at, at + size):
            item.say(text, at, where="below")
            return at + size + 2 * PAD
    return edge


def _falls(strip: Strip, item: Placed) -> bool:
    """Whether nothing lies between an item and the row of hanging words."""
    return all(room.free(item.middle - 1, item.middle + 1) for room in strip.rooms[item.row + 1 :])
