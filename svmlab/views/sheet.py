"""A drawing as a list of shapes in pixels: what layout hands to the renderers, so that all of them draw the same."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from svmlab.views.lettering import BODY_PX, width
from svmlab.views.style import INK

__all__ = ["MARGIN", "ROW", "Box", "Drawing", "Line", "Word"]

MARGIN = 10.0
ROW = 22.0
"""Height of a line of text with air around it."""
_BASELINE = 0.36
"""From the middle of a line of text down to its baseline, in font sizes."""


@dataclass(frozen=True, slots=True)
class Box:
    """A filled rectangle; ``tip`` is what hovering over it tells (never the only place that tells it)."""

    x: float
    y: float
    width: float
    height: float
    style: str
    tip: str = ""


@dataclass(frozen=True, slots=True)
class Line:
    """A line of ``width`` pixels through some points; ``fill`` makes it an area."""

    points: tuple[tuple[float, float], ...]
    ink: str = INK
    dashed: bool = False
    fill: str = ""
    width: float = 1.0


@dataclass(frozen=True, slots=True)
class Word:
    """A line of text that begins at ``x`` and stands on ``y``."""

    x: float
    y: float
    text: str
    ink: str = INK
    size: float = BODY_PX
    bold: bool = False

    @property
    def width(self) -> float:
        """How wide it is in pixels."""
        return width(self.text, self.size, bold=self.bold)


@dataclass(slots=True)
class Drawing:
    """Shapes on a sheet of ``width`` pixels, in layers: ground, boxes, plates (which cover boxes), lines, words.

    Attributes:
        width: of the sheet.
        height: how far down it is filled; layout moves it as it goes.
        tips: whether its boxes carry tips.
    """

    width: float
    height: float = MARGIN
    tips: bool = True
    ground: list[Box] = field(default_factory=list)
    boxes: list[Box] = field(default_factory=list)
    plates: list[Box] = field(default_factory=list)
    lines: list[Line] = field(default_factory=list)
    words: list[Word] = field(default_factory=list)

    def write(self, at: tuple[float, float], text: str, *, ink: str = INK, bold: bool = False) -> None:
        """Write a line of body text from a point on; the point is at half its height."""
        if text:
            self.words.append(Word(at[0], at[1] + _BASELINE * BODY_PX, text, ink, BODY_PX, bold))

    def write_around(self, at: tuple[float, float], text: str) -> None:
        """Write a line of body text around a point."""
        self.write((at[0] - width(text) / 2, at[1]), text)

    def take(self, height: float) -> float:
        """Use up so much of the sheet and return where it begins."""
        top, self.height = self.height, self.height + height
        return top

    def paste(self, other: Drawing, at: tuple[float, float]) -> None:
        """Put another drawing on this one, its upper left corner at a point."""
        x, y = at
        for mine, theirs in ((self.ground, other.ground), (self.boxes, other.boxes), (self.plates, other.plates)):
            mine += [replace(box, x=box.x + x, y=box.y + y) for box in theirs]
        self.lines += [replace(line, points=tuple((a + x, b + y) for a, b in line.points)) for line in other.lines]
        self.words += [replace(word, x=word.x + x, y=word.y + y) for word in other.words]
