"""A call that goes on concurrently."""

from __future__ import annotations

from typing import Any

from svmlab.errors import LockOrderError, SvmError
from svmlab.hardware.world import Blocking, World

__all__ = ["Handle"]


class Handle:
    """One call under way.

    Attributes:
        name: which call.
        done: whether it has ended.
        error: what it failed with, None if it did not (or not yet).
        started_ns, ended_ns: virtual times; ``ended_ns`` is None until it ends.
    """

    def __init__(self, world: World, name: str) -> None:
        self.world, self.name = world, name
        self.done = False
        self.error: SvmError | None = None
        self.started_ns = world.now
        self.ended_ns: int | None = None
        self._value: Any = None

    def result(self) -> Any:
        """What the call returned.

        Raises:
            SvmError: what it failed with, or that it has not ended yet.
        """
        if not self.done:
            raise SvmError(f"{self.name} has not ended yet", hint="process.run() or process.wait(handle)")
        if self.error is not None:
            raise self.error
        return self._value

    def follow(self, work: Blocking[Any]) -> Blocking[None]:
        """Run the call and keep what comes of it."""
        self.started_ns = self.world.now
        try:
            self._value = yield from work
        except LockOrderError:
            raise
        except SvmError as error:
            self.error = error
        # not in a finally block: a defect of svmlab must reach the user as itself, not as a call that returned nothing
        self.done, self.ended_ns = True, self.world.now

    def __repr__(self) -> str:
        state = "under way" if not self.done else f"failed with {self.error.name}" if self.error else "done"
        return f"<{self.name}: {state}>"
