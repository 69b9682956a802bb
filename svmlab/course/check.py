"""Try an answer on the cases of an exercise and say in words what came of it."""

from __future__ import annotations

from typing import Any

from svmlab.course import bank, state
from svmlab.course.exercise import Exercise, Judge, Miss
from svmlab.course.mishap import Mishap

__all__ = ["check", "verdict"]


def check(number: str, answer: Any) -> None:
    """Check an answer and print ``not tried yet``, ``right``, or the smallest case that it gets wrong.

    Args:
        number: id of the exercise, ``"00.1"``.
        answer: your answer; ``...`` is none yet.

    Raises:
        InputError: there is no such exercise.
    """
    asked = bank.exercise(number)
    found, text = verdict(asked, answer)
    state.keep("check", number, verdict=found)
    print(f"{number} {text}")


def verdict(asked: Exercise, answer: Any, judge: Judge | None = None) -> tuple[str, str]:
    """Judge an answer.

    Args:
        asked: the exercise.
        answer: the answer.
        judge: what tries it, if not the exercise's own judge.

    Returns:
        ``"not tried"``, ``"right"`` or ``"wrong"``, and the text for the learner.
    """
    if answer is ...:
        return "not tried", "not tried yet"
    tried, miss = 0, None
    with Mishap() as mishap:
        for miss in (judge or asked.judge)(answer):
            tried += 1
            if miss:
                break
    if isinstance(mishap.error, NotImplementedError):
        return "not tried", "not tried yet"
    if mishap.error is not None:
        miss = _told(mishap.error, tried + 1)
    if miss is None:
        return "right", f"right: {tried} cases" if tried > 1 else "right"
    clue = f"\n  help      hint({asked.id!r}, 1)" if asked.hints else ""
    return "wrong", f"not right yet\n{miss}{clue}"


def _told(error: BaseException, case: int) -> Miss:
    stop = f"it stops with {type(error).__name__}: {error}"
    return Miss(f"case {case}", stop, "an answer", "the exercise says which form an answer has")
