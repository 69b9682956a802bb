"""A finished run as text: the table of its steps, what did not hold, and one line that sums it up."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel

from svmlab.scenario.result import Result, StepResult
from svmlab.scenario.steps import AnyStep, Step
from svmlab.scenario.tables import Between
from svmlab.units import format_size, format_time

__all__ = ["describe", "render", "summary"]

_WIDTHS = (3, 14, 46, 12, 12)
_HEADINGS = ("n", "do", "what", "started", "took", "result")
_SIZES = ("size", "offset")
_ADDRESSES = ("address", "at", "word")
_HIDDEN = {*Step.model_fields, "on", "offset", "size", "address"}


def render(result: Result, *, notes: bool = True) -> str:
    """The whole report of a run.

    Args:
        result: what became of it.
        notes: show the notes of the steps.

    Returns:
        Several lines: title, table, failures, summary.
    """
    lines = [result.title, "", _line(_HEADINGS), _line(tuple("-" * len(heading) for heading in _HEADINGS))]
    for outcome in result.steps:
        lines += _row(outcome, notes=notes)
    if result.failures:
        lines += ["", "What did not hold:"]
        for failure in result.failures:
            lines += [f"  step {failure.n}: expected {failure.expected}", f"{'':9}found    {failure.found}"]
    return "\n".join([*lines, "", summary(result)])


def summary(result: Result) -> str:
    """One line: whether everything held, and how long it took in virtual time."""
    skipped = sum(outcome.skipped for outcome in result.steps)
    steps = _count(len(result.steps), "step") + (f" ({skipped} skipped)" if skipped else "")
    failed = _count(len(result.failures), "expectation")
    verdict = "every expectation held" if result.ok else f"{failed} did not hold"
    return f"{steps} in {format_time(result.time_ns)} of virtual time: {verdict}"


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def _row(outcome: StepResult, *, notes: bool) -> Iterator[str]:
    started, took = "", ""
    if outcome.started_ns is not None and outcome.ended_ns is not None:
        started, took = format_time(outcome.started_ns), format_time(outcome.ended_ns - outcome.started_ns)
    step = outcome.step
    what = textwrap.shorten(describe(step), _WIDTHS[2], placeholder=" ...")
    yield _line((str(outcome.n), step.do, what, started, took, _verdict(outcome)))
    if notes and step.note:
        indent = " " * (_WIDTHS[0] + 2)
        yield from textwrap.wrap(" ".join(step.note.split()), 100, initial_indent=indent, subsequent_indent=indent)


def _verdict(outcome: StepResult) -> str:
    if outcome.skipped:
        return "skipped"
    if not outcome.ok:
        return f"FAILED ({outcome.error})" if outcome.error else "FAILED"
    return f"{outcome.error}, as expected" if outcome.error else "ok"


def _line(cells: tuple[str, ...]) -> str:
    padded = [cell.ljust(width) for cell, width in zip(cells, _WIDTHS, strict=False)]
    return "  ".join([*padded, *cells[len(_WIDTHS) :]]).rstrip()


def describe(step: AnyStep) -> str:
    """What a step works on, in a few words.

    >>> from svmlab.scenario.steps import Mmap
    >>> describe(Mmap(do="mmap", name="a", size=4 << 20, populate=True))
    '4 MiB a populate=true'
    """
    words = [] if step.process == "main" else [f"[{step.process}]"]
    if not step.wait:
        words.append("(in the background)")
    words.append(_span(step))
    for name, field in type(step).model_fields.items():
        value = getattr(step, name)
        if name not in _HIDDEN and value is not None and value != field.default:
            words.append(_key(field.alias or name, value))
    return " ".join(filter(None, words))


def _span(keys: Any) -> str:
    """A span, or the size alone of what has only that."""
    address, on, offset, size = (getattr(keys, key, None) for key in ("address", "on", "offset", "size"))
    place = f"{address:#x}" if address is not None else on or ""
    if offset:
        place += f"+{format_size(offset)}"
    return " ".join(filter(None, [place, "" if size is None else format_size(size)]))


def _key(key: str, value: object) -> str:
    if key == "name":
        return str(value)
    if isinstance(value, BaseModel) and "on" in type(value).model_fields:
        return f"{key}={{{_span(value)}}}"
    return f"{key}={_value(key, value)}"


def _value(key: str, value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Between):
        return value.told(format_time if key == "elapsed" else str)
    if isinstance(value, BaseModel):
        fields = type(value).model_fields
        value = {fields[name].alias or name: inner for name, inner in value if inner is not None}
    if isinstance(value, dict):
        return "{" + " ".join(f"{name}={_value(key, inner)}" for name, inner in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_value(key, inner) for inner in value) + "]"
    if isinstance(value, int) and key in ("at", "to", "word"):
        return f"{value:#x}"
    return format_time(value) if isinstance(value, int) and key == "for" else str(value)
