"""FaultStepper: a GPU fault with xnack on, moment by moment."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from svmlab.hardware.machine import Machine
from svmlab.mm.span import Span
from svmlab.svm.process import Process
from svmlab.units import PAGE_SIZE
from svmlab.views import Scene, Table
from svmlab.widgets.controls import choice
from svmlab.widgets.recording import Chapter, Recording, record
from svmlab.widgets.run_page import rows
from svmlab.widgets.stepper import Stepper, places
from svmlab.widgets.telling import reason

__all__ = ["FaultStepper"]

_TOUCHES = "gpu0 touches"


class FaultStepper(Stepper):
    """Step through a fault of gpu0: what it meets, what the driver decides, what moves, and when gpu0 goes on.

    The CPU fills a buffer of 4 MiB with xnack on. Then: gpu0 gets access and a preferred location is asked for; gpu0
    writes one page, which its page table does not have; the CPU reads it.

    Args:
        machine: name of a machine whose GPUs can retry faults.
        size: of the buffer.

    Attributes:
        preferred: the control for the preferred location.
        moment: the slider for the moment; ``number`` is a box for the same.
        reset: the button that goes back to the start.
        view: pictures and sentences, as HTML.

    >>> stepper = FaultStepper("toy", size="64 KiB")
    >>> "gpu0 faults on a write" in stepper.view.value
    True
    """

    def __init__(self, machine: str = "mi210-two-hives", size: str = "4 MiB") -> None:
        self._machine, self._size = Machine.find(machine), size
        self._places = places(self._machine)
        self.preferred = choice({name: place for place, name in self._places.items()}, "gpu0")
        super().__init__("preferred", self.preferred)

    def notes(self) -> Iterable[str]:
        """See ``Lab.notes``."""
        for name, run in self._recordings().items():
            yield f"preferred {name}: after the first fault {reason(run, run.ends[_TOUCHES])}"

    def summary(self) -> Scene:
        """A row for each preferred location and page table, a column for each part of the run."""
        runs = {name.partition(",")[0]: run for name, run in self._recordings().items()}
        lines = [row for name, run in runs.items() for row in rows(name, run, numbers=(0, *run.ends.values()))]
        columns = ("preferred", "table of", "before", *next(iter(runs.values())).ends)
        stay = [name for name, run in runs.items() if not run.first("migrate_end")]
        title = f"A fault of gpu0 moves a block, unless {' or '.join(stay)} is preferred"
        return Scene("summary", title, (Table(columns, tuple(lines), kind="summary"),))

    def _recordings(self) -> Mapping[str, Recording]:
        return {name: self._run(place).recording for place, name in self._places.items()}

    def _opens_at(self, recording: Recording) -> int:
        return recording.first("page_fault_start")

    def _record(self, value: str) -> Recording:
        p = Process(self._machine, xnack=True)
        a = p.mmap(self._size, name="a")
        a[:] = 7
        page = Span(a.address, PAGE_SIZE)
        asked: dict[str, Any] = {"access": ["gpu0"]} | ({"preferred": value} if value else {})
        p.set_attr(a, **asked)
        # A fault on a range that was mapped less than 2 ms ago is dropped, again and again.
        p.run(for_ns="3 ms")
        chapters = (
            Chapter(_TOUCHES, lambda: p.start.gpu_write("gpu0", page, 1)),
            Chapter("CPU reads", lambda: p.start.cpu_read(page)),
            Chapter("idle"),
        )
        return record(p, a.span, chapters=chapters)
