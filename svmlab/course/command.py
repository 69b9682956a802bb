"""``svmlab course``: what an instructor asks of the course."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from svmlab.course.report import ExerciseRow, QuestionRow, Report

__all__ = ["course"]


@click.group()
def course() -> None:
    """The course, for those who teach it."""


@course.command("report")
@click.argument("folders", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of text.")
def report_command(folders: tuple[Path, ...], *, as_json: bool) -> None:
    """Summarise what the learners in FOLDERS did: the survey before and after, and each exercise.

    A folder is the one that SVMLAB_STATE names, or one that contains it as .svmlab. Nothing in it names a person.
    """
    from svmlab.course.report import report

    found = report(folders)
    click.echo(json.dumps(dataclasses.asdict(found), indent=2) if as_json else _told(found))


def _told(found: Report) -> str:
    from svmlab.hardware.describe import table

    lines = [f"{found.learners} learners" + (f", {found.empty} empty folders" if found.empty else "")]
    lines += [f"({found.damaged} lines cannot be read and do not count)"] if found.damaged else []
    rows = [("question", "before", "after", "most frequent wrong answer"), *map(_question, found.questions)]
    lines += ["", table(rows)]
    rows = [("exercise", "right", "checks", "hints"), *map(_exercise, found.exercises)]
    return "\n".join([*lines, "", table(rows), "", "checks and hints are medians of those who tried"])


def _question(row: QuestionRow) -> tuple[str, str, str, str]:
    before, after = (_share(row.right[when], row.answered[when]) for when in ("before", "after"))
    return row.name, before, after, row.wrong or "-"


def _exercise(row: ExerciseRow) -> tuple[str, str, str, str]:
    return row.id, _share(row.right, row.tried), f"{row.checks:g}", f"{row.hints:g}"


def _share(right: int, of: int) -> str:
    return f"{right} of {of}" if of else "-"
