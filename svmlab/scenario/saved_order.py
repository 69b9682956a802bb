"""A scenario's file with an order written into its head."""

from __future__ import annotations

import json
import re
from pathlib import Path

from svmlab.errors import InputError
from svmlab.hardware.toml_file import parse_toml
from svmlab.scenario.format import Scenario
from svmlab.scenario.orders import Stop

__all__ = ["text_with_order"]

_FIRST_TABLE = re.compile(r"^[ \t]*\[", re.MULTILINE)
_REPLACED = re.compile(r"^[ \t]*(?:behaviour|order)[ \t]*=.*\n", re.MULTILINE)
_TITLE = re.compile(r"^[ \t]*title[ \t]*=.*\n", re.MULTILINE)


def text_with_order(scenario: Scenario, order: tuple[Stop, ...]) -> str:
    """The file of a scenario, with an order and the behaviour it was found under in its head.

    Raises:
        InputError: the scenario came from no file, or one whose head cannot be rewritten line by line.
    """
    file = Path(scenario.file)
    if not file.is_file():
        raise InputError(f"{scenario.file}: there is no such file to write the order into")
    text = file.read_text(encoding="utf-8")
    first = _FIRST_TABLE.search(text)
    head, steps = text[: first.start() if first else None], text[first.start() if first else len(text) :]
    lines = [f"behaviour = {_toml(scenario.head.behaviour)}", "order = ["]
    lines += [f"    {_toml(stop.text)}," for stop in order] + ["]", ""]
    title = _TITLE.search(head := _REPLACED.sub("", head))
    at = title.end() if title else 0
    written = head[:at] + "\n".join(lines) + head[at:] + steps
    _check_written(written, scenario, order)
    return written


def _toml(value: str | dict[str, str]) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key} = {_toml(one)}" for key, one in value.items()) + "}"
    return json.dumps(value, ensure_ascii=False)


def _check_written(text: str, scenario: Scenario, order: tuple[Stop, ...]) -> None:
    try:
        head = parse_toml(text, scenario.file)
    except InputError:
        head = {}
    if head.get("order") != [stop.text for stop in order] or len(head.get("step", ())) != len(scenario.steps):
        raise InputError(
            f"{scenario.file}: its head cannot be rewritten",
            allowed="title, behaviour and order in one line each, before the first table",
        )
