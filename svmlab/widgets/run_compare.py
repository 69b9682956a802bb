"""RunCompare: one scenario by two versions of the driver, and where they part."""

from __future__ import annotations

from collections.abc import Iterable

from svmlab.resources import data_path
from svmlab.scenario.format import Overrides
from svmlab.scenario.result import Result
from svmlab.scenario.runner import load_scenario, run
from svmlab.svm.behaviour_table import DEFAULT_PRESET, POSTED, PRESETS
from svmlab.trace.compare import Comparison, compare
from svmlab.trace.why import why
from svmlab.units import format_time
from svmlab.views import Cell, Row, Scene, Table, two_runs
from svmlab.widgets.controls import choice
from svmlab.widgets.lab import Lab
from svmlab.widgets.page import LEFT, RIGHT, beside, bullets, heading, told

__all__ = ["RunCompare"]

_SCENARIOS = {
    "First migration": "first-migration",
    "There and back": "there-and-back",
    "First GPU page fault": "first-gpu-fault",
}


class RunCompare(Lab):
    """Run a scenario by two versions of the driver: both timelines on one axis, and where they first differ.

    Attributes:
        scenario: the control for the scenario.
        first, second: the controls for the two behaviours.
        reset: the button that goes back to the start.
        view: both timelines, the first difference and its causes, as HTML.

    >>> runs = RunCompare()
    >>> runs.second.value = runs.first.value
    >>> "do the same" in runs.view.value
    True
    """

    def __init__(self) -> None:
        self._results: dict[tuple[str, str], Result] = {}
        self.scenario = choice(_SCENARIOS, "there-and-back")
        self.first, self.second = choice(PRESETS, DEFAULT_PRESET), choice(PRESETS, POSTED)
        super().__init__({"scenario": self.scenario, "first": self.first, "second": self.second})

    def page(self) -> str:
        """See ``Lab.page``."""
        names = (self.first.value, self.second.value)
        results = [self._result(self.scenario.value, name) for name in names]
        found = compare(*(result.process for result in results))
        scene = two_runs(*(result.process for result in results), names=names)
        left = (
            bullets("The first difference", _differences(names, found)),
            bullets("What the scenario expects", map(_outcome, names, results)),
            *_stories(names, found),
        )
        title = f"{results[0].title}: {_verdict(names, found)}"
        title += ", at other times" if found.equal and _moments(results[0]) != _moments(results[1]) else ""
        return heading(title) + beside((LEFT, left), (RIGHT, (told(scene, RIGHT),)))

    def summary(self) -> Scene:
        """A row for each scenario and each other version of the driver."""
        others = [name for name in PRESETS if name != DEFAULT_PRESET]
        lines = [self._line(title, name, other) for title, name in _SCENARIOS.items() for other in others]
        columns = ("scenario", DEFAULT_PRESET, "other", "takes", "same events", "first difference of the other")
        return Scene("summary", "Where the versions part", (Table(columns, tuple(lines), kind="summary"),))

    def _line(self, title: str, scenario: str, other: str) -> Row:
        mine, theirs = self._result(scenario, DEFAULT_PRESET), self._result(scenario, other)
        found = compare(mine.process, theirs.process)
        differs = "none" if found.equal else "it ends" if found.second is None else found.second.name
        times = [format_time(result.time_ns) for result in (mine, theirs)]
        return Row(tuple(map(Cell, (title, times[0], other, times[1], str(found.same), differs))))

    def _result(self, scenario: str, behaviour: str) -> Result:
        key = scenario, behaviour
        if key not in self._results:
            path = data_path("scenarios", f"{scenario}.toml")
            self._results[key] = run(load_scenario(path, Overrides(behaviour=behaviour)))
        return self._results[key]


def _verdict(names: Iterable[str], found: Comparison) -> str:
    if found.equal:
        return f"{' and '.join(dict.fromkeys(names))} do the same, {found.same} events"
    return f"{' and '.join(names)} part after {found.same} events"


def _moments(result: Result) -> list[int]:
    """When each event is."""
    times: list[int] = result.process.log.column("time").tolist()
    return times


def _differences(names: Iterable[str], found: Comparison) -> list[str]:
    if found.equal:
        return ["there is none"]
    events = (found.first, found.second)
    return [f"{name}: {event or 'nothing more happens'}" for name, event in zip(names, events, strict=True)]


def _stories(names: Iterable[str], found: Comparison) -> list[str]:
    """What each of the two events follows from, its first cause in front."""
    events = zip(names, (found.first, found.second), strict=True)
    return [bullets(f"Why, {name}", map(str, reversed(why(event)))) for name, event in events if event is not None]


def _outcome(name: str, result: Result) -> str:
    if result.ok:
        return f"{name}: holds, after {format_time(result.time_ns)}"
    first = result.failures[0]
    return f"{name}: {len(result.failures)} things do not hold, first {first.expected}, but: {first.found}"
