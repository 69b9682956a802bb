"""What every table of a scenario file has in common: known keys only, strict types, errors that say what is allowed."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, ConfigDict, model_validator

from svmlab.errors import InputError
from svmlab.hardware.machine import Machine

__all__ = ["Between", "Context", "Table", "exactly_one", "shortened"]

T = TypeVar("T")

_LONGEST_VALUE = 60


@dataclass(frozen=True, slots=True)
class Context:
    """What the head of a file settles for its steps.

    Attributes:
        machine: the machine whose GPUs may be named.
        payload: whether bytes are kept, so that contents can be asked for.
    """

    machine: Machine
    payload: bool = True


def shortened(value: object) -> str:
    """A value as it would stand in a file, cut to what fits a message."""
    if isinstance(value, bool):
        return str(value).lower()
    try:
        text = repr(value)
    except ValueError:  # Python writes no integer of thousands of digits
        return "a number of thousands of digits"
    return text if len(text) <= _LONGEST_VALUE else f"{text[: _LONGEST_VALUE - 3]}..."


def exactly_one(chosen: Iterable[str], among: str, *, needed: bool = True) -> None:
    """Refuse keys that exclude each other.

    Args:
        chosen: the keys that were given.
        among: the keys there are, for the message.
        needed: whether none at all is wrong too.

    Raises:
        InputError: more than one of them, or none.
    """
    given = list(chosen)
    if len(given) > 1:
        raise InputError(f"{' and '.join(given)} exclude each other", allowed=f"one of {among}")
    if needed and not given:
        raise InputError(f"none of {among} is given", allowed="exactly one of them")


class Table(BaseModel):
    """A table of a scenario file: its keys are exactly its fields, and nothing is converted silently."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _known_keys(cls, raw: Any) -> Any:
        if isinstance(raw, dict):
            keys = cls.file_keys()
            for key in raw:
                if key not in keys:
                    close = difflib.get_close_matches(str(key)[:_LONGEST_VALUE], keys, 1)
                    hint = close[0] if close else ""
                    raise InputError(f"unknown key {shortened(key)}", allowed=", ".join(keys), hint=hint)
        return raw

    @classmethod
    def file_keys(cls) -> list[str]:
        """The keys as they stand in a file."""
        return [field.alias or name for name, field in cls.model_fields.items()]

    def given(self, *names: str) -> list[str]:
        """Those of these keys that have a value."""
        return [name for name in names if getattr(self, name) is not None]


class Between(Table, Generic[T]):
    """A value that is compared: exactly it, or ``{min = 1, max = 3}``, either or both."""

    min: T | None = None
    max: T | None = None

    @model_validator(mode="before")
    @classmethod
    def _exact(cls, raw: Any) -> Any:
        return raw if isinstance(raw, dict | Between) else {"min": raw, "max": raw}

    @model_validator(mode="after")
    def _ordered(self) -> Between[T]:
        low, high = self._bounds
        if low is None and high is None:
            raise InputError("neither min nor max is given", allowed="a value, or min and max, either or both")
        if low is not None and high is not None and low > high:
            raise InputError(f"min = {low} is above max = {high}")
        return self

    @property
    def _bounds(self) -> tuple[Any, Any]:
        return self.min, self.max

    def holds(self, value: int) -> bool:
        """Whether a value lies between both, inclusive."""
        low, high = self._bounds
        return (low is None or low <= value) and (high is None or value <= high)

    def told(self, form: Callable[[int], str] = str) -> str:
        """The bounds as text."""
        low, high = self._bounds
        if low == high:
            return form(low)
        bounds = (("at least", low), ("at most", high))
        return " and ".join(f"{word} {form(bound)}" for word, bound in bounds if bound is not None)
