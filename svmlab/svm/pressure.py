"""VRAM pressure: buffers are evicted to RAM, whoever owns them, so that others can come in."""

from __future__ import annotations

import errno
from collections.abc import Callable

from svmlab.errors import DriverError
from svmlab.hardware.world import Blocking
from svmlab.svm import buffers
from svmlab.svm.behaviour import option
from svmlab.svm.driver import Driver, System
from svmlab.svm.migrate_piece import Journey
from svmlab.svm.migration import vram_to_ram
from svmlab.svm.ranges import Range
from svmlab.svm.vram_buffer import VramBuffer
from svmlab.uapi import SYSMEM, MigrateTrigger

__all__ = ["evict_buffer", "evict_vram"]

PASSES = 3
"""How often an eviction tries to bring the pages of a range home (M, L)."""


@option("vram_pressure", "evict")
def _evict_at_once(driver: Driver, range_: Range, gpu: int) -> Blocking[None]:
    """The allocating task evicts, and waits for no lock.

    It holds locks of its own; so the locks of the others are only tried, and a buffer whose locks are taken is passed
    over, as the memory manager does.
    """
    yield from _make_room(driver, range_, gpu, lambda buffer: evict_buffer(driver.system, buffer, wait=False))


@option("vram_pressure", "fence")
def _signal_fences(driver: Driver, range_: Range, gpu: int) -> Blocking[None]:
    """The eviction fence of a buffer is asked to signal: that wakes a worker, which takes the locks of its process.

    The allocating task keeps its own locks while it waits for the fence, which signals whatever the worker met.

    Kernel: svm_range_evict_svm_bo_worker (kfd_svm.c)
    """

    def wait_for_fence(buffer: VramBuffer) -> Blocking[None]:
        work = evict_buffer(driver.system, buffer, wait=True)
        yield driver.world.spawn("svm_bo eviction worker", work, pid=buffer.pid)

    yield from _make_room(driver, range_, gpu, wait_for_fence)


def _make_room(
    driver: Driver, range_: Range, gpu: int, evict: Callable[[VramBuffer], Blocking[None]]
) -> Blocking[None]:
    """Evict buffers, the one used longest ago first, until the range fits."""
    vram = driver.vrams[gpu]
    passed: set[int] = set()
    while vram.free_pages < range_.npages:
        candidates = [
            buffer
            for buffer in driver.system.buffers.values()
            if buffer.gpu == gpu and buffer.number not in passed and not buffer.evicting and range_ not in buffer.ranges
        ]
        if not candidates:
            return
        passed.add(candidates[0].number)
        yield from evict(candidates[0])


def evict_vram(system: System, gpu: int) -> Blocking[None]:
    """Take back the VRAM of every SVM buffer on a GPU.

    Kernel: svm_range_evict_svm_bo_worker (kfd_svm.c)
    """
    for buffer in [each for each in system.buffers.values() if each.gpu == gpu]:
        yield from evict_buffer(system, buffer, wait=True)


def evict_buffer(system: System, buffer: VramBuffer, *, wait: bool) -> Blocking[None]:
    """Bring home what lives in a buffer, range by range.

    Args:
        system, buffer: which buffer.
        wait: wait for locks; without, give up where one is taken.
    """
    driver = system.drivers[buffer.pid]
    buffer.evicting = True
    try:
        for range_ in list(buffer.ranges):
            if wait:
                yield from _evict_range_waiting(driver, range_)
            else:
                yield from _evict_range_trying(driver, range_)
    finally:
        buffer.evicting = False


def _evict_range_waiting(driver: Driver, range_: Range) -> Blocking[None]:
    with (yield from driver.mm.mmap_lock.read()), (yield from range_.migrate_mutex(driver.world).held()):
        yield from _bring_home(driver, range_)


def _evict_range_trying(driver: Driver, range_: Range) -> Blocking[None]:
    mutex = range_.migrate_mutex(driver.world)
    task = driver.log.task
    mapped = None
    if driver.mm.mmap_lock not in task.held:
        mapped = driver.mm.mmap_lock.try_read()
        if mapped is None:
            return
    held = mutex.try_held()
    try:
        if held is not None:
            yield from _bring_home(driver, range_)
    finally:
        for each in (held, mapped):
            if each is not None:
                each.release()


def _bring_home(driver: Driver, range_: Range) -> Blocking[None]:
    for _ in range(PASSES):
        if range_.actual_loc == SYSMEM:
            break
        try:
            yield from vram_to_ram(driver, range_, Journey(SYSMEM, MigrateTrigger.TTM_EVICTION))
        except DriverError as error:
            driver.say(
                "driver_fallback",
                "an eviction could not bring a range home",
                range_.start,
                range_.last,
                error=error.errno or errno.EIO,
            )
            return
    if range_.actual_loc == SYSMEM:
        buffers.detach(driver.system, range_)
    else:
        driver.say("driver_fallback", f"pages stay in VRAM after {PASSES} passes", range_.start, range_.last)
