"""``[sweep]``: lists of values for keys of a scenario, and the scenario that each of their combinations makes."""

from __future__ import annotations

import copy
import math
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

from svmlab.errors import InputError
from svmlab.hardware.toml_file import read_toml
from svmlab.scenario.format import Head, Scenario, parse
from svmlab.scenario.tables import shortened

__all__ = ["MAX_COMBINATIONS", "Sweep", "load_sweep"]

MAX_COMBINATIONS = 100_000
"""The most combinations that a sweep may have; each is a run."""
_HEAD_KEYS = [key for key in Head.file_keys() if key not in ("title", "sweep", "step")]
_ALLOWED = f"{', '.join(_HEAD_KEYS)}, or step.N.KEY with the number of a step"


@dataclass(frozen=True, slots=True)
class Sweep:
    """The combinations of a scenario file.

    Attributes:
        file: how the user named the file.
        folder: where paths in it start.
        tables: the file's tables, without ``sweep``.
        lists: the values of each key; keys are ``xnack``, ``step.2.size``, ...
        known: steps that can be run; None: all of the format.
    """

    file: str
    folder: Path
    tables: Mapping[str, Any]
    lists: dict[str, list[Any]]
    known: Collection[str] | None = None

    def __len__(self) -> int:
        """How many combinations there are."""
        return math.prod(map(len, self.lists.values()))

    def choice(self, n: int) -> dict[str, Any]:
        """The values of combination ``n``, from 1; the last key changes fastest."""
        rest = n - 1
        chosen: dict[str, Any] = {}
        for key in reversed(self.lists):
            rest, index = divmod(rest, len(self.lists[key]))
            chosen[key] = self.lists[key][index]
        return {key: chosen[key] for key in self.lists}

    def scenario(self, n: int) -> Scenario:
        """The scenario of combination ``n``.

        Raises:
            InputError: it cannot be run; the line says which combination it is.
        """
        tables = copy.deepcopy(dict(self.tables))
        for key, value in self.choice(n).items():
            _put(tables, key, value)
        return parse(tables, file=self.named(n), folder=self.folder, known=self.known)

    def named(self, n: int) -> str:
        """The file and the values of a combination, as errors name it."""
        values = ", ".join(f"{key} = {shortened(value)}" for key, value in self.choice(n).items())
        return f"{self.file} [{values}]" if values else self.file


def load_sweep(path: str | PathLike[str], *, known: Collection[str] | None = None) -> Sweep:
    """Read the sweep of a scenario file; without a ``[sweep]`` there is one combination, the file as it is.

    Args:
        path: the file.
        known: steps that can be run; None: all of the format.

    Raises:
        InputError: the file cannot be read, or its sweep cannot be used.
    """
    path = Path(path)
    raw = read_toml(path)
    tables = {key: value for key, value in raw.items() if key != "sweep"}
    try:
        lists: dict[str, list[Any]] = {}
        for key, values in _flat(raw.get("sweep", {}), ""):
            if key in lists:
                raise InputError(f"key sweep.{key} stands there twice")
            _check(key, values, tables)
            lists[key] = values
        found = Sweep(str(path), path.parent, tables, lists, known)
        if len(found) > MAX_COMBINATIONS:
            raise InputError(f"a sweep of {len(found)} combinations", allowed=f"up to {MAX_COMBINATIONS}")
    except InputError as error:
        raise InputError(f"{path}: {error.given}", allowed=error.allowed, hint=error.hint) from None
    return found


def _flat(table: Any, path: str) -> Iterator[tuple[str, Any]]:
    """Keys with the dots of the tables they lie in: ``step.2.size`` and ``"step.2.size"`` are one key."""
    if not isinstance(table, dict):
        raise InputError(f"key sweep: {shortened(table)} is no table", allowed="a table of lists")
    for key, value in table.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{path}{key}.")
        else:
            yield f"{path}{key}", value


def _check(key: str, values: Any, tables: Mapping[str, Any]) -> None:
    if not isinstance(values, list) or not values:
        raise InputError(f"key sweep.{key}: {shortened(values)} is no list of values", allowed="a list, not empty")
    first, *rest = key.split(".")
    if not rest and first in _HEAD_KEYS:
        return
    steps = tables.get("step")
    count = len(steps) if isinstance(steps, list) else 0
    if first != "step" or len(rest) < 2 or not all(rest):
        raise InputError(f"key sweep.{shortened(key)[1:-1]} is no key to sweep", allowed=_ALLOWED)
    if not (rest[0].isascii() and rest[0].isdecimal() and 1 <= int(rest[0][:9]) <= count):
        raise InputError(f"key sweep.{key}: there is no step {rest[0]}", allowed=f"1 to {count}" if count else "none")


def _put(tables: dict[str, Any], key: str, value: Any) -> None:
    """Set the value of a key; tables on the way that are missing are made."""
    first, *rest = key.split(".")
    if not rest:
        tables[first] = value
        return
    at = tables["step"][int(rest[0]) - 1]
    for part in rest[1:-1]:
        at = at.setdefault(part, {}) if isinstance(at, dict) else at
    if isinstance(at, dict):
        at[rest[-1]] = value
    else:
        raise InputError(f"key {key}: there is no table to put it in", allowed="keys of a step, and of tables in it")
