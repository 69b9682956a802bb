"""GPU faults served one by one, and what the log says of them."""

from __future__ import annotations

from typing import Any

import pytest

import svmlab as sl
from svmlab.errors import MemoryExceptionError
from svmlab.hardware.gpu import RawFault
from svmlab.log import Event
from svmlab.svm.gpu_fault import serve_gpu_fault

TOLD = (
    "lock_wait",
    "page_fault_start",
    "page_fault_end",
    "page_fault_dropped",
    "memory_exception",
    "range_add",
    "migrate_start",
    "migrate_end",
    "driver_fallback",
    "map_to_gpu",
    "unmap_from_gpu",
    "queue_eviction",
    "queue_restore",
    "vram_alloc",
    "vram_free",
)


class FaultLab:
    """A process with xnack on and a buffer ``a``, whose pages are counted from its start."""

    def __init__(self, behaviour: Any = "as-intended", size: str = "4 MiB", **options: Any) -> None:
        options = {"xnack": True, "vram": "16 MiB"} | options
        self.p = sl.Process(options.pop("machine", "toy"), behaviour=behaviour, **options)
        self.a = self.p.mmap(size, name="a")
        self.base = int(self.a.span.start)
        self.seen = 0

    def pages(self, first: int, count: int) -> sl.Span:
        """Pages of the buffer."""
        return sl.Span.of_pages(self.base + first, self.base + first + count - 1)

    def mark(self) -> None:
        """What is in the log by now is not looked at."""
        self.seen = len(self.p.log)

    def begin(self, page: int = 0, *, gpu: int = 0, write: bool = False, raised_ns: int | None = None) -> Any:
        """The driver reads one report of a fault."""
        driver = self.p.driver
        report = RawFault(self.base + page, write, self.p.now if raised_ns is None else raised_ns)
        return self.p.begin("fault", serve_gpu_fault(driver, driver.devices[gpu], report))

    def fault(self, page: int = 0, **options: Any) -> None:
        """As ``begin``, to its end; a fatal one is in the log."""
        handle = self.begin(page, **options)
        self.p.run()
        assert handle.error is None or isinstance(handle.error, MemoryExceptionError)

    def told(self, *names: str) -> list[str]:
        """Events since the mark, each in one line, with pages counted from the buffer's start."""
        lines = []
        for event in self.p.log.events(*(names or TOLD), since=self.seen):
            where = f"{event.start - self.base}-{event.last - self.base}" if event.start >= 0 else ""
            shown = " ".join(f"{key}={event.fields[key]}" for key in _SHOWN.get(event.name, ()))
            lines.append(" ".join(filter(None, (event.name, where, shown, self._route(event), event.text))))
        return lines

    def _route(self, event: Event) -> str:
        if "source" not in event.fields:
            return ""
        name = self.p.machine.location_name
        words = [name(event.fields[end]) for end in ("source", "target")]
        return f"{words[0]}->{words[1]} trigger={event.fields['trigger']}"


_SHOWN = {
    "page_fault_start": ("gpu", "write"),
    "page_fault_end": ("migrated", "error"),
    "page_fault_dropped": ("count",),
    "migrate_end": ("npages", "error"),
    "driver_fallback": ("error",),
    "map_to_gpu": ("gpu", "vram_pages"),
    "unmap_from_gpu": ("gpu",),
    "vram_alloc": ("error",),
}


@pytest.fixture
def lab() -> type[FaultLab]:
    return FaultLab
