"""RestoreRace: two invalidations, and what the restore worker makes of the second."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from svmlab.hardware.machine import Machine
from svmlab.log import Event
from svmlab.mm.span import Span
from svmlab.svm.process import Process
from svmlab.svm.queue_state import QueueState
from svmlab.units import PAGE_SIZE, format_time
from svmlab.views import Cell, Row, Scene, Table, svg, timeline
from svmlab.widgets.controls import choice, slider
from svmlab.widgets.lab import Lab
from svmlab.widgets.page import LEFT, RIGHT, beside, bullets, heading, labelled, told

__all__ = ["RestoreRace"]

_SAME, _OTHER = "the same buffer", "another buffer"
_KINDS = ("evict", "restore_start", "restore_range", "restore_end", "restore_scheduled")
_LATEST_US = 2000


@dataclass(frozen=True, slots=True)
class _Run:
    """The process after both invalidations and all that follows.

    Attributes:
        process: the process.
        since: the first event of the first invalidation.
        begin_ns: when that was.
        met: the state of the queues when the second one arrived.
    """

    process: Process
    since: int
    begin_ns: int
    met: str

    def count(self, kind: str) -> int:
        """How many events of a kind there are."""
        return self.process.log.count(kind, since=self.since)

    def after(self, event: Event) -> str:
        """When an event was, from the first invalidation on."""
        return format_time(event.time_ns - self.begin_ns)

    @property
    def per_gpu(self) -> int:
        """How many GPUs there are, each of which has events of its own."""
        return len(self.process.machine.gpus)

    @property
    def restarts(self) -> int:
        """How often the worker gave up and started over."""
        return self.count("queue_restore_rescheduled") // self.per_gpu

    @property
    def stops(self) -> int:
        """How often the queues were stopped."""
        return self.count("queue_eviction") // self.per_gpu

    @property
    def rounds(self) -> int:
        """How often the worker ran."""
        return self.count("restore_start")

    @property
    def over(self) -> str:
        """When the queues ran for good."""
        return self.after(self.process.log.events("queue_restore", since=self.since)[-1])

    @property
    def because(self) -> str:
        """What the log says about the second invalidation."""
        if self.restarts:
            return "a count changed while the worker was at work, so it gives up and starts over 1 ms later"
        if self.stops > 1:
            return "the worker had set the count back to 0, so this one counts as a first: queues stop anew"
        return "the worker had not started, so one round restores both"


class RestoreRace(Lab):
    """Choose when a second page goes away after a first one, and see what the restore worker does.

    Reclaim writes a page of a buffer that gpu0 maps to swap. The driver stops the queues and orders the restore worker.
    Some time later reclaim takes a second page, of the same buffer or of another one.

    Args:
        machine: name of a machine.
        size: of each of the two buffers.

    Attributes:
        second: the slider for the time between the two, in microseconds.
        where: the control for whose page the second one is.
        reset: the button that goes back to the start.
        view: counters, timeline and reason, as HTML.

    >>> race = RestoreRace(size="64 KiB")
    >>> race.second.value = 500
    >>> "one round restores both" in race.view.value
    True
    """

    def __init__(self, machine: str = "toy", size: str = "2 MiB") -> None:
        self._machine, self._size = Machine.find(machine), size
        self.second = slider(0, _LATEST_US, 1110, step=10)
        self.where = choice([_SAME, _OTHER], _SAME)
        super().__init__({"second, us": self.second, "is in": self.where})

    def page(self) -> str:
        """See ``Lab.page``."""
        run = self._run(self.second.value, self.where.value)
        told_ = (f"{run.after(event)}: {_plainly(run, event)}" for event in self._events(run))
        left = (bullets("What happens", told_), labelled("Why:", run.because))
        right = (told(timeline(run.process, since=run.since), RIGHT), svg(self._counters(run), width_px=RIGHT))
        times = f"{run.rounds} round{'s' * (run.rounds > 1)} of the restore worker"
        title = f"the second page goes {self.second.value} us after the first: queues were {run.met}; {times}"
        return heading(f"{title}; queues run again after {run.over}") + beside((LEFT, left), (RIGHT, right))

    def summary(self) -> Scene:
        """A row for each moment that matters and each place of the second page."""
        lines = [self._line(us, where) for where in (_SAME, _OTHER) for us in (0, 500, 1110, 1150, 1400)]
        columns = ("second page in", "after", "queues were", "rounds", "started over", "queues stopped", "run again")
        title = "A page that goes while the worker works makes it start over"
        return Scene("summary", title, (Table(columns, tuple(lines), kind="summary"),))

    def notes(self) -> Iterable[str]:
        """See ``Lab.notes``."""
        return (f"{us} us: {self._run(us, _SAME).because}" for us in (500, 1110, 1150))

    def _line(self, us: int, where: str) -> Row:
        run = self._run(us, where)
        counts = (str(run.rounds), str(run.restarts), str(run.stops))
        style = "lit" if run.restarts else ""
        return Row(tuple(map(Cell, (where, f"{us} us", run.met, *counts, run.over))), style)

    def _events(self, run: _Run) -> list[Event]:
        return run.process.log.events(*_KINDS, since=run.since)

    def _counters(self, run: _Run) -> Scene:
        """The two counters as the invalidations raise them and the worker compares them."""
        lines = [
            Row(tuple(map(Cell, (run.after(event), _who(event), _name(run, event), *_counts(event)))))
            for event in run.process.log.events("evict", "restore_start", "restore_range", since=run.since)
        ]
        table = Table(("at", "who", "buffer", "invalid", "evictions"), tuple(lines), kind="counters of the race")
        return Scene("counters", "Counters", (table,))

    def _run(self, us: int, where: str) -> _Run:
        p = Process(self._machine)
        buffers = [p.mmap(self._size, name=name) for name in "ab"]
        for buffer in buffers:
            buffer[:] = 7
            p.set_attr(buffer, access=["gpu0"])
        p.create_queue("gpu0")
        p.run()
        since, begin_ns = len(p.log), p.now
        p.start.swap_out(_page(buffers[0].address, 0))
        p.run(for_ns=us * 1000)
        second = buffers[0] if where == _SAME else buffers[1]
        # The counts are back at 0 before the last of the queues runs.
        resuming = p.look.state() is QueueState.RUN and p.look.queues() != "running"
        met = "being resumed" if resuming else p.look.state().value
        p.start.swap_out(_page(second.address, 1))
        p.run()
        return _Run(p, since, begin_ns, met)


def _page(address: int, number: int) -> Span:
    return Span(address + number * PAGE_SIZE, PAGE_SIZE)


def _who(event: Event) -> str:
    return "notifier" if event.name == "evict" else "worker"


def _counts(event: Event) -> tuple[str, str]:
    fields = event.fields
    return str(fields.get("invalid", "")), str(fields.get("evicted_ranges", ""))


def _plainly(run: _Run, event: Event) -> str:
    """An event without page numbers, which say nothing here."""
    return str(event).replace(f"range [{event.start:#x}, {event.last:#x}]", f"buffer {_name(run, event)}")


def _name(run: _Run, event: Event) -> str:
    vma = run.process.driver.mm.vma_at(event.start)
    return vma.name if vma is not None else ""
