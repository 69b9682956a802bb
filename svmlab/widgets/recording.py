"""A run kept moment by moment, so that a widget can go back and forth in it without running it again.

The simulation is deterministic: a moment that is looked up is what a new run up to it would show.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from svmlab.hardware.memory import Memory
from svmlab.log import Event
from svmlab.mm import entries as pte
from svmlab.mm.migrate_vma import MigrateVma
from svmlab.mm.span import Span
from svmlab.svm.handle import Handle
from svmlab.svm.process import Process
from svmlab.views.migrate_entries import EntryRun, entry_runs

__all__ = ["Chapter", "Moment", "Recording", "record"]

Places = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Chapter:
    """A part of a run.

    Attributes:
        name: what is true at its end, ``"the call is back"``.
        begin: starts a call; None: the machine goes on until it is idle.
    """

    name: str
    begin: Callable[[], Handle] | None = None


@dataclass(frozen=True, slots=True)
class Moment:
    """What there is after one or more events that happen together.

    Attributes:
        since: its first event.
        until: the first event that is yet to come.
        time_ns: when it is.
        tables: where each page is, for each page table, by its owner: ``"cpu"``, ``"gpu0"``, ...
        entries: how many entries of the CPU's table there are of each kind; ``"migration"`` is a page under way, so
            that who touches it has to wait.
        stopped: for each GPU whether its queues stand still.
        src_dst: the src and dst entries of the migrations under way, and of those that this moment finalized; pages
            are counted from the first that is looked at.
    """

    since: int
    until: int
    time_ns: int
    tables: Mapping[str, Places]
    entries: Mapping[str, int]
    stopped: tuple[bool, ...]
    src_dst: tuple[EntryRun, ...] = ()

    @property
    def migrating(self) -> bool:
        """Whether a page is under way."""
        return "migration" in self.entries


@dataclass(frozen=True, slots=True)
class Recording:
    """A run and its moments.

    Attributes:
        process: the process, at the end of the run.
        span: the pages that are looked at.
        moments: in order; the first is before anything happened.
        ends: the number of the moment at the end of each chapter, by its name.
    """

    process: Process
    span: Span
    moments: tuple[Moment, ...]
    ends: Mapping[str, int]

    def events(self, number: int) -> list[Event]:
        """What happens at a moment."""
        moment = self.moments[number]
        return self.process.log[moment.since : moment.until]

    def latest(self, kind: str, number: int) -> Event | None:
        """The latest event of a kind up to a moment, if there is one."""
        found = self.process.log.events(kind, since=self.moments[0].until)
        return next((event for event in reversed(found) if event.id < self.moments[number].until), None)

    def first(self, kind: str) -> int:
        """The first moment with an event of a kind; 0 if there is none."""
        numbers = range(len(self.moments))
        return next((number for number in numbers if any(event.name == kind for event in self.events(number))), 0)


def record(process: Process, span: Span, *, chapters: Iterable[Chapter]) -> Recording:
    """Run chapter by chapter and look at the page tables whenever something happened.

    Args:
        process: the process, which goes on from where it is.
        span: the pages to look at.
        chapters: what to do.
    """
    look = _Looker(process, span)
    moments, ends = [look.moment(len(process.log))], {}
    env = process.driver.world.env
    for chapter in chapters:
        handle = chapter.begin() if chapter.begin else None
        while not handle.done if handle else env.peek() != math.inf:
            env.step()
            if len(process.log) > moments[-1].until:
                moments.append(look.moment(moments[-1].until))
        ends[chapter.name] = len(moments) - 1
    return Recording(process, span, tuple(moments), ends)


class _Looker:
    """Looks at a process again and again.

    Args:
        process: the process.
        span: the pages to look at.
    """

    def __init__(self, process: Process, span: Span) -> None:
        self._process, self._span = process, span
        self._migrations: tuple[MigrateVma, ...] = ()

    def moment(self, since: int) -> Moment:
        """What there is now, after the events from ``since`` on."""
        process, span, look = self._process, self._span, self._process.look
        mm, gpus = process.driver.mm, range(len(process.machine.gpus))
        return Moment(
            since=since,
            until=len(process.log),
            time_ns=process.now,
            tables={"cpu": look.locations(span), **{f"gpu{gpu}": look.gpu_frames(gpu, span) for gpu in gpus}},
            entries=_counted(mm.table.get(span.start, span.last), mm.memory),
            stopped=tuple(look.queues(gpu) != "running" for gpu in gpus),
            src_dst=tuple(run for args in self._watched() for run in entry_runs(args, span.start)),
        )

    def _watched(self) -> list[MigrateVma]:
        """The migrations under way now or a moment ago: what has just been finalized can still be read."""
        now = tuple(self._process.driver.mm.migrations)
        ended = [args for args in self._migrations if args not in now]
        self._migrations = now
        return [*ended, *now]


def _counted(entries: pte.Entries, memory: Memory) -> dict[str, int]:
    moving = pte.migrating(entries, memory)
    kinds = np.bincount(pte.kinds(entries, memory)[~moving], minlength=len(pte.EntryKind)).tolist()
    counts = {"migration": int(moving.sum())} | {kind.name.lower(): kinds[kind] for kind in pte.EntryKind}
    return {kind: count for kind, count in counts.items() if count}
