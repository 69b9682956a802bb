"""How two builds of a notebook differ, in lines that a person can read."""

from __future__ import annotations

import json
from collections.abc import Iterator
from difflib import unified_diff
from typing import Any

__all__ = ["differences"]

_IMAGES = ("image/png", "image/jpeg")
"""Pictures may differ by a pixel with the version of a library; their printed twins may not."""
_MOST_LINES = 40


def differences(committed: Any, rebuilt: Any) -> list[str]:
    """Tell how a notebook differs from its rebuild.

    Args:
        committed: the notebook that is there.
        rebuilt: what the source gives now.

    Returns:
        Lines, none if they are the same; bytes of images do not count.
    """
    old, new = _cells(committed), _cells(rebuilt)
    lines = [*_diff("the notebook", _plain(committed.metadata), _plain(rebuilt.metadata))]
    lines += _diff("the order of cells", "\n".join(old), "\n".join(new))
    for name in old.keys() & new.keys():
        lines += _diff(f"cell {name}", old[name], new[name])
    return lines


def _cells(notebook: Any) -> dict[str, str]:
    return {cell.get("id", str(number)): _plain(_without_images(cell)) for number, cell in enumerate(notebook.cells)}


def _without_images(cell: Any) -> dict[str, Any]:
    plain: dict[str, Any] = json.loads(json.dumps(cell))
    for output in plain.get("outputs", []):
        for kind in _IMAGES:
            if kind in output.get("data", {}):
                output["data"][kind] = "(image)"
    return plain


def _plain(value: Any) -> str:
    # Texts as they are read, not as JSON escapes them.
    return json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False).replace("\\n", "\n")


def _diff(what: str, old: str, new: str) -> Iterator[str]:
    lines = list(unified_diff(old.splitlines(), new.splitlines(), "committed", "rebuilt", n=1, lineterm=""))
    if lines:
        yield f"{what} differs:"
        yield from (f"  {line}" for line in lines[:_MOST_LINES])
        yield from [f"  ... and {len(lines) - _MOST_LINES} more lines"] if len(lines) > _MOST_LINES else []
