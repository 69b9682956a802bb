"""What a sweep finds: a row for each combination, kept while the sweep runs, and written as a table at its end."""

from __future__ import annotations

import csv
import hashlib
import json
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

from svmlab.errors import InputError
from svmlab.scenario.expectations import EVENT_NAMES
from svmlab.scenario.format import Scenario
from svmlab.scenario.runner import run
from svmlab.scenario.sweep import Sweep

__all__ = ["FORMATS", "Kept", "Row", "columns", "measure", "parquet_library", "write_rows"]

Row = dict[str, Any]
"""Values by column; ``n`` is the number of the combination."""
FORMATS = (".csv", ".parquet")
"""Endings of the files that rows can be written to."""
_LARGEST = 256 << 20
_COUNTERS = ("page_in", "page_out", "faults")
_FOUND = ("ok", "failures", "time_ns", *_COUNTERS, *EVENT_NAMES)


def columns(sweep: Sweep) -> list[str]:
    """The columns of a sweep's table: its number, the swept keys, what was found."""
    return ["n", *sweep.lists, *_FOUND]


def measure(n: int, choice: dict[str, Any], scenario: Scenario) -> Row:
    """Run a combination.

    Args:
        n: its number.
        choice: the values of the swept keys.
        scenario: the scenario they make.

    Returns:
        Its row: nothing in it depends on the computer or on what else runs.

    Raises:
        InputError: this computer cannot run it.
    """
    result = run(scenario)
    counters = [result.process.look.counters(gpu.index) for gpu in scenario.machine.gpus]
    return {
        "n": n,
        **{key: _plain(value) for key, value in choice.items()},
        "ok": result.ok,
        "failures": len(result.failures),
        "time_ns": result.time_ns,
        **{name: sum(each[name] for each in counters) for name in _COUNTERS},
        **result.events,
    }


def _plain(value: Any) -> Any:
    """Tables and lists become JSON text, which both formats can hold."""
    return json.dumps(value) if isinstance(value, dict | list) else value


class Kept:
    """Rows of a sweep that goes on, in a file beside its output: what is in it need not run again.

    Args:
        out: the output; the file is called the same with ``.partial`` behind it.
        sweep: whose rows.

    Raises:
        InputError: there is such a file and it is of another sweep, or no such file at all.
    """

    def __init__(self, out: Path, sweep: Sweep) -> None:
        self.path = out.with_name(out.name + ".partial")
        self._sweep, self._columns = sweep, columns(sweep)
        self._mark = {"svmlab sweep": _fingerprint(sweep)}
        self.rows = {row["n"]: row for row in self._read()}
        # Written anew: the last line of an interrupted sweep may be a piece of a row.
        text = "".join(json.dumps(each) + "\n" for each in [self._mark, *self.rows.values()])
        _replace(self.path, text)

    @property
    def missing(self) -> list[int]:
        """The combinations that have no row yet."""
        return [n for n in range(1, len(self._sweep) + 1) if n not in self.rows]

    def add(self, row: Row) -> None:
        """Keep a row, whatever happens afterwards."""
        self.rows[row["n"]] = row
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")

    def remove(self) -> None:
        """The rows are written elsewhere; the file is no longer needed."""
        self.path.unlink(missing_ok=True)

    def _read(self) -> Iterator[Row]:
        if not self.path.exists():
            return
        try:
            lines = self.path.read_bytes().splitlines() if self.path.stat().st_size <= _LARGEST else []
        except OSError as error:
            raise InputError(f"{self.path} cannot be read: {error.strerror or error}") from None
        if not lines or _loaded(lines[0]) != self._mark:
            what = f"{self.path} is not of this sweep: its file or svmlab has changed"
            raise InputError(what, hint=f"rm {self.path}")
        yield from filter(self._is_row, map(_loaded, lines[1:]))

    def _is_row(self, row: Any) -> bool:
        if not isinstance(row, dict) or list(row) != self._columns or not isinstance(row["n"], int):
            return False
        if not 1 <= row["n"] <= len(self._sweep):
            return False
        known = {key: _plain(value) for key, value in self._sweep.choice(row["n"]).items()}
        return all(row[key] == value for key, value in known.items()) and all(
            isinstance(row[name], int) for name in _FOUND
        )


def _loaded(line: bytes) -> Any:
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        return None


def _fingerprint(sweep: Sweep) -> str:
    """The same for the same file and version of svmlab."""
    told = json.dumps([version("svmlab"), sweep.tables, list(sweep.lists.items())], default=str)
    return hashlib.sha256(told.encode()).hexdigest()


def write_rows(rows: list[Row], names: list[str], path: Path) -> None:
    """Write a table; the file is there whole or not at all.

    Args:
        rows: what it holds.
        names: its columns, in order.
        path: where to; ``.csv`` or ``.parquet``.

    Raises:
        InputError: the path ends otherwise, cannot be written, or parquet is wanted and pyarrow is missing.
    """
    if path.suffix not in FORMATS:
        raise InputError(f"rows cannot be written as {path.name}", allowed=" or ".join(FORMATS))
    aside = path.with_name(f".{path.name}.new")
    try:
        (_write_csv if path.suffix == ".csv" else _write_parquet)(rows, names, aside)
        aside.replace(path)
    except OSError as error:
        raise InputError(f"{path} cannot be written: {error.strerror or error}") from None


def _replace(path: Path, text: str) -> None:
    aside = path.with_name(f".{path.name}.new")
    try:
        aside.write_text(text, encoding="utf-8")
        aside.replace(path)
    except OSError as error:
        raise InputError(f"{path} cannot be written: {error.strerror or error}") from None


def _write_csv(rows: list[Row], names: list[str], path: Path) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, names, lineterminator="\n")
        writer.writeheader()
        writer.writerows({**row, "ok": "true" if row["ok"] else "false"} for row in rows)


def _write_parquet(rows: list[Row], names: list[str], path: Path) -> None:
    arrow, writer = parquet_library()
    # A key whose values are of several types (9 and "max") becomes text: a column has one type.
    held = {name: [row[name] for row in rows] for name in names}
    writer.write_table(arrow.table({name: _one_type(values) for name, values in held.items()}), path)


def _one_type(values: list[Any]) -> list[Any]:
    return values if len({type(value) for value in values}) <= 1 else [str(value) for value in values]


def parquet_library() -> tuple[Any, Any]:
    """The library that writes parquet, loaded when it is wanted.

    Raises:
        InputError: it is not installed.
    """
    try:
        import pyarrow as pa
        from pyarrow import parquet
    except ImportError:
        raise InputError(
            "parquet needs pyarrow, which is not installed", hint="pip install 'svmlab[cluster]', or a .csv"
        ) from None
    return pa, parquet
