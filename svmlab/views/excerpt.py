"""A part of a log as columns: who began, who ended, in which order; never a loop per event."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from svmlab.svm.steps import STEPS
from svmlab.views.source import Source

__all__ = ["Excerpt", "Spans"]

Column = npt.NDArray[np.int64]
Ids = npt.NDArray[np.intp]

_NONE = np.zeros(0, np.intp)
_STEP_ENDS = ("migrate_end", "call_end", "restore_end", "page_fault_end")
"""What ends the last step of a task, that of the restore worker or of whoever maps."""


@dataclass(frozen=True, slots=True)
class Spans:
    """Pieces of time, in order of their start.

    Attributes:
        opens: the event that began each.
        closes: the event that ended it, -1 where none did.
        start, end: times in ns.
        amounts: columns that are added up when pieces are merged, by name.
    """

    opens: Ids
    closes: Ids
    start: Column
    end: Column
    amounts: Mapping[str, Column] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.opens)

    def where(self, chosen: npt.NDArray[Any]) -> Spans:
        """Those of a mask, or of a list of positions."""
        amounts = {name: column[chosen] for name, column in self.amounts.items()}
        return Spans(self.opens[chosen], self.closes[chosen], self.start[chosen], self.end[chosen], amounts)

    def amounting(self, **amounts: Column) -> Spans:
        """The same pieces with columns of what they amount to."""
        return replace(self, amounts=amounts)

    def together(self) -> Iterator[slice]:
        """Pieces that begin and end at the same moments, together."""
        edges = np.flatnonzero(_changes(np.vstack([self.start, self.end]))).tolist() if len(self) else []
        return (slice(first, stop) for first, stop in zip(edges, [*edges[1:], len(self)], strict=False))

    def groups(self, limit: int) -> Iterator[slice]:
        """Each piece on its own, or, if they are more than ``limit``, neighbours together.

        Pieces are merged when less than ``1 / limit`` of the whole time lies between them: on paper they would touch.
        """
        if len(self) <= limit:
            return (slice(i, i + 1) for i in range(len(self)))
        reach = np.maximum.accumulate(self.end)
        near = (int(reach[-1]) - int(self.start[0])) / limit
        cuts = np.flatnonzero(self.start[1:] - reach[:-1] > near) + 1
        edges = [0, *cuts.tolist(), len(self)]
        return (slice(first, stop) for first, stop in pairwise(edges))


class Excerpt:
    """The rows of a log between two events.

    Args:
        source: whose log.
        since: first event that counts; what began earlier and is not over counts too.
        until: first event that does not exist yet; None: all exist.
        zoom: the only times that matter, ``(start, end)`` in ns; None: all.

    Attributes:
        window: the times it covers, ``(start, end)`` in ns.
    """

    def __init__(
        self, source: Source, since: int = 0, until: int | None = None, zoom: tuple[int, int] | None = None
    ) -> None:
        self.source, self.log = source, source.log
        self.since = since
        self.until = len(self.log) if until is None else min(until, len(self.log))
        self.begin_ns = int(self.log.column("time")[since]) if 0 < since < self.until else 0
        self.end_ns = self._end()
        self.window = zoom or (self.begin_ns, self.end_ns)

    def ids(self, *names: str) -> Ids:
        """Events of these kinds, since ``since``."""
        found = self._all(*names)
        return found[found >= self.since]

    def times(self, ids: Ids) -> Column:
        """Their times in ns."""
        return self.log.column("time")[ids]

    def tasks(self, ids: Ids) -> set[int]:
        """The tasks that emitted them."""
        return set(self.log.column("task")[ids].tolist())

    def text(self, event: int) -> str:
        """The text of one event."""
        return self.log[event].text

    def npages(self, event: int) -> int:
        """How many pages one event is about."""
        return self.log[event].npages

    def value(self, event: int, field: str) -> int:
        """One field of one event; 0 if its kind has no such field."""
        return self.log[event].fields.get(field, 0)

    def values(self, ids: Ids, field: str) -> Column:
        """One field of events of one kind."""
        return self.log.field(self.log[int(ids[0])].name, field, ids) if len(ids) else np.zeros(0, np.int64)

    def gpus(self, ids: Ids) -> list[int]:
        """The GPUs of events of one kind, ascending, each once."""
        return [int(gpu) for gpu in np.unique(self.values(ids, "gpu"))]

    def of_gpu(self, spans: Spans, gpu: int) -> Spans:
        """The pieces that events of one GPU began."""
        return spans.where(self.values(spans.opens, "gpu") == gpu)

    def of_tasks(self, spans: Spans, tasks: set[int]) -> Spans:
        """The pieces that events of some tasks began."""
        return spans.where(np.isin(self.log.column("task")[spans.opens], list(tasks)))

    def pairs(self, opening: str, *closing: str, key: str, nested: bool = False) -> Spans:
        """Pair the events that begin something with those that end it.

        Args:
            opening: kind of the first; what is begun twice before it ends, begins once.
            closing: kinds of the second.
            key: what the two share: ``"task"``, ``"pid"``, or a field all kinds have.
            nested: what is begun twice ends with the second end, not with the first.
        """
        opens, closes = self._all(opening), [self._all(name) for name in closing]
        ids = np.concatenate([opens, *closes])
        keys = np.concatenate([self._keys(some, key) for some in (opens, *closes)])
        pids = self.log.column("pid")[ids]
        begins = np.arange(len(ids)) < len(opens)
        order = np.lexsort((ids, keys, pids))
        ids, begins, who = ids[order], begins[order], np.stack([pids, keys])[:, order]
        fresh = _outermost(who, begins) if nested else _changes(np.vstack([who, begins]))
        ids, begins, who = ids[fresh], begins[fresh], who[:, fresh]
        return self._spans(ids[begins], _followers(ids, who)[begins])

    def moves(self) -> Spans:
        """The migrations; one that makes room for another is of other pages, and lies inside of it.

        A log of a driver may lack the end of one; it lasts until the next one of its pages begins then.
        """
        ends = self._all("migrate_end")
        moves = self._until_next(self._all("migrate_start"), ends, "task", "start")
        return replace(moves, closes=np.where(np.isin(moves.closes, ends), moves.closes, -1))

    def steps(self) -> Spans:
        """The steps: one of a migration lasts until the next one of the same pages, or until that migration ends."""
        steps = self._all("step")
        own = self.values(steps, "number") < len(STEPS)
        moving = self._until_next(steps[own], self._all("migrate_end"), "task", "start")
        ends = np.concatenate([steps[own], self._all(*_STEP_ENDS)])
        return self._together(moving, self._until_next(steps[~own], ends, "task"))

    def inside(self, spans: Spans) -> npt.NDArray[np.bool_]:
        """Which pieces lie inside another one of the same task."""
        tasks = self.log.column("task")[spans.opens]
        closes = np.where(spans.closes < 0, self.until, spans.closes)
        found = np.zeros(len(spans), bool)
        for task in np.unique(tasks):
            mine = np.flatnonzero(tasks == task)
            mine = mine[np.argsort(spans.opens[mine])]
            found[mine[1:]] = spans.opens[mine[1:]] < np.maximum.accumulate(closes[mine])[:-1]
        return found

    def caused_by(self, spans: Spans, events: Ids) -> npt.NDArray[np.bool_]:
        """Which pieces some events led to directly."""
        return np.isin(self.log.column("cause")[spans.opens], events)

    def _until_next(self, opens: Ids, closes: Ids, *keys: str) -> Spans:
        """Let each of ``opens`` last until the next event of either list that has the same ``keys``."""
        ids = np.concatenate([opens, closes])
        begins = np.arange(len(ids)) < len(opens)
        who = np.stack([self.log.column(key)[ids] for key in keys])
        order = np.lexsort((ids, *who))
        ids, begins, who = ids[order], begins[order], who[:, order]
        return self._spans(ids[begins], _followers(ids, who)[begins])

    def _together(self, one: Spans, other: Spans) -> Spans:
        opens, closes = (np.concatenate([getattr(each, name) for each in (one, other)]) for name in ("opens", "closes"))
        return self._spans(opens, closes)

    def lasting(self, name: str) -> Spans:
        """Events that carry their own ``duration_ns``."""
        ids = self.ids(name)
        start = self.times(ids)
        return self._seen(Spans(ids, ids, start, start + self.values(ids, "duration_ns")))

    def instants(self, name: str) -> Spans:
        """Events that take no time."""
        ids = self.ids(name)
        return self._seen(Spans(ids, ids, self.times(ids), self.times(ids)))

    def _all(self, *names: str) -> Ids:
        found = [self.log.select(name, pid=self.source.pid) for name in dict.fromkeys(names)]
        ids = np.sort(np.concatenate(found)) if found else _NONE
        return ids[ids < self.until]

    def _keys(self, ids: Ids, key: str) -> Column:
        return self.log.column(key)[ids] if key in ("task", "pid") else self.values(ids, key)

    def _spans(self, opens: Ids, closes: Ids) -> Spans:
        recent = (closes < 0) | (closes >= self.since)
        opens, closes = opens[recent], closes[recent]
        start = self.times(opens)
        end = np.where(closes < 0, self.end_ns, self.times(closes))
        return self._seen(Spans(opens, closes, start, np.maximum(start, end)))

    def _seen(self, spans: Spans) -> Spans:
        spans = spans.where((spans.end >= self.window[0]) & (spans.start <= self.window[1]))
        return spans.where(np.lexsort((spans.end, spans.start)))

    def _end(self) -> int:
        if self.since >= self.until:
            return self.begin_ns
        last = int(self.log.column("time")[self.since : self.until].max())
        copies = self.ids("copy")
        ends = self.times(copies) + self.values(copies, "duration_ns")
        return max(last, int(ends.max())) if len(ends) else last


def _outermost(who: Ids, begins: npt.NDArray[np.bool_]) -> Ids:
    """Which events begin what nobody else had begun, or end the last of it; an end without a beginning is neither."""
    kept = []
    for group in np.split(np.arange(len(begins)), np.flatnonzero((who[:, 1:] != who[:, :-1]).any(axis=0)) + 1):
        count = np.cumsum(np.where(begins[group], 1, -1))
        # An excerpt may begin while something is going on: its end counts below nothing, which is nothing.
        depth = count - np.minimum.accumulate(np.minimum(count, 0))
        before = np.concatenate(([0], depth))[:-1]
        kept.append(group[np.where(begins[group], depth == 1, (depth == 0) & (before == 1))])
    return np.concatenate(kept)


def _changes(rows: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
    """Where a column differs from the one before; the first always does."""
    fresh = np.ones(rows.shape[1], bool)
    fresh[1:] = (rows[:, 1:] != rows[:, :-1]).any(axis=0)
    return fresh


def _followers(ids: Ids, who: npt.NDArray[np.int64]) -> Ids:
    """The next event of the same ``who`` in a list that is sorted by it; -1 where there is none."""
    followers = np.full(len(ids), -1, np.intp)
    same = ~_changes(who)[1:]
    followers[:-1][same] = ids[1:][same]
    return followers
