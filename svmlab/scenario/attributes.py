"""SVM attributes by the names a scenario gives them, and the lists of numbers the driver speaks in."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Annotated, Any, Literal, get_args

from pydantic import BeforeValidator, ValidationInfo

from svmlab.errors import InputError
from svmlab.hardware.machine import Machine
from svmlab.scenario.tables import Context, Table, shortened
from svmlab.scenario.values import AttributePlace, GpuName, Word, as_pair, gpu_index
from svmlab.svm.named_answer import value_of
from svmlab.uapi import Attribute

__all__ = ["AttributeKeys", "AttributePair", "Raw", "compare", "question", "raw_list"]

Raw = list[tuple[int, int]]
"""An attribute list as the system call takes it: types and values."""

_PREFIX = "KFD_IOCTL_SVM_ATTR_"
_LARGEST = 0xFFFFFFFF
_ACCESS_KEYS = {
    "access": Attribute.ACCESS,
    "access_in_place": Attribute.ACCESS_IN_PLACE,
    "no_access": Attribute.NO_ACCESS,
}
_VALUE_KEYS = (
    ("prefetch", Attribute.PREFETCH_LOC),
    ("preferred", Attribute.PREFERRED_LOC),
    ("set_flags", Attribute.SET_FLAGS),
    ("clear_flags", Attribute.CLR_FLAGS),
    ("granularity", Attribute.GRANULARITY),
)
FlagName = Literal[
    "host_access",
    "coherent",
    "hive_local",
    "gpu_ro",
    "gpu_exec",
    "gpu_read_mostly",
    "gpu_always_mapped",
    "ext_coherent",
]
_FLAG_NAMES: tuple[str, ...] = get_args(FlagName)


def _number(value: int | str, names: dict[str, int], what: str) -> int:
    if isinstance(value, str):
        if value not in names:
            raise InputError(f"{shortened(value)} is no {what}", allowed=f"a number, {', '.join(names)}")
        return names[value]
    if not 0 <= value <= _LARGEST:
        raise InputError(f"{shortened(value)} is no {what}", allowed=f"0 to {_LARGEST:#x}")
    return value


def _type_number(kind: int | str) -> int:
    names = {attribute.name: int(attribute) for attribute in Attribute}
    return _number(kind.removeprefix(_PREFIX) if isinstance(kind, str) else kind, names, "attribute type")


def _value_number(value: int | str, machine: Machine) -> int:
    names = ["cpu", "undefined", *(f"gpu{gpu.index}" for gpu in machine.gpus)]
    return _number(value, {name: machine.location(name) for name in names}, "attribute value")


def _check_pair(raw: Any, info: ValidationInfo) -> tuple[int | str, int | str]:
    kind, value = as_pair(raw)
    if any(isinstance(one, bool) or not isinstance(one, int | str) for one in (kind, value)):
        raise InputError(f"{shortened(raw)} is no type and value", allowed="numbers and names")
    _type_number(kind)
    if isinstance(info.context, Context):
        _value_number(value, info.context.machine)
    return kind, value


AttributePair = Annotated[tuple[int | str, int | str], BeforeValidator(_check_pair)]
"""A type and a value of ``raw``: numbers, or the names that mean them."""


class AttributeKeys(Table):
    """The attributes that a set call sets and a get call compares."""

    prefetch: AttributePlace | None = None
    preferred: AttributePlace | None = None
    access: list[GpuName] | None = None
    access_in_place: list[GpuName] | None = None
    no_access: list[GpuName] | None = None
    set_flags: list[FlagName] | None = None
    clear_flags: list[FlagName] | None = None
    granularity: Word | None = None
    raw: list[AttributePair] | None = None


def raw_list(pairs: list[tuple[int | str, int | str]], machine: Machine) -> Raw:
    """The numbers that the pairs of ``raw`` mean."""
    return [(_type_number(kind), _value_number(value, machine)) for kind, value in pairs]


def question(wanted: AttributeKeys, machine: Machine) -> Raw:
    """The list that asks for what is wanted, and for nothing else.

    Access is asked for as ACCESS, once a GPU: the driver refuses the two other access types in a query and writes the
    one it finds into the answer.
    """
    asked: Raw = [(int(kind), 0) for key, kind in _VALUE_KEYS if getattr(wanted, key) is not None]
    if wanted.given(*_ACCESS_KEYS):
        asked += [(int(Attribute.ACCESS), gpu.gpu_id) for gpu in machine.gpus]
    access = {int(kind) for kind in _ACCESS_KEYS.values()}
    raw = raw_list(wanted.raw or [], machine)
    return asked + [(int(Attribute.ACCESS) if kind in access else kind, value) for kind, value in raw]


def compare(wanted: AttributeKeys, answer: Raw, *, machine: Machine) -> Iterator[tuple[str, str]]:
    """Compare the answer to ``question(wanted, machine)`` with what is wanted.

    Yields:
        What was expected and what was found, for each difference.
    """
    rest = iter(answer)
    for key, kind in _VALUE_KEYS:
        expected = getattr(wanted, key)
        if expected is not None:
            yield from _differ(key, _in_order(expected), value_of(machine, kind, next(rest)[1]))
    if wanted.given(*_ACCESS_KEYS):
        yield from _compare_access(wanted, list(islice(rest, len(machine.gpus))), machine)
    if wanted.raw is not None:
        yield from _differ("raw", raw_list(wanted.raw, machine), list(rest))


def _compare_access(wanted: AttributeKeys, answer: Raw, machine: Machine) -> Iterator[tuple[str, str]]:
    for key, kind in _ACCESS_KEYS.items():
        expected = getattr(wanted, key)
        if expected is not None:
            found = [machine.location_name(value) for answered, value in answer if answered == kind]
            yield from _differ(key, sorted(set(expected), key=gpu_index), found)


def _in_order(expected: object) -> object:
    """Lists of flags are sets: brought into the order of their bits."""
    return [name for name in _FLAG_NAMES if name in expected] if isinstance(expected, list) else expected


def _differ(key: str, expected: object, found: object) -> Iterator[tuple[str, str]]:
    if expected != found:
        yield f"{key} = {expected}", f"{key} = {found}"
