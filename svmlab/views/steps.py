"""The numbered steps of a mechanism, the current one lit, beside a picture of what it does."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from svmlab.errors import InputError, errno_name
from svmlab.svm.steps import STEPS
from svmlab.units import format_time
from svmlab.views.excerpt import Excerpt
from svmlab.views.scene import Cell, Row, Scene, Table, stack
from svmlab.views.source import place_name, plural, source_of

__all__ = ["steps"]


def steps(thing: Any, *, at: int | None = None, beside: Scene | None = None) -> Scene:
    """Picture what a mechanism does as its numbered list, with the current step lit.

    Args:
        thing: a Process, a Log or a ``Source``: the six steps of its migration, with how long each took; or the name of
            a mechanism (or its function): the steps that its code is written by.
        at: of a log, the event after which is looked, default the last; the latest migration that had begun counts.
            Of a mechanism, the number of the step that is lit, default none.
        beside: a picture of that moment, which stands to the right of the list.

    Raises:
        InputError: no migration has begun by then; there is no such event, mechanism or step.

    >>> from svmlab import show
    >>> show(steps("restore_work", at=5))
    The steps of restore_work: step 5 of 6 is lit, resume the queues.
    """
    if isinstance(thing, str) or (callable(thing) and not hasattr(thing, "log")):
        title, table = _of_mechanism(thing, at)
    else:
        title, table = _of_log(thing, at)
    panels = () if beside is None else stack("", "", beside).panels
    return Scene("steps", title, (table, *panels), aside=1 if panels else 0)


def _of_mechanism(which: str | Callable[..., Any], at: int | None) -> tuple[str, Table]:
    # The catalogue imports every mechanism, and with them SimPy; a log needs neither.
    from svmlab.svm.mechanisms import mechanism

    found = mechanism(which)
    if at is not None and not 1 <= at <= len(found.steps):
        raise InputError(f"step {at} of {found.name}", allowed=f"1 to {len(found.steps)}")
    rows = (
        Row((Cell(str(number)), Cell(text)), "lit" if number == at else "")
        for number, text in enumerate(found.steps, 1)
    )
    return f"The steps of {found.name}", Table(("", "step"), tuple(rows), kind="steps")


def _of_log(thing: Any, at: int | None) -> tuple[str, Table]:
    source = source_of(thing)
    if at is not None and not 0 <= at < len(source.log):
        raise InputError(f"event {at}", allowed=f"an event id, 0 to {len(source.log) - 1}")
    x = Excerpt(source, until=None if at is None else at + 1)
    moves = x.moves()
    if not len(moves):
        raise InputError("no migration has begun by then", hint="a later event, or the name of a mechanism")
    last = int(np.argmax(moves.opens))
    begun, ended = int(moves.opens[last]), int(moves.closes[last])
    known = _times(x, begun, ended)
    rows = (_step(number, text, known.get(number)) for number, text in enumerate(STEPS, 1))
    table = Table(("", "step", "takes"), tuple(rows), kind="steps")
    return _title(x, begun, ended), table


@dataclass(slots=True)
class _Time:
    """How long a step took so far, and whether it goes on."""

    length_ns: int = 0
    now: bool = False

    def __str__(self) -> str:
        if self.now:
            return f"{format_time(self.length_ns)} so far" if self.length_ns else "begins"
        return format_time(self.length_ns)


def _times(x: Excerpt, begun: int, ended: int) -> dict[int, _Time]:
    """The steps of one migration that have begun; a step of several parts is added up.

    The first five are those of its task and its pages up to its end, the sixth is the restore worker's first one after
    it; where that has nothing to do (with xnack on), it is the mapping by the migration's own task.
    """
    spans = x.steps()
    tasks, pages, until = x.log.column("task"), x.log.column("start"), ended if ended >= 0 else x.until
    times: defaultdict[int, _Time] = defaultdict(_Time)
    for opens, closes, start, end in zip(spans.opens, spans.closes, spans.start, spans.end, strict=True):
        number = x.value(int(opens), "number")
        mine = tasks[opens] == tasks[begun] and pages[opens] == pages[begun]
        own = number < len(STEPS) and begun < opens < until and mine
        after = number == len(STEPS) and 0 <= ended < opens and number not in times
        if own or (after and _touch(x, int(opens), begun)):
            times[number].now = bool(closes < 0)
            times[number].length_ns += int((_now(x) if closes < 0 else end) - start)
    if ended >= 0 and len(STEPS) not in times:
        times |= {len(STEPS): _Time(length) for length in _mapped(x, begun, ended)[:1]}
    return times


def _mapped(x: Excerpt, begun: int, ended: int) -> list[int]:
    """How long each mapping took that the task of a migration made after it of a page that moved."""
    maps = x.ids("map_to_gpu")
    own = maps[(maps > ended) & (x.log.column("task")[maps] == x.log.column("task")[begun])].tolist()
    return [x.value(event, "duration_ns") for event in own if _touch(x, event, begun)]


def _now(x: Excerpt) -> int:
    """The time of the last event; rows of copy engines do not count, for their times lie ahead."""
    times = x.log.column("time")[: x.until].copy()
    times[x.ids("copy", "copy_window")] = 0
    return int(times.max())


def _touch(x: Excerpt, one: int, other: int) -> bool:
    """Whether two events are about a page in common."""
    first, second = x.log[one], x.log[other]
    return first.start <= second.last and second.start <= first.last


def _step(number: int, text: str, time: _Time | None) -> Row:
    takes = "" if time is None else str(time)
    style = "" if time is None else "lit" if time.now else "pale"
    return Row((Cell(str(number)), Cell(text), Cell(takes)), style)


def _title(x: Excerpt, begun: int, ended: int) -> str:
    source, target = (place_name(x.source.names(x.value(begun, end))) for end in ("source", "target"))
    failed = x.value(ended, "error") if ended >= 0 else 0
    what = f"Migration of {plural(x.npages(begun), one='page')} from {source} to {target}"
    return what + (f", failed with {errno_name(failed)}" if failed else "")
