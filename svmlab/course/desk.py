"""The tables of the instructor's guide, ``docs/instructor.md``: lessons from their sources, exercises from the bank.

What an exercise tests, and a wrong answer to expect, stand in ``notebooks/source/exercises.toml``.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable
from pathlib import Path

from svmlab.course import bank
from svmlab.course.editions import LESSON
from svmlab.course.exercise import Exercise, Kind
from svmlab.course.grading import POINTS
from svmlab.errors import InputError

__all__ = ["desk", "minutes", "notes", "renewed"]

_MINUTES = re.compile(r"^# About (\d+) minutes", re.MULTILINE)
_TITLE = re.compile(r"^# # (\S+) (.+)$", re.MULTILINE)
_QUESTION = re.compile(r"^# \*\*(.+\?)\*\*$", re.MULTILINE)
_PART = "<!-- {name}: made by `make notebooks`, do not edit -->"
_END = "<!-- end of {name} -->"


def notes(root: Path) -> dict[str, dict[str, str]]:
    """What ``exercises.toml`` says: for each exercise ``tests``, ``answer`` and ``shows``.

    Args:
        root: the folder of the project.
    """
    return tomllib.loads((root / "notebooks" / "source" / "exercises.toml").read_text(encoding="utf-8"))


def minutes(root: Path) -> dict[str, int]:
    """How long each lesson takes, by its number, as its first cell says.

    Args:
        root: the folder of the project.
    """
    return {number: int(_found(_MINUTES, text)[1]) for number, text in _lessons(root).items()}


def desk(root: Path) -> Path:
    """Where the guide is."""
    return root / "docs" / "instructor.md"


def renewed(root: Path) -> str:
    """The guide with its tables made anew; its prose is written by hand.

    Args:
        root: the folder of the project.

    Raises:
        InputError: an exercise is missing in ``exercises.toml``, or a marker in the guide.
    """
    text = desk(root).read_text(encoding="utf-8")
    for name, table in (("lessons", _lesson_table(root)), ("exercises", _exercise_table(root))):
        begin, end = _PART.format(name=name), _END.format(name=name)
        head, found, rest = text.partition(begin)
        _, closed, tail = rest.partition(end)
        if not (found and closed):
            raise InputError(f"{desk(root).name} has no part {name!r}", allowed=f"{begin} ... {end}")
        text = f"{head}{begin}\n\n{table}\n\n{end}{tail}"
    return text


def _lessons(root: Path) -> dict[str, str]:
    sources = sorted((root / "notebooks" / "source").glob("*.py"))
    return {path.name.split("_")[0]: path.read_text(encoding="utf-8") for path in sources if LESSON.match(path.name)}


def _found(what: re.Pattern[str], text: str) -> re.Match[str]:
    match = what.search(text)
    if match is None:
        raise InputError(f"a lesson without {what.pattern}", hint="its first cell has title, question and time")
    return match


def _lesson_table(root: Path) -> str:
    rows = (
        (number, _found(_TITLE, text)[2], _found(_QUESTION, text)[1], _found(_MINUTES, text)[1])
        for number, text in _lessons(root).items()
    )
    return _table(("", "lesson", "its question", "minutes"), rows)


def _exercise_table(root: Path) -> str:
    known = notes(root)
    asked = [each for each in bank.exercises().values() if each.kind is not Kind.WARM_UP]
    wrong = sorted(known.keys() ^ {each.id for each in asked})
    if wrong:
        raise InputError(
            f"exercises.toml and the bank differ in {', '.join(wrong)}", hint="one entry for each exercise"
        )
    columns = ("", "kind", "points", "asks", "tests", "a wrong answer to expect", "shows that")
    return _table(columns, (_row(each, known[each.id]) for each in asked))


def _row(asked: Exercise, note: dict[str, str]) -> tuple[str, ...]:
    answer = f"`{note['answer']}`"
    return asked.id, asked.kind.value, str(POINTS[asked.kind]), asked.asks, note["tests"], answer, note["shows"]


def _table(columns: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [columns, tuple("---" for _ in columns), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)
