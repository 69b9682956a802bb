"""What is wrong with a file, in one line: file, step, key, what was found, what is allowed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from svmlab.errors import InputError
from svmlab.scenario.lines import line_of
from svmlab.scenario.tables import shortened

__all__ = ["KeyedError", "Place"]

_LONGEST = 600


class KeyedError(InputError):
    """Something is wrong with the value of a key that is fine by itself.

    Attributes:
        key: the key, with a dot for each table it lies in.
    """

    def __init__(self, key: str, given: str, *, allowed: str = "", hint: str = "") -> None:
        super().__init__(given, allowed=allowed, hint=hint)
        self.key = key


@dataclass(frozen=True, slots=True)
class Place:
    """Where in which file.

    Attributes:
        file: the file as the user named it, or the option of the command line.
        n: number of the step, from 1; 0 is the head.
        do: name of the step, as far as there is one.
        text: what the file holds, if it is at hand: then the line is told, too.
    """

    file: str
    n: int = 0
    do: str = ""
    text: str = ""

    def refuse(self, key: str, error: InputError) -> InputError:
        """Put file, step and key in front of what is wrong."""
        step = f"step {self.n}" + (f" ({self.do})" if self.do else "") if self.n else ""
        where = ", ".join(part for part in (step, f"key {key}" if key else "") if part)
        what = _cut(error.given)
        if key and what.startswith("is "):
            where, what = f"{where} {what}", ""
        line = line_of(self.text, self.n, key)
        text = ": ".join(part for part in (self.file, f"line {line}" if line else "", where, what) if part)
        return InputError(_one_line(text), allowed=_one_line(error.allowed), hint=_one_line(error.hint))

    def translate(self, error: ValidationError, raw: object) -> InputError:
        """Say the first thing pydantic found wrong with ``raw`` in a user's words."""
        first = error.errors(include_url=False)[0]
        return self.refuse(_key(first, raw), _in_words(first))


def _one_line(text: str) -> str:
    return "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in text)


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."


def _key(error: ErrorDetails, raw: object) -> str:
    """The key that is meant, as a path; what pydantic adds for its unions is no key of the file."""
    path, at = "", raw
    for part in error["loc"]:
        if isinstance(at, dict) and part in at:
            path, at = f"{path}.{part}" if path else str(part), at[part]
        elif isinstance(at, list) and isinstance(part, int) and part < len(at):
            path, at = f"{path} item {part + 1}", at[part]
    if error["type"] == "missing":
        path = f"{path}.{error['loc'][-1]}" if path else str(error["loc"][-1])
    return _cut(path)


def _in_words(error: ErrorDetails) -> InputError:
    context: dict[str, Any] = error.get("ctx", {})
    told = context.get("error")
    if isinstance(told, InputError):
        return told
    value = shortened(error["input"])
    if error["type"] == "value_error":
        # Not one of ours: a number that Python refuses to write.
        return InputError(f"{value} cannot be used")
    say = _WORDS.get(error["type"])
    return say(value, context) if say else InputError(f"{value}: {error['msg']}")


def _no(what: str) -> Callable[[str, dict[str, Any]], InputError]:
    return lambda value, _: InputError(f"{value} is no {what}", allowed=f"a {what}")


_WORDS: dict[str, Callable[[str, dict[str, Any]], InputError]] = {
    "missing": lambda _, __: InputError("is missing"),
    "int_type": _no("whole number"),
    "string_type": _no("text"),
    "list_type": _no("list"),
    "dict_type": _no("table"),
    "model_type": _no("table"),
    "model_attributes_type": _no("table"),
    "bool_type": lambda value, _: InputError(f"{value} is no truth value", allowed="true, false"),
    "string_too_short": lambda _, __: InputError("is empty"),
    "string_too_long": lambda _, context: InputError("is too long", allowed=f"{context['max_length']} characters"),
    "literal_error": lambda value, context: InputError(f"{value} is not known", allowed=context["expected"]),
    "greater_than_equal": lambda value, context: InputError(
        f"{value} is {'negative' if context['ge'] == 0 else 'too small'}", allowed=f"{context['ge']} and more"
    ),
    "less_than_equal": lambda value, context: InputError(f"{value} is too large", allowed=f"up to {context['le']}"),
    "union_tag_not_found": lambda _, __: InputError("do is missing", allowed="the name of a step"),
    "union_tag_invalid": lambda _, context: InputError(
        f"no step is called {shortened(context['tag'])}", allowed=context["expected_tags"]
    ),
}
