"""The peers' scenarios: whose expectations they hold, and whether each of them holds in every mode it names."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from svmlab.resources import data_path
from svmlab.scenario.actions import ACTIONS
from svmlab.scenario.runner import run
from svmlab.scenario.sweep import Sweep, load_sweep

__all__ = ["ASSERTED", "DERIVED", "Peer", "left_out", "peers"]

ASSERTED = "Asserted upstream: "
"""How a note says that the original asserts what the step expects."""
DERIVED = "Follows from driver rules"
"""How a note says that the driver's rules imply it; rules of ``RULES.md`` stand behind it in brackets."""
_LEFT_OUT = re.compile(r"^\| `([^`]+)` \| (.+) \|$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Peer:
    """A scenario that a test of another project became.

    Attributes:
        path: its file.
        sweep: the modes in which it holds.
        asserted, derived: how many of its steps say that the original asserts what comes of them, and how many that
            driver rules imply it; a step that says both counts for both.
    """

    path: Path
    sweep: Sweep
    asserted: int
    derived: int

    @property
    def title(self) -> str:
        """The name of the original."""
        return str(self.sweep.tables["title"])

    @property
    def modes(self) -> str:
        """The values of its head that it runs with, in a few words.

        >>> next(peers()).modes
        'xnack off|on, behaviour upstream|as-intended'
        """
        return ", ".join(f"{key} {'|'.join(map(str, values))}" for key, values in self.sweep.lists.items())

    def run(self) -> list[str]:
        """Run it in every mode; tells the first thing that did not hold in each of those in which something did not."""
        failures = []
        for n in range(1, len(self.sweep) + 1):
            result = run(self.sweep.scenario(n))
            for first in result.failures[:1]:
                told = f"step {first.n}: expected {first.expected}, found {first.found}"
                failures.append(f"{self.sweep.named(n)}: {told}")
        return failures


def peers() -> Iterator[Peer]:
    """Every scenario of a peer, in the order of its files."""
    for path in sorted(data_path("scenarios", "peers").rglob("*.toml")):
        sweep = load_sweep(path, known=ACTIONS)
        notes = [step.note or "" for step in sweep.scenario(1).steps]
        asserted, derived = (sum(mark in note for note in notes) for mark in (ASSERTED, DERIVED))
        yield Peer(path, sweep, asserted, derived)


def left_out() -> dict[str, str]:
    """The scenarios of peers that have no file, and the reason.

    >>> "hmm/exclusive" in left_out()
    True
    """
    text = data_path("scenarios", "peers", "LEFT_OUT.md").read_text(encoding="utf-8")
    return dict(_LEFT_OUT.findall(text))
