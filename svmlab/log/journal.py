"""The append-only columnar log: every state change of a simulation is one row."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence, Set
from contextlib import contextmanager
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, Protocol, overload

import numpy as np
import numpy.typing as npt

from svmlab.errors import InputError
from svmlab.log.emitter import HEAD, NUMBER, Emitter
from svmlab.log.events import EVENTS, FIELD_SLOTS, KINDS, EventKind
from svmlab.log.task import Task

__all__ = ["HEAD", "WIDTH", "Event", "Log", "Task"]

Column = npt.NDArray[np.int64]

WIDTH = len(HEAD) + FIELD_SLOTS
"""Columns of a row: those of every event, then the fields of its kind."""
_FIELDS = {kind.name: frozenset(kind.fields) for kind in KINDS}
_OF_EVERY_KIND = frozenset({"text", "time_ns", "cause"})
_FLUSH_ROWS = 4096
_MANY = 32
"""From so many on, numbers are sorted out faster by numpy than one by one."""


def _number(name: str) -> int:
    if name not in NUMBER:
        near = get_close_matches(name, NUMBER, n=3)
        hint = f"did you mean {' or '.join(near)}?" if near else "print(*p.log) shows which there are"
        raise InputError(f"no event is called {name!r}", hint=hint)
    return NUMBER[name]


@dataclass(frozen=True, slots=True)
class Event:
    """One row of the log, as a value.

    Attributes:
        id: its row number.
        time_ns: virtual time; rows of the copy engine carry the engine's time, which may lie ahead of the row before.
        kind: its row of the event table.
        task: who did it.
        cause: id of the event that led to it, -1 for none.
        pid: the process it belongs to.
        start, last: the pages it is about, inclusive; -1 when there are none.
        text: a name or a reason, or an empty text.
        fields: its fields by name.
    """

    id: int
    time_ns: int
    kind: EventKind
    task: Task
    cause: int
    pid: int
    start: int
    last: int
    text: str
    fields: dict[str, int]
    log: Log

    @property
    def name(self) -> str:
        """The name of its kind."""
        return self.kind.name

    @property
    def npages(self) -> int:
        """How many pages ``start`` to ``last`` are; 0 when there are none."""
        return self.last - self.start + 1 if self.start >= 0 else 0

    def __str__(self) -> str:
        return self.log.tell(self)


class Clock(Protocol):
    """Who knows the virtual time: a SimPy environment, whose property ``now`` would cost a call for every event.

    Attributes:
        _now: the time in ns.
    """

    _now: Any


class _StandsStill:
    _now = 0


class Log:
    """What happened, in order of emission.

    Rows are appended and never changed; counters, timelines and exports are derived from its columns. A row knows its
    task and the event that led to it (``cause``), so that ``why`` can walk back.

    Args:
        clock: whose time it is; default: it stands still at 0.
        tell: writes an event as one line of text; default: the event table's template without names of GPUs.
    """

    def __init__(
        self,
        clock: Clock | None = None,
        tell: Callable[[Event], str] | None = None,
    ) -> None:
        self.clock = clock or _StandsStill()
        self.tell: Callable[[Event], str] = tell or (lambda event: f"{event.name} {event.text}".strip())
        self.tasks: list[Task] = []
        self.strings: list[str] = [""]
        self.string_ids: dict[str, int] = {"": 0}
        # Rows wait one behind the other as plain words: a table would cost more for each of them than all the rest.
        self.waiting: list[bytes] = []
        self._table = np.zeros((0, WIDTH), np.int64)
        self.written = 0
        self.task = self.root = self.new_task("machine", pid=0)
        self._emitters: dict[int | None, Emitter] = {}

    def new_task(self, name: str, *, pid: int, cause: int = -1) -> Task:
        """Register somebody who will emit events."""
        task = Task(len(self.tasks), name, pid, cause)
        self.tasks.append(task)
        return task

    @contextmanager
    def because(self, event: int) -> Iterator[None]:
        """The context of a block: everything the running task emits inside follows from ``event``."""
        task = self.task
        before = task.follow(event)
        try:
            yield
        finally:
            task.follow(before)

    def emit(self, name: str, start: int = -1, last: int = -1, *, pid: int | None = None, **rest: Any) -> int:
        """Append one event; a mechanism that emits many has an ``Emitter``.

        Args:
            name: its kind, a name of the event table.
            start: first of the pages it is about; -1: it is about none.
            last: last of them, inclusive.
            pid: the process it belongs to; default: the running task's.
            rest: as of an ``Emitter``'s methods.

        Returns:
            The id of the event.

        Raises:
            KeyError: the table has no such kind.
            InputError: the kind has no such field.
        """
        _check_fields(name, rest.keys() - _OF_EVERY_KIND)
        return self.emitter(pid)(name, start, last, **rest)

    def emitter(self, pid: int | None = None) -> Emitter:
        """What appends events of a process; None: of the running task's."""
        found = self._emitters.get(pid)
        if found is None:
            found = self._emitters[pid] = Emitter(self, pid)
        return found

    def extend(self, name: str, times_ns: Column, start: Column, last: Column, **fields: Column | int) -> None:
        """Append many events of one kind at once, one for each element of ``times_ns``.

        Args:
            name: their kind.
            times_ns: their times, shape ``(n,)``.
            start: first page of each, shape ``(n,)``.
            last: last page of each, inclusive, shape ``(n,)``.
            fields: the kind's fields, arrays of that shape or a value that all share.

        Raises:
            KeyError: the table has no such kind.
            InputError: the kind has no such field.
        """
        _check_fields(name, fields.keys())
        task = self.task
        rows = self._new_rows(len(times_ns))
        head = (times_ns, NUMBER[name], task.id, task.cause, task.pid, start, last, 0)
        for column, values in enumerate(head):
            rows[:, column] = np.asarray(values)
        for slot, title in enumerate(EVENTS[name].fields):
            rows[:, len(HEAD) + slot] = fields.get(title, 0)

    def append(self, rows: Column) -> None:
        """Append events that were read somewhere, shape ``(n, WIDTH)``: the columns of ``HEAD``, then the fields."""
        self._new_rows(len(rows))[:] = rows

    def rows(self) -> Column:
        """All events, shape ``(events, WIDTH)``, as in ``append``; to be read only."""
        return self._rows()

    def column(self, name: str) -> Column:
        """One column as an array of shape ``(events,)``: time, kind, task, cause, pid, start, last or text."""
        return self._rows()[:, HEAD.index(name)]

    def select(self, name: str, *, since: int = 0, pid: int | None = None) -> npt.NDArray[np.intp]:
        """Ids of the events of one kind, from event ``since`` on, of one process or of all."""
        rows = self._rows()[since:]
        hit = rows[:, 1] == _number(name)
        if pid is not None:
            hit &= rows[:, 4] == pid
        return np.flatnonzero(hit) + since

    def field(self, name: str, title: str, ids: npt.NDArray[np.intp] | None = None) -> Column:
        """One field of the events of one kind (of all of them, or of ``ids``), as an array."""
        slot = len(HEAD) + EVENTS[name].fields.index(title)
        values: Column = self._rows()[self.select(name) if ids is None else ids, slot]
        return values

    def kinds_since(self, event: int) -> set[str]:
        """Names of the kinds of event from number ``event`` on."""
        rows = _table(self.waiting[event - self.written :]) if event >= self.written else self._rows()[event:]
        kinds = rows[:, 1]
        numbers = set(kinds.tolist()) if len(kinds) < _MANY else np.flatnonzero(np.bincount(kinds)).tolist()
        return {KINDS[number].name for number in numbers}

    def count(self, name: str, *, since: int = 0, pid: int | None = None) -> int:
        """How many events of one kind there are."""
        return len(self.select(name, since=since, pid=pid))

    def events(self, *names: str, since: int = 0, pid: int | None = None) -> list[Event]:
        """Events as values, in order of emission; only of these kinds if any are named."""
        rows = self._rows()[since:]
        hit = np.ones(len(rows), bool)
        if names:
            hit = np.isin(rows[:, 1], [_number(name) for name in names])
        if pid is not None:
            hit &= rows[:, 4] == pid
        return [self[int(i)] for i in np.flatnonzero(hit) + since]

    def __len__(self) -> int:
        return self.written + len(self.waiting)

    def __iter__(self) -> Iterator[Event]:
        return (self[i] for i in range(len(self)))

    @overload
    def __getitem__(self, index: int) -> Event: ...
    @overload
    def __getitem__(self, index: slice) -> list[Event]: ...
    def __getitem__(self, index: int | slice) -> Event | list[Event]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        if not -len(self) <= index < len(self):
            raise IndexError(f"the log has {len(self)} events, there is no number {index}")
        index %= len(self)
        row: Sequence[int] = self._rows()[index].tolist()
        kind = KINDS[row[1]]
        fields = dict(zip(kind.fields, row[len(HEAD) :], strict=False))
        return Event(
            index, row[0], kind, self.tasks[row[2]], row[3], row[4], row[5], row[6], self.strings[row[7]], fields, self
        )

    def intern(self, text: str) -> int:
        """The number of a text in ``strings``, where it is put if it is new."""
        number = self.string_ids.get(text)
        if number is None:
            number = self.string_ids[text] = len(self.strings)
            self.strings.append(text)
        return number

    def _new_rows(self, count: int) -> Column:
        """Rows for events that are to be written now, behind all that was emitted before."""
        self._flush(room=count)
        rows = self._table[self.written : self.written + count]
        rows[:] = 0
        self.written += count
        return rows

    def _flush(self, room: int = 0) -> None:
        """Move what was emitted into the table, which doubles when it is full: rows are copied once on average."""
        size = len(self)
        if size + room > len(self._table):
            larger = np.empty((max(size + room, 2 * len(self._table), _FLUSH_ROWS), WIDTH), np.int64)
            larger[: self.written] = self._table[: self.written]
            self._table = larger
        if size > self.written:
            self._table[self.written : size] = _table(self.waiting)
            self.written = size
            self.waiting.clear()

    def _rows(self) -> Column:
        """All events, shape ``(events, columns)``, to be read only; what was handed out before stays as it is."""
        self._flush()
        rows = self._table[: self.written]
        rows.flags.writeable = False
        return rows

    def __reduce__(self) -> Any:
        raise TypeError("a log is not pickled; export it instead (svmlab run --trace)")


def _table(rows: list[bytes]) -> Column:
    return np.frombuffer(b"".join(rows), np.int64).reshape(-1, WIDTH)


def _check_fields(name: str, fields: Set[str]) -> None:
    if not _FIELDS[name].issuperset(fields):
        unknown = ", ".join(sorted(fields - _FIELDS[name]))
        raise InputError(f"an event {name} has no {unknown}", allowed=", ".join(EVENTS[name].fields) or "no fields")
