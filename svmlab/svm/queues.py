"""The queues of a process, GPU by GPU: stopped and resumed, as often resumed as stopped."""

from __future__ import annotations

import errno

from svmlab.hardware.gpu import ProcessDevice
from svmlab.hardware.world import Blocking
from svmlab.svm.driver import Driver
from svmlab.uapi import EvictionTrigger

__all__ = ["quiesce", "resume"]


def quiesce(driver: Driver, trigger: EvictionTrigger) -> Blocking[int]:
    """Stop all queues of the process, GPU by GPU; stops nest (kgd2kfd_quiesce_mm).

    Returns:
        The errno of a GPU that did not obey, otherwise 0; the GPUs before it run again then.

    Kernel: kfd_process_evict_queues (kfd_process.c)
    """
    for position, device in enumerate(driver.devices):
        driver.emit.queue_eviction(gpu=device.gpu, trigger=trigger)
        error = _failure(driver, "queue_stop", device)
        if error and error != errno.EIO:  # a GPU in reset has none that could run: they count as stopped
            _roll_back(driver, driver.devices[:position])
            return error
        device.stop()
        if device.queues:
            yield from driver.world.sleep(driver.costs.queue_evict_ns)
    return 0


def _roll_back(driver: Driver, devices: list[ProcessDevice]) -> None:
    for device in devices:
        driver.emit.queue_restore(gpu=device.gpu)
        device.resume()


def resume(driver: Driver) -> Blocking[int]:
    """Let all queues of the process run again, unless somebody else stopped them, too (kgd2kfd_resume_mm).

    Returns:
        The errno of the first GPU that did not obey, otherwise 0; the others run.

    Kernel: kfd_process_restore_queues (kfd_process.c)
    """
    first = 0
    for device in driver.devices:
        if device.queues:
            yield from driver.world.sleep(driver.costs.queue_restore_ns)
        driver.emit.queue_restore(gpu=device.gpu)
        error = _failure(driver, "queue_resume", device)
        first = first or error
        if not error:
            device.resume()
    return first


def _failure(driver: Driver, fault: str, device: ProcessDevice) -> int:
    hit = driver.faults.first(fault, gpu=device.gpu)
    return hit.errno if hit else 0
