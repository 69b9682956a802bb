"""Paired timing: subject and base in turn, so that whatever else the computer does hits both alike.

What is timed is the time the processor spent on this process (``time.process_time_ns``), of subject and base alike and
in every group: all of them work on one thread and never wait, and on a computer that others use too a clock on the wall
tells mostly what they do.
"""

from __future__ import annotations

import gc
import statistics
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from time import process_time_ns
from typing import TypedDict

__all__ = ["PAIRS", "Case", "Row", "at_rest", "judged", "measure"]

PAIRS = 9
"""How many pairs are timed; an odd number has a middle one."""

Clock = Callable[[], int]


class Row(TypedDict):
    """The result of one case.

    Attributes:
        name: what was measured.
        ratio: time of the subject over that of the base, the median over the pairs; or what else was measured.
        goal: what the ratio may be at most.
        met: whether it is.
        spread: the least and the largest ratio of a pair.
        base: what the base is, or the unit of what was measured.
        ms: milliseconds of one call of the subject, the median.
    """

    name: str
    ratio: float
    goal: float
    met: bool
    spread: tuple[float, float]
    base: str
    ms: float


def _nothing() -> None:
    """What most cases have to prepare."""


@dataclass(frozen=True, slots=True)
class Case:
    """A subject and a base to compare it with.

    Attributes:
        name: what is measured.
        base: what the base is, in words.
        goal: what the ratio may be at most.
        subject: does ``calls`` calls.
        baseline: does as many of the base.
        calls: how many.
        prepare: is called before each of them, and is not timed.
    """

    name: str
    base: str
    goal: float
    subject: Callable[[], object]
    baseline: Callable[[], object]
    calls: int
    prepare: Callable[[], object] = _nothing


def measure(case: Case, *, pairs: int = PAIRS, clock: Clock = process_time_ns) -> Row:
    """Time subject and base in turn, one pair after the other.

    The first pair warms caches and does not count. Every other pair begins with the base, so that a computer that
    slows down favours neither.

    Args:
        case: what to compare.
        pairs: how many pairs count.
        clock: tells the time in ns.

    >>> row = measure(Case("sum", "the same", 3.0, lambda: sum(range(900)), lambda: sum(range(900)), 1), pairs=7)
    >>> row["met"], len(row["spread"])
    (True, 2)
    """
    with at_rest():
        timed = [_pair(case, swapped=number % 2 == 1, clock=clock) for number in range(pairs + 1)][1:]
    ms = statistics.median(subject for subject, _ in timed) / case.calls / 1e6
    return judged(case.name, [subject / base for subject, base in timed], case.goal, base=case.base, ms=ms)


@contextmanager
def at_rest() -> Iterator[None]:
    """The garbage collector rests, and does not walk what was built before."""
    gc.collect()
    gc.freeze()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
        gc.unfreeze()


def judged(name: str, values: Sequence[float], goal: float, *, base: str, ms: float) -> Row:
    """The row of what was measured again and again.

    Args:
        name: what was measured.
        values: each time; ratios, or what ``base`` says.
        goal: what their median may be at most.
        base: what they are compared with, or their unit.
        ms: milliseconds that it took once.

    >>> judged("a thing", [1.0, 3.0, 2.0], 2.0, base="another", ms=5.0)["spread"]
    (1.0, 3.0)
    """
    middle = statistics.median(values)
    spread = (round(min(values), 3), round(max(values), 3))
    return Row(name=name, ratio=round(middle, 3), goal=goal, met=middle <= goal, spread=spread, base=base, ms=ms)


def _pair(case: Case, *, swapped: bool, clock: Clock) -> tuple[int, int]:
    if swapped:
        base = _time(case, case.baseline, clock)
        return _time(case, case.subject, clock), base
    return _time(case, case.subject, clock), _time(case, case.baseline, clock)


def _time(case: Case, work: Callable[[], object], clock: Clock) -> int:
    case.prepare()
    begin = clock()
    work()
    return max(1, clock() - begin)
