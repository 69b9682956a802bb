"""What the orders of a race lead to, as a table and for a program."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from svmlab.scenario.outcome import FOR_EVER, MANY
from svmlab.scenario.races import Found, Races
from svmlab.svm.behaviour import Behaviour

__all__ = ["as_dict", "table"]

_HEADINGS = ("#", "orders", "least", "given up", "queues", "where the pages are", "what they hold")


_GIVEN_UP = {FOR_EVER: "for ever", MANY: f"{MANY} or more"}


def table(races: Races) -> str:
    """A table of the outcomes, with the bound that it holds for."""
    lines = [f"{races.scenario.title} ({_head(races)})", _searched(races), ""]
    rows = [_HEADINGS, *(_row(number, found) for number, found in enumerate(races.found, start=1))]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEADINGS))]
    for number, row in enumerate(rows):
        cells = [
            cell.rjust(width) if column < 4 else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join(cells).rstrip())
        if number:
            lines += [f"     {line}" for line in _troubles(races.found[number - 1])]
    return "\n".join(lines)


def _head(races: Races) -> str:
    return f"{_behaviour(races)}, xnack {races.scenario.head.xnack}"


def _behaviour(races: Races) -> str:
    chosen = Behaviour.of(races.scenario.head.behaviour)
    return ", ".join([chosen.base, *(f"{slot} = {option}" for slot, option in chosen.overrides.items())])


def _searched(races: Races) -> str:
    every, outcomes = races.orders.total() - races.drawn, len(races.found)
    bound = "no preemption" if not races.bound else f"at most {_count(races.bound, 'preemption')}"
    drawn = f" and {races.drawn:,} drawn with more (seed {races.seed})" if races.drawn else ""
    bad = sum(found.orders for found in races.found if not found.outcome.good)
    wrong = f"something is wrong in {_count(bad, 'of them', 'of them')}" if bad else "nothing is wrong in any of them"
    return f"every order with {bound}: {every:,}{drawn}; {_count(outcomes, 'outcome')}; {wrong}"


def _count(number: int, one: str, many: str = "") -> str:
    return f"{number:,} {one}" if number == 1 else f"{number:,} {many or one + 's'}"


def _row(number: int, found: Found) -> tuple[str, ...]:
    outcome = found.outcome
    return (
        str(number),
        f"{found.orders:,}",
        str(found.preemptions),
        _GIVEN_UP.get(outcome.rescheduled, str(outcome.rescheduled)),
        outcome.queues,
        "; ".join(outcome.places),
        "; ".join(outcome.contents),
    )


def _troubles(found: Found) -> Iterator[str]:
    yield from found.outcome.errors
    yield from (f"WRONG: {one}" for one in found.outcome.wrong)
    yield from (f"WRONG for a moment: {one}" for one in found.outcome.meanwhile)


def as_dict(races: Races) -> dict[str, Any]:
    """What ``svmlab race --json`` prints."""
    return {
        "title": races.scenario.title,
        "file": races.scenario.file,
        "behaviour": _behaviour(races),
        "xnack": races.scenario.head.xnack,
        "ok": races.ok,
        "bound": races.bound,
        "orders": {str(preemptions): count for preemptions, count in sorted(races.orders.items())},
        "drawn": races.drawn,
        "seed": races.seed,
        "outcomes": [
            {
                "n": number,
                "orders": found.orders,
                "preemptions": found.preemptions,
                "ok": found.outcome.good,
                "places": list(found.outcome.places),
                "contents": list(found.outcome.contents),
                "errors": list(found.outcome.errors),
                "rescheduled": found.outcome.rescheduled,
                "queues": found.outcome.queues,
                "wrong": list(found.outcome.wrong),
                "meanwhile": list(found.outcome.meanwhile),
                "order": [stop.text for stop in found.order],
            }
            for number, found in enumerate(races.found, start=1)
        ],
    }
