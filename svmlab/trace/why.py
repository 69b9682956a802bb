"""Why an event happened: the chain of causes, from the event back to what the application asked for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import overload

from svmlab.log import Event
from svmlab.units import format_time

__all__ = ["Chain", "why"]


class Chain(Sequence[Event]):
    """Events, each of which led to the one before it; printed as a story from the first cause to the event.

    Args:
        events: the event itself first.
    """

    def __init__(self, events: Sequence[Event]) -> None:
        self._events = tuple(events)

    def __len__(self) -> int:
        return len(self._events)

    @overload
    def __getitem__(self, index: int) -> Event: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[Event, ...]: ...
    def __getitem__(self, index: int | slice) -> Event | tuple[Event, ...]:
        return self._events[index]

    def __str__(self) -> str:
        lines = []
        for depth, event in enumerate(reversed(self._events)):
            lead = "  " * depth + ("-> " if depth else "")
            lines.append(f"{format_time(event.time_ns):>12}  {lead}{event.task.name}: {event}")
        return "\n".join(lines)

    __repr__ = __str__


def why(event: Event) -> Chain:
    """Walk the causes of an event back to the beginning.

    Args:
        event: an event of a log, ``p.log[-1]``.

    Returns:
        The event and its causes; prints as a story.

    >>> import svmlab as sl
    >>> p = sl.Process("toy")
    >>> a = p.mmap("4 KiB", name="a")
    >>> p.set_attr(a, access=["gpu0"], prefetch="gpu0")
    >>> [cause.name for cause in why(p.log.events("queue_eviction")[0])]
    ['queue_eviction', 'evict', 'notifier', 'migrate_start', 'call_start']
    """
    chain = [event]
    while chain[-1].cause >= 0:
        chain.append(event.log[chain[-1].cause])
    return Chain(chain)
