"""Appending events: a method for every kind of event, with the kind's fields as keywords."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial
from struct import Struct
from typing import TYPE_CHECKING, Any

from svmlab.log.events import EVENTS, FIELD_SLOTS, KINDS

if TYPE_CHECKING:
    from svmlab.log.journal import Log

__all__ = ["HEAD", "NUMBER", "Emitter"]

HEAD = ("time", "kind", "task", "cause", "pid", "start", "last", "text")
"""Columns that every row of the log has, before the fields of its kind."""
NUMBER = {kind.name: number for number, kind in enumerate(KINDS)}
"""What stands in the kind column, by name."""

_SOURCE = """
def made_for(log, pid):
    waiting, append, strings, clock = log.waiting, log.waiting.append, log.string_ids, log.clock
    def {name}(start=-1, last=-1, *, {parameters}text="", time_ns=None, cause=None):
        task = log.task
        append(pack(
            clock._now if time_ns is None else time_ns,
            {number},
            task.id,
            task.cause if cause is None else cause,
            {pid},
            start,
            last,
            (strings.get(text) or log.intern(text)) if text else 0,
            {fields}
        ))
        return log.written + len(waiting) - 1
    return {name}
"""


class Emitter:
    """Appends events of one process to a log.

    Every kind of event is a method: ``emit.copy(start, last, gpu=0, npages=4, ...)``. It takes

    * ``start``, ``last``: the pages the event is about, inclusive; -1: it is about none
    * ``text``: a name or reason
    * ``time_ns``: its time; default: now
    * ``cause``: the event that led to it; default: what the running task follows from
    * the kind's fields; a missing one is 0

    and returns the id of the event. ``emit(name, ...)`` does the same for a name that is known only when it runs.

    Args:
        log: where to.
        pid: the process; None: the running task's.
    """

    def __init__(self, log: Log, pid: int | None) -> None:
        self._log, self._pid = log, pid
        # Plain attributes and no ``__getattr__``: in a class that has one, every look-up takes three times as long.
        for name in NUMBER:
            self.__dict__[name] = partial(self._first, name)

    if TYPE_CHECKING:

        def __getattr__(self, name: str) -> Callable[..., int]: ...

    def _first(self, name: str, *args: Any, **rest: Any) -> int:
        """Append the first event of a kind; the method for it is made now, and takes this one's place."""
        method = self.__dict__[name] = _compiled(name, self._pid is None)(self._log, self._pid)
        return method(*args, **rest)

    def __call__(self, name: str, start: int = -1, last: int = -1, **rest: Any) -> int:
        """Append an event whose name is known only now."""
        method: Callable[..., int] = getattr(self, name)
        return method(start, last, **rest)


@cache
def _compiled(name: str, any_pid: bool) -> Callable[[Log, int | None], Callable[..., int]]:
    """Makes the method of a kind for a log and a process.

    It is written by program, as a named tuple is: a function with the kind's own parameters costs a third of one that
    takes any keywords and sorts them, and there are twenty rows of the log to a page that moves.
    """
    fields = EVENTS[name].fields
    source = _SOURCE.format(
        name=name,
        number=NUMBER[name],
        pid="task.pid" if any_pid else "pid",
        parameters="".join(f"{field}=0, " for field in fields),
        fields=", ".join(fields),
    )
    unused = FIELD_SLOTS - len(fields)
    made: dict[str, Any] = {"pack": Struct(f"{len(HEAD) + len(fields)}q{8 * unused}x").pack}
    exec(source, made)
    made_for: Callable[[Log, int | None], Callable[..., int]] = made["made_for"]
    return made_for
