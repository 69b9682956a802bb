"""The decision path: the rules that were asked in order, the one that fired, and why the others did not."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from svmlab.errors import InputError
from svmlab.svm.decision import Decision
from svmlab.uapi import UNDEFINED
from svmlab.views.scene import Cell, Row, Scene, Table
from svmlab.views.source import at_place

if TYPE_CHECKING:
    from svmlab.svm.explain import Explanation, Reason

__all__ = ["decision_path"]

_MOST = 3
"""More ranges than this are counted, not drawn."""


def decision_path(
    asked: Decision | Explanation, names: Callable[[int], str] | None = None, *, of: str = "The pages"
) -> Scene:
    """Picture how the driver decided: every rule in its order, the one that fired, and why not those before it.

    Args:
        asked: what ``p.why(a)`` answered, or one decision.
        names: for one decision, what names a location number: usually ``machine.location_name``.
        of: for one decision, what it is about, as the subject of a sentence in the plural.

    Returns:
        A scene of tables whose lit row is the rule that fired. Of ``p.why(a)``: for each range (those that differ, at
        most three) where it belongs, what set_attr would move, and who maps it.

    Raises:
        InputError: ``asked`` is neither, or a decision comes without names.

    >>> import svmlab as sl
    >>> p = sl.Process("toy")
    >>> a = p.mmap("64 KiB", name="a")
    >>> p.set_attr(a, access=["gpu0", "gpu2"], prefetch="gpu0")
    >>> for panel in decision_path(p.why(a)).tables:
    ...     print(panel.title or panel.columns[0])
    Pages a 0-15 belong in RAM
    A set_attr would move nothing
    Who maps them
    """
    if not isinstance(asked, Decision) and hasattr(asked, "reasons"):
        return _explained(asked)
    if not isinstance(asked, Decision) or names is None:
        raise InputError(f"{asked!r} cannot be drawn as a decision", allowed="p.why(a), or a Decision and names")
    return Scene("decision", f"{of} {_verdict(asked.location, names)}", (_table(asked),))


def _explained(asked: Explanation) -> Scene:
    unlike: dict[Any, Reason] = {}
    for reason in asked.reasons:
        unlike.setdefault((reason.decision, reason.trigger, reason.mapping), reason)
    shown = list(unlike.values())[:_MOST]
    panels = tuple(panel for reason in shown for panel in _panels(reason))
    count = len(asked.reasons)
    if count == 1:
        return Scene("decision", f"What the driver decides about {shown[0].place}", panels)
    left_out = f", {len(shown)} of them shown" if len(shown) < count else ""
    return Scene("decision", f"What the driver decides about {count} ranges{left_out}", panels)


def _panels(reason: Reason) -> Iterator[Table]:
    names = reason.situation.machine.location_name
    place = reason.place[0].upper() + reason.place[1:]
    yield _table(reason.decision, f"{place} {_verdict(reason.decision.location, names)}")
    if reason.trigger is None:
        yield _follows("Nothing moves", reason.action)
        return
    yield _table(reason.trigger, f"A {reason.action.partition(':')[0]}")
    yield _follows("Who maps them", reason.mapping.removeprefix("mapped to ").replace(",", ", "))


def _follows(title: str, text: str) -> Table:
    return Table((title,), (Row((Cell(text),)),), kind="follows")


def _table(decision: Decision, title: str = "") -> Table:
    rows = [
        *((passed.rule, "no", passed.because, "pale") for passed in decision.considered),
        (decision.rule, "yes", decision.because, "lit"),
        *((rule, "not asked", "", "") for rule in decision.rest),
    ]
    cells = ((str(number), *texts) for number, (*texts, _) in enumerate(rows, 1))
    lines = (Row(tuple(map(Cell, texts)), row[-1]) for texts, row in zip(cells, rows, strict=True))
    return Table(("", "rule", "fires", "because"), tuple(lines), title, "decision")


def _verdict(location: int | None, names: Callable[[int], str]) -> str:
    if location is None:
        return "may not be accessed"
    return "stay where they are" if location == UNDEFINED else f"belong {at_place(names(location))}"
