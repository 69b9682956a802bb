"""Who emits events: tasks, and the event that what they do follows from."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Because", "Task"]


@dataclass(slots=True, eq=False)
class Task:
    """Somebody who does things: a thread of the application, a worker of the kernel, work on a queue.

    Attributes:
        id: its number in ``Log.tasks``.
        name: ``"app"``, ``"restore worker"``, ``"gpu0 queue 1"``, ...
        pid: the process it works for.
        cause: id of the event that what it does now follows from (-1: nothing).
        held: the locks it holds, in the order it took them.
    """

    id: int
    name: str
    pid: int
    cause: int = -1
    held: list[Any] = field(default_factory=list)


class Because(AbstractContextManager[int]):
    """While it is entered, what a task does follows from an event."""

    __slots__ = ("before", "event", "task")

    def __init__(self, task: Task, event: int) -> None:
        self.task, self.event = task, event

    def __enter__(self) -> int:
        self.before, self.task.cause = self.task.cause, self.event
        return self.event

    def __exit__(self, *raised: object) -> None:
        self.task.cause = self.before
