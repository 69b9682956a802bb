"""Attributes by the names people use, put into the kernel's numbers and order."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TypedDict

from svmlab.errors import InputError
from svmlab.hardware.machine import Machine
from svmlab.uapi import SYSMEM, UNDEFINED, Attribute, Flag

__all__ = ["Asked", "Gpu", "request_of"]

Gpu = int | str
"""A GPU by index or as ``"gpu0"``."""


class Asked(TypedDict, total=False):
    """What a set_attr can ask for; sent in this order.

    Attributes:
        prefetch, preferred: ``"cpu"``, ``"gpu0"``, ..., ``"undefined"``.
        set_flags, clear_flags: names of flags.
        access, access_in_place, no_access: GPUs.
        granularity: log2 of the pages a fault moves.
        raw: ``(type, value)`` pairs, by number or name.
    """

    prefetch: str | None
    preferred: str | None
    set_flags: str | Iterable[str] | None
    clear_flags: str | Iterable[str] | None
    access: Iterable[Gpu] | None
    access_in_place: Iterable[Gpu] | None
    no_access: Iterable[Gpu] | None
    granularity: int | None
    raw: Iterable[Sequence[int | str]] | None


_LOCATIONS = {"prefetch": Attribute.PREFETCH_LOC, "preferred": Attribute.PREFERRED_LOC}
_FLAGS = {"set_flags": Attribute.SET_FLAGS, "clear_flags": Attribute.CLR_FLAGS}
_LISTS = {"access": Attribute.ACCESS, "access_in_place": Attribute.ACCESS_IN_PLACE, "no_access": Attribute.NO_ACCESS}


def request_of(machine: Machine, asked: Asked) -> list[tuple[int, int]]:
    """Attributes by name as ``(type, value)`` pairs, in the order of ``Asked``.

    Raises:
        InputError: a name or value that no attribute has.
    """
    given = {key: value for key, value in asked.items() if value is not None}
    unknown = sorted(given.keys() - Asked.__annotations__.keys())
    if unknown:
        raise InputError(f"set_attr has no attribute {unknown[0]!r}", allowed=", ".join(Asked.__annotations__))
    request: list[tuple[int, int]] = [
        (kind, machine.location(str(given[key]))) for key, kind in _LOCATIONS.items() if key in given
    ]
    request += [(kind, _flags(given[key])) for key, kind in _FLAGS.items() if key in given]
    for key, kind in _LISTS.items():
        request += [(kind, _gpu_id(machine, gpu)) for gpu in _listed(given.get(key))]
    if "granularity" in given:
        request.append((Attribute.GRANULARITY, _number(given["granularity"])))
    return request + [_pair(machine, pair) for pair in _listed(given.get("raw"))]


def _listed(given: object) -> list[object]:
    if given is None:
        return []
    return [given] if isinstance(given, str | int) or not isinstance(given, Iterable) else list(given)


def _pair(machine: Machine, pair: object) -> tuple[int, int]:
    if not isinstance(pair, Sequence) or isinstance(pair, str) or len(pair) != 2:
        raise InputError(f"{pair!r} in raw", allowed="(type, value)")
    return _type(pair[0]), _value(machine, pair[1])


def _number(given: object) -> int:
    if isinstance(given, bool) or not isinstance(given, int) or not 0 <= given <= UNDEFINED:
        raise InputError(f"{given!r} is no attribute value", allowed="0 to 0xffffffff")
    return given


def _value(machine: Machine, value: object) -> int:
    return machine.location(value) if isinstance(value, str) else _number(value)


def _flags(names: object) -> int:
    bits = 0
    for name in _listed(names):
        if str(name).upper() not in Flag.__members__:
            raise InputError(f"flag {name!r}", allowed=", ".join(each.lower() for each in Flag.__members__))
        bits |= Flag[str(name).upper()]
    return bits


def _gpu_id(machine: Machine, gpu: object) -> int:
    if isinstance(gpu, int):
        return machine.gpu(gpu).gpu_id
    location = machine.location(str(gpu))
    if location in (SYSMEM, UNDEFINED):
        raise InputError(f"{gpu!r} in a list of GPUs", allowed="gpu0, gpu1, ...")
    return location


def _type(kind: object) -> int:
    if isinstance(kind, str):
        if kind not in Attribute.__members__:
            raise InputError(f"attribute type {kind!r}", allowed=", ".join(Attribute.__members__))
        return Attribute[kind]
    return _number(kind)
