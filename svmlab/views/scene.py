"""Scenes: pictures as plain data, before anybody decides how to draw or tell them.

A scene holds values (nanoseconds, pages, bytes, names), never positions on paper. A *chart* is lanes along one axis
with bars and marks; a timeline, a page map, a VRAM map and a bar chart are all charts that differ in unit and style.
A *table* is rows of styled cells: policy tables, decision paths, numbered steps. A *diagram* is groups of things and
the wires between them: a machine. Every renderer draws every scene.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import MISSING, dataclass, fields, is_dataclass, replace
from typing import Any

__all__ = [
    "Axis",
    "Bar",
    "Cell",
    "Chart",
    "Data",
    "Diagram",
    "Group",
    "Lane",
    "Mark",
    "Node",
    "Panel",
    "Row",
    "Scene",
    "Table",
    "Value",
    "Wire",
    "data",
    "stack",
]

Value = int | str
Data = tuple[tuple[str, Value], ...]
"""Named values behind a bar or mark; what ``describe`` counts and adds up."""


@dataclass(frozen=True, slots=True)
class Axis:
    """The measured direction of a chart.

    Attributes:
        start, end: the values at its ends, ``start <= end``.
        unit: ``"ns"``, ``"pages"`` or ``"bytes"``.
        title: what is measured.
        breaks: pieces ``(start, end)`` that are left out and marked, ascending and disjoint.
    """

    start: int
    end: int
    unit: str = "ns"
    title: str = ""
    breaks: tuple[tuple[int, int], ...] = ()

    @property
    def kept(self) -> int:
        """How much of it is shown."""
        return self.end - self.start - sum(end - start for start, end in self.breaks)

    @property
    def pieces(self) -> tuple[tuple[int, int], ...]:
        """What the breaks leave, ascending."""
        edges = [self.start, *(edge for piece in self.breaks for edge in piece), self.end]
        return tuple(zip(edges[::2], edges[1::2], strict=True))


@dataclass(frozen=True, slots=True)
class Lane:
    """A row of a chart: who, or which table.

    Attributes:
        name: stands at its left end; bars and marks refer to it.
        note: one sentence about it.
    """

    name: str
    note: str = ""


class _Told:
    """What bars and marks share: named values."""

    __slots__ = ()
    data: Data

    def get(self, name: str, default: Any = 0) -> Any:
        """The value of that name."""
        return dict(self.data).get(name, default)


@dataclass(frozen=True, slots=True)
class Bar(_Told):
    """Something that extends from ``start`` to ``end``; a gap is a bar whose style says that somebody waits.

    Attributes:
        lane: name of its lane.
        start, end: in the axis' unit.
        style: a location or kind that ``style.look`` knows.
        label: what is written into it where there is room.
        short: what is written where there is little; the label then moves to the numbered key.
        depth: 0 or, for a part of another bar or one that overlaps it, the row below.
        note: one sentence, with its length.
        data: the values behind it.
    """

    lane: str
    start: int
    end: int
    style: str
    label: str = ""
    short: str = ""
    depth: int = 0
    note: str = ""
    data: Data = ()


@dataclass(frozen=True, slots=True)
class Mark(_Told):
    """Something that happens at one value of the axis.

    Attributes:
        lane: name of its lane; an empty name is a line through all lanes.
        at: where, in the axis' unit.
        style, label, note, data: as a bar's.
    """

    lane: str
    at: int
    style: str
    label: str = ""
    note: str = ""
    data: Data = ()


@dataclass(frozen=True, slots=True)
class Chart:
    """Lanes along one axis.

    Attributes:
        axis: what is measured.
        lanes: from top to bottom.
        bars, marks: what the lanes hold, in any order.
        title: stands above it; may be empty.
        kind: the view it is of; decides how it is told.
    """

    axis: Axis
    lanes: tuple[Lane, ...]
    bars: tuple[Bar, ...] = ()
    marks: tuple[Mark, ...] = ()
    title: str = ""
    kind: str = ""

    def styled(self, style: str) -> list[Bar]:
        """Its bars of one style, in order of their start."""
        return sorted((bar for bar in self.bars if bar.style == style), key=lambda bar: (bar.start, bar.end))


@dataclass(frozen=True, slots=True)
class Cell:
    """A piece of text in a table, on the colour of ``style`` if it has one."""

    text: str
    style: str = ""


@dataclass(frozen=True, slots=True)
class Row:
    """A row of a table.

    Attributes:
        cells: one for each column.
        style: ``""``, ``"lit"`` (the one that counts) or ``"pale"`` (the ones that lost).
    """

    cells: tuple[Cell, ...]
    style: str = ""


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of styled text under column names; ``title`` and ``kind`` as a chart's."""

    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    title: str = ""
    kind: str = ""


