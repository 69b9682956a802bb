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
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    entries = [entry for line in lines if (entry := _entry(line)) is not None]
    return Kept(tuple(entries), len(lines) - len(entries))


def _entry(line: str) -> dict[str, Any] | None:
    try:
        entry = json.loads(line)
    except json.JSONDecodeError:
        return None
    return entry if isinstance(entry, dict) and {"what", "id"} <= entry.keys() else None
