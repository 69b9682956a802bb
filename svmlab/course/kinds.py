"""Kinds of exercise: each function makes the judge of one kind from plain data."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, TypeVar

from svmlab.course.exercise import Judge, Miss
from svmlab.course.mishap import attempt as tried
from svmlab.errors import InputError

__all__ = ["bug_hunt", "counter_example", "function", "on_cases", "one_number", "one_of", "order"]

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


def one_of(choices: Mapping[str, str], right: str, *, of: str) -> Judge:
    """Judge a word out of a few.

    Args:
        choices: each with what is to be said about it, right or wrong.
        right: the right one.
        of: what was asked.
    """

    def judge(answer: Any) -> Iterator[Miss | None]:
        word = str(answer).strip().lower()
        rule = choices.get(word, "the answers are " + ", ".join(map(repr, choices)))
        yield None if word == right else Miss(of, repr(answer), "another of the answers", rule)

    return judge


def _number(answer: Any) -> int | None:
    try:
        number = int(answer, 0) if isinstance(answer, str) else int(answer)
    except (TypeError, ValueError):
        return None
    return number if isinstance(answer, str) or number == answer else None


def order(
    right: Mapping[str, str],
    needs: Mapping[str, str],
    *,
    strangers: Mapping[str, str] | None = None,
    of: str = "a migration",
) -> Judge:
    """Judge pieces put in order, given as letters in a text, a list or a tuple.

    Args:
        right: the pieces by their letters, in the right order.
        needs: for each letter, what must have happened before it.
        strangers: pieces that do not belong, by their letters, each with why not.
        of: what the pieces are steps of.
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
            return Miss(given, "nothing", "one more piece", f"every step of {of} happens")
        mine = letters[place]
        if mine in outside:
            return Miss(given, mine, f"a step of {of}", outside[mine])
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
    known = tuple(cases)

    def judge(answer: Any) -> Iterator[Miss | None]:
        return (attempt(case, answer) for case in known)

    return judge


def function(
    cases: Iterable[Case],
    right: Callable[[Case], Any],
    *,
    rule: str | Callable[[Case], str],
    show: Callable[[Any], str] = repr,
    call: Callable[[Any, Case], Any] | None = None,
) -> Judge:
    """Judge a function that is to be written, completed or mended, by what it returns for every case.

    Args:
        cases: the smallest first; a tuple is passed as several arguments.
        right: what should come out, asked of the model itself.
        rule: why, the same for every case or told for one.
        show: how a result is written.
        call: how the function is called with a case, if not with its parts.
    """

    def attempt(case: Case, answer: Any) -> Miss | None:
        if not callable(answer):
            return Miss("your answer", repr(answer), "a function", "define it with def, and give its name to check")
        mine, error = tried(lambda: call(answer, case) if call else answer(*_parts(case)))
        if any(part is ... for part in (mine if isinstance(mine, tuple) else (mine,))):
            raise NotImplementedError  # a hole is still open
        expected = right(case)
        if error is None and bool(mine == expected):
            return None
        yours = f"it stops with {type(error).__name__}: {error}" if error else show(mine)
        return Miss(_given(case), yours, show(expected), rule if isinstance(rule, str) else rule(case))

    return on_cases(cases, attempt)


def _parts(case: Any) -> tuple[Any, ...]:
    return case if isinstance(case, tuple) else (case,)


def _given(case: Any) -> str:
    # A named tuple that says in words what it is has a __str__ of its own.
    own = isinstance(case, tuple) and hasattr(case, "_fields")
    return str(case) if own else ", ".join(map(repr, _parts(case)))


def counter_example(read: Callable[[Any], Case], holds: Callable[[Case], str | None], *, claim: str) -> Judge:
    """Judge a case that is to show that a claim is false.

    Args:
        read: makes a case of an answer; raises InputError if it is none.
        holds: tells what happens in the case if the claim holds there, None if it fails.
        claim: what is claimed.
    """

    def judge(answer: Any) -> Iterator[Miss | None]:
        try:
            case = read(answer)
        except InputError as error:
            yield Miss(repr(answer), "no case of this kind", error.allowed or "a case", str(error))
            return
        happens = holds(case)
        yield Miss(_given(case), happens, "a case in which the claim fails", f"the claim: {claim}") if happens else None

    return judge


def bug_hunt(line: int, witness: Judge, *, lines: Mapping[int, str]) -> Judge:
    """Judge where a bug is, and a case that shows it: an answer is the number of a line and the case.

    Args:
        line: the number of the line that is wrong.
        witness: judges the case, such as ``counter_example`` with the claim that the code is right.
        lines: for each other line, why it is right.
    """

    def judge(answer: Any) -> Iterator[Miss | None]:
        if not isinstance(answer, list | tuple) or len(answer) != 2:
            yield Miss("your answer", repr(answer), "(line, case)", "a bug is a place and a case that shows it")
            return
        place, case = answer
        yield from witness(case)
        if place != line:
            why = lines.get(place, f"the lines are {', '.join(map(str, sorted({line, *lines})))}")
            yield Miss(f"line {place}", "the wrong line", "the line that the case goes wrong in", why)

    return judge
