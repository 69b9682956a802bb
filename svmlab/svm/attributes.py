"""Attributes of ranges: checking a request, applying it, and comparing ranges with it."""

from __future__ import annotations

import errno
from collections.abc import Sequence

from svmlab.errors import DriverError
from svmlab.hardware.parts import Gpu
from svmlab.svm.behaviour import option
from svmlab.svm.driver import Driver
from svmlab.svm.ranges import Range
from svmlab.uapi import SYSMEM, UNDEFINED, Attribute

__all__ = [
    "ACCESS_TYPES",
    "Request",
    "allowed_values",
    "apply",
    "check",
    "default_access",
    "has_svm",
    "new_range",
    "type_name",
]

Request = Sequence[tuple[int, int]]
"""Attributes as ``(type, value)`` pairs, in the order sent."""

ACCESS_TYPES = (Attribute.ACCESS, Attribute.ACCESS_IN_PLACE, Attribute.NO_ACCESS)
"""The types whose value is a GPU."""
_FREE_TYPES = (Attribute.SET_FLAGS, Attribute.CLR_FLAGS, Attribute.GRANULARITY)
"""The types that take any value, unknown bits included."""
_FIXED_LOCATIONS = {Attribute.PREFERRED_LOC: (SYSMEM, UNDEFINED), Attribute.PREFETCH_LOC: (SYSMEM,)}


def check(driver: Driver, request: Request) -> None:
    """Refuse a request before anything changes.

    Raises:
        DriverError: EINVAL for an unknown type, an unknown GPU, or a location that cannot be asked for.

    Kernel: svm_range_check_attr (kfd_svm.c)
    """
    for kind, value in request:
        if not _is_good(driver, kind, value):
            raise DriverError(
                errno.EINVAL, f"attribute {type_name(kind)} = {value:#x}", allowed=allowed_values(driver, kind)
            )


def _is_good(driver: Driver, kind: int, value: int) -> bool:
    if kind in _FREE_TYPES:
        return True
    if kind not in _FIXED_LOCATIONS and kind not in ACCESS_TYPES:
        return False
    gpu = driver.machine.by_id(value)
    return value in _FIXED_LOCATIONS.get(Attribute(kind), ()) or (gpu is not None and has_svm(gpu))


def has_svm(gpu: Gpu) -> bool:
    """Whether a GPU can share virtual memory at all (bitmap_supported): GFX9 and later."""
    return gpu.target[0] >= 9


def type_name(kind: int) -> str:
    """The name of an attribute type.

    >>> type_name(2), type_name(8)
    ('ACCESS', 'of type 8')
    """
    return Attribute(kind).name if kind in Attribute._value2member_map_ else f"of type {kind}"


def allowed_values(driver: Driver, kind: int) -> str:
    """What an attribute type may be given; for an unknown type, the types there are."""
    if kind not in Attribute._value2member_map_:
        return ", ".join(f"{each.name} ({each.value})" for each in Attribute)
    locations = (
        *_FIXED_LOCATIONS.get(Attribute(kind), ()),
        *(gpu.gpu_id for gpu in driver.machine.gpus if has_svm(gpu)),
    )
    return ", ".join(f"{value:#x} ({driver.machine.location_name(value)})" for value in locations)


def apply(driver: Driver, range_: Range, request: Request) -> None:
    """Apply the attributes one after the other, in the order sent.

    Slots: granularity_limit
    Kernel: svm_range_apply_attrs (kfd_svm.c)
    """
    for kind, value in request:
        if kind == Attribute.PREFERRED_LOC:
            range_.preferred_loc = value
        elif kind == Attribute.PREFETCH_LOC:
            range_.prefetch_loc = value
        elif kind in ACCESS_TYPES:
            _apply_access(driver, range_, kind, value)
        elif kind == Attribute.SET_FLAGS:
            range_.flags |= int(value)  # the complement of a Flag has no unknown bits, that of an int has
        elif kind == Attribute.CLR_FLAGS:
            range_.flags &= ~int(value)
        else:
            range_.granularity = driver.behaviour.granularity_limit(value)


def _apply_access(driver: Driver, range_: Range, kind: int, gpu_id: int) -> None:
    """The three kinds of access exclude each other; a GPU that loses access may still map the range."""
    bit = 1 << (driver.gpu_index(gpu_id) or 0)
    range_.access &= ~bit
    range_.in_place &= ~bit
    if kind == Attribute.ACCESS:
        range_.access |= bit
    elif kind == Attribute.ACCESS_IN_PLACE:
        range_.in_place |= bit
    else:
        range_.needs_unmap |= range_.mapped & bit


@option("granularity_limit", "8-bits")
def _low_bits(value: int) -> int:
    return value & 0xFF


@option("granularity_limit", "clamped")
def _clamped(value: int) -> int:
    return min(value, 63)


@option("default_access", "none")
def _no_access(driver: Driver) -> int:
    return 0


@option("default_access", "all")
def _access_with_xnack(driver: Driver) -> int:
    return driver.gpus if driver.xnack else 0


def default_access(driver: Driver) -> int:
    """GPUs that have access to a new range, as bits."""
    bits: int = driver.behaviour.default_access(driver)
    return bits


def new_range(driver: Driver, start: int, last: int) -> Range:
    """A range with default attributes, not registered yet.

    Slots: default_access
    Kernel: svm_range_new (kfd_svm.c)
    """
    return Range(start, last, access=default_access(driver))


@option("compare_attributes", "scratch")
def _same_as_scratch(driver: Driver, range_: Range, request: Request) -> bool:
    """Compare with a zero-filled range to which the request was applied: what the request lacks counts as 0."""
    scratch = Range(0, 0, flags=0, preferred_loc=0, prefetch_loc=0, granularity=0)
    apply(driver, scratch, request)
    there = (range_.prefetch_loc, range_.flags, range_.granularity)
    return there == (scratch.prefetch_loc, scratch.flags, scratch.granularity)


@option("compare_attributes", "each")
def _same_each(driver: Driver, range_: Range, request: Request) -> bool:
    """Every attribute of the request holds already; a prefetch always counts as a change.

    Kernel: svm_range_is_same_attrs (kfd_svm.c)
    """
    return all(_holds(driver, range_, kind, value) for kind, value in request)


def _holds(driver: Driver, range_: Range, kind: int, value: int) -> bool:
    bit = 1 << (driver.gpu_index(value) or 0) if kind in ACCESS_TYPES else 0
    answers = {
        Attribute.PREFERRED_LOC: range_.preferred_loc == value,
        Attribute.PREFETCH_LOC: False,
        Attribute.ACCESS: range_.access & bit != 0,
        Attribute.ACCESS_IN_PLACE: range_.in_place & bit != 0,
        Attribute.NO_ACCESS: (range_.access | range_.in_place) & bit == 0,
        Attribute.SET_FLAGS: range_.flags & value == value,
        Attribute.CLR_FLAGS: range_.flags & value == 0,
        Attribute.GRANULARITY: range_.granularity == value,
    }
    return answers[Attribute(kind)]
