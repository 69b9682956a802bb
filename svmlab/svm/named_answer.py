"""What get_attr answers, by the names that set_attr is asked with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from svmlab.hardware.machine import Machine
from svmlab.uapi import Attribute, Flag

__all__ = ["answer_of", "question_of", "value_of"]

_VALUES = {
    "prefetch": Attribute.PREFETCH_LOC,
    "preferred": Attribute.PREFERRED_LOC,
    "set_flags": Attribute.SET_FLAGS,
    "granularity": Attribute.GRANULARITY,
}
_ACCESS = {"access": Attribute.ACCESS, "access_in_place": Attribute.ACCESS_IN_PLACE}


def question_of(machine: Machine) -> list[tuple[int, int]]:
    """The list that asks for everything: locations, flags, granularity, and the access of every GPU."""
    return [*((kind, 0) for kind in _VALUES.values()), *((Attribute.ACCESS, gpu.gpu_id) for gpu in machine.gpus)]


def answer_of(machine: Machine, answer: Sequence[tuple[int, int]]) -> dict[str, Any]:
    """Name what was answered to ``question_of``.

    Args:
        machine: the machine.
        answer: ``(type, value)`` pairs, in the question's order; access is told by the type.

    Returns:
        ``prefetch``, ``preferred`` and ``granularity``, and lists ``set_flags``, ``access``, ``access_in_place``: what
        set_attr would have to be asked for.
    """
    values, found = answer[: len(_VALUES)], answer[len(_VALUES) :]
    named = {key: value_of(machine, kind, value) for key, (kind, value) in zip(_VALUES, values, strict=True)}
    access = {
        key: [machine.location_name(gpu_id) for kind, gpu_id in found if kind == wanted]
        for key, wanted in _ACCESS.items()
    }
    return named | access


def value_of(machine: Machine, kind: int, value: int) -> object:
    """A value of an answer by name: a location, a list of flags; granularity stays a number."""
    if kind in (Attribute.PREFETCH_LOC, Attribute.PREFERRED_LOC):
        return machine.location_name(value)
    return (
        value if kind == Attribute.GRANULARITY else [flag.name.lower() for flag in Flag if flag & value and flag.name]
    )
