"""Where a machine description is: a shipped name, a TOML file, or a KFD topology tree."""

from __future__ import annotations

import os
from pathlib import Path

from svmlab.errors import InputError
from svmlab.hardware.machine import Machine
from svmlab.hardware.machine_file import load_machine
from svmlab.resources import data_path

__all__ = ["find_machine", "preset_names"]

_ALLOWED = "a name that `svmlab machine --list` shows, a .toml file, or a KFD topology tree (folder or .tar.gz)"


def preset_names() -> tuple[str, ...]:
    """Names of the machines that are shipped, sorted.

    >>> "mi210-two-hives" in preset_names()
    True
    """
    return tuple(sorted(path.stem for path in data_path("machines").glob("*.toml")))


def find_machine(name_or_path: str | os.PathLike[str], base: str | os.PathLike[str] | None = None) -> Machine:
    """Load a machine by the name or the path of its description; a shipped name wins over a file of that name.

    Args:
        name_or_path: a name in ``data/machines``, a ``.toml`` file, or a KFD topology tree (folder or ``.tar.gz``).
        base: the folder that relative paths start at; the working directory by default.

    Raises:
        InputError: there is no such machine, or its description is damaged.
    """
    text = os.fspath(name_or_path)
    if text in preset_names():
        return load_machine(data_path("machines", f"{text}.toml"))
    path = Path(base or ".", text)
    if not text or not _exists(path):
        from difflib import get_close_matches

        close = get_close_matches(text, preset_names(), 1, 0.5)
        raise InputError(f"there is no machine {text!r}", allowed=_ALLOWED, hint=close[0] if close else "")
    if path.suffix == ".toml":
        return load_machine(path)
    # Only here: most kernels never read a tree, and its archives would cost each of them a megabyte.
    from svmlab.hardware.topology import import_topology

    return import_topology(path)


def _exists(path: Path) -> bool:
    try:
        # A pipe or a terminal exists too, but reading it may never end.
        return path.is_dir() or path.is_file()
    except OSError:
        # Such as a name that is too long to be one.
        return False
