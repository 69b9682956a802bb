"""The policy table: for every combination of attributes where a range belongs, and the rule that says so."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import TYPE_CHECKING, Any

from svmlab.errors import InputError
from svmlab.hardware.machine import Machine
from svmlab.svm.behaviour import Behaviour
from svmlab.svm.behaviour_table import DEFAULT_PRESET
from svmlab.svm.decision import Decision, Situation, gpus_of
from svmlab.svm.policy_grid import TableRow, fault_table, table
from svmlab.uapi import SYSMEM, UNDEFINED
from svmlab.views.scene import Cell, Row, Scene, Table

if TYPE_CHECKING:
    from svmlab.svm.buffer_view import SpanLike
    from svmlab.svm.process import Process

__all__ = ["policy_table"]

Key = tuple[str, ...]
Pattern = tuple[frozenset[str], ...]
Cells = tuple[Cell, ...]
_SETS = {
    frozenset(("ACCESS", "IN PLACE")): "yes",
    frozenset(("no", "ACCESS")): "not IN PLACE",
    frozenset(("no", "IN PLACE")): "not ACCESS",
}
_MOST = 3
"""More GPUs give more rows and columns than a page holds."""


def policy_table(
    machine: Machine | Process | str,
    *,
    gpus: Sequence[int | str] | None = None,
    behaviour: Behaviour | str | None = None,
    fault: int | str | None = None,
    span: SpanLike | None = None,
) -> Scene:
    """Picture where a range belongs for every combination of its attributes, and the rule that fires.

    Args:
        machine: whose GPUs and hives; a machine, its name, or a process, whose behaviour then counts.
        gpus: the GPUs that may have access or be asked for, at most 3; default: gpu0, one more in its hive, the first
            one outside of it, and those that ``span`` is about.
        behaviour: whose rules: a preset or a Behaviour.
        fault: a GPU: the table of where a range goes when this GPU takes a page fault on it.
        span: pages of a process: the combination of its first range is lit.

    Returns:
        A scene of tables. Rows are kinds of access (combinations that always agree share a row), columns are locations
        asked for, a cell is the location and the number of its rule; the last table lists the rules in their order.

    Raises:
        InputError: an unknown machine, GPU or behaviour, or too many GPUs.

    >>> from svmlab.views import describe
    >>> scene = policy_table("pcie-pair")
    >>> [row.cells[1].text for row in list(scene.tables)[-1].rows]
    ['xnack on', 'no prefetch location', 'prefetch to RAM', 'an accessor is far', 'prefetch location']
    """
    found, rules = _setting(machine, behaviour)
    here = _situation(machine, span)
    chosen = _indices(found, _telling(found, here) if gpus is None else gpus)
    if fault is None:
        rows, question = list(table(found, behaviour=rules, gpus=chosen)), _about_prefetch(chosen)
        title = f"Where a range belongs on {found.name}, {rules.base}"
    else:
        (faulting,) = _indices(found, [fault])
        rows, question = list(fault_table(found, faulting, gpus=chosen)), _about_fault(faulting)
        title = f"Where a range goes when gpu{faulting} of {found.name} faults on it"
    order = _rules(row.decision for row in rows)
    parts = groupby(rows, key=lambda row: row.situation.xnack)
    panels = [_panel(list(part), question, order, here=here) for _, part in parts]
    return Scene("policy table", title, (*panels, _key(rows, order)))


def _setting(given: Any, behaviour: Behaviour | str | None) -> tuple[Machine, Behaviour]:
    machine = getattr(given, "machine", given)
    if isinstance(machine, str):
        machine = Machine.find(machine)
    if not isinstance(machine, Machine):
        raise InputError(f"{given!r} has no policy table", allowed="a Machine, its name, or a Process")
    if behaviour is None and hasattr(given, "driver"):
        behaviour = given.driver.behaviour
    return machine, behaviour if isinstance(behaviour, Behaviour) else Behaviour(behaviour or DEFAULT_PRESET)


def _situation(given: Any, span: SpanLike | None) -> Situation | None:
    if span is None:
        return None
    if not hasattr(given, "why"):
        raise InputError(f"a span of {given!r}", allowed="a span of a Process")
    situation: Situation = given.why(span).reasons[0].situation
    return situation


def _telling(machine: Machine, here: Situation | None) -> list[int]:
    """Those a situation is about; gpu0, one in its hive, and one outside: enough to see what a hive changes."""
    others = [gpu.index for gpu in machine.gpus[1:]]
    near = [other for other in others if machine.near(0, other)]
    far = [other for other in others if not machine.near(0, other)]
    accessors = [] if here is None else list(gpus_of(here.access | here.in_place))
    # With xnack on every GPU may have access: then it is not about any of them.
    about = (accessors if len(accessors) <= _MOST else []) + ([] if here is None else _asked(here))
    return sorted(list(dict.fromkeys([*about, 0, *near[:1], *far[:1]]))[:_MOST])


def _asked(here: Situation) -> list[int]:
    gpus = (here.machine.by_id(location) for location in (here.prefetch, here.preferred))
    return [gpu.index for gpu in gpus if gpu is not None]


def _indices(machine: Machine, gpus: Sequence[int | str]) -> list[int]:
    found = [machine.gpu(gpu).index if isinstance(gpu, int) else _index(machine, gpu) for gpu in gpus]
    if not found or len(found) > _MOST or len(set(found)) < len(found):
        raise InputError(f"a table over the GPUs {list(gpus)}", allowed=f"1 to {_MOST} different GPUs")
    return found


def _index(machine: Machine, name: str) -> int:
    gpu = machine.by_id(machine.location(name))
    if gpu is None:
        raise InputError(f"{name!r} is no GPU", allowed="gpu0, gpu1, ...")
    return gpu.index


@dataclass(frozen=True, slots=True)
class _Question:
    """What a table varies.

    Attributes:
        heads: names of the row's columns.
        key: the values of a situation in them.
        asked: the location that a situation asks for: its column.
        verb, nothing: what a column says before the location's name, and what if none is asked for.
        fits: whether the rows can hold a situation at all.
    """

    heads: Key
    key: Callable[[Situation], Key]
    asked: Callable[[Situation], int]
    verb: str
    nothing: str
    fits: Callable[[Situation], bool]


def _about_prefetch(gpus: list[int]) -> _Question:
    heads, bits = tuple(f"gpu{gpu} access" for gpu in gpus), sum(1 << gpu for gpu in gpus)
    return _Question(
        heads,
        lambda s: tuple(_access(s, gpu) for gpu in gpus),
        lambda s: s.prefetch,
        "prefetch",
        "no prefetch",
        lambda s: not (s.access | s.in_place) & ~bits,
    )


def _about_fault(faulting: int) -> _Question:
    return _Question(
        (f"gpu{faulting} access", "range is in"),
        lambda s: (_access(s, faulting), s.name(s.actual)),
        lambda s: s.preferred,
        "preferred",
        "none preferred",
        lambda _: True,
    )


def _access(s: Situation, gpu: int) -> str:
    if s.access >> gpu & 1:
        return "ACCESS"
    return "IN PLACE" if s.in_place >> gpu & 1 else "no"


def _rules(decisions: Iterable[Decision]) -> list[str]:
    """The names of all rules in the order they are asked."""
    order: list[str] = []
    for decision in decisions:
        at = 0
        for name in (*(passed.rule for passed in decision.considered), decision.rule, *decision.rest):
            if name not in order:
                order.insert(at, name)
            at = order.index(name) + 1
    return order


def _panel(rows: list[TableRow], question: _Question, order: list[str], *, here: Situation | None) -> Table:
    first = rows[0].situation
    cells: dict[Key, Cells] = {}
    for row in rows:
        key = question.key(row.situation)
        cells[key] = (*cells.get(key, ()), _cell(row, order))
    asked = list(dict.fromkeys(question.asked(row.situation) for row in rows))
    domains = [frozenset(values) for values in zip(*cells, strict=True)]
    key, column = _spot(here, question, asked, xnack=first.xnack)
    lines = (
        _row([Cell(_words(*part)) for part in zip(pattern, domains, strict=True)], found, column if at_it else None)
        for pattern, found in _alike_together(_merged(cells))
        for at_it in [bool(key) and all(part in parts for part, parts in zip(key, pattern, strict=True))]
    )
    heads = (question.nothing if at == UNDEFINED else f"{question.verb} {first.name(at)}" for at in asked)
    return Table((*question.heads, *heads), tuple(lines), f"xnack {'on' if first.xnack else 'off'}", "policy")


def _spot(here: Situation | None, question: _Question, asked: list[int], *, xnack: bool) -> tuple[Key, int]:
    """The row and column of a situation; no row if the table does not hold it."""
    if here is None or here.xnack != xnack or not question.fits(here) or question.asked(here) not in asked:
        return (), 0
    return question.key(here), asked.index(question.asked(here))


def _row(words: list[Cell], found: Cells, here: int | None) -> Row:
    if here is None:
        return Row((*words, *found))
    marked = (replace(cell, text=f"{cell.text} here") if at == here else cell for at, cell in enumerate(found))
    return Row((*words, *marked), "lit")


def _alike_together(patterns: dict[Pattern, Cells]) -> list[tuple[Pattern, Cells]]:
    """Rows with the same answers side by side, otherwise in their order."""
    order = list(dict.fromkeys(patterns.values()))
    return sorted(patterns.items(), key=lambda item: order.index(item[1]))


def _cell(row: TableRow, order: list[str]) -> Cell:
    """A location and the number of the rule that gave it."""
    location, number = row.decision.location, order.index(row.decision.rule) + 1
    if location in (None, UNDEFINED):
        return Cell(f"{'no access' if location is None else 'stays'} ({number})")
    name = row.situation.name(location)
    return Cell(f"{name} ({number})", "cpu" if location == SYSMEM else name)


def _merged(cells: dict[Key, Cells]) -> dict[Pattern, Cells]:
    """Put combinations that always agree into one row."""
    patterns = {tuple(frozenset((part,)) for part in key): found for key, found in cells.items()}
    for at in range(len(next(iter(cells)))):
        joined: dict[tuple[Pattern, Pattern, Cells], frozenset[str]] = {}
        for pattern, found in patterns.items():
            rest = (pattern[:at], pattern[at + 1 :], found)
            joined[rest] = joined.get(rest, frozenset()) | pattern[at]
        patterns = {(*before, parts, *after): found for (before, after, found), parts in joined.items()}
    return patterns


def _words(parts: frozenset[str], domain: frozenset[str]) -> str:
    if parts == domain and len(parts) > 1:
        return "any"
    return _SETS.get(parts) or " or ".join(sorted(parts))


def _key(rows: list[TableRow], order: list[str]) -> Table:
    """The rules by their numbers, each with an example of why it fires."""
    counts = Counter(row.decision.rule for row in rows)
    examples = {row.decision.rule: row.decision.because for row in rows}
    lines = (
        Row(
            tuple(
                map(
                    Cell,
                    (f"({number})", rule, examples.get(rule, "does not happen here"), f"{counts[rule]} of {len(rows)}"),
                )
            )
        )
        for number, rule in enumerate(order, 1)
    )
    return Table(("", "rule, in this order", "because, for example", "fires in"), tuple(lines), "", "policy rules")
