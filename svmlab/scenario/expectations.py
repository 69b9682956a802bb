"""What an ``expect`` step may look at."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal, get_args

from pydantic import Discriminator, Field, Tag, model_validator

from svmlab.errors import InputError
from svmlab.scenario.attributes import AttributeKeys
from svmlab.scenario.spans import Contents, SpanKeys
from svmlab.scenario.tables import Between, Table
from svmlab.scenario.values import Address, Count, Errno, GpuName, Home, Name, PageRun, Residence, Size, Time

__all__ = ["EVENT_NAMES", "REST", "Counters", "EventName", "Expectations", "LogEntry"]

EventName = Literal[
    "queue_eviction",
    "queue_restore",
    "queue_restore_rescheduled",
    "migrate_start",
    "migrate_end",
    "page_fault_start",
    "page_fault_end",
    "unmap_from_gpu",
    "cpu_fault",
    "memory_exception",
    "copy",
    "copy_window",
]
EVENT_NAMES: tuple[str, ...] = get_args(EventName)
"""The events a scenario can count and list."""
REST = "..."
"""Stands for any number of other events in ``log``."""
CpuEntry = Literal["none", "zero", "read", "write", "device", "swap"]

_MIGRATE = ("prefetch", "pagefault_gpu", "pagefault_cpu", "ttm_eviction")
_EVICTION = ("svm", "userptr", "ttm", "suspend")
_UNMAP = ("mmu_notify", "mmu_notify_migrate", "unmap_from_cpu")
_TRIGGERS = {
    "migrate_start": _MIGRATE,
    "migrate_end": _MIGRATE,
    "queue_eviction": _EVICTION,
    "unmap_from_gpu": _UNMAP,
}
_PAGE = ("on", "offset", "address")
_MOVE = ("gpu", "from", "to", "npages", *_PAGE)
_KEYS = {
    "queue_eviction": ("gpu", "trigger"),
    "queue_restore": ("gpu",),
    "queue_restore_rescheduled": ("gpu",),
    "migrate_start": (*_MOVE, "trigger"),
    "migrate_end": (*_MOVE, "trigger", "error"),
    "page_fault_start": ("gpu", "access", "npages", *_PAGE),
    "page_fault_end": ("gpu", "npages", *_PAGE),
    "unmap_from_gpu": ("gpu", "trigger", "npages", *_PAGE),
    "cpu_fault": ("gpu", "npages", *_PAGE),
    "memory_exception": ("gpu", "access", "npages", *_PAGE),
    "copy": _MOVE,
    "copy_window": _MOVE,
}


class LogEntry(Table):
    """One event of ``log``; what is not given is not compared."""

    event: EventName
    gpu: GpuName | None = None
    source: Home | None = Field(None, alias="from")
    target: Home | None = Field(None, alias="to")
    trigger: (
        Literal[
            "prefetch",
            "pagefault_gpu",
            "pagefault_cpu",
            "ttm_eviction",
            "svm",
            "userptr",
            "ttm",
            "suspend",
            "mmu_notify",
            "mmu_notify_migrate",
            "unmap_from_cpu",
        ]
        | None
    ) = None
    access: Literal["read", "write"] | None = None
    npages: Count | None = None
    error: Errno | None = None
    on: Name | None = None
    offset: Size | None = None
    address: Address | None = None

    @model_validator(mode="after")
    def _fits_the_event(self) -> LogEntry:
        allowed = _KEYS[self.event]
        for name, field in type(self).model_fields.items():
            key = field.alias or name
            if name != "event" and getattr(self, name) is not None and key not in allowed:
                raise InputError(f"{self.event} has no {key}", allowed=", ".join(allowed))
        if self.trigger is not None and self.trigger not in _TRIGGERS[self.event]:
            raise InputError(f"{self.event} has no trigger {self.trigger!r}", allowed=", ".join(_TRIGGERS[self.event]))
        if self.on is not None and self.address is not None:
            raise InputError("on and address exclude each other", allowed="one of on, address")
        if self.offset is not None and self.on is None:
            raise InputError("offset goes with on")
        return self


class Counters(Table):
    """Counters of a process-device since the mark."""

    page_in: Between[Count] | None = None
    page_out: Between[Count] | None = None
    faults: Between[Count] | None = None


def _rest_or_entry(raw: Any) -> str:
    return "rest" if isinstance(raw, str) else "entry"


def _location(raw: Any) -> str:
    return "counts" if isinstance(raw, dict) else "place"


def _ranges(raw: Any) -> str:
    return "list" if isinstance(raw, list) else "number"


LogItem = Annotated[
    Annotated[Literal["..."], Tag("rest")] | Annotated[LogEntry, Tag("entry")], Discriminator(_rest_or_entry)
]
Location = Annotated[
    Annotated[Residence, Tag("place")] | Annotated[dict[Residence, Count], Tag("counts")], Discriminator(_location)
]
Ranges = Annotated[Annotated[Count, Tag("number")] | Annotated[list[PageRun], Tag("list")], Discriminator(_ranges)]


class Expectations(SpanKeys, Contents):
    """The keys of ``expect``; each one given must hold."""

    SPAN_NEEDED: ClassVar[bool] = False

    gpu: GpuName | None = None
    location: Location | None = None
    cpu_entry: CpuEntry | None = None
    mapped: list[GpuName] | None = None
    ranges: Ranges | None = None
    attributes: AttributeKeys | None = None
    actual: Home | None = None
    queues: Literal["running", "evicted", "dead"] | None = None
    events: dict[EventName, Between[Count]] | None = None
    log: list[LogItem] | None = None
    counters: dict[GpuName, Counters] | None = None
    elapsed: Between[Time] | None = None
    vram_used: dict[GpuName, Between[Size]] | None = None
    consistent: bool | None = None

    @model_validator(mode="after")
    def _something(self) -> Expectations:
        of_span = self.given(*_OF_A_SPAN)
        if of_span and not self.has_span:
            raise InputError(f"{of_span[0]} needs a span", allowed="on = the name of a mapping, or address with size")
        if not of_span and not self.given(*_OF_THE_REST):
            raise InputError("nothing is expected", allowed=", ".join((*_OF_A_SPAN, *_OF_THE_REST)))
        return self


_OF_A_SPAN = ("location", "byte", "word", "pattern", "cpu_entry", "mapped", "ranges", "attributes", "actual")
_OF_THE_REST = ("queues", "events", "log", "counters", "elapsed", "vram_used", "consistent")
