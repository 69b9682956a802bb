"""LateReport: a munmap while reports of GPU faults are under way, and what becomes of them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from svmlab.hardware.machine import Machine
from svmlab.log import Event
from svmlab.mm.span import Span
from svmlab.svm.behaviour_table import DEFAULT_PRESET
from svmlab.svm.handle import Handle
from svmlab.svm.process import Process
from svmlab.units import PAGE_SIZE, format_time
from svmlab.views import Cell, Row, Scene, Table, timeline
from svmlab.widgets.controls import choice, slider
from svmlab.widgets.lab import Lab
from svmlab.widgets.page import LEFT, RIGHT, beside, bullets, heading, labelled, told

__all__ = ["LateReport"]

_PAGE, _OTHERS = "the page itself", "other pages"
_SPANS = {_PAGE: slice(0, 256), _OTHERS: slice(256, 512)}
_BY_TIME, _NOT_AT_ALL = "by their time", "not at all"
_STALE = {_BY_TIME: "by-timestamp", _NOT_AT_ALL: "fatal"}
_TOUCHED, _WAVES = 5, 1000
_LATEST_US = 600
_MOMENTS = {5: "not read yet", 25: "being served", 200: "served"}
"""Times of the munmap that matter, and what has become of the first report by then."""
_KINDS = (
    "gpu_work_start",
    "page_fault_start",
    "page_fault_end",
    "page_fault_dropped",
    "gpu_work_end",
    "memory_exception",
    "notifier",
    "deferred_work",
)


@dataclass(frozen=True, slots=True)
class _Run:
    """A process after the touch, the munmap and all reports.

    Attributes:
        process: the process.
        work: what gpu0 did.
        since: the first event of the touch.
        begin_ns: when that was.
        first: the buffer's first page.
    """

    process: Process
    work: Handle
    since: int
    begin_ns: int
    first: int

    def events(self, *names: str) -> list[Event]:
        """Events of the run."""
        return self.process.log.events(*names, since=self.since)

    @property
    def stale(self) -> int:
        """How many reports were dropped because a munmap is younger."""
        return sum(event.fields["count"] for event in self.events("page_fault_dropped") if "munmap" in event.text)

    @property
    def dead(self) -> bool:
        """Whether an access was fatal."""
        return bool(self.events("memory_exception"))

    @property
    def outcome(self) -> str:
        """What became of gpu0's work, in words."""
        if not self.dead:
            return "gpu0's work is done, and its queues run on"
        if self.work.error:
            return "gpu0's work ends with a fatal access"
        return "gpu0's work was done, and yet an access of it is fatal"

    @property
    def word(self) -> str:
        """The same in a word or two."""
        return "fatal" if self.work.error else "done, then fatal" if self.dead else "done"

    @property
    def because(self) -> str:
        """Why."""
        if self.dead and not self.work.error:
            return "a report that is out of date looks like a new one, and there is no range for its page any more"
        if self.dead:
            return "gpu0 wants a page that the program has unmapped, and reports it until it is told that there is none"
        if self.stale >= _WAVES or (self.stale and self.stale < _WAVES - 1):
            return "what was reported before the munmap is dropped, needed or not; gpu0 reports again, and is served"
        if self.stale:
            return "one report was served; the others are older than the munmap, and nobody needs them"
        return "one report was served; the others are dropped because the range has just been mapped"


class LateReport(Lab):
    """Choose when a program unmaps memory that gpu0 has just touched, and see what becomes of the reports.

    1000 waves of gpu0 read one page, for which gpu0 has no entry; xnack is on. One report is served, the others wait in
    a ring until the driver reads them.

    Args:
        machine: name of a machine whose GPUs can retry faults.

    Attributes:
        munmap: the slider for the time between the touch and the munmap, in microseconds.
        of: the control for what is unmapped.
        stale: the control for how the driver tells stale reports.
        reset: the button that goes back to the start.
        view: events, timeline and reason, as HTML.

    >>> lab = LateReport()
    >>> lab.stale.value = "not at all"
    >>> "and yet an access of it is fatal" in lab.view.value
    True
    """

    def __init__(self, machine: str = "toy") -> None:
        self._machine = Machine.find(machine)
        self.munmap = slider(0, _LATEST_US, 200, step=5)
        self.of, self.stale = choice(list(_SPANS), _PAGE), choice(list(_STALE), _BY_TIME)
        super().__init__({"after, us": self.munmap, "of": self.of, "stale told": self.stale})

    def page(self) -> str:
        """See ``Lab.page``."""
        run = self._run(self.munmap.value, self.of.value, self.stale.value)
        events = (
            f"{format_time(event.time_ns - run.begin_ns)}: {_counted(run, event)}" for event in run.events(*_KINDS)
        )
        left = (bullets("What happens", events), labelled("Why:", run.because))
        title = f"Timeline of a munmap {self.munmap.value} us after the touch"
        right = (told(replace(timeline(run.process, since=run.since), title=title), RIGHT),)
        return heading(f"munmap {self.munmap.value} us after the touch: {run.outcome}") + beside(
            (LEFT, left), (RIGHT, right)
        )

    def summary(self) -> Scene:
        """A row for each moment that matters, each kind of pages and each way to tell stale reports."""
        lines = [self._line(us, of, stale) for stale in _STALE for us in _MOMENTS for of in _SPANS]
        columns = ("munmap", "a report is", "of", "stale told", "dropped as stale", "served", "gpu0's work is")
        title = "What becomes of reports that are older than a munmap"
        return Scene("summary", title, (Table(columns, tuple(lines), kind="summary"),))

    def notes(self) -> Iterable[str]:
        """See ``Lab.notes``."""
        chosen = ((5, _PAGE), (5, _OTHERS), (200, _PAGE))
        return (f"{us} us, {of}: {self._run(us, of, _BY_TIME).because}." for us, of in chosen)

    def _line(self, us: int, of: str, stale: str) -> Row:
        run = self._run(us, of, stale)
        counts = (str(run.stale), str(len(run.events("page_fault_end"))))
        texts = (f"{us} us", _MOMENTS[us], of, stale, *counts, run.word)
        return Row(tuple(map(Cell, texts)), "lit" if run.dead else "")

    def _run(self, us: int, of: str, stale: str) -> _Run:
        p = Process(self._machine, xnack=True, behaviour={"base": DEFAULT_PRESET, "stale_faults": _STALE[stale]})
        a = p.mmap("2 MiB", name="a", populate=True)
        # Pages that stay in RAM are mapped at once: a migration would make everything longer and nothing else.
        p.set_attr(a, access=["gpu0"], preferred="cpu")
        p.create_queue("gpu0")
        p.run(for_ns="3 ms")
        since, begin_ns = len(p.log), p.now
        work = p.start.gpu_touch("gpu0", a.pages(_TOUCHED), waves=_WAVES)
        p.run(for_ns=us * 1000)
        unmapped = _SPANS[of]
        p.start.munmap(Span(a.address + unmapped.start * PAGE_SIZE, (unmapped.stop - unmapped.start) * PAGE_SIZE))
        p.run()
        return _Run(p, work, since, begin_ns, int(a.span.start))


def _counted(run: _Run, event: Event) -> str:
    """A line of the log with pages counted from the first of the buffer."""
    first: Any = run.first
    return re.sub(r"0x[0-9a-f]+", lambda match: str(int(match[0], 16) - first), str(event))
