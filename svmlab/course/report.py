"""What a class made of the course, from the folders its learners handed in; nobody is named."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from svmlab.course import bank, state
from svmlab.course.bank.misconceptions import MISCONCEPTIONS
from svmlab.course.survey import WHEN
from svmlab.errors import InputError

__all__ = ["ExerciseRow", "QuestionRow", "Report", "report"]


@dataclass(frozen=True, slots=True)
class QuestionRow:
    """How one question of the survey was answered.

    Attributes:
        name: the question's name.
        asks: the question.
        expected: what happens.
        right: for before and after, how many answered so.
        answered: for before and after, how many answered at all.
        wrong: the wrong answer that most gave after the course, or before it if there is no other; empty if none did.
    """

    name: str
    asks: str
    expected: str
    right: dict[str, int]
    answered: dict[str, int]
    wrong: str


@dataclass(frozen=True, slots=True)
class ExerciseRow:
    """How one exercise went.

    Attributes:
        id: the exercise.
        tried: how many learners checked an answer.
        right: how many of them got it right.
        checks: the median number of checks of those who tried.
        hints: the median of the strongest hint they asked for.
    """

    id: str
    tried: int
    right: int
    checks: float
    hints: float


@dataclass(frozen=True, slots=True)
class Report:
    """The whole summary.

    Attributes:
        learners: how many folders hold something.
        empty: how many hold nothing.
        damaged: lines that could not be read.
        questions: a row for each question of the survey.
        exercises: a row for each exercise.
    """

    learners: int
    empty: int
    damaged: int
    questions: tuple[QuestionRow, ...]
    exercises: tuple[ExerciseRow, ...]


def report(folders: Sequence[Path]) -> Report:
    """Summarise what learners kept.

    Args:
        folders: for each learner the folder that ``SVMLAB_STATE`` names, or one that has it as ``.svmlab``.

    Raises:
        InputError: a folder does not exist.
    """
    missing = [str(folder) for folder in folders if not folder.is_dir()]
    if missing:
        raise InputError(
            f"there is no folder {', '.join(missing)}", hint="name each learner's .svmlab, or what it is in"
        )
    everybody = [state.kept(_state_in(folder)) for folder in folders]
    learners = [kept for kept in everybody if kept.entries]
    return Report(
        len(learners),
        len(everybody) - len(learners),
        sum(kept.damaged for kept in everybody),
        tuple(_questions(learners)),
        tuple(_exercise(each, learners) for each in bank.exercises()),
    )


def _state_in(folder: Path) -> Path:
    inside = folder / state.DEFAULT
    return inside if inside.is_dir() else folder


def _questions(learners: list[state.Kept]) -> Iterable[QuestionRow]:
    happened = MISCONCEPTIONS.happens()
    for question in MISCONCEPTIONS.questions:
        given = {when: _answers(learners, when, question.name) for when in WHEN}
        expected = happened[question.name]
        wrong = [[each for each in given[when] if each != expected] for when in reversed(WHEN)]
        yield QuestionRow(
            question.name,
            question.asks,
            expected,
            {when: given[when].count(expected) for when in WHEN},
            {when: len(given[when]) for when in WHEN},
            next((statistics.mode(each) for each in wrong if each), ""),
        )


def _answers(learners: list[state.Kept], when: str, name: str) -> list[str]:
    """What each learner who answered said last."""
    said = [[e["answers"][name] for e in kept.of("survey", when) if name in e.get("answers", {})] for kept in learners]
    return [answers[-1] for answers in said if answers]


def _exercise(number: str, learners: list[state.Kept]) -> ExerciseRow:
    checks = [[e.get("verdict") for e in kept.of("check", number)] for kept in learners]
    tried = [[verdict for verdict in verdicts if verdict != "not tried"] for verdicts in checks]
    hints = [max((e.get("level", 0) for e in kept.of("hint", number)), default=0) for kept in learners]
    counts = [len(verdicts) for verdicts in tried if verdicts]
    strongest = [level for level, verdicts in zip(hints, tried, strict=True) if verdicts]
    return ExerciseRow(
        number,
        len(counts),
        sum("right" in verdicts for verdicts in tried),
        statistics.median(counts) if counts else 0,
        statistics.median(strongest) if strongest else 0,
    )
