"""Say what will happen before it happens, and compare afterwards: recorded, never scored."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from svmlab.course import bank, state
from svmlab.course.exercise import Prediction, Question
from svmlab.errors import InputError

__all__ = ["Predicted", "answered", "compare", "predict"]


@dataclass(frozen=True, slots=True, repr=False)
class Predicted:
    """What somebody predicted.

    Attributes:
        of: the questions.
        answers: the answer to each question that has one.
    """

    of: Prediction
    answers: Mapping[str, str]


def predict(number: str, **answers: Any) -> Predicted:
    """Record what you expect, before you run it.

    Args:
        number: id of the prediction, ``"00.p1"``.
        **answers: an answer for each question; ``...`` for one that you have not answered yet.

    Returns:
        What ``compare`` takes after the run.

    Raises:
        InputError: no such prediction, question or answer.
    """
    asked = bank.prediction(number)
    given = answered(asked, answers)
    if given:
        state.keep("prediction", number, answers=given)
    print(
        "Recorded." if len(given) == len(asked.questions) else "Not predicted yet: put an answer in place of each ..."
    )
    return Predicted(asked, given)


def answered(asked: Prediction, answers: Mapping[str, Any]) -> dict[str, str]:
    """The answers among what was given, as the choices write them.

    Raises:
        InputError: no such question or answer.
    """
    names = {question.name: question for question in asked.questions}
    return {name: _answer(names, name, value) for name, value in answers.items() if value is not ...}


def _answer(questions: Mapping[str, Question], name: str, value: Any) -> str:
    if name not in questions:
        raise InputError(f"nothing is asked about {name!r}", allowed=", ".join(questions))
    choices = questions[name].choices
    found = [choice for choice in choices if choice.lower() == str(value).strip().lower()]
    if not found:
        raise InputError(f"{name}={value!r} is no answer", allowed=", ".join(map(repr, choices)))
    return found[0]


def compare(mine: Predicted) -> None:
    """Run it, and show your prediction beside what happens and why.

    Args:
        mine: what ``predict`` returned. Nothing else is looked at, so the same cell prints the same each time.
    """
    happened = mine.of.happens()
    for question in mine.of.questions:
        print(f"{question.asks}\n  you said  {mine.answers.get(question.name, '(nothing yet)')}")
        print(f"  happened  {happened[question.name]}\n  because   {question.rule}")
