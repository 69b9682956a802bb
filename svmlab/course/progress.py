"""What a learner has done so far; the one answer of the course that depends on what was kept."""

from __future__ import annotations

from svmlab.course import bank, state

__all__ = ["progress"]


def progress() -> None:
    """Print each exercise with how often it was checked, its hints, and whether it is right."""
    kept = state.kept()
    for number, asked in bank.exercises().items():
        verdicts = [entry.get("verdict") for entry in kept.of("check", number) if entry.get("verdict") != "not tried"]
        hints = {entry.get("level") for entry in kept.of("hint", number)}
        standing = "right" if "right" in verdicts else "not right yet" if verdicts else "not tried yet"
        print(f"{number:<6} {standing:<14} {len(verdicts)} checked, {len(hints)} hints  {asked.asks}")
    predicted = [number for number in bank.predictions() if kept.of("prediction", number)]
    print(f"predictions: {', '.join(predicted) or 'none yet'}")
    if kept.damaged:
        print(f"({kept.damaged} lines in {state.folder()} cannot be read and do not count)")
