"""An answer for people: what the driver would do with a span now, and why."""

from __future__ import annotations

from dataclasses import dataclass

from svmlab.mm.span import Span
from svmlab.svm import attributes
from svmlab.svm.decision import Decision, Situation
from svmlab.svm.driver import Driver
from svmlab.svm.policy import migration_trigger, skipped_peers
from svmlab.svm.range_table import RangeTable, gpu_names, where
from svmlab.svm.ranges import Range

__all__ = ["Explanation", "RangeTable", "explain"]


@dataclass(frozen=True, slots=True)
class Reason:
    """What would happen to one range.

    Attributes:
        start, last: its pages, inclusive.
        place: the same in words.
        situation: what the decision looked at.
        decision: the best location, the rule, and the rules that lost.
        action: what set_attr would do now, in words.
        mapping: who maps it or would, in words.
        trigger: whether a set_attr would move it, and where to; None while nothing is registered.
    """

    start: int
    last: int
    place: str
    situation: Situation
    decision: Decision
    action: str
    mapping: str
    trigger: Decision | None = None

    def __str__(self) -> str:
        best = self.decision
        name = "none" if best.location is None else self.situation.name(best.location)
        return "\n".join(
            [
                f"{self.place}: best location {name}, because {best.because} (rule: {best.rule})",
                *(f"  not {lost.rule!r}: {lost.because}" for lost in best.considered),
                f"  {self.action}",
                f"  {self.mapping}",
            ]
        )


@dataclass(frozen=True, slots=True)
class Explanation:
    """What would happen to a span now, range by range.

    Attributes:
        reasons: one for each range; one made up of defaults where nothing is registered.
    """

    reasons: tuple[Reason, ...]

    @property
    def decision(self) -> Decision:
        """The decision about the first range."""
        return self.reasons[0].decision

    def __str__(self) -> str:
        return "\n".join(str(reason) for reason in self.reasons)

    __repr__ = __str__


def explain(driver: Driver, span: Span) -> Explanation:
    """Ask the driver's own policy about a span, without changing anything."""
    found = driver.svms.overlapping(span.start, span.last)
    ranges = found or [attributes.new_range(driver, span.start, span.last)]
    return Explanation(tuple(_reason(driver, range_, registered=bool(found)) for range_ in ranges))


def _reason(driver: Driver, range_: Range, *, registered: bool) -> Reason:
    situation = driver.situation(range_)
    decision: Decision = driver.behaviour.location_policy(situation)
    trigger = migration_trigger(situation, decision.location, driver.behaviour) if registered else None
    return Reason(
        range_.start,
        range_.last,
        f"pages {where(driver.mm, range_.start, range_.last)}",
        situation,
        decision,
        _action(situation, trigger),
        _mapping(driver, situation),
        trigger,
    )


def _action(s: Situation, going: Decision | None) -> str:
    if going is None:
        return "nothing is registered here: these are the defaults a new range would have"
    if going.location is None:
        return f"set_attr would move nothing: {going.because}"
    if going.location == s.actual:
        return f"set_attr would move what is still in RAM to {s.name(s.actual)}"
    return f"set_attr would move it from {s.name(s.actual)} to {s.name(going.location)}"


def _mapping(driver: Driver, s: Situation) -> str:
    bits = driver.behaviour.map_set(s)
    skipped = skipped_peers(s.machine, s.actual, bits)
    mapped = bits & ~skipped
    text = f"mapped to {gpu_names(mapped)}" if mapped else "mapped to no GPU"
    return text + (f"; {gpu_names(skipped)} skipped: outside the hive of {s.name(s.actual)}" if skipped else "")
