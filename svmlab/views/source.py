"""What a view looks at: a log, whose part of it, and what locations are called; and how sentences name things."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from svmlab.errors import InputError
from svmlab.hardware.words import about, gpu_names, place_name, plural
from svmlab.log import Log
from svmlab.trace.trace import Trace
from svmlab.uapi import SYSMEM

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
        thing: a Source, a Log, a Trace, or a process: whatever has ``log``, ``pid`` and ``driver.machine``.

    Raises:
        InputError: it is none of these.
    """
    if isinstance(thing, Source):
        return thing
    if isinstance(thing, Log):
        return Source(thing)
    if isinstance(thing, Trace):
        return Source(thing.log, names=thing.location_name)
    try:
        return Source(thing.log, thing.pid, thing.driver.machine.location_name)
    except AttributeError as missing:
        raise InputError(
            f"{thing!r} cannot be drawn ({missing})", allowed="a Process, a Log, a Trace or a Source"
        ) from None


def at_place(location: str) -> str:
    """Where something is, as a sentence says it.

    >>> at_place("cpu"), at_place("gpu0"), at_place("none"), at_place("swapped")
    ('in RAM', 'on gpu0', 'absent', 'swapped out')
    """
    known = {"cpu": "in RAM", "none": "absent", "swapped": "swapped out"}
    return known.get(location, f"on {location}")
