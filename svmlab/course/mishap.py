"""Whatever a learner's own code raises, caught to be told in words."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import Any

__all__ = ["Mishap", "attempt"]


class Mishap:
    """Catches whatever a learner's own code raises.

    Their function may fail in any way there is, and a traceback through the course would teach them nothing. Nothing is
    swallowed: whoever uses this tells the error.

    Attributes:
        error: what was raised.
    """

    error: BaseException | None = None

    def __enter__(self) -> Mishap:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> bool:
        self.error = error
        return isinstance(error, Exception)


def attempt(call: Callable[[], Any]) -> tuple[Any, BaseException | None]:
    """Call a learner's function.

    Returns:
        What it returned, and what it raised.

    Raises:
        NotImplementedError: it is a stub still.
    """
    result = None
    with Mishap() as mishap:
        result = call()
    if isinstance(mishap.error, NotImplementedError):
        raise mishap.error
    return result, mishap.error
