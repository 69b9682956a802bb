"""The registry of behaviours as text: for the command line, and for DEVIATIONS.md, which is made of it."""

from __future__ import annotations

from svmlab.hardware.describe import renewed
from svmlab.svm.behaviour import Behaviour
from svmlab.svm.behaviour_table import PRESETS, SLOTS, Slot

__all__ = ["END_MARKER", "START_MARKER", "as_markdown", "as_rows", "differing", "put_into"]

START_MARKER = "<!-- behaviours: made by `svmlab behaviours --into FILE`, do not edit -->"
END_MARKER = "<!-- end of behaviours -->"


def as_rows() -> list[dict[str, object]]:
    """Every slot with its options and what each preset chooses, as plain data."""
    return [
        {
            "slot": slot.name,
            "asks": slot.asks,
            "options": {option.name: {"tag": option.tag, "says": option.says} for option in slot.options.values()},
            "presets": dict(zip(PRESETS, slot.presets, strict=True)),
        }
        for slot in SLOTS.values()
    ]


def differing(first: str, second: str) -> list[tuple[Slot, str, str]]:
    """The slots at which two presets choose differently, with their choices.

    Raises:
        InputError: there is no such preset.
    """
    a, b = Behaviour(first), Behaviour(second)
    pairs = [(slot, a.choices[name], b.choices[name]) for name, slot in SLOTS.items()]
    return [(slot, mine, theirs) for slot, mine, theirs in pairs if mine != theirs]


def put_into(text: str) -> str:
    """A document with its part about behaviours made anew.

    Raises:
        InputError: the document has no such part.
    """
    return renewed(text, as_markdown())


def as_markdown() -> str:
    """The registry as a Markdown table for each slot."""
    parts = [START_MARKER, ""]
    for slot in SLOTS.values():
        parts += [f"### `{slot.name}`", "", slot.asks, ""]
        parts += ["| option | stands for | what it does | chosen by |", "|---|---|---|---|"]
        for option in slot.options.values():
            choices = zip(PRESETS, slot.presets, strict=True)
            users = ", ".join(preset for preset, chosen in choices if chosen == option.name)
            parts.append(f"| `{option.name}` | {option.tag} | {option.says} | {users or '-'} |")
        parts.append("")
    return "\n".join([*parts, END_MARKER, ""])
