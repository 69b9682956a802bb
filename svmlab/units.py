"""Pages, addresses, sizes and times: the units every other module speaks in."""

from __future__ import annotations

import re
from typing import NewType

from svmlab.errors import InputError

__all__ = [
    "GIB",
    "KIB",
    "MIB",
    "MSEC",
    "PAGE_SHIFT",
    "PAGE_SIZE",
    "SEC",
    "TIB",
    "USEC",
    "Addr",
    "Nanoseconds",
    "Page",
    "format_size",
    "format_time",
    "parse_address",
    "parse_size",
    "parse_time",
]

Page = NewType("Page", int)
"""A page number: a virtual address divided by ``PAGE_SIZE``, or a frame number (pfn)."""
Addr = NewType("Addr", int)
"""A virtual address in bytes."""
Nanoseconds = NewType("Nanoseconds", int)
"""Virtual time."""

PAGE_SHIFT = 12
PAGE_SIZE = 1 << PAGE_SHIFT
KIB, MIB, GIB, TIB = 1 << 10, 1 << 20, 1 << 30, 1 << 40
USEC, MSEC, SEC = 1_000, 1_000_000, 1_000_000_000

_SIZES = {
    "b": 1,
    "byte": 1,
    "bytes": 1,
    "kib": KIB,
    "mib": MIB,
    "gib": GIB,
    "tib": TIB,
    "page": PAGE_SIZE,
    "pages": PAGE_SIZE,
}
_TIMES = {"ns": 1, "us": USEC, "ms": MSEC, "s": SEC}
_NUMBER_AND_UNIT = re.compile(r"\s*(\d{1,18})\s*([A-Za-z]+)\s*")
_LARGEST = 1 << 62


def _parse(value: int | str, units: dict[str, int], what: str, examples: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise InputError(f"{value!r} is not a {what}", allowed=examples)
    if isinstance(value, int):
        number, factor = value, 1
    else:
        match = _NUMBER_AND_UNIT.fullmatch(value)
        if match is None or match[2].lower() not in units:
            raise InputError(f"{value!r} is not a {what}", allowed=examples)
        number, factor = int(match[1]), units[match[2].lower()]
    if number < 0 or number * factor > _LARGEST:
        raise InputError(f"{value!r} is outside what a {what} can be", allowed=f"0 to {_LARGEST}")
    return number * factor


def parse_size(value: int | str) -> int:
    """Turn a size into bytes.

    Args:
        value: an integer (bytes) or a whole number with a unit: ``"4 KiB"``, ``"2 MiB"``, ``"3 pages"``.

    Returns:
        The size in bytes, 0 or more.

    Raises:
        InputError: the text is no whole number with a known unit, or the size is negative.

    >>> parse_size("2 MiB"), parse_size("3 pages"), parse_size(17)
    (2097152, 12288, 17)
    """
    return _parse(value, _SIZES, "size", 'bytes as an integer, or "4 KiB", "2 MiB", "1 GiB", "1 TiB", "3 pages"')


def parse_time(value: int | str) -> Nanoseconds:
    """Turn a time into nanoseconds.

    Args:
        value: an integer (ns) or a whole number with a unit: ``"500 us"``, ``"1 ms"``, ``"1 s"``.

    Returns:
        The time in nanoseconds, 0 or more.

    Raises:
        InputError: the text is no whole number with a known unit, or the time is negative.

    >>> parse_time("1 ms")
    1000000
    """
    return Nanoseconds(_parse(value, _TIMES, "time", 'nanoseconds as an integer, or "500 us", "1 ms", "1 s"'))


def parse_address(value: int | str) -> Addr:
    """Turn an address into an integer.

    Args:
        value: an integer or a text in hexadecimal, ``"0x7f0000000000"``.

    Returns:
        The address in bytes.

    Raises:
        InputError: neither of the two, or outside the 64-bit address space.

    >>> parse_address("0x1000")
    4096
    """
    allowed = 'an integer, or hexadecimal text such as "0x7f0000000000"'
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise InputError(f"{value!r} is not an address", allowed=allowed)
    if isinstance(value, str):
        if re.fullmatch(r"0[xX][0-9a-fA-F]{1,16}", value.strip()) is None:
            raise InputError(f"{value!r} is not an address", allowed=allowed)
        value = int(value, 16)
    if not 0 <= value < 1 << 64:
        raise InputError(f"{value!r} is not an address", allowed="0 to 2**64 - 1")
    return Addr(value)


def format_size(nbytes: int) -> str:
    """Write a size in the largest unit that keeps it a whole number.

    >>> format_size(2 * MIB), format_size(1536), format_size(3 * GIB + 1)
    ('2 MiB', '1536 B', '3221225473 B')
    """
    for name, unit in (("TiB", TIB), ("GiB", GIB), ("MiB", MIB), ("KiB", KIB)):
        if nbytes and nbytes % unit == 0:
            return f"{nbytes // unit} {name}"
    return f"{nbytes} B"


def format_time(ns: int) -> str:
    """Write a time with up to three decimals in the largest unit that is not above it.

    >>> format_time(1_250_000), format_time(999), format_time(0)
    ('1.25 ms', '999 ns', '0 ns')
    """
    for name, unit in (("s", SEC), ("ms", MSEC), ("us", USEC)):
        if abs(ns) >= unit:
            return f"{ns / unit:.3f}".rstrip("0").rstrip(".") + f" {name}"
    return f"{ns} ns"
