"""Two logs side by side: the first event in which they differ."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from svmlab.errors import InputError
from svmlab.log import Event, Log
from svmlab.log.events import EVENTS, FIELD_SLOTS, KINDS
from svmlab.trace.trace import trace_of
from svmlab.trace.why import why
from svmlab.units import format_time

__all__ = ["Comparison", "compare"]

Rows = npt.NDArray[np.int64]
_PLAIN = ("kind", "pid", "start", "last")
_PLACES = ("source", "target", "location", "prefetch", "preferred")
_DECISION = KINDS.index(EVENTS["decision"])


@dataclass(frozen=True, slots=True)
class Comparison:
    """What comparing two logs found; prints as a short report.

    Attributes:
        same: how many events they share before they differ, or in all.
        first, second: the event in which each of them differs; None where it has ended, or where nothing differs.
    """

    same: int
    first: Event | None = None
    second: Event | None = None

    @property
    def equal(self) -> bool:
        """Whether no event differs."""
        return self.first is None and self.second is None

    def __str__(self) -> str:
        if self.equal:
            return f"the same {self.same} events"
        return "\n".join(
            [f"the same {self.same} events, then:", *_told("first", self.first), *_told("second", self.second)]
        )

    __repr__ = __str__


def compare(first: Any, second: Any, *, times: bool = False) -> Comparison:
    """Find the first event in which two runs differ.

    Two events are the same if their kind, task, process, pages, text and fields are. Their numbers never count, nor
    does the reason of a decision whose outcome is the same.

    Args:
        first, second: processes, traces or logs; GPUs are compared by name, those of logs by id.
        times: whether times and durations count too.

    Returns:
        How many events are the same, and the first two that are not.

    Raises:
        InputError: one of them has no log.

    >>> import svmlab as sl
    >>> runs = [sl.Process("toy", xnack=xnack) for xnack in (False, True)]
    >>> for p in runs:
    ...     a = p.mmap("8 KiB", name="a")
    ...     a[:4096] = 7
    ...     p.set_attr(a, access=["gpu0"], prefetch="gpu0")
    >>> found = compare(*runs)
    >>> found.equal, found.first.name == found.second.name
    (False, False)
    """
    logs = [_log_of(thing) for thing in (first, second)]
    names: dict[str, int] = {}
    a, b = (_rows(log, _places(thing), names, times) for log, thing in zip(logs, (first, second), strict=True))
    shared = min(len(a), len(b))
    unlike = np.flatnonzero((a[:shared] != b[:shared]).any(axis=1))
    same = int(unlike[0]) if len(unlike) else shared
    return Comparison(same, *(log[same] if same < len(log) else None for log in logs))


def _log_of(thing: Any) -> Log:
    log = thing if isinstance(thing, Log) else getattr(thing, "log", None)
    if not isinstance(log, Log):
        raise InputError(f"{thing!r} cannot be compared: it has no log", allowed="a Process, a Trace or a Log")
    return log


def _places(thing: Any) -> Callable[[int], str]:
    """Names locations: two machines give the same GPU different ids."""
    return str if isinstance(thing, Log) else trace_of(thing).location_name


def _rows(log: Log, places: Callable[[int], str], names: dict[str, int], times: bool) -> Rows:
    """What counts of each event, shape ``(events, columns)``, with names as numbers that both logs share."""
    kinds = log.column("kind")
    columns = [log.column(name) for name in _PLAIN]
    columns.append(_numbered(log.column("task"), names, lambda task: log.tasks[task].name))
    texts = np.where(kinds == _DECISION, 0, log.column("text"))
    columns.append(_numbered(texts, names, lambda text: log.strings[text]))
    if times:
        columns.append(log.column("time"))
    slots = np.zeros((len(log), FIELD_SLOTS), np.int64)
    for number in np.unique(kinds).tolist():
        ids = np.flatnonzero(kinds == number)
        for slot, title in _counting(KINDS[number].name, times):
            values = log.field(KINDS[number].name, title, ids)
            slots[ids, slot] = _numbered(values, names, places) if title in _PLACES else values
    return np.column_stack([*columns, slots])


def _counting(name: str, times: bool) -> Iterable[tuple[int, str]]:
    """The fields of a kind of event that count, with their slots."""
    return (pair for pair in enumerate(EVENTS[name].fields) if times or not pair[1].endswith("_ns"))


def _numbered(values: Rows, names: dict[str, int], name: Callable[[int], str]) -> Rows:
    """Numbers of one log as numbers of names."""
    found, where = np.unique(values, return_inverse=True)
    numbers = [names.setdefault(name(value), len(names)) for value in found.tolist()]
    return np.array(numbers, np.int64)[where.reshape(-1)] if len(values) else values


def _told(who: str, event: Event | None) -> Iterable[str]:
    if event is None:
        return [f"  {who:7} is over"]
    causes = [cause.text or cause.name for cause in reversed(why(event)[1:])]
    after = [f"  {'':7} in {' > '.join(causes)}"] if causes else []
    return [f"  {who:7} {format_time(event.time_ns):>10}  {event.task.name}: {event}", *after]
