"""The event table: every kind of event, its fields and the lane it is drawn in. One table, not forty classes."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["EVENTS", "FIELD_SLOTS", "KINDS", "EventKind"]

FIELD_SLOTS = 5
"""How many integer fields a row of the log has; the table below gives them their names."""


@dataclass(frozen=True, slots=True)
class EventKind:
    """One row of the event table.

    Attributes:
        name: the event's name; SMI events have the kernel's name in lower case.
        lane: the timeline lane it belongs to (``application``, ``driver``, ``notifier``, ``queues``, ``sdma``,
            ``restore``, ``mapping``, ``lock``).
        fields: names of its integer fields, at most ``FIELD_SLOTS``. ``gpu`` is a GPU index (-1: none); ``source``
            and ``target`` are locations in the kernel's numbers (0 = RAM, else a gpu id); ``error`` is 0 or a
            positive errno; ``*_ns`` are durations.
        says: a template for one line of text; may use ``{span}``, ``{text}`` and the fields.
    """

    name: str
    lane: str
    fields: tuple[str, ...]
    says: str


# one event a line, or two, however wide: it is a table
# fmt: off
# ruff: noqa: E501
_TABLE = (
    # what the application and the kernel's mm do
    EventKind("call_start", "application", (), "{text} begins on {span}"),
    EventKind("call_end", "application", ("error",), "{text} ends{error}"),
    EventKind("cpu_access", "application", ("write", "npages"), "CPU {write:reads|writes} {span}"),
    EventKind("cpu_fault", "application", ("gpu",), "CPU touches page {span}, which is in VRAM of {gpu}"),
    EventKind("gpu_work_start", "queues", ("gpu", "queue", "write"), "{gpu} starts to {write:read|write} {span}"),
    EventKind("gpu_work_end", "queues", ("gpu", "queue", "error"), "{gpu} is done with {span}{error}"),
    EventKind("memory_exception", "queues", ("gpu", "write"), "{gpu}: fatal {write:read|write} of {span}"),
    EventKind("process_start", "application", ("parent",), "process {text} starts"),
    EventKind("process_end", "application", (), "process {text} ends"),
    EventKind("populate", "application", ("npages", "zero"), "{npages} pages of {span} populated with {zero:frames|the zero page}"),
    # the driver
    EventKind("attributes", "driver", ("nattr",), "attributes of {span} change"),
    EventKind("range_add", "driver", (), "range {span} is registered"),
    EventKind("range_split", "driver", ("kept_start", "kept_last"), "range is cut: {span} becomes one of its own"),
    EventKind("range_remove", "driver", (), "range {span} is removed"),
    EventKind("decision", "driver", ("location",), "best location of {span}: {location}, because {text}"),
    EventKind("step", "driver", ("number",), "step {number}: {text}"),
    EventKind("driver_fallback", "driver", ("error",), "{text}{error}"),
    EventKind("migrate_start", "driver", ("source", "target", "trigger", "prefetch", "preferred"),
              "{span} starts to move {source} -> {target} ({trigger})"),
    EventKind("migrate_end", "driver", ("source", "target", "trigger", "npages", "error"),
              "{npages} pages of {span} moved {source} -> {target} ({trigger}){error}"),
    EventKind("migrate_setup", "driver", ("attempt", "npages", "cpages", "error"),
              "attempt {attempt}: {cpages} of {npages} pages collected{error}"),
    EventKind("migrate_pages", "driver", ("npages",), "{npages} page structures move to their new pages"),
    EventKind("migrate_finalize", "driver", ("npages",), "the old pages of {span} are given back"),
    EventKind("fence_wait", "driver", ("error",), "waits for the last copy{error}"),
    EventKind("vram_alloc", "driver", ("gpu", "npages", "nodes", "error"), "{gpu} gives {npages} pages of VRAM{error}"),
    EventKind("vram_free", "driver", ("gpu", "npages"), "{npages} pages of VRAM go back to {gpu}"),
    EventKind("ram_alloc", "driver", ("npages", "error"), "{npages} RAM pages are allocated{error}"),
    EventKind("dma_map", "driver", ("npages", "error"), "{npages} pages are mapped for DMA{error}"),
    EventKind("dma_unmap", "driver", ("npages",), "{npages} DMA addresses are unmapped"),
    EventKind("put_ram_pages", "driver", ("npages",), "{npages} new RAM pages are given back"),
    # the copy engine
    EventKind("copy", "sdma", ("gpu", "to_vram", "vram_page", "npages", "duration_ns"),
              "{gpu} copies {npages} pages of {span}"),
    EventKind("copy_failed", "sdma", ("gpu", "to_vram", "vram_page", "npages", "error"), "a copy is refused{error}"),
    EventKind("copy_window", "sdma", ("gpu", "to_vram", "vram_page", "npages", "duration_ns"),
              "one window of {npages} pages"),
    # the MMU notifier, queues, restore
    EventKind("notifier", "notifier", ("event",), "CPU page table of {span} changes: {event}"),
    EventKind("evict", "notifier", ("invalid", "evicted_ranges"), "range {span} is invalid ({invalid}), evictions {evicted_ranges}"),
    EventKind("queue_eviction", "queues", ("gpu", "trigger"), "queues on {gpu} stop"),
    EventKind("queue_restore", "queues", ("gpu",), "queues on {gpu} run again"),
    EventKind("queue_restore_rescheduled", "queues", ("gpu",), "queues on {gpu} stay stopped: restore starts over"),
    EventKind("restore_scheduled", "restore", ("delay_ns",), "the restore worker will run in {delay_ns}"),
    EventKind("restore_start", "restore", ("evicted_ranges",), "the restore worker starts"),
    EventKind("restore_end", "restore", ("done", "error"), "the restore worker {done:gives up for now|is done}{error}"),
    EventKind("restore_stuck", "restore", ("times", "error"), "restoring {span} failed {times} times in a row{error}: {text}; it starts over every ms, and the queues stay stopped"),
    EventKind("restore_range", "restore", ("invalid",), "restores range {span}"),
    EventKind("deferred_work", "driver", ("op",), "deferred work on range {span}"),
    # GPU page tables and faults
    EventKind("map_to_gpu", "mapping", ("gpu", "npages", "vram_pages", "duration_ns"), "{gpu} maps {npages} pages of {span}"),
    EventKind("unmap_from_gpu", "mapping", ("gpu", "trigger"), "{gpu} unmaps {span}"),
    EventKind("page_fault_start", "mapping", ("gpu", "write"), "{gpu} faults on a {write:read|write} of {span}"),
    EventKind("page_fault_end", "mapping", ("gpu", "migrated", "error"), "fault of {gpu} on {span} {error:is served|fails}{error}"),
    EventKind("page_fault_dropped", "mapping", ("gpu", "write", "count"), "faults of {gpu} on {span} dropped ({count}): {text}"),
    # locks
    EventKind("lock_wait", "lock", (), "waits for {text}"),
    EventKind("lock_acquired", "lock", ("waited_ns",), "gets {text} after {waited_ns}"),
)
# fmt: on

EVENTS: dict[str, EventKind] = {kind.name: kind for kind in _TABLE}
"""Event kinds by name."""
KINDS: tuple[EventKind, ...] = _TABLE
"""Event kinds by the number that stands in the log's ``kind`` column."""
