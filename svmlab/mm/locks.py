"""The kernel's locks: fair, free of events while nobody waits, and checked against the kernel's order.

Every lock belongs to a class, and the classes have an order. A task that takes a lock while it holds one of a later
class could deadlock against a task that does it the other way round; like lockdep, we report that the first time it
*could* happen, not when it does.
"""

from __future__ import annotations

from bisect import insort
from dataclasses import dataclass
from enum import IntEnum
from operator import attrgetter
from pathlib import Path
from sys import _getframe
from types import CodeType
from typing import Self

import simpy

from svmlab.errors import LockOrderError
from svmlab.hardware.world import Blocking, World
from svmlab.log import Task

__all__ = ["LockClass", "Mutex", "RwLock"]

_PACKAGE = Path(__file__).resolve().parent.parent


class LockClass(IntEnum):
    """Lock classes from the outermost to the innermost."""

    PROCESS_INFO = 1
    MMAP = 2
    SVMS = 3
    MIGRATE_MUTEX = 4
    MIGRATE_MUTEX_CHILD = 5
    RESERVATION = 6
    GTT_WINDOW = 7
    RANGE = 8
    RANGE_CHILD = 9


class _Lock:
    """What both kinds share: a class, a name, who holds it and where they took it, a queue in order of arrival.

    A lock that was taken is its own context: leaving the ``with`` block gives it up.
    """

    __slots__ = ("_name", "_page", "holders", "kind", "queue", "rank", "world", "writing")

    def __init__(self, world: World, kind: LockClass, name: str, page: int = -1) -> None:
        self.world, self.kind, self._name, self._page = world, kind, name, page
        self.rank = int(kind)  # a plain number is compared in half the time
        self.holders: dict[Task, CodeType] = {}
        self.writing = False
        self.queue: list[_Waiter] = []

    @property
    def name(self) -> str:
        """What people call it, with the page its range begins with; put together only when it is told."""
        return self._name if self._page < 0 else f"{self._name} {self._page:#x}"

    @property
    def locked(self) -> bool:
        """Whether somebody holds it."""
        return bool(self.holders)

    def _refuse(self, task: Task, where: CodeType) -> LockOrderError:
        held = next(each for each in task.held if each.rank >= self.rank)
        return LockOrderError(
            f"{task.name} takes {self.name} in {_told(where)} while it holds {held.name}, "
            f"taken in {_told(held.holders[task])}",
            allowed=f"{self.kind.name} before {held.kind.name}"
            if held.kind > self.kind
            else f"one {self.kind.name} at a time",
            hint="another task that takes them in the kernel's order would deadlock with this one",
        )

    def _free_for(self, write: bool) -> bool:
        return not self.holders or not (write or self.writing)

    def _grant(self, task: Task, write: bool, where: CodeType) -> None:
        self.holders[task] = where
        self.writing = write
        insort(task.held, self, key=attrgetter("rank"))  # a lock that was tried may belong before others

    def _acquire(self, write: bool = True) -> Blocking[Self]:
        """Wait for the lock and hold it, alone unless ``write`` is false.

        Raises:
            LockOrderError: the task holds a lock that the kernel takes after this one.
        """
        world = self.world
        task, where = world.log.task, _getframe(1).f_code
        held = task.held
        if held and held[-1].rank >= self.rank:
            raise self._refuse(task, where)
        if world.explorer is not None:
            yield world.explorer.arrive(f"before {self.name}", lambda: not self.queue and self._free_for(write))
        if not self.holders or (not self.queue and self._free_for(write)):  # nobody waits for what nobody holds
            self.holders[task], self.writing = where, write
            held.append(self)
            return self
        wait = world.emit.lock_wait(text=self.name)
        begun = world.now
        granted = world.event()
        self.queue.append(_Waiter(task, write, where, granted))
        yield granted
        world.emit.lock_acquired(text=self.name, waited_ns=world.now - begun, cause=wait)
        return self

    def _try(self, write: bool) -> Self | None:
        task = self.world.log.task
        if self.queue or not self._free_for(write) or task in self.holders:
            return None
        self._grant(task, write, _getframe(2).f_code)
        return self

    def __enter__(self) -> Self:
        return self

    def release(self, *_: object) -> None:
        """Give the lock up; whoever waited longest gets it (with the readers right behind a reader).

        Who gives up what it does not hold changes nothing: so ends a task that is thrown away in its sleep.
        """
        task = self.world.log.task
        try:
            del self.holders[task]
        except KeyError:
            return
        task.held.remove(self)
        if self.queue:
            self._hand_over()

    __exit__ = release

    def _hand_over(self) -> None:
        while self.queue and self._free_for(self.queue[0].write):
            waiter = self.queue.pop(0)
            self._grant(waiter.task, waiter.write, waiter.where)
            waiter.granted.succeed()


@dataclass(slots=True, eq=False)
class _Waiter:
    """Somebody who wants a lock: who, how, from where, and the event that tells them that they have it."""

    task: Task
    write: bool
    where: CodeType
    granted: simpy.Event


def _told(place: CodeType) -> str:
    """A function as lockdep would name it: a module and a function in it."""
    file = Path(place.co_filename)
    module = file.relative_to(_PACKAGE).with_suffix("").parts if file.is_relative_to(_PACKAGE) else (file.stem,)
    return ".".join((*module, place.co_qualname))


class Mutex(_Lock):
    """One holder at a time (struct mutex). Used as ``with (yield from mutex.held()): ...``."""

    __slots__ = ()

    held = _Lock._acquire
    """Wait for the mutex and hold it."""

    def try_held(self) -> Self | None:
        """Hold the mutex if it is free now."""
        return self._try(write=True)


class RwLock(_Lock):
    """Many readers or one writer (struct rw_semaphore); a waiting writer holds back later readers."""

    __slots__ = ()

    def read(self) -> Blocking[Self]:
        """Wait for the lock and hold it together with other readers."""
        return self._acquire(write=False)

    write = _Lock._acquire
    """Wait for the lock and hold it alone."""

    def try_read(self) -> Self | None:
        """Hold the lock for reading if that needs no waiting."""
        return self._try(write=False)

    def downgrade(self) -> None:
        """Turn a write lock into a read lock without letting a writer in between."""
        self.writing = False
        self._hand_over()
