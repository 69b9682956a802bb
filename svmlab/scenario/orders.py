"""An order in words: which task goes on how far, leg after leg; what a scenario carries and ``svmlab run`` replays."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from svmlab.errors import InputError
from svmlab.hardware.exploring import END, WAITS, Explorer, Leg, Turn
from svmlab.hardware.points import POINTS

__all__ = ["Following", "MisfitError", "Stop", "parse_order", "stops_of", "usual"]

_LEG = re.compile(r"(?P<task>.+?) until (?P<at>.+?)(?: \((?P<times>[1-9]\d*)\))?")
_LOCK = re.compile(r"before \S.*")


class MisfitError(Exception):
    """An order does not fit a run; ``refusal`` says where and why."""

    def __init__(self, refusal: InputError) -> None:
        super().__init__(str(refusal))
        self.refusal = refusal


class Stop(NamedTuple):
    """One leg of an order.

    Attributes:
        task: who goes on; a number behind the name tells the second, third, ... of that name.
        at: where it stops: a point, a lock (``"before mmap_lock of main"``), ``"its end"`` or ``"it waits"``.
        times: at the how-manieth arrival there.

    >>> Stop("main: fork", "its end").text, Stop("main: fork", "after a walk", 2).text
    ('main: fork until its end', 'main: fork until after a walk (2)')
    """

    task: str
    at: str
    times: int = 1

    @property
    def text(self) -> str:
        """As it stands in a scenario."""
        return f"{self.task} until {self.at}" + (f" ({self.times})" if self.times > 1 else "")


def parse_order(lines: Iterable[str]) -> tuple[Stop, ...]:
    """Read an order.

    Args:
        lines: ``"TASK until POINT"`` each, with ``(2)`` behind it for the second arrival.

    Raises:
        InputError: a line is none, or names a point that is not there.

    >>> parse_order(["main: set_attr until after collecting (2)"])
    (Stop(task='main: set_attr', at='after collecting', times=2),)
    """
    return tuple(_parse(line) for line in lines)


def _parse(line: str) -> Stop:
    match = _LEG.fullmatch(line)
    if match is None:
        raise InputError(f"order: {line!r}", allowed='"TASK until POINT"', hint="svmlab race FILE prints whole orders")
    task, at = match["task"], match["at"]
    if at not in POINTS and at not in (END, WAITS) and not _LOCK.fullmatch(at):
        raise InputError(f"order: no point is called {at!r}", allowed=", ".join([*POINTS, "before a lock", END, WAITS]))
    return Stop(task, at, int(match["times"] or 1))


def stops_of(explorer: Explorer) -> tuple[Stop, ...]:
    """The order that an explorer has taken, leg by leg; it has come to its end."""
    return tuple(Stop(leg.label, leg.until, max(1, leg.passed.count(leg.until))) for leg in explorer.legs)


class Following:
    """Picks turns as an order says; behind its end, as ``usual``.

    Args:
        stops: the order.
    """

    def __init__(self, stops: Sequence[Stop]) -> None:
        self.stops = tuple(stops)
        self._at = 0
        self._begun: tuple[Leg | None, int] | None = None

    def __call__(self, explorer: Explorer, turns: Sequence[Turn]) -> Turn:
        """Who goes on.

        Raises:
            MisfitError: the order does not fit: its task cannot go on, or never came to the point it names.
        """
        if self._is_over(explorer):
            self._begun, self._at = None, self._at + 1
        if self._at == len(self.stops):
            return usual(explorer, turns)
        stop = self.stops[self._at]
        turn = next((turn for turn in turns if turn.label == stop.task), None)
        if turn is None:
            able = ", ".join(f"{turn.label!r} ({turn.at})" for turn in turns)
            raise self._misfit(f"{stop.task!r} cannot go on", f"one of those that can: {able}")
        if self._begun is None:
            self._begun = (explorer.legs[-1], len(explorer.legs[-1].passed)) if explorer.legs else (None, 0)
        return turn

    def check_finished(self, explorer: Explorer) -> None:
        """Refuse an order of which something was left when nothing could go on any more.

        Raises:
            MisfitError: something is left.
        """
        if self._at + self._is_over(explorer) < len(self.stops):
            raise self._misfit("nothing can go on any more", "an order that ends where its tasks do")

    def _is_over(self, explorer: Explorer) -> bool:
        """Whether the task of the present line stands where the line says."""
        if self._begun is None:
            return False
        stop, leg = self.stops[self._at], explorer.legs[-1]
        before = self._begun[1] if leg is self._begun[0] else 0
        at_a_point = leg.passed[before:].count(stop.at) == stop.times
        return explorer.stands(leg.process) == stop.at and (at_a_point or stop.at in (END, WAITS))

    def _misfit(self, given: str, allowed: str) -> MisfitError:
        where = f"line {self._at + 1} ({self.stops[self._at].text!r})"
        hint = "svmlab race FILE finds orders that fit"
        return MisfitError(InputError(f"{where}: {given}", allowed=allowed, hint=hint))


def usual(explorer: Explorer, turns: Sequence[Turn]) -> Turn:
    """Whoever went on last goes on, if it can and does not give way; else the oldest of the others."""
    current = next((turn for turn in turns if turn.process is explorer.current), None)
    if current is not None and explorer.preempts(turns):
        return current
    others = [turn for turn in turns if turn is not current]
    return others[0] if others else turns[0]
