"""Virtual time and the tasks that share it: one SimPy environment for each machine."""

from __future__ import annotations

import math
import random
from collections.abc import Generator, Iterable
from heapq import heappush
from typing import TYPE_CHECKING, Any, TypeVar

import simpy
from simpy.events import NORMAL, EventPriority, Initialize, Timeout

from svmlab.log import Log, Task

if TYPE_CHECKING:
    from svmlab.hardware.exploring import Explorer

__all__ = ["Blocking", "TaskProcess", "World"]

T = TypeVar("T")
Blocking = Generator[simpy.Event, Any, T]
"""What a mechanism that may sleep is: a generator to be run with ``yield from`` inside a task."""


class SeededEnvironment(simpy.Environment):
    """An environment in which chance, drawn from a seed, decides who goes first at one instant.

    What is started at one instant still begins in the order it was started.

    Args:
        seed: any whole number.
    """

    def __init__(self, seed: int) -> None:
        super().__init__(initial_time=0)
        self._random = random.Random(seed)  # chance here is for variety, not for secrets

    def schedule(self, event: simpy.Event, priority: EventPriority = NORMAL, delay: float = 0) -> None:
        """Put an event into the queue; among events of one time and priority the tie number decides."""
        tie = next(self._eid)
        if priority == NORMAL:
            tie |= self._random.getrandbits(16) << 48
        heappush(self._queue, (self._now + delay, priority, tie, event))


class Sleep(Timeout):
    """The end of a sleep; the task that sleeps waits for it and nobody else."""


class TaskProcess(simpy.Process):
    """A SimPy process that knows which task of the log it is, and says so while it runs."""

    task: Task
    world: World

    def _resume(self, event: simpy.Event) -> None:
        world = self.world
        alone = event.__class__ is Sleep and world.explorer is None
        world.log.task, world.alone_until_ns = self.task, world.horizon_ns if alone else -1
        super()._resume(event)
        world.log.task = world.log.root


class World:
    """Virtual time in integer nanoseconds, the tasks that run in it, and the log they write.

    Attributes:
        env: the SimPy environment.
        log: the one log of the machine.
        emit: appends an event of the running task's process to it.
        horizon_ns: up to when a task may let time pass by itself.
        alone_until_ns: up to when the running task may; -1 if others woke with it, or may have.
        explorer: who chooses the order while orders are explored.

    Args:
        seed: breaks ties between what may happen at one instant; 0: in the order it was scheduled.
        env: a fresh environment of another kind.
    """

    def __init__(self, seed: int = 0, env: simpy.Environment | None = None) -> None:
        if env is None:
            env = SeededEnvironment(seed) if seed else simpy.Environment(initial_time=0)
        self.env = env
        self.explorer: Explorer | None = None
        self.horizon_ns: float = -1
        self.alone_until_ns: float = -1
        self.log = Log(clock=env)
        self.emit = self.log.emitter()

    @property
    def now(self) -> int:
        """Virtual time in ns."""
        return self.env.now  # type: ignore[return-value]  # only integer delays are ever scheduled

    def spawn(self, name: str, work: Blocking[Any], *, pid: int, cause: int | None = None) -> TaskProcess:
        """Start a task that goes on concurrently.

        Args:
            name: who it is, in the log.
            work: the mechanism it runs.
            pid: the process it works for.
            cause: the event that started it; default: what the running task follows from.
        """
        process = TaskProcess(self.env, work)
        process.world = self
        process.task = self.log.new_task(name, pid=pid, cause=self.log.task.cause if cause is None else cause)
        return process

    def sleep(self, ns: int, at: str = "") -> Iterable[simpy.Event]:
        """Sleep for ``ns``; to be run with ``yield from``.

        A task that would be the next to wake need not be put away and found again: it lets the time pass itself, which
        costs a third. Nobody can tell the difference, because nobody else is due before it.

        Args:
            ns: how long.
            at: the point, of ``POINTS``, at which the task stands meanwhile; empty: at none.
        """
        env = self.env
        due = env._now + ns
        if due <= self.alone_until_ns and not (env._queue and env._queue[0][0] <= due):
            env._now = due
            return ()
        return (Sleep(env, ns) if self.explorer is None else self.explorer.arrive(at),)

    def timer(self, ns: int) -> simpy.Event:
        """An event that happens ``ns`` from now, for who waits for something else as well."""
        return Timeout(self.env, int(ns)) if self.explorer is None else self.explorer.arrive("")

    def point(self, at: str) -> Blocking[None]:
        """Stand at a point of ``POINTS``: another task may go on now, if orders are explored; otherwise nothing."""
        if self.explorer is not None:
            yield self.explorer.arrive(at)

    def event(self) -> simpy.Event:
        """An event that happens when somebody says so."""
        return self.env.event()

    def step(self, *, within_ns: int) -> None:
        """Let the next thing happen, and what the task that it wakes does alone in the following ``within_ns``."""
        self.horizon_ns = self.env._now + within_ns
        try:
            self.env.step()
        finally:
            self.horizon_ns = -1

    def run_for(self, ns: int) -> None:
        """Let a stretch of virtual time pass."""
        if not ns:
            return
        self.horizon_ns = math.inf  # the end of the stretch is an event itself, and nobody passes what is due
        try:
            self.env.run(until=self.env._now + ns)
        finally:
            self.horizon_ns = -1

    def begin(self, process: TaskProcess) -> None:
        """Run a task that was just spawned up to its first sleep, if nobody else runs now."""
        if self.inside_a_task():
            return
        while isinstance(process.target, Initialize) and not process.target.processed:
            self.env.step()

    def inside_a_task(self) -> bool:
        """Whether the caller runs inside the simulation."""
        return self.env.active_process is not None
