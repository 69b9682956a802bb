"""Answers for people: what the driver would do with a span now and why, and its ranges as a table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from svmlab.mm.span import Span
from svmlab.svm import attributes
from svmlab.svm.decision import Decision, Situation, gpus_of
from svmlab.svm.driver import Driver
from svmlab.svm.policy import mapped_gpus
from svmlab.svm.ranges import Range
from svmlab.uapi import SYSMEM, UNDEFINED, Flag
from svmlab.units import PAGE_SIZE, format_size

__all__ = ["Explanation", "RangeTable", "explain"]


@dataclass(frozen=True, slots=True)
class Reason:
    """What would happen to one range.

    Attributes:
        start, last: its pages, inclusive.
        situation: what the decision looked at.
        decision: the best location, the rule, and the rules that lost.
        action: what set_attr would do now, in words.
        mapping: who maps it or would, in words.
    """

    start: int
    last: int
    situation: Situation
    decision: Decision
    action: str
    mapping: str

    def __str__(self) -> str:
        lines = [f"pages {self.start:#x} to {self.last:#x}: best location {_where(self.situation, self.decision.location)}, "
                 f"because {self.decision.because} (rule: {self.decision.rule})"]
        lines += [f"  not {lost.rule!r}: {lost.because}" for lost in self.decision.considered]
        return "\n".join([*lines, f"  {self.action}", f"  {self.mapping}"])


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
    found = list(driver.svms.overlapping(span.start, span.last))
    ranges = found or [attributes.new_range(driver, span.start, span.last)]
    return Explanation(tuple(_reason(driver, range_, registered=bool(found)) for range_ in ranges))


def _reason(driver: Driver, range_: Range, *, registered: bool) -> Reason:
    situation = driver.situation(range_)
    decision: Decision = driver.behaviour.location_policy(situation)
    return Reason(range_.start, range_.last, situation, decision, _action(driver, situation, decision, registered),
                  _mapping(driver, situation))


def _where(situation: Situation, location: int | None) -> str:
    return "none" if location is None else situation.name(location)


def _action(driver: Driver, s: Situation, decision: Decision, registered: bool) -> str:
    best = decision.location
    if not registered:
        return "nothing is registered here: these are the defaults a new range would have"
    if best == UNDEFINED or best is None or driver.behaviour.same_location(best, s.actual):
        return f"set_attr would move nothing: the range is in {s.name(s.actual)}"
    if best != SYSMEM and driver.behaviour.host_access_gate(s):
        return "set_attr would move nothing: without HOST_ACCESS the range stays in RAM"
    if best == SYSMEM and not driver.behaviour.prefetch_home():
        return "set_attr would move nothing: there is no way home"
    return f"set_attr would move it from {s.name(s.actual)} to {s.name(best)}"


def _mapping(driver: Driver, s: Situation) -> str:
    bits = driver.behaviour.map_set(s)
    gpus = mapped_gpus(s, bits)
    skipped = [gpu for gpu in gpus_of(bits) if gpu not in gpus]
    text = f"mapped to {_gpus(gpus)}" if gpus else "mapped to no GPU"
    return text + (f"; {_gpus(skipped)} skipped: outside the hive of {s.name(s.actual)}" if skipped else "")


def _gpus(gpus: Sequence[int]) -> str:
    return ", ".join(f"gpu{gpu}" for gpu in gpus)


_HEADS = ("pages", "size", "prefetch", "preferred", "actual", "access", "in place", "flags", "g", "in VRAM", "mapped", "state")


class RangeTable(Sequence[Range]):
    """Ranges as a table to read; indexing gives the ranges themselves.

    Args:
        driver: whose ranges.
        ranges: which, in address order.
    """

    def __init__(self, driver: Driver, ranges: Sequence[Range]) -> None:
        self._driver, self._ranges = driver, list(ranges)

    def __len__(self) -> int:
        return len(self._ranges)

    def __getitem__(self, index):  # type: ignore[no-untyped-def]
        return self._ranges[index]

    def rows(self) -> list[tuple[str, ...]]:
        """The cells of each range, as text, in the order of the heads."""
        return [self._row(range_) for range_ in self._ranges]

    def _row(self, range_: Range) -> tuple[str, ...]:
        s = self._driver.situation(range_)
        state = "invalid" if range_.invalid else "ok"
        return (
            f"{range_.start:#x}-{range_.last:#x}", format_size(range_.npages * PAGE_SIZE), s.name(s.prefetch),
            s.name(s.preferred), s.name(s.actual), _set(range_.access), _set(range_.in_place), _flags(range_.flags),
            str(range_.granularity), str(range_.vram_pages), _set(range_.mapped), state)

    def __str__(self) -> str:
        rows = [_HEADS, *self.rows()]
        widths = [max(len(row[at]) for row in rows) for at in range(len(_HEADS))]
        return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows)

    __repr__ = __str__

    def _repr_html_(self) -> str:
        head = "".join(f"<th scope='col'>{cell}</th>" for cell in _HEADS)
        body = "".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in self.rows())
        return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _set(bits: int) -> str:
    return ",".join(str(gpu) for gpu in gpus_of(bits)) or "-"


def _flags(bits: int) -> str:
    return "|".join(flag.name.lower() for flag in Flag if bits & flag and flag.name) or "-"
