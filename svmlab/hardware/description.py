"""Description files (machines, costs, models of GPUs): read, and checked against their schema.

A file that is as it was released was checked by the tests, and is not checked again: that takes pydantic, which is
memory and time that most kernels never need. ``data/checked.sha256`` tells which these are, as sha256sum writes it; a
file that somebody changed is checked like any other.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any, Literal

from svmlab.errors import InputError, SvmError
from svmlab.hardware.toml_file import parse_toml, read_bytes, text_of
from svmlab.resources import data_path

__all__ = ["Kind", "in_file", "read_description"]

Kind = Literal["costs.toml", "devices.toml", "machines"]
"""What a file describes, by what is shipped of it in ``data``."""


def read_description(path: Path, kind: Kind) -> dict[str, Any]:
    """Read a description file.

    Args:
        path: the file.
        kind: what it describes.

    Returns:
        Its tables, which the schema allows.

    Raises:
        InputError: it cannot be read or is no TOML; or the first key that is unknown, missing, of a wrong type or out
            of its domain.

    >>> sorted(read_description(data_path("costs.toml"), "costs.toml"))
    ['constant']
    """
    content = read_bytes(path)
    table = parse_toml(text_of(content, str(path)), str(path))
    if not _is_released(content, kind):
        from svmlab.hardware.schema import check

        check(table, kind, path)
    return table


def in_file(path: Path | str, error: SvmError) -> InputError:
    """The same complaint, with the file it is about."""
    return InputError(f"{path}: {error.given}", allowed=error.allowed, hint=error.hint)


def _is_released(content: bytes, kind: Kind) -> bool:
    wanted = hashlib.sha256(content).hexdigest()
    lines = data_path("checked.sha256").read_text(encoding="ascii").splitlines()
    released = dict(line.split() for line in lines)
    return released.get(wanted, "").split("/")[0] == kind
