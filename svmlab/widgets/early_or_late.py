"""EarlyOrLate: one buffer brought to gpu0 by its faults, and by a prefetch, side by side."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from svmlab.hardware.machine import Machine
from svmlab.svm.process import Process
from svmlab.units import PAGE_SIZE, format_size, format_time
from svmlab.views import Cell, Row, Scene, Table, svg, timeline
from svmlab.widgets.controls import choice, slider
from svmlab.widgets.lab import Lab
from svmlab.widgets.page import LEFT, RIGHT, beside, heading, labelled, told

__all__ = ["EarlyOrLate"]

_SIZES = ["1 MiB", "2 MiB", "4 MiB", "8 MiB", "16 MiB"]
_ONE, _HALF, _ALL = "one page", "half of it", "all of it"
_PARTS = {_ONE: 0.0, _HALF: 0.5, _ALL: 1.0}
_LATE, _EARLY = "GPU faults", "prefetch"


@dataclass(frozen=True, slots=True)
class _Way:
    """One way to gpu0, run to its end.

    Attributes:
        process: who went it.
        since: the first event after the buffer was prepared.
        faults, dropped: faults that were served, and that were dropped.
        moved_pages: how many pages moved.
        lasted_ns: from the prefetch, or the first touch, to the last touched page.
    """

    process: Process
    since: int
    faults: int
    dropped: int
    moved_pages: int
    lasted_ns: int

    def texts(self) -> tuple[str, ...]:
        """As cells of a table."""
        moved, lasted = format_size(self.moved_pages * PAGE_SIZE), format_time(self.lasted_ns)
        return str(self.faults), str(self.dropped), moved, lasted


class EarlyOrLate(Lab):
    """Let gpu0 touch a buffer that it faults in, and one that was prefetched; xnack is on.

    Args:
        machine: name of a machine.

    Attributes:
        size: the control for the size of the buffer.
        touched: the control for how much of it gpu0 touches, from the first page on.
        granularity: the slider for the granularity, log2 of pages.
        reset: the button that goes back to the start.
        view: the two ways side by side, their timelines and the reason, as HTML.

    >>> lab = EarlyOrLate()
    >>> lab.touched.value = "one page"
    >>> "Late is faster" in lab.view.value
    True
    """

    def __init__(self, machine: str = "toy") -> None:
        self._machine = Machine.find(machine)
        self.size, self.touched = choice(_SIZES, "4 MiB"), choice(list(_PARTS), _ALL)
        self.granularity = slider(6, 12, 9)
        super().__init__({"size": self.size, "gpu0 touches": self.touched, "granularity": self.granularity})

    def page(self) -> str:
        """See ``Lab.page``."""
        late, early = (self._go(self.size.value, self.touched.value, way) for way in (_LATE, _EARLY))
        lines = tuple(Row(tuple(map(Cell, (name, *way.texts())))) for name, way in ((_LATE, late), (_EARLY, early)))
        scene = Scene("ways", _verdict(late, early), (Table(("by", "faults", "dropped", "moved", "takes"), lines),))
        left = (svg(scene, width_px=LEFT), labelled("Why:", _why(late)))
        right = (
            *(labelled("By GPU faults:", ""), told(timeline(late.process, since=late.since), RIGHT)),
            *(labelled("By a prefetch:", ""), told(timeline(early.process, since=early.since), RIGHT)),
        )
        return heading(_verdict(late, early)) + beside((LEFT, left), (RIGHT, right))

    def summary(self) -> Scene:
        """A row for each size that matters, part of it that is touched, and way."""
        lines = [
            self._line(size, part, way)
            for part in (_ONE, _ALL)
            for size in ("1 MiB", "2 MiB", "4 MiB", "16 MiB")
            for way in (_LATE, _EARLY)
        ]
        columns = ("gpu0 touches", "size", "by", "faults", "dropped", "moved", "takes")
        return Scene("summary", "What moving late and early costs", (Table(columns, tuple(lines), kind="summary"),))

    def notes(self) -> Iterable[str]:
        """See ``Lab.notes``."""
        yield f"The granularity is {self.granularity.value}."

    def _line(self, size: str, part: str, way: str) -> Row:
        texts = (part, size, way, *self._go(size, part, way).texts())
        return Row(tuple(map(Cell, texts)))

    def _go(self, size: str, part: str, way: str) -> _Way:
        p = Process(self._machine, xnack=True, payload=False)
        a = p.mmap(size, name="a", populate=True)
        p.set_attr(a, preferred="gpu0", granularity=self.granularity.value)
        # A fault on a range that was changed less than 2 ms ago is dropped; who comes later is served at once.
        p.run(for_ns="2 ms")
        since, begin_ns = len(p.log), p.now
        if way == _EARLY:
            p.set_attr(a, prefetch="gpu0")
        p.gpu_touch("gpu0", a.pages(0, max(1, int(a.npages * _PARTS[part]))))
        moved = p.log.field("migrate_end", "npages", p.log.select("migrate_end", since=since))
        dropped = p.log.field("page_fault_dropped", "count", p.log.select("page_fault_dropped", since=since))
        faults = p.log.count("page_fault_end", since=since)
        return _Way(p, since, faults, int(dropped.sum()), int(moved.sum()), p.now - begin_ns)


def _why(late: _Way) -> str:
    one = "a fault brings the block around the page, and costs more than a prefetch of the same pages"
    if late.faults == 1:
        return f"{one}; here it is one fault, and pages that it leaves in RAM cost nothing"
    return (
        f"{one}; here it is {late.faults} faults, each but the first after a wait of 2 ms, since all are in one range"
    )


def _verdict(late: _Way, early: _Way) -> str:
    times = f"{format_time(late.lasted_ns)} by faults, {format_time(early.lasted_ns)} by a prefetch"
    return f"{'Early' if early.lasted_ns < late.lasted_ns else 'Late'} is faster: {times}"
