"""The log: one event table, one append-only set of columns, from which everything else is derived."""

from svmlab.log.events import EVENTS, KINDS, EventKind
from svmlab.log.journal import Event, Log, Task

__all__ = ["EVENTS", "KINDS", "Event", "EventKind", "Log", "Task"]
