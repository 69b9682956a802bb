"""Kinds of exercise: each function makes the judge of one kind from plain data."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, TypeVar

from svmlab.course.exercise import Judge, Miss

__all__ = ["on_cases", "one_number", "order"]

Case = TypeVar("Case")


def one_number(expected: int, *, of: str, rule: str) -> Judge:
    """Judge a whole number, given as a number or as text in any base Python reads.

    Args:
        expected: the right one.
        of: what was asked.
        rule: how it comes about.
    """

    def judge(answer: Any) -> Iterator[Miss | None]:
        yield None if _number(answer) == expected else Miss(of, repr(answer), "another whole number", rule)

    return judge


def _number(answer: Any) -> int | None:
    try:
        number = int(answer, 0) if isinstance(answer, str) else int(answer)
    except (TypeError, ValueError):
        return None
    return number if isinstance(answer, str) or number == answer else None


def order(right: Mapping[str, str], needs: Mapping[str, str], *, strangers: Mapping[str, str] | None = None) -> Judge:
    """Judge pieces put in order, given as letters in a text, a list or a tuple.

    Args:
        right: the pieces by their letters, in the right order.
        needs: for each letter, what must have happened before it.
        strangers: pieces that do not belong, by their letters, each with why not.
    """
    outside = strangers or {}

    def judge(answer: Any) -> Iterator[Miss | None]:
        letters = _letters(answer)
        misplaced = (_misplaced(letters, place, letter) for place, letter in enumerate(right))
        # The first place that is wrong says most; what follows it may be wrong only because of it.
        yield next(filter(None, misplaced), None) or _leftover(letters)

    def _misplaced(letters: str, place: int, letter: str) -> Miss | None:
        given = f"place {place + 1} of {len(right)}"
        if place >= len(letters):
            return Miss(given, "nothing", "one more piece", "every step of a migration happens")
        mine = letters[place]
        if mine in outside:
            return Miss(given, mine, "a step of this migration", outside[mine])
        if mine not in right:
            letters_there_are = ", ".join(sorted({*right, *outside}))
            return Miss(given, mine, f"one of the letters {letters_there_are}", "each letter is a piece")
        yours = f"{mine}, {right[mine]}"
        return None if mine == letter else Miss(given, yours, "a step that can be done by now", needs[mine])

    def _leftover(letters: str) -> Miss | None:
        extra = letters[len(right) :]
        rule = outside.get(extra[:1], "no step is done twice")
        return Miss("after the last step", extra, "nothing", rule) if extra else None

    return judge


def _letters(answer: Any) -> str:
    parts = answer if isinstance(answer, list | tuple) else [answer]
    return "".join(character for part in parts for character in str(part).upper() if character.isalnum())


def on_cases(cases: Iterable[Case], attempt: Callable[[Case, Any], Miss | None]) -> Judge:
    """Judge an answer by trying it on every case.

    Args:
        cases: the smallest first.
        attempt: tries one, and tells what is wrong.
    """
    tried = tuple(cases)

    def judge(answer: Any) -> Iterator[Miss | None]:
        return (attempt(case, answer) for case in tried)

    return judge
