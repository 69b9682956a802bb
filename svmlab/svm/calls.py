"""The driver's front door: the ioctls of KFD that concern shared virtual memory."""

from __future__ import annotations

import errno
from enum import IntEnum

from svmlab.errors import DriverError
from svmlab.hardware.world import Blocking
from svmlab.mm.span import Span
from svmlab.svm import queries
from svmlab.svm.attributes import Request
from svmlab.svm.behaviour import option
from svmlab.svm.driver import Driver
from svmlab.svm.overlap import release_memory, reserve_memory
from svmlab.svm.queries import QueryRules
from svmlab.svm.set_attr import check_mapped, check_span, set_attr

__all__ = ["Operation", "get_attr", "set_xnack_mode", "svm"]


class Operation(IntEnum):
    """KFD_IOCTL_SVM_OP_*: what the SVM ioctl is asked to do."""

    SET_ATTR = 0
    GET_ATTR = 1


def svm(driver: Driver, operation: int, span: Span, *, request: Request) -> Blocking[list[tuple[int, int]] | int]:
    """AMDKFD_IOC_SVM: set attributes of a span, or ask for them.

    Args:
        driver: whose pages.
        operation: 0 to set, 1 to get.
        span: in whole pages.
        request: ``(type, value)`` pairs.

    Returns:
        The answers to a query; otherwise what the ioctl returns: 0, or what ``unknown_operation`` says.

    Raises:
        DriverError: EPERM or EINVAL for a bad span, before the operation is looked at; then what ``set_attr`` and
            ``get_attr`` say.

    Slots: unknown_operation
    Kernel: svm_ioctl (kfd_svm.c)
    """
    check_span(driver, span)
    if operation == Operation.SET_ATTR:
        yield from set_attr(driver, span, request)
        return 0
    if operation == Operation.GET_ATTR:
        return (yield from get_attr(driver, span, request))
    result: int = driver.behaviour.unknown_operation(operation)
    return result


@option("unknown_operation", "positive")
def _no_error(operation: int) -> int:
    """A sign is missing: the caller gets 22, which is not below 0."""
    return errno.EINVAL


@option("unknown_operation", "negative")
def _an_error(operation: int) -> int:
    raise DriverError(errno.EINVAL, f"operation {operation}", allowed="0 (SET_ATTR), 1 (GET_ATTR)")


def get_attr(driver: Driver, span: Span, request: Request) -> Blocking[list[tuple[int, int]]]:
    """Ask for attributes of the pages of a span.

    1. check the span; wait for pending work, if that is done
    2. check that every page is mapped
    3. check what is asked for
    4. fold the ranges of the span

    Args:
        driver: whose pages.
        span: in whole pages.
        request: ``(type, value)`` pairs; the value matters for ACCESS only, where it is the GPU asked about.

    Returns:
        The answers in the same order; for ACCESS the *type* is the answer.

    Raises:
        DriverError: EINVAL for a bad span, type or GPU; EFAULT (EINVAL as posted) where something is not mapped.

    Slots: query_policy, wrapping_span
    Kernel: svm_range_get_attr (kfd_svm.c)
    """
    start, last = check_span(driver, span)
    rules: QueryRules = driver.behaviour.query_policy()
    yield from rules.prepare(driver)
    with (yield from driver.mm.mmap_lock.read()):
        check_mapped(driver, start, last, rules.unmapped)
    queries.check_types(rules, request)
    with (yield from driver.svms.lock.held()):
        return queries.fold(driver, driver.svms.registered(start, last), request)


def set_xnack_mode(driver: Driver, mode: int) -> Blocking[int]:
    """Switch whether the process's GPUs take page faults, or ask.

    Args:
        driver: which process.
        mode: negative to ask, 0 for off, positive for on.

    Returns:
        The mode now, 0 or 1.

    Raises:
        DriverError: EBUSY while there is a user queue, even for the mode that is set; EPERM if a GPU cannot do it;
            ENOMEM if system memory cannot be reserved for what is registered.

    Kernel: kfd_ioctl_set_xnack_mode (kfd_chardev.c)
    """
    yield from driver.world.sleep(driver.costs.ioctl_ns)
    if mode < 0:
        return int(driver.xnack)
    if any(device.queues for device in driver.devices):
        raise DriverError(errno.EBUSY, "the process has user queues", hint="destroy them first")
    unable = [gpu.index for gpu in driver.machine.gpus if not gpu.device.xnack_capable]
    if mode and unable:
        raise DriverError(errno.EPERM, f"gpu{unable[0]} cannot retry page faults")
    with (yield from driver.svms.lock.held()):
        _switch(driver, bool(mode))
    return int(driver.xnack)


def _switch(driver: Driver, xnack: bool) -> None:
    """Change the mode; system memory is reserved for ranges with xnack off only, and the mode stays if there is none.

    Kernel: svm_range_switch_xnack_reserve_mem (kfd_svm.c)
    """
    if xnack == driver.xnack:
        return
    npages = sum(range_.npages for range_ in driver.svms.with_children())
    if xnack:
        release_memory(driver, npages)
        driver.xnack = True
        return
    driver.xnack = False
    try:
        reserve_memory(driver, npages)
    except DriverError:
        driver.xnack = True
        raise
