"""Replaying whole vector files: how many rows agree, and for those that differ what was expected, found, and why."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from svmlab.errors import InputError
from svmlab.scenario import vectors
from svmlab.scenario.vector_rows import ROWS
from svmlab.scenario.vectors import Answer

__all__ = ["KINDS", "Difference", "Report", "kind_of", "verify"]

_REPLAYS: dict[str, Callable[[Any], Answer]] = {
    "best_location": vectors.replay_best_location,
    "trigger_migration": vectors.replay_trigger,
    "ram_to_vram": vectors.replay_ram_to_vram,
    "vram_to_ram": vectors.replay_vram_to_ram,
}
KINDS = tuple(ROWS)
"""What a vector file may record, named as the shipped files are."""
_LONGEST_LINE = 1 << 20


@dataclass(frozen=True, slots=True)
class Difference:
    """One row whose answer is not the recorded one.

    Attributes:
        line: its line in the file, from 1.
        given: the row without its answer.
        expected, found: the recorded answer and the product's.
        rule: the rule or step behind what was found.
    """

    line: int
    given: dict[str, Any]
    expected: Any
    found: Any
    rule: str


@dataclass(slots=True)
class Report:
    """What came of one file.

    Attributes:
        name: the file.
        kind: what it records.
        agree: rows whose answer is the recorded one.
        differences: the other rows.
    """

    name: str
    kind: str
    agree: int = 0
    differences: list[Difference] = field(default_factory=list)

    @property
    def summary(self) -> str:
        """One line."""
        return f"{self.name}: {self.agree} agree, {len(self.differences)} differ"


def kind_of(path: Path, kind: str | None = None) -> str:
    """What a file records, by its base name unless it is said.

    Raises:
        InputError: neither says it.
    """
    wanted = kind or path.name.split(".")[0]
    if wanted not in _REPLAYS:
        raise InputError(
            f"{path}: {wanted!r} is no kind of vector file", allowed=", ".join(KINDS), hint="say which with --kind"
        )
    return wanted


def verify(path: Path, kind: str | None = None, *, tick: Callable[[int], None] | None = None) -> Report:
    """Replay every row of a file.

    Args:
        path: the file, one JSON object a line; blank lines are skipped.
        kind: what it records; None: its base name says it.
        tick: called with the number of bytes read so far.

    Raises:
        InputError: the file cannot be read, or a line is malformed (its number is in the message).
    """
    chosen = kind_of(path, kind)
    report = Report(str(path), chosen)
    for number, row, done in _rows(path, chosen):
        answer = _REPLAYS[chosen](row)
        if answer.found == row.expected:
            report.agree += 1
        else:
            answers = {"best"} if chosen == "best_location" else {"expect"}
            given = json.loads(row.model_dump_json(exclude=answers))
            report.differences.append(Difference(number, given, row.expected, answer.found, answer.rule))
        if tick is not None:
            tick(done)
    if not report.agree and not report.differences:
        raise InputError(f"{path}: no rows", allowed="one JSON object a line")
    return report


def _rows(path: Path, kind: str) -> Iterator[tuple[int, Any, int]]:
    """Line number, checked row and bytes read, line by line."""
    done = 0
    model = ROWS[kind]  # type: ignore[index]
    for number, line in enumerate(_lines(path), start=1):
        done += len(line)
        if len(line) > _LONGEST_LINE:
            raise InputError(f"{path}: line {number} is longer than {_LONGEST_LINE} bytes")
        if not line.strip():
            continue
        try:
            row = model.model_validate_json(line)
        except ValidationError as error:
            raise InputError(f"{path}: line {number}: {_complaint(error)}", allowed=f"a row of {kind}") from None
        yield number, row, done


def _lines(path: Path) -> Iterator[bytes]:
    """Lines of a file, none of them read further than the longest that is allowed."""
    try:
        with path.open("rb") as file:
            yield from iter(lambda: file.readline(_LONGEST_LINE + 1), b"")
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}") from None


def _complaint(error: ValidationError) -> str:
    first = error.errors(include_url=False)[0]
    place = ".".join(str(part) for part in first["loc"])
    return f"{place}: {first['msg']}" if place else str(first["msg"])
