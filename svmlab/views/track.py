"""A lane of a timeline to be: bars and marks made of log columns.

A track that would hold more bars than paper can show merges neighbours and says how many they are.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from svmlab.errors import errno_name
from svmlab.views.excerpt import Excerpt, Ids, Spans
from svmlab.views.scene import Bar, Data, Mark, data
from svmlab.views.source import plural
from svmlab.views.style import look

__all__ = ["OF_TASK", "Item", "Piece", "Track", "Words", "failure", "make_bars", "make_marks"]

OF_TASK = "of task"
"""Names the value by which the parts of a track find the row of their whole: who does it, counted from 1."""

Item = Bar | Mark

_LIMIT = 150
"""Bars of one kind in one lane: 700 px hold no more that the eye tells apart."""
_MARKS = 40
"""Marks of one kind in one lane; they are wider than the thinnest bar."""


@dataclass(frozen=True, slots=True)
class Track:
    """One lane to be.

    Attributes:
        name: the lane's name.
        items: what it holds; their ``lane`` is filled in later. A bar's ``depth`` is its level: parts of other bars
            have the next one.
    """

    name: str
    items: tuple[Item, ...]

    @property
    def bars(self) -> list[Bar]:
        """Its bars."""
        return [item for item in self.items if isinstance(item, Bar)]

    @property
    def marks(self) -> list[Mark]:
        """Its marks."""
        return [item for item in self.items if isinstance(item, Mark)]


@dataclass(frozen=True, slots=True)
class Piece:
    """What one bar stands for.

    Attributes:
        opens: the event that began it.
        closes: the event that ended it, -1 for none.
        length: in ns.
        amounts: what it amounts to, by name.
    """

    opens: int
    closes: int
    length: int
    amounts: dict[str, int]


@dataclass(frozen=True, slots=True)
class Words:
    """What one bar says: its label, its short label, its values."""

    label: str
    short: str = ""
    data: Data = ()


def make_bars(x: Excerpt, spans: Spans, *, style: str, tell: Callable[[Piece], Words], depth: int = 0) -> list[Bar]:
    """Make bars of pieces of time; if they are too many, one bar for each bunch of neighbours.

    Args:
        x: the excerpt they come from; bars are clipped to its window.
        spans: the pieces.
        style: the style of the bars.
        tell: finds the words for one piece.
        depth: the level of the bars in their track.
    """
    return [replace(_bar(x, spans, part, tell, style), depth=depth) for part in spans.groups(_LIMIT)]


def make_marks(
    x: Excerpt, name: str, *, style: str, tell: str | Callable[[Ids], str], gpu: int | None = None
) -> list[Item]:
    """Make marks of all events of a kind; those of one moment are one mark, and if marks are too many, bars of many.

    Args:
        x: the excerpt.
        name: the kind of event.
        style: the style of the marks.
        tell: the label, or what finds the label of the events of one mark.
        gpu: the only GPU whose events count; None: all.
    """
    spans = x.instants(name) if gpu is None else x.of_gpu(x.instants(name), gpu)
    parts = list(spans.together())
    if len(parts) > _MARKS:
        parts = list(spans.groups(_MARKS))
    return [_mark(spans, part, style, tell) for part in parts]


def _mark(spans: Spans, part: slice, style: str, tell: str | Callable[[Ids], str]) -> Item:
    ids, start, end = spans.opens[part], int(spans.start[part][0]), int(spans.start[part][-1])
    label, of_one = (tell, tell) if isinstance(tell, str) else (tell(ids), tell(ids[:1]))
    known = data(count=len(ids), what=of_one)
    if start == end:
        return Mark("", start, style, label, data=known)
    return Bar("", start, end, style, f"{len(ids)} x {label}" if label == of_one else label, data=known)


def failure(x: Excerpt, closes: int) -> str:
    """The errno that an event ended with, after a blank; nothing if it ended well or not yet."""
    error = x.value(closes, "error") if closes >= 0 else 0
    return f" {errno_name(error)}" if error else ""


def _bar(x: Excerpt, spans: Spans, part: slice, tell: Callable[[Piece], Words], style: str) -> Bar:
    start, end = int(spans.start[part].min()), int(spans.end[part].max())
    count = part.stop - part.start
    amounts = {name: int(column[part].sum()) for name, column in spans.amounts.items()}
    if count == 1:
        words = tell(Piece(int(spans.opens[part][0]), int(spans.closes[part][0]), end - start, amounts))
    else:
        words = _bunch(count, amounts.get("npages", 0), style)
    shown = max(start, x.window[0]), min(end, x.window[1])
    lasts = end - start if shown != (start, end) else 0
    known = words.data + data(**amounts, lasts=lasts, still=int((spans.closes[part] < 0).any()))
    return Bar("", *shown, style, words.label, words.short, data=known)


def _bunch(count: int, npages: int, style: str) -> Words:
    pages = f", {plural(npages, one='page')}" if npages else ""
    return Words(f"{count} x {look(style).name}{pages}", f"{count} x", data(count=count))
