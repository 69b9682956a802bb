"""What the exercise bank is made of: plain data, and for each exercise the function that judges an answer."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from random import Random
from typing import Any

__all__ = ["Exercise", "Judge", "Kind", "Miss", "Prediction", "Question"]


class Kind(StrEnum):
    """What an exercise asks for; the instructor's guide tells what each is good for."""

    WARM_UP = "warm-up"
    ORDER = "order the steps"
    COMPLETE = "complete"
    MODIFY = "modify"
    WRITE = "write"
    COUNTER_EXAMPLE = "counter-example"
    BUG_HUNT = "bug hunt"


@dataclass(frozen=True, slots=True)
class Miss:
    """A case that an answer does not get right, in words of the domain.

    Attributes:
        given: the case.
        yours: what the answer makes of it.
        expected: what should come out.
        rule: why.
    """

    given: str
    yours: str
    expected: str
    rule: str

    def __str__(self) -> str:
        parts = (("given", self.given), ("yours", self.yours), ("expected", self.expected), ("rule", self.rule))
        return "\n".join(f"  {name:<9} {text}" for name, text in parts)


Judge = Callable[[Any], Iterator[Miss | None]]
"""Tries an answer on case after case, the smallest first: None for a case that it gets right."""


@dataclass(frozen=True, slots=True)
class Exercise:
    """Something to work out.

    Attributes:
        id: ``"00.1"``: notebook and number.
        kind: what it asks for.
        asks: one sentence.
        judge: what tries an answer.
        hints: where to look, the idea, the shape with holes; a warm-up has none.
        drawn: makes a judge with random cases that ``check`` does not try; None where it tries all there are.
    """

    id: str
    kind: Kind
    asks: str
    judge: Judge
    hints: tuple[str, ...] = ()
    drawn: Callable[[Random], Judge] | None = None


@dataclass(frozen=True, slots=True)
class Question:
    """One question of a prediction.

    Attributes:
        name: the keyword it is answered with.
        asks: one sentence.
        choices: the answers there are.
        rule: why it comes out as it does.
    """

    name: str
    asks: str
    choices: tuple[str, ...]
    rule: str


@dataclass(frozen=True, slots=True)
class Prediction:
    """Questions to answer before a run.

    Attributes:
        id: ``"00.p1"``: notebook and number.
        questions: what is asked.
        happens: runs it, and tells what happens: one of the choices for each question.
    """

    id: str
    questions: tuple[Question, ...]
    happens: Callable[[], Mapping[str, str]]
