"""What a learner did, kept in a folder of theirs; no output of a cell depends on it."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["DEFAULT", "VARIABLE", "Kept", "folder", "keep", "kept"]

VARIABLE = "SVMLAB_STATE"
"""The environment variable that names the folder."""
DEFAULT = ".svmlab"
"""The folder without it, beside the notebook."""
_FILE = "course.jsonl"
_LARGEST = 64 << 20
_FACTS: dict[str, tuple[str, type]] = {
    "check": ("verdict", str),
    "hint": ("level", int),
    "survey": ("answers", dict),
    "prediction": ("answers", dict),
}
"""What each kind of entry tells, and of which type it is."""


@dataclass(frozen=True, slots=True)
class Kept:
    """Everything that was kept.

    Attributes:
        entries: what was done, in order; each has ``what`` (prediction, check, hint, survey) and ``id``.
        damaged: lines that could not be read.
    """

    entries: tuple[dict[str, Any], ...]
    damaged: int = 0

    def of(self, what: str, number: str) -> list[dict[str, Any]]:
        """What was done of one kind with one exercise or prediction."""
        return [entry for entry in self.entries if entry["what"] == what and entry["id"] == number]


def folder() -> Path:
    """Where it is kept."""
    return Path(os.environ.get(VARIABLE) or DEFAULT)


def keep(what: str, number: str, **facts: Any) -> None:
    """Append one thing the learner did; no time and no name, so that nothing personal is stored.

    Args:
        what: ``"prediction"``, ``"check"``, ``"hint"`` or ``"survey"``.
        number: id of the exercise or prediction; of a survey, when it is answered.
        facts: what else is worth knowing; what JSON cannot hold is kept as text.
    """
    line = json.dumps({"what": what, "id": number, **facts}, default=repr)
    try:
        folder().mkdir(parents=True, exist_ok=True)
        with (folder() / _FILE).open("a", encoding="utf-8") as file:
            file.write(line + "\n")
    except OSError as error:
        # A read-only folder must not keep anybody from learning, but they should know that it is.
        print(f"(not kept: {error.strerror}; let {VARIABLE} name a folder you can write)")


def kept(at: Path | None = None) -> Kept:
    """Read everything that was kept.

    Args:
        at: a learner's folder; without it, the one of this process.
    """
    path = (at or folder()) / _FILE
    try:
        with path.open("rb") as file:
            lines = file.read(_LARGEST).splitlines()
    except OSError:  # nothing was kept, or it cannot be read: learning goes on without it
        lines = []
    entries = [entry for line in lines if (entry := _entry(line)) is not None]
    return Kept(tuple(entries), len(lines) - len(entries))


def _entry(line: bytes) -> dict[str, Any] | None:
    """What a line says; None if it says nothing that ``keep`` writes."""
    try:
        entry = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(entry, dict) or not isinstance(entry.get("id"), str):
        return None
    fact, kind = _FACTS.get(str(entry.get("what")), ("", bytes))
    told = entry.get(fact)
    plain = all(isinstance(one, str | int | float) for one in told.values()) if isinstance(told, dict) else True
    return entry if isinstance(told, kind) and not isinstance(told, bool) and plain else None
