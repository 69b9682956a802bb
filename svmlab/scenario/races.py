"""Every order of a race: run each from the start, and count what it led to."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path

from svmlab.errors import InputError, LockOrderError
from svmlab.scenario.format import Choice as Behaviours
from svmlab.scenario.format import Overrides, Scenario
from svmlab.scenario.orders import Stop, stops_of
from svmlab.scenario.outcome import Outcome, Watching, outcome_of
from svmlab.scenario.result import Result
from svmlab.scenario.runner import Runner, check_explorable, load_scenario, process_of
from svmlab.scenario.search import Drawing, Picks, next_prefix, part_done
from svmlab.scenario.session import Session

__all__ = ["DRAWN", "EXHAUSTIVE", "Found", "Races", "explore", "run_order"]

EXHAUSTIVE = 3
"""Up to so many preemptions every order is run; orders with more are drawn."""
DRAWN = 1_000
"""How many orders are drawn."""
Progress = Callable[[float, int], None]
"""Told after each order which part of the search is done, 0 to 1, and how many orders were run."""


@dataclass(slots=True)
class Found:
    """An outcome, and how it comes about.

    Attributes:
        outcome: what the orders led to.
        orders: how many did.
        preemptions: how many preemptions the shortest of them has.
        order: the shortest of them.
    """

    outcome: Outcome
    orders: int
    preemptions: int
    order: tuple[Stop, ...]


@dataclass(slots=True)
class Races:
    """What the orders of a scenario lead to; prints as a table.

    Attributes:
        scenario: what was run.
        bound: every order with at most so many preemptions was run.
        orders: how many orders were run, by their number of preemptions.
        drawn: how many of them were drawn, beyond the bound.
        seed: from what they were drawn.
    """

    scenario: Scenario
    bound: int
    orders: Counter[int] = field(default_factory=Counter)
    drawn: int = 0
    seed: int = 0
    _found: dict[Outcome, Found] = field(default_factory=dict)

    @property
    def found(self) -> list[Found]:
        """Every outcome: what is wrong first, then what many orders lead to."""
        return sorted(self._found.values(), key=lambda found: (found.outcome.good, -found.orders))

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong in any order."""
        return all(outcome.good for outcome in self._found)

    def __getitem__(self, number: int) -> Found:
        """An outcome by its number in the table, from 1.

        Raises:
            InputError: there is none of that number.
        """
        if not 1 <= number <= len(self._found):
            raise InputError(f"outcome {number} of {self.scenario.title!r}", allowed=f"1 to {len(self._found)}")
        return self.found[number - 1]

    def __str__(self) -> str:
        from svmlab.scenario.race_report import table

        return table(self)

    def story(self, number: int) -> str:
        """The shortest order that leads to an outcome, leg by leg, with what happens in each.

        Raises:
            InputError: there is no outcome of that number.
        """
        from svmlab.scenario.story import story

        return story(self.scenario, self[number].order)

    def replay(self, number: int) -> Result:
        """Run the shortest order that leads to an outcome once more.

        Raises:
            InputError: there is no outcome of that number.
        """
        from svmlab.scenario.runner import run

        return run(with_order(self.scenario, self[number].order))

    def save(self, number: int, path: str | PathLike[str]) -> None:
        """Write a scenario that replays the shortest order that leads to an outcome.

        Raises:
            InputError: there is no outcome of that number, or the scenario came from no file.
        """
        from svmlab.scenario.saved_order import text_with_order

        Path(path).write_text(text_with_order(self.scenario, self[number].order), encoding="utf-8")

    def note(self, outcome: Outcome, preemptions: int, order: tuple[Stop, ...]) -> None:
        """Count an order; of those that lead to the same only the shortest is kept."""
        self.orders[preemptions] += 1
        found = self._found.setdefault(outcome, Found(outcome, 0, preemptions, order))
        found.orders += 1
        if (preemptions, len(order)) < (found.preemptions, len(found.order)):
            found.preemptions, found.order = preemptions, order


def explore(
    scenario: Scenario | str | PathLike[str],
    *,
    preemptions: int = EXHAUSTIVE,
    behaviour: Behaviours | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> Races:
    """Run a scenario in every order in which its steps with ``wait = false`` can get in each other's way.

    Args:
        scenario: a scenario, or its file.
        preemptions: how often an order may switch away from a task that could go on, 0 or more. Every order with up to
            ``EXHAUSTIVE`` is run; with more, ``DRAWN`` further orders are drawn.
        behaviour: which driver, over what the file says.
        seed: where orders are drawn from.
        progress: told after each order.

    Returns:
        What the orders led to.

    Raises:
        InputError: the scenario cannot be used, or nothing in it goes on in the background.

    >>> races = explore("data/scenarios/races/prefetch-cpu-fault.toml", preemptions=1)
    >>> races.ok
    True
    """
    if preemptions < 0:
        raise InputError(f"{preemptions} preemptions", allowed="0 or more")
    if not isinstance(scenario, Scenario):
        scenario = load_scenario(scenario, Overrides(behaviour=behaviour))
    elif behaviour is not None:
        scenario = scenario.with_head(behaviour=behaviour)
    check_explorable(scenario)
    races = Races(scenario, min(preemptions, EXHAUSTIVE), seed=seed)
    tell = progress or (lambda _part, _orders: None)
    _run_every(races, tell)
    if preemptions > EXHAUSTIVE:
        _draw(races, preemptions, tell)
    return races


def _run_every(races: Races, tell: Progress) -> None:
    prefix: tuple[int, ...] | None = ()
    while prefix is not None:
        picks = Picks(prefix)
        races.note(*run_order(races.scenario, picks))
        tell(part_done(picks.choices), races.orders.total())
        prefix = next_prefix(picks.choices, races.bound)


def _draw(races: Races, preemptions: int, tell: Progress) -> None:
    chance, usual = random.Random(races.seed), Picks(())
    run_order(races.scenario, usual)
    places = sum(choice.costs for choice in usual.choices)
    for races.drawn in range(1, DRAWN + 1):
        races.note(*run_order(races.scenario, Drawing(chance, preemptions, places)))
        tell(races.drawn / DRAWN, races.orders.total())


def run_order(scenario: Scenario, picks: Picks) -> tuple[Outcome, int, tuple[Stop, ...]]:
    """Run a scenario from its start in one order.

    Returns:
        What it led to, the number of preemptions, and the order.
    """
    process = process_of(scenario, explorable=True)
    session = Session(scenario, process)
    watching = Watching(picks, session)
    runner = Runner(session, Result(scenario.title, process), pick=watching)
    broken = ""
    try:
        runner.run(scenario.steps)
    except LockOrderError as error:
        broken = str(error)
    order = stops_of(runner.explorer) if runner.explorer else ()
    return outcome_of(runner, broken, watching.seen), picks.preemptions, order


def with_order(scenario: Scenario, order: tuple[Stop, ...]) -> Scenario:
    """The scenario with an order in its head."""
    return scenario.with_head(order=[stop.text for stop in order])
