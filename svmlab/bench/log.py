"""The log: writing down everything that happens must cost little of a bulk run.

The run moves a buffer with its bytes to a GPU, lets the GPU store to all of it, and brings it home by CPU faults, block
by block. The base is the same run whose log counts events and keeps none of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any
from unittest.mock import patch

from svmlab.bench.harness import Case
from svmlab.log import Log
from svmlab.svm.process import Process
from svmlab.units import MIB

__all__ = ["NullLog", "bulk_run", "cases"]


class NullLog(Log):
    """A log that knows how many events there were, and nothing else of them."""

    def emitter(self, pid: int | None = None) -> Any:
        """What counts events."""
        return _Counter(self)

    def extend(self, name: str, times_ns: Any, start: Any, last: Any, **fields: Any) -> None:
        """Count events."""
        self.written += len(times_ns)

    def kinds_since(self, event: int) -> set[str]:
        """Nobody knows: not those by which a machine that stands still is told."""
        return {"of a kind that was not kept"}


class _Counter:
    """Has a method for every kind of event, as an ``Emitter`` has."""

    def __init__(self, log: NullLog) -> None:
        def count(start: int = -1, last: int = -1, **rest: Any) -> int:
            log.written += 1
            return log.written - 1

        self._count = count

    def __getattr__(self, name: str) -> Callable[..., int]:
        self.__dict__[name] = self._count
        return self._count

    def __call__(self, name: str, start: int = -1, last: int = -1, **rest: Any) -> int:
        return self._count()


def cases(nbytes: int = 256 * MIB) -> Iterator[Case]:
    """What is measured.

    Args:
        nbytes: what is moved.
    """
    kept, counted = (bulk_run(nbytes, null=null) for null in (False, True))
    kept(), counted()
    name = f"a bulk run of {nbytes >> 20} MiB, its log kept"
    yield Case(name, "the same with a log that keeps nothing", 1.2, kept, counted, 1)


def bulk_run(nbytes: int, *, null: bool) -> Callable[[], Process]:
    """A function that runs it.

    Args:
        nbytes: what is moved.
        null: whether the log keeps nothing.

    >>> kept, counted = (bulk_run(4 * MIB, null=null)() for null in (False, True))
    >>> len(kept.log) == len(counted.log), kept.log.count("cpu_fault"), kept.log.rows().shape[0] > 50
    (True, 2, True)
    """
    with patch("svmlab.hardware.world.Log", NullLog if null else Log):
        process = Process("toy", ram=2 * nbytes, vram=2 * nbytes)
    process.create_queue(0)
    buffer = process.mmap(nbytes)
    process.cpu_write(buffer, 7)

    def run() -> Process:
        process.set_attr(buffer, access=["gpu0"], prefetch="gpu0")
        process.run()
        process.gpu_touch(0, buffer, write=True)
        process.run()
        process.cpu_touch(buffer, write=True)
        process.run()
        return process

    return run
