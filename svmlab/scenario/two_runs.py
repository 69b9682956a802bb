"""Two scenarios run and compared: the first event in which they differ, and the decision point behind it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from svmlab.errors import InputError
from svmlab.log import Event, Log
from svmlab.scenario.format import Overrides, Scenario
from svmlab.scenario.report import describe
from svmlab.scenario.result import Result, StepResult
from svmlab.scenario.runner import process_of, run
from svmlab.svm.behaviour import Behaviour
from svmlab.svm.behaviour_table import SLOTS, Slot
from svmlab.trace.compare import Comparison, compare
from svmlab.trace.why import why

__all__ = ["Behind", "TwoRuns", "pairs_of", "run_both"]

_HEAD = ("machine", "vram", "ram", "xnack", "seed", "payload")
_TRIES = 8
"""How many decision points are tried alone; each is a run."""


@dataclass(frozen=True, slots=True)
class Behind:
    """The decision point behind a difference.

    Attributes:
        slot: the decision point.
        first, second: what each run chooses there.
        alone: whether the first run with this choice of the second differs from it in the same event.
    """

    slot: Slot
    first: str
    second: str
    alone: bool


@dataclass(frozen=True, slots=True)
class TwoRuns:
    """Two runs and how they differ; prints as a report.

    Attributes:
        first, second: what became of each.
        names: what tells them apart.
        found: the first event in which they differ.
        unlike: what differs in the scenarios themselves, as sentences.
        step: the step of the first run in which they part.
        behind: the decision point behind it, if their behaviours differ.
    """

    first: Result
    second: Result
    names: tuple[str, str]
    found: Comparison
    unlike: tuple[str, ...] = ()
    step: StepResult | None = None
    behind: Behind | None = None

    def __str__(self) -> str:
        return "\n".join(self._lines())

    def as_dict(self) -> dict[str, Any]:
        """The same for a program."""
        events = (self.found.first, self.found.second)
        return {
            "equal": self.found.equal,
            "names": list(self.names),
            "same_events": self.found.same,
            "events": [event and {"id": event.id, "time_ns": event.time_ns, "says": str(event)} for event in events],
            "step": self.step and self.step.n,
            "unlike": list(self.unlike),
            "slot": self.behind and self.behind.slot.name,
            "choices": self.behind and [self.behind.first, self.behind.second],
            "alone": self.behind and self.behind.alone,
        }

    def _lines(self) -> Iterator[str]:
        yield from (f"{which:7} {name}" for which, name in zip(("first", "second"), self.names, strict=True))
        yield from self.unlike
        if self.step is not None:
            yield f"they part in step {self.step.n} of the first: {self.step.step.do} {describe(self.step.step)}"
        yield str(self.found)
        if self.behind is not None:
            yield from _told(self.behind)
        elif not self.found.equal:
            yield from _decided(self.found)


class _Watched(Behaviour):
    """A behaviour that notes which decision points were asked, and how many events there were then."""

    def __init__(self, chosen: Behaviour) -> None:
        super().__init__(chosen.base, chosen.overrides)
        self.asked: list[tuple[int, str]] = []
        self.log: Log | None = None
        for slot in SLOTS:
            self.__dict__[slot] = partial(self._noted, slot, self.__dict__[slot])

    def _noted(self, slot: str, function: Callable[..., Any], *args: Any, **rest: Any) -> Any:
        if self.log is not None:
            self.asked.append((len(self.log), slot))
            self.__dict__[slot] = function  # its first time is enough
        return function(*args, **rest)


def pairs_of(files: Sequence[Path], **options: Sequence[str]) -> list[tuple[Path, Overrides]]:
    """The two runs that a command line asks for, each as a file and what goes over its head.

    Args:
        files: one file for both, or one each.
        options: for each key of the head no value, one for the second run, or one each.

    Raises:
        InputError: that makes one run, or more than two.

    >>> [head.xnack for _, head in pairs_of([Path("a.toml")], machine=["toy"], xnack=["on", "off"])]
    ['on', 'off']
    """
    given = [len(files), *map(len, options.values())]
    if max(given) > 2 or (len(files) == 1 and max(given[1:], default=0) == 0):
        raise InputError(
            "compare needs two runs", allowed="two files, or one file and --behaviour, --xnack or --machine"
        )
    heads: tuple[dict[str, Any], dict[str, Any]] = ({}, {})
    for key, values in options.items():
        for head, value in zip(heads[-len(values) :] if values else (), values, strict=True):
            head[key] = value
    return [(files[0], Overrides(**heads[0])), (files[-1], Overrides(**heads[1]))]


def run_both(first: Scenario, second: Scenario, *, times: bool = False) -> TwoRuns:
    """Run two scenarios and find what separates them.

    Args:
        first, second: the scenarios; often one file under two behaviours.
        times: whether times count too.

    Returns:
        Both results and their first difference. If behaviours differ there, the decision points that were asked before
        it are switched one by one in the first scenario, the latest first, until one alone makes the same difference.

    Raises:
        InputError: a scenario cannot be run.
    """
    (mine, asked), (theirs, also_asked) = _run(first), _run(second)
    found = compare(mine.process, theirs.process, times=times)
    made = TwoRuns(mine, theirs, _names(first, second), found, tuple(_unlike(first, second)))
    if found.equal:
        return made
    points = [slot for count, slot in sorted([*asked, *also_asked], key=lambda each: each[0]) if count <= found.same]
    behind = _behind(first, second, list(dict.fromkeys(reversed(points))), mine, found.same)
    return replace(made, step=_step(mine, found.first or found.second), behind=behind)


def _run(scenario: Scenario) -> tuple[Result, list[tuple[int, str]]]:
    watched = _Watched(Behaviour.of(scenario.head.behaviour))
    process = process_of(scenario, watched)
    watched.log = process.log
    return run(scenario, process=process), watched.asked


def _behind(first: Scenario, second: Scenario, points: list[str], mine: Result, same: int) -> Behind | None:
    """The decision point behind the first difference: the latest one that makes it alone, else the latest."""
    ours, theirs = (Behaviour.of(scenario.head.behaviour).choices for scenario in (first, second))
    differing = [name for name in points if ours[name] != theirs[name]][:_TRIES]
    for name in differing:
        if _parts_alone(first, name, theirs[name], mine) == same:
            return Behind(SLOTS[name], ours[name], theirs[name], alone=True)
    return Behind(SLOTS[differing[0]], ours[differing[0]], theirs[differing[0]], alone=False) if differing else None


def _parts_alone(scenario: Scenario, slot: str, choice: str, mine: Result) -> int | None:
    """After how many events a run parts from the first if this choice alone is another; None: never, or it cannot."""
    chosen = Behaviour.of(scenario.head.behaviour)
    try:
        switched = Behaviour(chosen.base, {**chosen.overrides, slot: choice})
    except InputError:
        return None
    found = compare(mine.process, run(scenario, process=process_of(scenario, switched)).process)
    return None if found.equal else found.same


def _names(first: Scenario, second: Scenario) -> tuple[str, str]:
    named = [(scenario.file, Behaviour.of(scenario.head.behaviour)) for scenario in (first, second)]
    a, b = (f"{file}, {repr(behaviour)[len('<Behaviour ') : -1]}" for file, behaviour in named)
    return a, b


def _unlike(first: Scenario, second: Scenario) -> Iterator[str]:
    for key in _HEAD:
        mine, theirs = getattr(first.head, key), getattr(second.head, key)
        if mine != theirs:
            yield f"{key}: {mine} in the first, {theirs} in the second"
    steps = [[(step.do, describe(step)) for step in scenario.steps] for scenario in (first, second)]
    for number, (mine, theirs) in enumerate(zip(*steps, strict=False), start=1):
        if mine != theirs:
            yield f"step {number}: {' '.join(mine)} in the first, {' '.join(theirs)} in the second"
            return
    if len(steps[0]) != len(steps[1]):
        yield f"steps: {len(steps[0])} in the first, {len(steps[1])} in the second"


def _step(result: Result, event: Event | None) -> StepResult | None:
    """The step that an event belongs to: the one that began when its call did."""
    if event is None:
        return None
    began_ns = why(event)[-1].time_ns
    begun = [step for step in result.steps if step.started_ns is not None and step.started_ns <= began_ns]
    return begun[-1] if begun else None


def _told(behind: Behind) -> Iterator[str]:
    yield f"behind it is {behind.slot.name}: {behind.slot.asks}"
    for which, choice in (("first", behind.first), ("second", behind.second)):
        option = behind.slot.options[choice]
        yield f"  {which:7} {choice} ({option.tag}): {option.says}"
    if behind.alone:
        yield "  switched alone in the first, it makes this very difference"
    else:
        yield "  it is the last one asked before at which they differ; none of them makes this difference alone"


def _decided(found: Comparison) -> Iterator[str]:
    """What was decided last before the runs part: where neither a slot nor the scenario tells, this is the rule."""
    for which, event in (("first", found.first), ("second", found.second)):
        decisions = event.log.events("decision", pid=event.pid) if event else []
        before = [decision for decision in decisions if decision.id <= found.same]
        if before:
            yield f"the last rule before it in the {which}: {before[-1]}"
