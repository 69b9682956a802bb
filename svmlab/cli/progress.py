"""One line on a terminal that says how far a run is; nothing anywhere else."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from svmlab.scenario.result import StepResult

__all__ = ["Progress"]

_EVERY_S = 0.1


class Progress:
    """How many of so many steps are done.

    Args:
        total: how many there are.
    """

    def __init__(self, total: int) -> None:
        self._total, self._done, self._shown, self._next = total, 0, False, time.monotonic() + _EVERY_S
        self._terminal = sys.stderr.isatty()

    def watch(self, file: str) -> Callable[[StepResult], None]:
        """What a run of this file is to tell its steps to."""
        return lambda step: self.tell(f"{file} step {step.n}")

    def tell(self, what: str) -> None:
        """One more is done; quick ones are not shown one by one."""
        self._done += 1
        if self._terminal and time.monotonic() >= self._next:
            width = shutil.get_terminal_size().columns - 1
            line = f"{100 * self._done // self._total} % {what}"[:width]
            click.echo(f"\r\x1b[K{line}", nl=False, err=True)
            self._shown, self._next = True, time.monotonic() + _EVERY_S

    def clear(self) -> None:
        """Leave nothing of it behind."""
        if self._shown:
            click.echo("\r\x1b[K", nl=False, err=True)
            self._shown = False
