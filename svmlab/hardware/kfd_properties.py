"""One ``properties`` file of a KFD topology tree: lines of a name and a number."""

from __future__ import annotations

import re
from dataclasses import dataclass

from svmlab.errors import InputError
from svmlab.hardware.kfd_tree import KfdTree

__all__ = ["Properties", "read_number", "read_properties"]

_LINE = re.compile(r"([A-Za-z0-9_]+)\s+(\d+)", re.ASCII)
_LARGEST = (1 << 64) - 1


@dataclass(frozen=True, slots=True)
class Properties:
    """The numbers of one file.

    Attributes:
        where: the file, for messages.
        values: name to number.
    """

    where: str
    values: dict[str, int]

    def need(self, name: str, *, most: int = _LARGEST) -> int:
        """A number that must be there, and not above ``most``.

        Raises:
            InputError: it is missing or too large.
        """
        if name not in self.values:
            raise InputError(f"{self.where}: no {name} in it", allowed=f'a line "{name} NUMBER"')
        return self.get(name, 0, most=most)

    def get(self, name: str, default: int, *, most: int = _LARGEST) -> int:
        """A number, or ``default`` where an older driver does not write it.

        Raises:
            InputError: it is above ``most``.
        """
        value = self.values.get(name, default)
        if value > most:
            raise InputError(f"{self.where}: {name} is {value}", allowed=f"up to {most}")
        return value


def read_properties(tree: KfdTree, path: str) -> Properties:
    """Read one properties file.

    Kernel: sysfs_show_32bit_prop, sysfs_show_64bit_prop (kfd_topology.c)

    Raises:
        InputError: it is missing, empty, or has a line that is no name with a number of up to 64 bits.
    """
    where = f"{tree.origin}: {path}"
    text = tree.files.get(path)
    if text is None:
        raise InputError(f"{where} is missing", allowed="a properties file in every node, link and memory bank")
    values: dict[str, int] = {}
    for number, line in enumerate(text.splitlines(), 1):
        match = _LINE.fullmatch(line.strip())
        if match is None:
            raise InputError(
                f"{where}: line {number} is {line[:60]!r}", allowed='a name and a number, "simd_count 416"'
            )
        values[match[1]] = _bounded(match[2], where)
    if not values:
        raise InputError(f"{where} is empty", allowed='lines such as "simd_count 416"')
    return Properties(where, values)


def read_number(tree: KfdTree, path: str, *, most: int = _LARGEST) -> int:
    """Read a file that holds one number; 0 where there is no such file.

    Raises:
        InputError: it holds something else, or a number above ``most``.
    """
    text = tree.files.get(path, "0").strip()
    if not re.fullmatch(r"\d+", text, re.ASCII):
        raise InputError(f"{tree.origin}: {path} holds {text[:60]!r}", allowed="one number")
    return _bounded(text, f"{tree.origin}: {path}", most)


def _bounded(digits: str, where: str, most: int = _LARGEST) -> int:
    # Checked by length first: Python refuses to convert thousands of digits, and nobody needs to see them.
    if len(digits) > 20 or int(digits) > most:
        raise InputError(f"{where}: {digits[:24]} is too large", allowed=f"0 to {most}")
    return int(digits)
