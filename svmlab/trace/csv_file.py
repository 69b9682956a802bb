"""Every event of a trace as a row of a CSV file, for spreadsheets and data frames."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from svmlab.log import Event

if TYPE_CHECKING:
    from svmlab.trace.trace import Trace

__all__ = ["write_csv"]

_HEAD = ("id", "time_ns", "event", "task", "cause", "pid", "start_page", "last_page", "text")
_PLACES = ("source", "target", "prefetch", "preferred", "location")


def write_csv(trace: Trace, path: Path) -> None:
    """Write all events, one a row.

    The first columns every event has; behind them there is one for each field of any kind of event that happened, empty
    where an event has no such field. Locations have their names, GPUs their index; pages are page numbers.

    Args:
        trace: what happened.
        path: the file, replaced if it exists.
    """
    titles = list(dict.fromkeys(title for kind in _kinds(trace) for title in kind.fields))
    with path.open("w", encoding="utf-8", newline="") as out:
        rows = csv.writer(out)
        rows.writerow((*_HEAD, *titles))
        rows.writerows(_row(trace, event, titles) for event in trace.log)


def _kinds(trace: Trace) -> Iterator[Any]:
    seen = {event.kind.name: event.kind for event in trace.log}
    return iter(seen.values())


def _row(trace: Trace, event: Event, titles: list[str]) -> tuple[Any, ...]:
    pages = (event.start, event.last) if event.start >= 0 else ("", "")
    cause = event.cause if event.cause >= 0 else ""
    head = (event.id, event.time_ns, event.name, event.task.name, cause, event.pid, *pages, event.text)
    return (*head, *(_cell(trace, event, title) for title in titles))


def _cell(trace: Trace, event: Event, title: str) -> Any:
    value = event.fields.get(title, "")
    return trace.location_name(int(value)) if title in _PLACES and value != "" else value
