"""Why an event happened: the chain of causes, from the event back to what the application asked for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, overload

from svmlab.errors import InputError
from svmlab.log import Event
from svmlab.trace.causes import cause_of
from svmlab.units import format_time

if TYPE_CHECKING:
    from svmlab.trace.trace import Trace

__all__ = ["Chain", "why", "why_in"]


_INFERRED = "Inferred from triggers and times: a driver's log has no causes."


class Chain(Sequence[Event]):
    """Events, each of which led to the one before it; printed as a story from the first cause to the event.

    Args:
        events: the event itself first.
        notes: what is said about each of them behind it; default: nothing.

    Attributes:
        inferred: whether the causes were found by triggers and times, because the log has none.
    """

    def __init__(self, events: Sequence[Event], notes: Sequence[str] = ()) -> None:
        self._events, self._notes = tuple(events), tuple(notes) or ("",) * len(events)
        self.inferred = any(self._notes)

    def __len__(self) -> int:
        return len(self._events)

    @overload
    def __getitem__(self, index: int) -> Event: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[Event, ...]: ...
    def __getitem__(self, index: int | slice) -> Event | tuple[Event, ...]:
        return self._events[index]

    @property
    def reason(self) -> str:
        """Why the first of them happened and why the event follows, as far as that was inferred; else empty."""
        return "; ".join(note for note in reversed(self._notes) if note)

    def __str__(self) -> str:
        lines = []
        told = zip(reversed(self._events), reversed(self._notes), strict=True)
        for depth, (event, note) in enumerate(told):
            lead = "  " * depth + ("-> " if depth else "")
            behind = f"  ({note})" if note else ""
            lines.append(f"{format_time(event.time_ns):>12}  {lead}{event.task.name}: {event}{behind}")
        return "\n".join([*lines, *([_INFERRED] if self.inferred else [])])

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


def why_in(trace: Trace, number: int) -> Chain:
    """The chain of causes of an event of a trace.

    Args:
        trace: of a simulation, or read; if its events do not know their causes, these are inferred.
        number: the event's.

    Raises:
        InputError: the trace has no such event.

    >>> import svmlab as sl
    >>> from svmlab.resources import data_path
    >>> trace = sl.read_trace(data_path("traces", "first-migration.smi"))
    >>> print(why_in(trace, 1))
        1.128 ms  migration: [0x7e0000000, 0x7e00003ff] starts to move RAM -> gpu0 (prefetch)  (a call asked for it)
        1.129 ms    -> queues: queues on gpu0 stop  (this migration was going on)
    Inferred from triggers and times: a driver's log has no causes.
    """
    if not 0 <= number < len(trace.log):
        last = len(trace.log) - 1
        raise InputError(f"event {number}", allowed=f"0 to {last}" if last >= 0 else "none: the trace has no events")
    if trace.causes:
        return why(trace.log[number])
    chain, notes = [trace.log[number]], []
    while True:
        cause, note = cause_of(chain[-1])
        notes.append(note)
        if cause is None:
            return Chain(chain, notes)
        chain.append(cause)