@dataclass(frozen=True, slots=True)
class Node:
    """A thing in a diagram.

    Attributes:
        name: what wires refer to, and its first line.
        style: a location or kind that ``style.look`` knows.
        lines: what else it says.
    """

    name: str
    style: str
    lines: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Group:
    """Things of a diagram that belong together, in one frame.

    Attributes:
        name: of the group.
        nodes: its members, from left to right.
        note: what holds for all of them, in a few words.
    """

    name: str
    nodes: tuple[Node, ...]
    note: str = ""


@dataclass(frozen=True, slots=True)
class Wire(_Told):
    """What connects two things of a diagram.

    Attributes:
        ends: names of the two nodes.
        style: its kind, which ``style.look`` knows.
        strength: how much it carries, in bytes per second; drawn as its width.
        label: what it is and carries, in words.
        data: the values behind it.
    """

    ends: tuple[str, str]
    style: str
    strength: int
    label: str = ""
    data: Data = ()


@dataclass(frozen=True, slots=True)
class Diagram:
    """Groups of things, and the wires between them.

    Attributes:
        hosts: what stands above the groups; each is wired to members of them.
        groups: from left to right.
        wires: between a host and a member, or between two members of one group.
        notes: sentences that stand below.
        title, kind: as a chart's.
    """

    hosts: tuple[Node, ...]
    groups: tuple[Group, ...]
    wires: tuple[Wire, ...] = ()
    notes: tuple[str, ...] = ()
    title: str = ""
    kind: str = ""

    @property
    def nodes(self) -> list[Node]:
        """The members of all groups, from left to right."""
        return [node for group in self.groups for node in group.nodes]


Panel = Chart | Table | Diagram


@dataclass(frozen=True, slots=True)
class Scene:
    """A picture as data.

    Attributes:
        kind: short name of what it is: ``"timeline"``, ``"page map"``, ...
        title: one line above it.
        panels: from top to bottom.
        aside: how many of the panels, from the first on, stand to the left of all the others.
    """

    kind: str
    title: str
    panels: tuple[Panel, ...]
    aside: int = 0

    @property
    def charts(self) -> Iterator[Chart]:
        """Its panels that are charts."""
        return (panel for panel in self.panels if isinstance(panel, Chart))

    @property
    def tables(self) -> Iterator[Table]:
        """Its panels that are tables."""
        return (panel for panel in self.panels if isinstance(panel, Table))

    def framed_as(self, other: Scene) -> Scene:
        """The same content on the axes and lanes of another scene, so that pictures of a series can be compared.

        Args:
            other: a scene of the same make, usually of the whole run.
        """
        framed = zip(self.panels, other.panels, strict=False)
        return replace(self, panels=tuple(_framed(mine, theirs) for mine, theirs in framed))

    def to_dict(self) -> dict[str, Any]:
        """The scene in dicts, lists, numbers and texts; fields at their default are left out."""
        plain: dict[str, Any] = _plain(self)
        return plain


def stack(kind: str, title: str, *scenes: Scene) -> Scene:
    """Put scenes one above the other; each panel without a title gets its scene's, and is told as before."""
    titled = (replace(panel, title=panel.title or scene.title) for scene in scenes for panel in scene.panels)
    return Scene(kind, title, tuple(titled))


def _framed(mine: Panel, theirs: Panel) -> Panel:
    if isinstance(mine, Chart) and isinstance(theirs, Chart):
        # A lane that only this scene has stays: a frame may hide nothing.
        own = tuple(lane for lane in mine.lanes if lane not in theirs.lanes)
        return replace(mine, axis=theirs.axis, lanes=theirs.lanes + own)
    return mine


def _plain(value: Any) -> Any:
    if is_dataclass(value):
        shown = {field.name: getattr(value, field.name) for field in fields(value) if _differs(value, field)}
        tag = {"panel": type(value).__name__.lower()} if isinstance(value, Panel) else {}
        return tag | {name: dict(held) if name == "data" else _plain(held) for name, held in shown.items()}
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return value


def _differs(value: Any, field: Any) -> bool:
    return field.default is MISSING or getattr(value, field.name) != field.default


def data(**values: Value) -> Data:
    """Write named values as a scene keeps them; zeros and empty texts are left out."""
    return tuple((name, value) for name, value in values.items() if value)
