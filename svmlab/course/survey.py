"""The questions asked before and after the course; nothing is judged, and nothing personal is kept."""

from __future__ import annotations

from typing import Any, Literal

from svmlab.course import state
from svmlab.course.bank.misconceptions import MISCONCEPTIONS
from svmlab.course.predict import answered
from svmlab.errors import InputError

__all__ = ["WHEN", "survey"]

WHEN = ("before", "after")
"""When it is answered; what is answered last counts."""


def survey(when: Literal["before", "after"], **answers: Any) -> None:
    """Record what you think, before the course or after it.

    Args:
        when: ``"before"`` or ``"after"``.
        **answers: an answer for each question; ``...`` for one that you leave out.

    Raises:
        InputError: no such time, question or answer.
    """
    if when not in WHEN:
        raise InputError(f"survey({when!r})", allowed=" or ".join(map(repr, WHEN)))
    given = answered(MISCONCEPTIONS, answers)
    if given:
        state.keep("survey", when, answers=given)
    print(f"{len(given)} of {len(MISCONCEPTIONS.questions)} answered." if given else "Nothing is answered yet.")
