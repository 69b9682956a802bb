"""The notifiers of ranges: registered over the pages a range has, removed when it goes."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial

from svmlab.hardware.world import Blocking
from svmlab.mm.notifier import IntervalNotifier
from svmlab.svm.driver import Driver
from svmlab.svm.ranges import Range
from svmlab.uapi import NotifierEvent

__all__ = ["register", "settle", "unregister"]


def register(driver: Driver, range_: Range) -> None:
    """Register (or register anew) the notifier of a range over its present pages.

    Kernel: svm_range_add_notifier_locked (kfd_svm.c)
    """
    unregister(driver, range_)
    range_.notifier = IntervalNotifier(range_.start, range_.last, partial(_changes, driver, range_))
    driver.mm.notifiers.insert(range_.notifier)


def unregister(driver: Driver, range_: Range) -> None:
    """Take the notifier of a range out.

    Kernel: svm_range_remove_notifier (kfd_svm.c)
    """
    if range_.notifier is not None:
        driver.mm.notifiers.remove(range_.notifier)
        range_.notifier = None


def settle(driver: Driver, ranges: Iterable[Range]) -> Blocking[None]:
    """Sleep while a notifier of some of the ranges is at work: none may go before its callback is through.

    Kernel: mmu_interval_notifier_remove (mm/mmu_notifier.c)
    """
    for range_ in list(ranges):
        if range_.notifier is not None:
            yield from driver.mm.notifiers.settled(driver.world, range_.notifier.start, range_.notifier.last)


def _changes(driver: Driver, range_: Range, event: NotifierEvent, start: int, last: int) -> Blocking[None]:
    """What the notifier calls: the hook of the process, looked up late because ranges may be registered before it."""
    hook = driver.invalidate or _nobody_listens
    return hook(driver, range_, event, (start, last))


def _nobody_listens(driver: Driver, range_: Range, event: NotifierEvent, span: tuple[int, int]) -> Blocking[None]:
    """The driver of no process."""
    yield from ()
