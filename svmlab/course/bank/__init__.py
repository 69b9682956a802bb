"""The exercise bank: one module for each notebook, whose name is what the ids of its exercises begin with."""

from __future__ import annotations

from importlib import import_module
from pkgutil import iter_modules
from typing import Any

from svmlab.course.exercise import Exercise, Prediction
from svmlab.errors import InputError

__all__ = ["exercise", "exercises", "prediction", "predictions"]

_PREFIX = "nb"


def exercises() -> dict[str, Exercise]:
    """Every exercise by its id, in the order of the course."""
    return {each.id: each for module in _modules() for each in module.EXERCISES}


def predictions() -> dict[str, Prediction]:
    """Every prediction by its id, in the order of the course."""
    return {each.id: each for module in _modules() for each in module.PREDICTIONS}


def exercise(number: str) -> Exercise:
    """One exercise.

    Raises:
        InputError: there is none of that id.
    """
    found = exercises()
    if number not in found:
        raise InputError(f"there is no exercise {number!r}", allowed=", ".join(found))
    return found[number]


def prediction(number: str) -> Prediction:
    """One prediction.

    Raises:
        InputError: there is none of that id.
    """
    found = predictions()
    if number not in found:
        raise InputError(f"there is no prediction {number!r}", allowed=", ".join(found))
    return found[number]


def _modules() -> list[Any]:
    names = sorted(module.name for module in iter_modules(__path__) if module.name.startswith(_PREFIX))
    return [import_module(f"{__name__}.{name}") for name in names]
