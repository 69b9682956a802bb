"""What became of a scenario and of its steps."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from svmlab.scenario.steps import AnyStep

if TYPE_CHECKING:
    from svmlab.svm.process import Process

__all__ = ["Failure", "Result", "StepResult"]


@dataclass(slots=True)
class StepResult:
    """What became of a step.

    Attributes:
        n: its number, from 1.
        step: the step.
        ok: whether it did what the file says.
        error: name of the error it ended with, expected or not.
        started_ns, ended_ns: virtual times; None if it was skipped, or never ended.
        skipped: whether ``only`` left it out.
        message: what the driver said about the error.
    """

    n: int
    step: AnyStep
    ok: bool = True
    error: str | None = None
    started_ns: int | None = None
    ended_ns: int | None = None
    skipped: bool = False
    message: str = ""


@dataclass(frozen=True, slots=True)
class Failure:
    """An expectation that did not hold; ``n`` is one above the last step for the run at the end of the file."""

    n: int
    expected: str
    found: str


@dataclass(slots=True)
class Result:
    """What became of a scenario.

    Attributes:
        title: its title.
        process: the process ``main``, with the log and the machine as they are at the end.
        steps: one for each step.
        failures: what did not hold, by step.
        time_ns: virtual time at the end.
        events: how often each event of the format happened.
    """

    title: str
    process: Process
    steps: list[StepResult] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    time_ns: int = 0
    events: dict[str, int] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        """Whether everything held."""
        return not self.failures

    def as_dict(self) -> dict[str, Any]:
        """What ``svmlab run --json`` prints."""
        steps = [
            {
                "n": step.n,
                "do": step.step.do,
                "ok": step.ok,
                "error": step.error,
                "started_ns": step.started_ns,
                "ended_ns": step.ended_ns,
            }
            for step in self.steps
        ]
        return {
            "title": self.title,
            "ok": self.ok,
            "time_ns": self.time_ns,
            "steps": steps,
            "failures": [asdict(failure) for failure in self.failures],
            "events": self.events,
        }
