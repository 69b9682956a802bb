"""What an event of a driver's log most likely follows from, by trigger, pages and time: such a log has no causes."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from svmlab.log import Event
from svmlab.uapi import EvictionTrigger, MigrateTrigger, UnmapTrigger

__all__ = ["cause_of"]

Found = tuple[Event | None, str]


def cause_of(event: Event) -> Found:
    """The event that an event follows from, and why it should be that one.

    Args:
        event: of a kind that a driver reports.

    Returns:
        The earlier event, or None if what led to it is in no log of a driver; and the reason in words.
    """
    return _RULES.get(event.name, _nothing)(event)


def _nothing(_event: Event) -> Found:
    return None, "nothing in such a log leads to it"


def _before(event: Event, *names: str) -> Iterable[Event]:
    """Earlier events of the same process, the latest first; cheap, as only what is looked at is made."""
    log = event.log
    ids = sorted((i for name in names for i in log.select(name, pid=event.pid).tolist() if i < event.id), reverse=True)
    return (log[i] for i in ids)


def _same(event: Event, *titles: str) -> Callable[[Event], bool]:
    return lambda other: (
        all(other.fields[title] == event.fields[title] for title in titles) and other.start == event.start
    )


def _migration_around(event: Event) -> Event | None:
    """The latest migration of the process that goes on; one that holds the event's pages, if it has any."""
    ended = 0
    for other in _before(event, "migrate_start", "migrate_end"):
        if other.name == "migrate_end":
            ended += 1
        elif ended:
            ended -= 1
        elif event.start < 0 or (other.start <= event.start and event.last <= other.last):
            return other
    return None


def _migrate_start(event: Event) -> Found:
    trigger = event.fields["trigger"]
    if trigger == MigrateTrigger.PREFETCH:
        return None, "a call asked for it"
    if trigger == MigrateTrigger.PAGEFAULT_CPU:
        return None, "the CPU touched a page of it in VRAM"
    if trigger == MigrateTrigger.TTM_EVICTION:
        return None, "something else wanted the VRAM"
    served: set[tuple[int, int]] = set()
    for fault in _before(event, "page_fault_start", "page_fault_end"):
        key = fault.fields["gpu"], fault.start
        if fault.name == "page_fault_end":
            served.add(key)
        elif key not in served and event.start <= fault.start <= event.last:
            return fault, "this fault was being served, and is of one of its pages"
    return None, "a fault of a GPU that the log does not have"


def _first(event: Event, name: str, *titles: str, note: str, none: str) -> Found:
    match = _same(event, *titles)
    found = next((other for other in _before(event, name) if match(other)), None)
    return found, note if found else none


def _migrate_end(event: Event) -> Found:
    return _first(
        event, "migrate_start", "source", "target", "trigger", note="it began here", none="its start is not in the log"
    )


def _page_fault_end(event: Event) -> Found:
    return _first(event, "page_fault_start", "gpu", note="it began here", none="its start is not in the log")


def _page_fault_start(_event: Event) -> Found:
    return None, "the GPU touched a page that it does not map"


def _restore(event: Event) -> Found:
    return _first(
        event, "queue_eviction", "gpu", note="its queues were stopped here", none="their stop is not in the log"
    )


def _eviction(event: Event) -> Found:
    trigger = event.fields["trigger"]
    if trigger != EvictionTrigger.SVM:
        return None, f"the driver stopped them for another reason, {EvictionTrigger(trigger).name}"
    found = _migration_around(event)
    if found:
        return found, "this migration was going on"
    return None, "the CPU's page table changed (munmap, mprotect, swap, ...), which such a log does not tell"


def _unmap(event: Event) -> Found:
    trigger = event.fields["trigger"]
    if trigger == UnmapTrigger.UNMAP_FROM_CPU:
        return None, "the application unmapped it"
    found = _migration_around(event) if trigger == UnmapTrigger.MMU_NOTIFY_MIGRATE else None
    if found:
        return found, "this migration was going on"
    return None, "the CPU's page table changed, which such a log does not tell"


_RULES: dict[str, Callable[[Event], Found]] = {
    "migrate_start": _migrate_start,
    "migrate_end": _migrate_end,
    "page_fault_start": _page_fault_start,
    "page_fault_end": _page_fault_end,
    "queue_eviction": _eviction,
    "queue_restore": _restore,
    "queue_restore_rescheduled": _restore,
    "unmap_from_gpu": _unmap,
}
