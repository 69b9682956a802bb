"""Exploring orders: instead of the clock, somebody chooses which task goes on at each named point.

While orders are explored no sleep takes time. A task runs until it stands at a point, waits for something, or ends;
then the next task is picked among all that could go on. A lock is a point of its own: a task that stands before a lock
which is not free cannot be picked, so no task ever queues for a lock, and whoever is picked first gets it.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from heapq import heappop
from typing import Any

import simpy
from simpy.events import Condition, Initialize, Timeout

from svmlab.errors import SvmTimeoutError
from svmlab.hardware.points import GIVING_WAY
from svmlab.hardware.world import TaskProcess, World
from svmlab.log import Task

__all__ = ["END", "MOST_TURNS", "TURN_NS", "WAITS", "ExplorableEnvironment", "Explorer", "Leg", "Pick", "Turn"]

TURN_NS = 1_000
"""What the clock advances by at each turn, so that later things have later times."""
MOST_TURNS = 300
"""After so many turns nobody will come to an end."""
PATIENCE = 8
"""Tasks of one name that come to a point more often than this get nowhere alone: they give way there from then on."""
END, WAITS = "its end", "it waits"
"""Where a task stands that is at no point."""


class ExplorableEnvironment(simpy.Environment):
    """An environment whose steps an explorer takes, while there is one."""

    explorer: Explorer | None = None

    def step(self) -> None:
        """Let the next thing happen: by the clock, or as the explorer says."""
        if self.explorer is None:
            super().step()
        else:
            self.explorer.step()

    def peek(self) -> float:
        """When the next thing happens; infinity if nothing will."""
        if self.explorer is None:
            return super().peek()
        return math.inf if self.explorer.idle else self.now


@dataclass(frozen=True, slots=True, eq=False)
class Turn:
    """A task that can go on.

    Attributes:
        process: the task.
        label: what it is called in an order.
        at: the point at which it stands; ``WAITS`` if what it waited for has happened.
        event: what wakes it.
    """

    process: TaskProcess
    label: str
    at: str
    event: simpy.Event


@dataclass(slots=True, eq=False)
class Leg:
    """A stretch in which one task goes on and no other.

    Attributes:
        process: the task.
        label: what it is called in an order.
        first_event: number of the first event of the log that belongs to it.
        passed: the points at which it arrived, in order.
        until: where the task stood when another went on.
    """

    process: TaskProcess
    label: str
    first_event: int
    passed: list[str] = field(default_factory=list)
    until: str = ""


@dataclass(slots=True, eq=False)
class _Parked:
    at: str
    event: simpy.Event
    ready: Callable[[], bool] | None


Pick = Callable[["Explorer", Sequence[Turn]], Turn]
"""Chooses who goes on, among one task or more."""


class Explorer:
    """Lets tasks go on one at a time, in an order that somebody else picks.

    Args:
        world: whose tasks; its environment is an ``ExplorableEnvironment``.
        pick: chooses.

    Attributes:
        legs: who went on, one after the other.
        current: the task that went on last.
    """

    def __init__(self, world: World, pick: Pick) -> None:
        self.world, self.pick = world, pick
        self.legs: list[Leg] = []
        self.current: TaskProcess | None = None
        self._parked: dict[TaskProcess, _Parked] = {}
        self._woken: dict[TaskProcess, simpy.Event] = {}
        self._arrivals: Counter[tuple[str, str]] = Counter()
        self._labels: dict[TaskProcess, str] = {}
        self._named: Counter[str] = Counter()
        self._turns = 0

    def begin(self) -> None:
        """From now on nothing happens by the clock."""
        self.world.explorer = self
        self._env.explorer = self

    def end(self) -> None:
        """Give the clock back."""
        self._close_leg()
        self.world.explorer = self._env.explorer = self.current = None

    @property
    def _env(self) -> ExplorableEnvironment:
        env = self.world.env
        if not isinstance(env, ExplorableEnvironment):
            raise TypeError("orders are explored in an ExplorableEnvironment")
        return env

    @property
    def idle(self) -> bool:
        """Whether nothing can happen any more."""
        return not self._env._queue and not self.turns()

    @property
    def endless(self) -> bool:
        """Whether there were so many turns that nobody will come to an end."""
        return self._turns > MOST_TURNS

    def preempts(self, turns: Sequence[Turn]) -> bool:
        """Whether to pick any other of the turns would be a preemption: the current task could go on, and wants to."""
        current = next((turn for turn in turns if turn.process is self.current), None)
        return current is not None and current.at not in GIVING_WAY and not self.repeats(current)

    def repeats(self, turn: Turn) -> bool:
        """Whether tasks of its name have come to the point where it stands more often than ``PATIENCE`` allows."""
        return self._arrivals[turn.process.task.name, turn.at] > PATIENCE

    def turns(self) -> list[Turn]:
        """Every task that can go on, oldest first."""
        found = [
            Turn(process, self.label(process), parked.at, parked.event)
            for process, parked in self._parked.items()
            if parked.ready is None or parked.ready()
        ]
        found += [Turn(process, self.label(process), WAITS, event) for process, event in self._woken.items()]
        return sorted(found, key=lambda turn: turn.process.task.id)

    def label(self, process: TaskProcess) -> str:
        """What a task is called in an order: its name, and a number if others have that name, too."""
        if process not in self._labels:
            name = process.task.name
            self._named[name] += 1
            self._labels[process] = name if self._named[name] == 1 else f"{name} #{self._named[name]}"
        return self._labels[process]

    def stands(self, process: TaskProcess) -> str:
        """Where a task stands: at a point, at ``END``, or somewhere else (``WAITS``)."""
        if not process.is_alive:
            return END
        parked = self._parked.get(process)
        return WAITS if parked is None else parked.at

    def stuck(self) -> list[tuple[Task, str]]:
        """Tasks that stand before a lock that nobody will give up, and before which."""
        found = [(process.task, parked.at) for process, parked in self._parked.items()]
        return sorted(found, key=lambda one: one[0].id)

    def arrive(self, at: str, ready: Callable[[], bool] | None = None) -> simpy.Event:
        """The running task comes to a point; the event happens when it may go on.

        Args:
            at: the name of the point; empty for a sleep that is none: it is over at once.
            ready: tells whether the task could go on now; default: always.
        """
        process = self.world.env.active_process
        if not at or not isinstance(process, TaskProcess):
            return Timeout(self.world.env, 0)
        event = self.world.event()
        self._parked[process] = _Parked(at, event, ready)
        self.label(process)
        self._arrivals[process.task.name, at] += 1
        if process is self.current:
            self.legs[-1].passed.append(at)
        return event

    def step(self) -> None:
        """Let what needs no choice happen; where nothing is left of that, pick a task and let it go on."""
        if self._env._queue:
            self._let_happen(heappop(self._env._queue)[3])
            return
        turns = self.turns()
        if not turns:
            raise simpy.core.EmptySchedule
        self._turns += 1
        if self.endless:
            raise SvmTimeoutError(f"nobody comes to an end in {MOST_TURNS} turns", hint="look at the last events")
        turn = self.pick(self, turns)
        if turn.process is not self.current:
            self._close_leg()
            self.legs.append(Leg(turn.process, turn.label, len(self.world.log)))
            self.current = turn.process
        self._env._now += TURN_NS
        self._go_on(turn)

    def _close_leg(self) -> None:
        if self.current is not None:
            self.legs[-1].until = self.stands(self.legs[-1].process)

    def _go_on(self, turn: Turn) -> None:
        self._parked.pop(turn.process, None)
        event = self._woken.pop(turn.process, turn.event)
        if event.callbacks is not None:  # a point: nobody but the explorer lets its event happen
            event._ok, event._value, event.callbacks = True, None, None  # type: ignore[assignment]
        turn.process._resume(event)

    def _let_happen(self, event: simpy.Event) -> None:
        """A sleep ends, a task starts, or something happens for which tasks wait: these can go on from now on."""
        callbacks: Any = event.callbacks
        event.callbacks = None  # type: ignore[assignment]
        for callback in callbacks:
            process = getattr(callback, "__self__", None)
            if isinstance(process, TaskProcess) and not isinstance(event, Initialize | Timeout | Condition):
                self._woken[process] = event
            else:
                callback(event)
        if not event._ok and not hasattr(event, "_defused"):
            raise event._value
