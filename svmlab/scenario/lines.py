"""On which line of a scenario file a key stands: TOML's reader does not tell."""

from __future__ import annotations

import re

__all__ = ["line_of"]

_STEP = re.compile(r"^[ \t]*\[\[[ \t]*step[ \t]*\]\]", re.MULTILINE)


def line_of(text: str, n: int, key: str) -> int:
    r"""The line on which a key of a step stands; for a key that is not there, the line on which the step begins.

    Args:
        text: what the file holds.
        n: number of the step, from 1; 0 is the head.
        key: the key, as errors name it; may be empty.

    Returns:
        A line number, from 1; 0 if it cannot be told: no text, steps that are one list, a key the head does not have.

    >>> line_of('title = "t"\n[[step]]\ndo = "run"\nfor = 3\n', 1, "for")
    4
    """
    starts = [0, *(found.start() for found in _STEP.finditer(text)), len(text)]
    if n + 2 > len(starts) or not text:
        return 0
    name = re.escape(re.split(r"[. ]", key, maxsplit=1)[0])
    line = re.compile(rf"""^[ \t]*["']?{name}["']?[ \t]*[.=]""", re.MULTILINE)
    found = line.search(text, starts[n], starts[n + 1]) if key else None
    if found is None and n == 0:
        return 0
    return text.count("\n", 0, found.start() if found else starts[n]) + 1
