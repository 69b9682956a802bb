"""Three hints an exercise, each stronger than the one before."""

from __future__ import annotations

from svmlab.course import bank, state
from svmlab.errors import InputError

__all__ = ["hint"]


def hint(number: str, level: int = 1) -> None:
    """Print a hint: 1 where to look, 2 the idea, 3 the shape with holes.

    Args:
        number: id of the exercise, ``"00.1"``.
        level: how much of a hint, from 1. It is asked for and not counted up, so a cell always prints the same.

    Raises:
        InputError: there is no such exercise, or it has no such hint.
    """
    hints = bank.exercise(number).hints
    if not 1 <= level <= len(hints):
        allowed = f"1 to {len(hints)}" if hints else "none: it is a warm-up"
        raise InputError(f"{number} has no hint {level}", allowed=allowed)
    state.keep("hint", number, level=level)
    more = f"\n(more: hint({number!r}, {level + 1}))" if level < len(hints) else ""
    print(f"{number} hint {level} of {len(hints)}: {hints[level - 1]}{more}")
