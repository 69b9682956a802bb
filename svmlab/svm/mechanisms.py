"""The mechanisms of the driver and their numbered steps, read from the docstrings that the code was written by."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pkgutil import iter_modules
from typing import Any

from svmlab.errors import InputError
from svmlab.svm.steps import STEPS

__all__ = ["MIGRATION", "Mechanism", "mechanism", "mechanisms"]

_PACKAGES = ("svmlab.mm", "svmlab.svm")
_STEP = re.compile(r"(\d+)\. (.*)")
_KERNEL = re.compile(r"Kernel: (.+)")


@dataclass(frozen=True, slots=True)
class Mechanism:
    """What the driver does as a list of steps.

    Attributes:
        name: of the function, without leading underscores.
        about: what it does, in one sentence.
        steps: what it does one after the other; each is a line of its docstring.
        kernel: the kernel's function and file, where it has one.
    """

    name: str
    about: str
    steps: tuple[str, ...]
    kernel: str = ""


MIGRATION = Mechanism("migration", "Move the pages of one piece of a range.", STEPS)
"""The six steps that the log tells; code of both directions shares them."""


def mechanism(which: str | Callable[..., Any]) -> Mechanism:
    """The steps of one mechanism.

    Args:
        which: its name, or the function itself.

    Raises:
        InputError: there is no such mechanism, or the function's docstring has no numbered steps.

    >>> mechanism("restore_work").steps[-1]
    'after giving up: schedule the next attempt'
    """
    if callable(which):
        found = _read(which)
        if found is None:
            raise InputError(f"{which.__name__} has no numbered steps", allowed=", ".join(sorted(mechanisms())))
        return found
    if which not in mechanisms():
        raise InputError(f"the mechanism {which!r}", allowed=", ".join(sorted(mechanisms())))
    return mechanisms()[which]


@cache
def mechanisms() -> dict[str, Mechanism]:
    """Every mechanism of mm and svm whose docstring numbers its steps, by name."""
    found = (_read(function) for function in _functions())
    return {MIGRATION.name: MIGRATION} | {one.name: one for one in found if one}


def _functions() -> Iterator[Callable[..., Any]]:
    for package in _PACKAGES:
        for known in iter_modules(import_module(package).__path__, f"{package}."):
            module = import_module(known.name)
            members = vars(module).values()
            yield from (one for one in members if inspect.isfunction(one) and one.__module__ == module.__name__)


def _read(function: Callable[..., Any]) -> Mechanism | None:
    """The steps in a docstring: a paragraph of numbered lines; a line that is indented goes on with the one before."""
    text = (inspect.getdoc(function) or "").replace("``", "")
    blocks = [block for block in text.split("\n\n") if _STEP.match(block)]
    if not blocks:
        return None
    lines = " ".join(line if _STEP.match(line) else line.strip() for line in blocks[0].splitlines())
    steps = tuple(step.strip() for step in re.split(r"(?:^|\s)\d+\. ", lines) if step.strip())
    kernel = _KERNEL.search(text)
    about = " ".join(text.split("\n\n")[0].split())
    return Mechanism(function.__name__.lstrip("_"), about, steps, kernel[1] if kernel else "")
