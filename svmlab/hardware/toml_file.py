"""Reading TOML that anybody may have written: every failure is one line, and nothing takes long."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

from svmlab.errors import InputError

__all__ = ["MAX_BYTES", "parse_toml", "read_bytes", "read_toml", "text_of"]

MAX_BYTES = 4 << 20
"""Largest file that is read."""

# tomllib's time grows with the cube of the parts of a dotted key, so such a key is refused before it is parsed.
_DOTTED = re.compile(r"""(?<![\w-])(?:(?:[\w-]++|"[^"\n]*+"|'[^'\n]*+')[ \t]*+\.[ \t]*+){32}""")
_POSITION = re.compile(r"(.*?) ?\(at (?:line (\d+), column (\d+)|end of document)\)", re.DOTALL)


def read_toml(path: Path) -> dict[str, Any]:
    """Read a TOML file.

    Raises:
        InputError: the file cannot be read, is too large or is no TOML; with line and column.
    """
    return parse_toml(text_of(read_bytes(path), str(path)), str(path))


def parse_toml(text: str, file: str) -> dict[str, Any]:
    """Parse TOML.

    Args:
        text: what the file holds.
        file: how to name it.

    Raises:
        InputError: it is no TOML; with line and column.
    """
    dotted = _DOTTED.search(text)
    if dotted:
        raise InputError(f"{file}: line {_line(text, dotted.start())}: a key of 32 parts and more", allowed="up to 31")
    try:
        return tomllib.loads(text)
    except RecursionError:
        # Its own message would show where our parser ran out of stack, which helps nobody.
        raise InputError(f"{file}: lists or tables are nested too deeply") from None
    except ValueError as error:
        raise InputError(_located(str(error), text, file)) from None


def read_bytes(path: Path) -> bytes:
    """What a file holds.

    Raises:
        InputError: it cannot be read, or is too large.
    """
    try:
        with path.open("rb") as stream:
            content = stream.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
        raise InputError(f"{path}: cannot be read: {reason}") from None
    if len(content) > MAX_BYTES:
        raise InputError(f"{path}: is too large", allowed=f"up to {MAX_BYTES >> 20} MiB")
    return content


def text_of(content: bytes, file: str) -> str:
    """The text of a file.

    Args:
        content: what it holds.
        file: how to name it.

    Raises:
        InputError: it is not UTF-8.
    """
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{file}: line {content[: error.start].count(10) + 1}: not UTF-8 text") from None


def _located(message: str, text: str, file: str) -> str:
    found = _POSITION.fullmatch(message)
    if found is None:
        # The only ValueError of tomllib's without a position: int() refuses thousands of digits.
        return f"{file}: not TOML: a number has too many digits"
    if found[2] is None:
        last = text.rstrip("\n")
        return f"{file}: line {_line(last, len(last))}, column {len(last) - last.rfind(chr(10))}: not TOML: {found[1]}"
    return f"{file}: line {found[2]}, column {found[3]}: not TOML: {found[1]}"


def _line(text: str, position: int) -> int:
    return text.count("\n", 0, position) + 1
