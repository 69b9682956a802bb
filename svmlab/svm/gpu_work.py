"""Work on a GPU's queue: loads and stores through the GPU's own page table, page after page.

Its pace depends on where a page is: in its own VRAM it is fast, and what lies behind a link moves as fast as the link.
It waits while the queues are stopped, and stops between two pages when they are stopped or the page table changes.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from svmlab.errors import MemoryExceptionError
from svmlab.hardware.gpu import ProcessDevice, PteFlag, RawFault, Touching
from svmlab.hardware.world import Blocking
from svmlab.mm.access import Bytes, read_frames, write_frames
from svmlab.mm.span import Span
from svmlab.svm.behaviour import option
from svmlab.svm.driver import Driver
from svmlab.units import PAGE_SIZE

__all__ = ["gpu_copy", "gpu_read", "gpu_touch", "gpu_write", "memory_exception"]

_COPY_PAGES = 512


def gpu_read(driver: Driver, device: ProcessDevice, span: Span) -> Blocking[Bytes]:
    """Read bytes with a GPU.

    Returns:
        The bytes of the span.

    Raises:
        MemoryExceptionError: a page is not mapped and the fault cannot be served.
    """
    out = np.zeros(span.nbytes, np.uint8)

    def move(first: int, last: int) -> None:
        piece = _part(span, first, last)
        here = out[piece.address - span.address :][: piece.nbytes]
        read_frames(driver.memory, device.frames.get(first, last), piece, here)

    yield from _run(driver, device, span, move, write=False)
    return out


def gpu_write(driver: Driver, device: ProcessDevice, span: Span, *, data: Bytes | None) -> Blocking[None]:
    """Write bytes with a GPU, or (without data) touch the pages for writing.

    Raises:
        MemoryExceptionError: as for reading, or the page is mapped read-only.
    """

    def move(first: int, last: int) -> None:
        piece = _part(span, first, last)
        if data is not None:
            here = data[piece.address - span.address :][: piece.nbytes]
            write_frames(driver.memory, device.frames.get(first, last), piece, here)

    yield from _run(driver, device, span, move, write=True)


def gpu_copy(driver: Driver, device: ProcessDevice, source: Span, target: Span) -> Blocking[None]:
    """Copy bytes with a GPU, a stretch of up to 2 MiB at a time.

    Raises:
        MemoryExceptionError: as for reading and writing.
    """
    done = 0
    while done < source.nbytes:
        size = min(_COPY_PAGES * PAGE_SIZE, source.nbytes - done)
        data = yield from gpu_read(driver, device, Span(source.address + done, size))
        yield from gpu_write(driver, device, Span(target.address + done, size), data=data)
        done += size


def gpu_touch(driver: Driver, device: ProcessDevice, span: Span, *, write: bool, waves: int) -> Blocking[None]:
    """Touch the pages of a span with many waves at once.

    The waves go side by side, as those of a kernel do in which neighbours touch neighbouring bytes: where the page
    table allows nothing, every one of them reports a fault.

    Args:
        driver, device: who touches.
        span: which pages.
        write: for stores.
        waves: how many; 1 or more.

    Raises:
        MemoryExceptionError: as for reading and writing.
    """

    def move(first: int, last: int) -> None:
        """No byte is looked at."""

    yield from _run(driver, device, span, move, write=write, waves=waves)


def _part(span: Span, first: int, last: int) -> Span:
    start = max(span.address, first * PAGE_SIZE)
    return Span(start, min(span.address + span.nbytes, (last + 1) * PAGE_SIZE) - start)


def _run(
    driver: Driver, device: ProcessDevice, span: Span, move: Callable[[int, int], None], *, write: bool, waves: int = 1
) -> Blocking[None]:
    """Touch the pages of a span in ascending order.

    1. wait until the queues run
    2. find the run of pages that the page table allows
    3. none: take a page fault
    4. touch those of them that lie in one memory, until all are done, the queues stop, or the page table changes
    """
    queue = device.queues[-1] if device.queues else 0
    start = driver.emit.gpu_work_start(span.start, span.last, gpu=device.gpu, queue=queue, write=int(write))
    page, at = int(span.start), "before a GPU access"
    with driver.log.because(start):
        while page <= span.last:
            yield from driver.world.point(at)
            yield from device.until_running()
            ready = device.accessible(page, span.last, write=write)
            if not ready:
                yield from _fault(driver, device, RawFault(page, write, driver.now, waves))
                at = "before a GPU tries again"
                continue
            ready, page_ns = _steady(driver, device, page, ready, write=write)
            touching = Touching(page, ready, page_ns, driver.now, move)
            page, at = page + (yield from device.touch(touching)), "before a GPU access"
    driver.emit.gpu_work_end(span.start, span.last, gpu=device.gpu, queue=queue, cause=start)


def _steady(driver: Driver, device: ProcessDevice, page: int, ready: int, *, write: bool) -> tuple[int, int]:
    """How many of the ready pages lie in one memory, and the pace at which the GPU touches them there."""
    home = driver.memory.gpu_at(int(device.frames.at(page)))
    if ready > 1:
        first, end = driver.memory.borders_of(home)
        ready = device.frames.leading(page, page + ready - 1, lambda pfns: (pfns >= first) & (pfns < end))
    return ready, driver.system.access_times.page_ns(device.gpu, home, write=write)


def _fault(driver: Driver, device: ProcessDevice, fault: RawFault) -> Blocking[None]:
    """An access the page table does not allow: fatal with xnack off, up to the driver with xnack on.

    One report of a fault is served; those of other waves wait in the interrupt ring.
    """
    yield from driver.world.sleep(driver.costs.gpu_fault_ns)
    page, write = fault.page, fault.write
    if device.accessible(page, page, write=write) or not device.running:
        return
    forbidden = bool(device.flags.at(page) & PteFlag.VALID)
    if forbidden or not driver.xnack:
        # only a missing entry is retried: what an entry forbids is a permission fault in both modes
        memory_exception(driver, device, page, write=write)
    if fault.count > 1:
        others = RawFault(page, write, fault.raised_ns, fault.count - 1)
        driver.world.spawn(f"gpu{device.gpu} interrupt ring", _read_later(driver, device, others), pid=driver.pid)
    yield from driver.behaviour.gpu_fault(driver, device, RawFault(page, write, fault.raised_ns))


def _read_later(driver: Driver, device: ProcessDevice, fault: RawFault) -> Blocking[None]:
    """The other reports of a fault are read one after the other; they are alike, so the last one stands for all."""
    yield from driver.world.sleep(fault.count * driver.costs.duplicate_fault_ns)
    if device.dead:
        return
    try:
        yield from driver.behaviour.gpu_fault(driver, device, fault)
    except MemoryExceptionError:
        return  # the queues are dead and the log says why: there is nobody here to tell


@option("gpu_fault", "fatal")
def _fatal(driver: Driver, device: ProcessDevice, fault: RawFault) -> Blocking[None]:
    memory_exception(driver, device, fault.page, write=fault.write)
    yield from ()


def memory_exception(driver: Driver, device: ProcessDevice, page: int, *, write: bool) -> None:
    """A fatal access: every queue of the process is killed.

    Raises:
        MemoryExceptionError: always.
    """
    driver.emit.memory_exception(page, page, gpu=device.gpu, write=int(write))
    for each in driver.devices:
        each.kill()
    verb = "write to" if write else "read"
    raise MemoryExceptionError(
        f"gpu{device.gpu} cannot {verb} page {page:#x}",
        hint="give the GPU access with set_attr" if not driver.xnack else "why(span) tells what the driver would do",
    )
