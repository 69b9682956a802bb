"""What a view looks at: a log, whose part of it, and what locations are called; and how sentences name things."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from svmlab.errors import InputError
from svmlab.log import Log
from svmlab.uapi import SYSMEM
from svmlab.units import GIB, KIB, MIB, TIB

__all__ = ["Source", "about", "at_place", "gpu_names", "place_name", "plural", "source_of"]


def _plain_location(location: int) -> str:
    return "cpu" if location == SYSMEM else f"gpu id {location}"


@dataclass(frozen=True, slots=True)
class Source:
    """What a view looks at.

    Attributes:
        log: the log.
        pid: whose events count; None: everybody's.
        names: names a location number of the kernel: ``"cpu"``, ``"gpu0"``, ...
    """

    log: Log
    pid: int | None = None
    names: Callable[[int], str] = _plain_location


def source_of(thing: Any) -> Source:
    """Find out what a view shall look at.

    Args:
        thing: a Source, a Log, or a process: whatever has ``log``, ``pid`` and ``driver.machine``.

    Raises:
        InputError: it is none of these.
    """
    if isinstance(thing, Source):
        return thing
    if isinstance(thing, Log):
        return Source(thing)
    try:
        return Source(thing.log, thing.pid, thing.driver.machine.location_name)
    except AttributeError as missing:
        raise InputError(f"{thing!r} cannot be drawn ({missing})", allowed="a Process, a Log or a Source") from None


def place_name(location: str) -> str:
    """What a sentence calls a location: RAM, or the GPU's name."""
    return "RAM" if location == "cpu" else location


def at_place(location: str) -> str:
    """Where something is, as a sentence says it.

    >>> at_place("cpu"), at_place("gpu0"), at_place("none"), at_place("swapped")
    ('in RAM', 'on gpu0', 'absent', 'swapped out')
    """
    known = {"cpu": "in RAM", "none": "absent", "swapped": "swapped out"}
    return known.get(location, f"on {location}")


def about(nbytes: int) -> str:
    """A size as a sentence says it: rounded to two decimals in the largest unit that is not above it.

    >>> about(1 << 22), about(3 << 19), about((64 << 30) - 4096)
    ('4 MiB', '1.5 MiB', '64 GiB')
    """
    for name, unit in (("TiB", TIB), ("GiB", GIB), ("MiB", MIB), ("KiB", KIB)):
        if round(nbytes / unit, 2) >= 1:
            return f"{nbytes / unit:.2f}".rstrip("0").rstrip(".") + f" {name}"
    return f"{nbytes} B"


def plural(count: int, *, one: str, many: str = "") -> str:
    """A count with its noun.

    >>> plural(1, one="page"), plural(2, one="batch", many="batches")
    ('1 page', '2 batches')
    """
    return f"{count} {one if count == 1 else many or one + 's'}"


def gpu_names(indices: Iterable[int]) -> str:
    """Name some GPUs, three or more neighbours as a span.

    >>> gpu_names([0, 1, 2, 5])
    'gpu0-gpu2, gpu5'
    """
    runs: list[list[int]] = []
    for index in sorted(set(indices)):
        if runs and runs[-1][1] == index - 1:
            runs[-1][1] = index
        else:
            runs.append([index, index])
    return ", ".join(_run_name(first, last) for first, last in runs)


def _run_name(first: int, last: int) -> str:
    if first == last:
        return f"gpu{first}"
    return f"gpu{first}, gpu{last}" if last == first + 1 else f"gpu{first}-gpu{last}"
