"""What was measured as text: a table for a terminal, and a part of a document with the day and the machine."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Iterable, Sequence
from datetime import date
from importlib.metadata import version
from pathlib import Path

from svmlab.bench.harness import Row
from svmlab.errors import InputError
from svmlab.hardware.describe import table

__all__ = ["END_MARKER", "START_MARKER", "as_markdown", "read_rows", "render", "this_computer"]

START_MARKER = "<!-- bench: made by `make bench`, do not edit -->"
END_MARKER = "<!-- end of bench -->"


def render(rows: Iterable[Row]) -> str:
    """The rows as a table to read."""
    lines = [("", "ratio", "at most", "spread", "one call", "what", "compared with")]
    for row in rows:
        low, high = row["spread"]
        mark, spread = "ok" if row["met"] else "MISSED", f"{low:.2f}-{high:.2f}"
        figures = f"{row['ratio']:.2f}", f"{row['goal']:g}", spread, _duration(row["ms"])
        lines.append((mark, *figures, row["name"], row["base"]))
    return "\n".join(line.rstrip() for line in table(lines).splitlines())


def _duration(ms: float) -> str:
    return f"{ms:.2f} ms" if ms >= 0.1 else f"{ms * 1000:.2f} us"


def as_markdown(rows: Iterable[Row], *, day: date, computer: str) -> str:
    """The rows as a part of a document.

    Args:
        rows: what was measured.
        day: when.
        computer: where; ``this_computer()``.
    """
    head = f"Measured on {day.isoformat()}: {computer}."
    lines = [
        START_MARKER,
        "",
        head,
        "",
        "| measured | compared with | median (spread) | at most |",
        "|---|---|---|---|",
    ]
    for row in rows:
        low, high = row["spread"]
        goal = f"{row['goal']:g}" if row["met"] else f"{row['goal']:g}, **missed**"
        lines.append(f"| {row['name']} | {row['base']} | {row['ratio']:.2f} ({low:.2f} to {high:.2f}) | {goal} |")
    return "\n".join([*lines, "", END_MARKER, ""])


def this_computer() -> str:
    """What a measurement depends on: processor, cores, memory, system, Python and numpy."""
    cores, python = os.cpu_count() or 1, platform.python_version()
    parts = [
        f"{_named('/proc/cpuinfo', 'model name') or platform.machine()}, {cores} core{'s' if cores > 1 else ''}",
        f"{platform.system()} {platform.release()}",
        f"Python {python}",
        f"numpy {version('numpy')}",
    ]
    memory = _named("/proc/meminfo", "MemTotal")
    if memory:
        parts.insert(1, f"{int(memory.split()[0]) / (1 << 20):.0f} GiB")
    return ", ".join(parts)


def _named(file: str, key: str) -> str:
    """What a file of the Linux kernel says of something, or nothing where there is no such file."""
    path = Path(file)
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    return next((line.partition(":")[2].strip() for line in lines if line.startswith(key)), "")


def read_rows(path: Path) -> Sequence[Row]:
    """Rows that another program measured, as ``svmlab bench --json`` prints them.

    Raises:
        InputError: the file cannot be read, or holds something else.
    """
    try:
        rows = json.loads(path.read_text(encoding="utf-8"))["rows"]
        return [Row(**{key: row[key] for key in Row.__annotations__}) for row in rows]  # type: ignore[typeddict-item]
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path}: no rows of a bench", allowed="what svmlab bench --json prints") from error
