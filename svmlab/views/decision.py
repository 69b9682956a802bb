"""The decision path: the rules that were asked in order, the one that fired, and why the others did not."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from svmlab.uapi import UNDEFINED
from svmlab.views.scene import Cell, Row, Scene, Table
from svmlab.views.source import at_place

if TYPE_CHECKING:
    from svmlab.svm.decision import Decision

__all__ = ["decision_path"]


def decision_path(decision: Decision, names: Callable[[int], str], *, of: str = "The pages") -> Scene:
    """Picture how a location was chosen.

    Args:
        decision: the decision.
        names: names a location number: ``"cpu"``, ``"gpu0"``, ..., usually ``machine.location_name``.
        of: what was decided about, as the subject of a sentence in the plural.

    Returns:
        A scene with one table: the rules in the order they are asked; the one that fired is lit.
    """
    rows = [
        *((passed.rule, "no", passed.because, "pale") for passed in decision.considered),
        (decision.rule, "yes", decision.because, "lit"),
        *((rule, "not asked", "", "") for rule in decision.rest),
    ]
    cells = ((str(number), *texts) for number, (*texts, _) in enumerate(rows, 1))
    lines = (Row(tuple(map(Cell, texts)), row[-1]) for texts, row in zip(cells, rows, strict=True))
    table = Table(("", "rule", "fires", "because"), tuple(lines), kind="decision")
    return Scene("decision", f"{of} {_verdict(decision.location, names)}", (table,))


def _verdict(location: int | None, names: Callable[[int], str]) -> str:
    if location is None:
        return "may not be accessed"
    return "stay where they are" if location == UNDEFINED else f"belong {at_place(names(location))}"
