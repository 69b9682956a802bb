"""The tracks of what software does: the application, the driver, the MMU notifier, the restore worker."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import numpy as np

from svmlab.uapi import MigrateTrigger, NotifierEvent
from svmlab.units import format_time
from svmlab.views.excerpt import Excerpt, Ids, Spans
from svmlab.views.scene import Bar, Data, data
from svmlab.views.source import place_name, plural
from svmlab.views.track import OF_TASK, Piece, Track, Words, failure, make_bars, make_marks

__all__ = ["application", "driver", "notifier", "restore"]


def application(x: Excerpt) -> Iterator[Track]:
    """Calls, what the CPU touches, and the locks that its tasks wait for."""

    def tell(piece: Piece) -> Words:
        name, npages = x.text(piece.opens), x.npages(piece.opens)
        words = name + failure(x, piece.closes)
        pages = f", {plural(npages, one='page')}" if npages else ""
        return Words(words + pages, words, data(call=name, npages=npages) + _who(x, piece))

    bars = make_bars(x, x.pairs("call_start", "call_end", key="task"), style="call", tell=tell)
    marks = make_marks(x, "cpu_access", style="access", tell=lambda ids: _access(x, ids))
    marks += make_marks(x, "cpu_fault", style="cpu fault", tell=_faults)
    yield Track("application", (*bars, *_lock_waits(x, _application_tasks(x), 1), *marks))


def driver(x: Excerpt) -> Iterator[Track]:
    """Migrations, the steps they consist of, and the locks that workers wait for.

    An eviction that makes room for a migration is a part of one of its steps, and has steps of its own.
    """
    moves, tasks = x.moves(), _application_tasks(x) | _worker_tasks(x)
    within = x.inside(moves)
    bars = _moves(x, moves.where(~within)) + _moves(x, moves.where(within), depth=2)
    steps = x.of_tasks(x.steps(), tasks)
    deep = x.caused_by(steps, moves.opens[within])
    bars += _steps(x, steps.where(~deep)) + _steps(x, steps.where(deep), depth=3)
    marks = make_marks(x, "driver_fallback", style="trouble", tell=lambda ids: x.text(int(ids[0])) or "fallback")
    yield Track("driver", (*bars, *_lock_waits(x, _worker_tasks(x), 2), *marks))


def notifier(x: Excerpt) -> Iterator[Track]:
    """Changes of the CPU page table that the driver hears of."""

    def tell(ids: Ids) -> str:
        events = np.unique(x.values(ids, "event")).tolist()
        return ", ".join(NotifierEvent(event).name for event in events)

    yield Track("MMU notifier", tuple(make_marks(x, "notifier", style="notice", tell=tell)))


def restore(x: Excerpt) -> Iterator[Track]:
    """The restore worker: how long it lets pass first, its work, and when it must start over."""

    def tell(piece: Piece) -> Words:
        return Words("restore" + failure(x, piece.closes), "", data(restore=1))

    delays = x.pairs("restore_scheduled", "restore_start", key="pid")
    bars = make_bars(x, delays, style="wait", tell=_delay)
    bars += make_bars(x, x.pairs("restore_start", "restore_end", key="pid"), style="restore", tell=tell)
    bars += _steps(x, x.of_tasks(x.steps(), _restore_tasks(x))) + _lock_waits(x, _restore_tasks(x), 2)
    again = make_marks(x, "queue_restore_rescheduled", style="trouble", tell="restore starts over")
    stuck = make_marks(x, "restore_stuck", style="trouble", tell=lambda ids: f"stuck: {x.text(int(ids[0]))}")
    yield Track("restore worker", (*bars, *again, *stuck))


def _delay(piece: Piece) -> Words:
    so_far = "" if piece.closes >= 0 else " so far"
    return Words(f"restore delay {format_time(piece.length)}{so_far}", "delay")


def _access(x: Excerpt, ids: Ids) -> str:
    verb = "writes" if x.values(ids, "write").any() else "reads"
    return f"CPU {verb} {plural(int(x.values(ids, 'npages').sum()), one='page')}"


def _faults(ids: Ids) -> str:
    return "CPU fault" if len(ids) == 1 else f"{len(ids)} CPU faults"


def _moves(x: Excerpt, moves: Spans, depth: int = 0) -> list[Bar]:
    ways = _ways(x, moves)
    return [bar for way in ways for bar in make_bars(x, way, style="move", tell=partial(_migration, x), depth=depth)]


def _ways(x: Excerpt, moves: Spans) -> Iterator[Spans]:
    """Migrations, those of each way (source, target, trigger) on their own, so that merging keeps ways apart."""
    ended = moves.closes >= 0
    npages = np.zeros_like(moves.start)
    npages[ended] = x.values(moves.closes[ended], "npages")
    ends = np.stack([x.values(moves.opens, name) for name in ("source", "target", "trigger")])
    for way in np.unique(ends, axis=1).T:
        yield moves.amounting(npages=npages).where((way == ends.T).all(axis=1))


def _migration(x: Excerpt, piece: Piece) -> Words:
    source, target = (x.source.names(x.value(piece.opens, end)) for end in ("source", "target"))
    trigger = MigrateTrigger(x.value(piece.opens, "trigger")).name.lower()
    way = f"{place_name(source)} -> {place_name(target)}"
    label = f"{plural(piece.amounts['npages'], one='page')} {way}" if piece.closes >= 0 else f"still moving {way}"
    known = data(source=source, target=target, trigger=trigger) + _who(x, piece)
    return Words(label + failure(x, piece.closes), way, known)


def _steps(x: Excerpt, steps: Spans, depth: int = 1) -> list[Bar]:
    def tell(piece: Piece) -> Words:
        number = x.value(piece.opens, "number")
        return Words(f"{number} {x.text(piece.opens)}", str(number), data(step=number) + _who(x, piece))

    return make_bars(x, steps, style="step", tell=tell, depth=depth)


def _lock_waits(x: Excerpt, tasks: set[int], depth: int) -> list[Bar]:
    def tell(piece: Piece) -> Words:
        lock = x.text(piece.opens)
        return Words(f"waits {format_time(piece.length)} for {lock}", "lock", data(lock=lock) + _who(x, piece))

    waits = x.of_tasks(x.pairs("lock_wait", "lock_acquired", key="task"), tasks)
    return make_bars(x, waits, style="lock", tell=tell, depth=depth)


def _who(x: Excerpt, piece: Piece) -> Data:
    return data(**{OF_TASK: int(x.log.column("task")[piece.opens]) + 1})


# Who a task is, the log tells better than its name: tests and replayed traces name tasks as they like.


def _application_tasks(x: Excerpt) -> set[int]:
    return x.tasks(x.ids("call_start", "cpu_access", "cpu_fault"))


def _restore_tasks(x: Excerpt) -> set[int]:
    return x.tasks(x.ids("restore_start", "restore_end")) - _application_tasks(x)


def _worker_tasks(x: Excerpt) -> set[int]:
    return x.tasks(x.ids("lock_wait", "step")) - _application_tasks(x) - _restore_tasks(x)
