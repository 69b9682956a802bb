"""Who emits events: tasks, and the event that what they do follows from."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

__all__ = ["Task"]


@dataclass(slots=True, eq=False)
class Task:
    """Somebody who does things: a thread of the application, a worker of the kernel, work on a queue.

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

    def follow(self, event: int) -> int:
        """From now on what it does follows from an event; returns from what it followed so far.

        Who comes by thousands uses this; ``Log.because``, the context of a block, costs several times as much.
        """
        before, self.cause = self.cause, event
        return before
