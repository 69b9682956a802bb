"""Examples that stand below the help of each command; every one of them is run by a test."""

from __future__ import annotations

__all__ = ["EXAMPLES", "examples_of"]

EXAMPLES = {
    "machine": (
        "svmlab machine --list",
        "svmlab machine mi210-two-hives",
        "svmlab machine toy --plot toy.svg",
    ),
    "new": ("svmlab new mine.toml",),
    "run": (
        "svmlab run data/scenarios/first-migration.toml",
        "svmlab run data/scenarios/first-migration.toml --plot run.png --view pagemap",
        "svmlab run data/scenarios/first-migration.toml --trace run.json",
        "svmlab run data/scenarios/*.toml",
        "svmlab run data/scenarios/first-migration.toml --seed 1 --behaviour as-posted",
        "svmlab run data/scenarios/first-migration.toml --json",
    ),
    "sweep": (
        "svmlab sweep data/scenarios/how-large.toml --out rows.csv",
        "svmlab sweep data/scenarios/how-large.toml --out rows.csv --plot",
    ),
    "race": (
        "svmlab race data/scenarios/races/fork-prefetch.toml",
        "svmlab race data/scenarios/races/fork-prefetch.toml --save found.toml",
    ),
    "compare": (
        "svmlab compare data/scenarios/first-migration.toml data/scenarios/there-and-back.toml",
        "svmlab compare data/scenarios/first-migration.toml --behaviour as-posted",
    ),
    "trace": (
        "svmlab trace data/traces/first-migration.smi",
        "svmlab trace data/traces/first-migration.smi --replay",
    ),
    "verify": (
        "svmlab verify data/vectors/best_location.jsonl",
        "svmlab verify data/vectors/ram_to_vram.jsonl --json",
    ),
    "behaviours": (
        "svmlab behaviours",
        "svmlab behaviours --diff as-posted upstream",
    ),
    "peers": ("svmlab peers", "svmlab peers --json"),
    "lab": ("svmlab lab --check",),
    "course": ("svmlab course report .svmlab",),
    "release": ("svmlab release handed-out",),
    "bench": ("svmlab bench ranges", "svmlab bench all --json"),
    "completion": (
        'eval "$(svmlab completion bash)"',
        "svmlab completion fish > svmlab.fish",
    ),
}
"""By command; each stands for one way of using it, in a folder where ``data`` is the one of svmlab."""


def examples_of(command: str) -> str:
    r"""The examples of a command as text that click does not wrap; empty if it has none.

    >>> examples_of("new")
    '\x08\nExamples:\n  svmlab new mine.toml'
    """
    lines = EXAMPLES.get(command, ())
    return "\n".join(["\b", "Examples:", *(f"  {line}" for line in lines)]) if lines else ""
