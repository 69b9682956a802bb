"""Marks: what an exercise is worth, and the test that an autograder runs on an answer."""

from __future__ import annotations

from random import Random
from typing import Any

from svmlab.course import bank
from svmlab.course.check import verdict
from svmlab.course.exercise import Kind
from svmlab.errors import SvmError

__all__ = ["POINTS", "NotRightError", "grade"]

POINTS = {
    Kind.WARM_UP: 1,
    Kind.ORDER: 2,
    Kind.COMPLETE: 2,
    Kind.MODIFY: 2,
    Kind.COUNTER_EXAMPLE: 3,
    Kind.BUG_HUNT: 3,
    Kind.WRITE: 4,
}
"""What an exercise of each kind is worth."""


class NotRightError(SvmError):
    """An answer gets no points."""


def grade(number: str, answer: Any, *, seed: int) -> None:
    """Accept an answer, or raise what is wrong with it; nothing is printed or kept.

    Args:
        number: id of the exercise, ``"00.1"``.
        answer: the learner's answer; ``...`` is none.
        seed: draws the cases that ``check`` does not try, where an exercise has such.

    Raises:
        NotRightError: there is no answer, or a case that it gets wrong.
        InputError: there is no such exercise.

    >>> grade("00.w1", 64, seed=1)
    >>> grade("00.w1", ..., seed=1)
    Traceback (most recent call last):
    svmlab.course.grading.NotRightError: 00.w1 not tried yet
    """
    asked = bank.exercise(number)
    judges = [asked.judge, *([asked.drawn(Random(seed))] if asked.drawn else [])]
    for judge in judges:
        found, text = verdict(asked, answer, judge)
        if found != "right":
            raise NotRightError(f"{number} {text}")
