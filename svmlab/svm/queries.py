"""Answers of GET_ATTR: what the ranges of a span have in common."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import reduce
from operator import and_, or_

from svmlab.errors import DriverError
from svmlab.hardware.world import Blocking
from svmlab.svm import deferred
from svmlab.svm.attributes import Request, allowed_values, default_access, type_name
from svmlab.svm.behaviour import option
from svmlab.svm.driver import Driver
from svmlab.svm.ranges import Range
from svmlab.uapi import DEFAULT_FLAGS, DEFAULT_GRANULARITY, UNDEFINED, Attribute

__all__ = ["QueryRules", "check_types", "fold"]

_ALL_BITS = 0xFFFFFFFF


@dataclass(frozen=True, slots=True)
class QueryRules:
    """How get_attr answers.

    Attributes:
        types: attribute types that may be asked for.
        unmapped: errno where part of the span is not mapped.
        prepare: what is done first.
    """

    types: frozenset[Attribute]
    unmapped: int
    prepare: Callable[[Driver], Blocking[None]]


def check_types(rules: QueryRules, request: Request) -> None:
    """Refuse what cannot be asked for.

    Raises:
        DriverError: EINVAL.
    """
    for kind, _ in request:
        if kind not in rules.types:
            raise DriverError(
                errno.EINVAL,
                f"attribute {type_name(kind)} cannot be asked for",
                allowed=", ".join(f"{each.name} ({each.value})" for each in sorted(rules.types)),
                hint="ACCESS: its answer tells every kind of access",
            )


@dataclass(frozen=True, slots=True)
class _Common:
    """What ranges have in common."""

    preferred: int
    prefetch: int
    access: int
    in_place: int
    all_flags: int
    any_flags: int
    granularity: int


def fold(driver: Driver, ranges: Iterable[Range], request: Request) -> list[tuple[int, int]]:
    """Answer a query over the ranges that overlap a span; gaps between them do not count.

    Locations: the common one or UNDEFINED; flags: those all have; cleared flags: those none has; granularity: the
    least; access: what all grant, told by the *type* of the answer. Without any range the answer is what a new one
    would have.

    Raises:
        DriverError: EINVAL for an unknown GPU.

    Slots: default_access
    Kernel: svm_range_get_attr (kfd_svm.c)
    """
    found = list(ranges)
    common = _common(driver, found) if found else _defaults(driver)
    return [_answer(driver, common, kind, value) for kind, value in request]


def _common(driver: Driver, ranges: list[Range]) -> _Common:
    return _Common(
        preferred=_same_location(each.preferred_loc for each in ranges),
        prefetch=_same_location(each.prefetch_loc for each in ranges),
        access=reduce(and_, (each.access for each in ranges), driver.gpus),
        in_place=reduce(and_, (each.in_place for each in ranges), driver.gpus),
        all_flags=reduce(and_, (each.flags for each in ranges), _ALL_BITS),
        any_flags=reduce(or_, (each.flags for each in ranges), 0),
        granularity=min(each.granularity for each in ranges),
    )


def _defaults(driver: Driver) -> _Common:
    return _Common(UNDEFINED, UNDEFINED, default_access(driver), 0, DEFAULT_FLAGS, DEFAULT_FLAGS, DEFAULT_GRANULARITY)


def _same_location(locations: Iterable[int]) -> int:
    different = set(locations)
    return different.pop() if len(different) == 1 else UNDEFINED


def _answer(driver: Driver, common: _Common, kind: int, value: int) -> tuple[int, int]:
    if kind == Attribute.ACCESS:
        return _access_type(driver, common, value), value
    answers = {
        Attribute.PREFERRED_LOC: common.preferred,
        Attribute.PREFETCH_LOC: common.prefetch,
        Attribute.SET_FLAGS: common.all_flags,
        Attribute.CLR_FLAGS: ~common.any_flags & _ALL_BITS,
        Attribute.GRANULARITY: common.granularity,
    }
    return kind, answers[Attribute(kind)]


def _access_type(driver: Driver, common: _Common, gpu_id: int) -> int:
    gpu = driver.gpu_index(gpu_id)
    if gpu is None:
        raise DriverError(
            errno.EINVAL,
            f"the access of a GPU {gpu_id:#x} is asked for",
            allowed=allowed_values(driver, Attribute.ACCESS),
        )
    if common.access >> gpu & 1:
        return Attribute.ACCESS
    return Attribute.ACCESS_IN_PLACE if common.in_place >> gpu & 1 else Attribute.NO_ACCESS


_POSTED_TYPES = frozenset(
    {
        Attribute.PREFERRED_LOC,
        Attribute.PREFETCH_LOC,
        Attribute.ACCESS,
        Attribute.SET_FLAGS,
        Attribute.GRANULARITY,
    }
)


def _at_once(driver: Driver) -> Blocking[None]:
    """The posting does not wait for pending work: it may still see ranges that were unmapped."""
    yield from ()


_POSTED_RULES = QueryRules(_POSTED_TYPES, errno.EINVAL, _at_once)
_UPSTREAM_RULES = QueryRules(_POSTED_TYPES | {Attribute.CLR_FLAGS}, errno.EFAULT, deferred.flush)


@option("query_policy", "posted")
def _posted_queries() -> QueryRules:
    return _POSTED_RULES


@option("query_policy", "revised")
def _upstream_queries() -> QueryRules:
    return _UPSTREAM_RULES
