"""Who emits events: tasks, and the event that what they do follows from."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

__all__ = ["Task"]


@dataclass(slots=True, eq=False)
class Task:
    """Somebody who does things: a thread of the application, a worker of the kernel, work on a queue.

    It is the context of a ``with`` block in which what it does follows from an event (``Log.because``).

    Attributes:
        id: its number in ``Log.tasks``.
        name: ``"app"``, ``"restore worker"``, ``"gpu0 queue 1"``, ...
        pid: the process it works for.
        cause: id of the event that what it does now follows from (-1: nothing).
        held: the locks it holds, outermost first.
    """

    id: int
    name: str
    pid: int
    cause: int = -1
    held: list[Any] = field(default_factory=list)
    _before: list[int] = field(default_factory=list)

    def follow(self, event: int) -> Task:
        """From now on what it does follows from an event, until the block ends whose context this is."""
        self._before.append(self.cause)
        self.cause = event
        return self

    def __enter__(self) -> Task:
        return self

    def __exit__(self, *raised: object) -> None:
        self.cause = self._before.pop()
