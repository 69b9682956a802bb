"""When the queues of a process stood still on a GPU: stops nest, and end with the last restore."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from svmlab.log import Event

__all__ = ["STOPS", "Stop", "stops"]

STOPS = ("queue_eviction", "queue_restore", "queue_restore_rescheduled")
"""The kinds of event that tell of it."""


@dataclass(slots=True)
class Stop:
    """One time that queues stood still.

    Attributes:
        pid: whose.
        gpu: index of the GPU they are on.
        begin: the eviction that stopped them.
        end: the restore after which they ran again; None if the log ends before.
        triggers: why they were stopped, each reason as often as it is told.
        restarts: how often the restore started over.
    """

    pid: int
    gpu: int
    begin: Event
    end: Event | None = None
    triggers: list[int] = field(default_factory=list)
    restarts: int = 0
    _restored: int = 0

    def restore(self, event: Event) -> None:
        """Take one eviction back; with the last one queues run again."""
        self._restored += 1
        if self._restored == len(self.triggers):
            self.end = event


def stops(events: list[Event]) -> Iterator[tuple[Stop | None, Event]]:
    """Follow the events of ``STOPS``, in order of time.

    Yields:
        Each event with the stop that it belongs to; with None if it is a restore where nothing was stopped.
    """
    going_on: dict[tuple[int, int], Stop] = {}
    for event in events:
        key = event.pid, event.fields["gpu"]
        if event.name == "queue_eviction":
            going_on.setdefault(key, Stop(*key, begin=event)).triggers.append(event.fields["trigger"])
        stop = going_on.get(key)
        if stop and event.name == "queue_restore":
            stop.restore(event)
        elif stop and event.name == "queue_restore_rescheduled":
            stop.restarts += 1
        if stop and stop.end:
            del going_on[key]
        yield stop, event
