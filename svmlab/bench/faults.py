"""GPU faults: serving one must cost little more than the simulation engine itself does.

The base is a bare SimPy Resource acquire/release cycle: a process is started that requests a Resource of capacity 1,
holds it for a timeout of 1 and releases it; another process waits for it to end, and starts the next. Nothing waits in
the queue of the Resource. So a cycle is what SimPy takes to run one piece of work that holds one lock for a while; a
third of it is the start of the process.

The subject is the mechanism that a GPU's access of an unmapped page runs, from its report to the entry in the page
table, with all its locks, sleeps and events: one task serves one page after the other. Every page is a range of its
own (granularity 0), so that nothing is served together. Bytes are not kept: it is the driver that is measured, not the
copying of 4 KiB.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice

import simpy

from svmlab.bench.harness import PAIRS, Case, Row, measure
from svmlab.hardware.gpu import RawFault
from svmlab.hardware.world import Blocking
from svmlab.mm.span import Span
from svmlab.svm.gpu_fault import serve_gpu_fault
from svmlab.svm.process import Process
from svmlab.svm.progress import run_until

__all__ = ["FAULTS", "cases", "cycles", "process_with", "rows"]

FAULTS = 200
"""Faults of one call of a subject."""
_APART_PAGES = 16
_BASE = "bare SimPy Resource cycle (start, request, hold, release)"


def rows(pairs: int = PAIRS) -> Iterator[Row]:
    """Measure everything.

    Args:
        pairs: a third of the pairs that count; one takes milliseconds, so whatever else the computer does is in some.
    """
    for case in cases(rounds=3 * pairs + 1):
        yield measure(case, pairs=3 * pairs)


def cases(faults: int = FAULTS, *, rounds: int) -> Iterator[Case]:
    """What is measured, one case after the other.

    Args:
        faults: how many faults one call of a subject serves.
        rounds: how many calls there can be.
    """
    yield _case("GPU fault that maps one page", 4.0, migrates=False, faults=faults, rounds=rounds)
    yield _case("GPU fault that moves one page to VRAM and maps it", 12.0, migrates=True, faults=faults, rounds=rounds)


def _case(name: str, goal: float, *, migrates: bool, faults: int, rounds: int) -> Case:
    process = process_with(faults * rounds, migrates=migrates)
    return Case(name, _BASE, goal, served(process, faults), lambda: cycles(faults), faults)


def process_with(count: int, *, migrates: bool) -> Process:
    """A process with ``count`` ranges of one page each, in RAM, which no GPU maps.

    Args:
        count: how many.
        migrates: whether a fault moves the page to VRAM; otherwise it is mapped in place.

    >>> process = process_with(3, migrates=True)
    >>> served(process, 3)()
    >>> process.look.counters(0)["page_in"]
    3
    """
    process = Process("toy", xnack=True, ram="4 GiB", vram="1 GiB", payload=False)
    memory = process.mmap(f"{count * _APART_PAGES} pages", populate=True)
    start = int(memory.span.start)
    for page in range(start, start + count * _APART_PAGES, _APART_PAGES):
        attributes = {} if migrates else {"preferred": "cpu"}
        process.set_attr(Span.of_pages(page, page), granularity=0, **attributes)
    process.run(for_ns="3 ms")
    return process


def served(process: Process, faults: int) -> Callable[[], None]:
    """A function that serves the next ``faults`` faults of a process."""
    driver = process.driver
    device, world = driver.devices[0], driver.world
    reports = iter([RawFault(range_.start, write=True, raised_ns=driver.now) for range_ in process.ranges()])

    def work() -> Blocking[None]:
        for report in islice(reports, faults):
            yield from serve_gpu_fault(driver, device, report)

    def run() -> None:
        task = world.spawn("faults", work(), pid=process.pid)
        run_until(world, lambda: not task.is_alive)

    return run


def cycles(count: int) -> None:
    """As many bare cycles."""
    env = simpy.Environment()
    resource = simpy.Resource(env, capacity=1)

    def cycle() -> Blocking[None]:
        with resource.request() as request:
            yield request
            yield env.timeout(1)

    def one_by_one() -> Blocking[None]:
        for _ in range(count):
            yield env.process(cycle())

    env.run(until=env.process(one_by_one()))
