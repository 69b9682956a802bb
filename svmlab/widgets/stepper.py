"""Steppers: a run, moment by moment, forward and back."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Mapping
from typing import Any

import ipywidgets as widgets

from svmlab.hardware.machine import Machine
from svmlab.mm.span import Span
from svmlab.svm.process import Process
from svmlab.views import Scene, Table
from svmlab.widgets.controls import choice, slider
from svmlab.widgets.lab import Lab
from svmlab.widgets.recording import Chapter, Recording, record
from svmlab.widgets.run_page import RunPage, rows
from svmlab.widgets.telling import reason

__all__ = ["MigrationStepper", "Stepper", "places"]

START = "gpu0"
_RETURNS = "call returns"


def places(machine: Machine) -> dict[str, str]:
    """Locations that behave differently, seen from gpu0, with what the reader calls them.

    Args:
        machine: on which machine.
    """
    others = range(1, len(machine.gpus))
    near = [gpu for gpu in others if machine.near(0, gpu)][:1]
    far = [gpu for gpu in others if not machine.near(0, gpu)][:1]
    gpus = {f"gpu{gpu}": f"gpu{gpu}, {hive} hive" for hive, found in (("same", near), ("other", far)) for gpu in found}
    return {START: START, **gpus, "cpu": "RAM", "": "nowhere"}


class Stepper(Lab):
    """A choice, the run that follows from it, and a slider for the moment in it.

    Args:
        name: what is chosen.
        chosen: the control for it.

    Attributes:
        moment: the slider for the moment; ``number`` is a box for the same.
    """

    def __init__(self, name: str, chosen: widgets.Dropdown) -> None:
        self._chosen, self._runs = chosen, dict[str, RunPage]()
        self.moment = slider(0, 0, 0, live=True)
        super().__init__({name: chosen, "moment": self.moment})
        self.number: widgets.BoundedIntText = self.box.children[0].children[1]

    @abstractmethod
    def _record(self, value: str) -> Recording:
        """Run what is chosen."""

    @abstractmethod
    def _opens_at(self, recording: Recording) -> int:
        """The moment to show first, which is where something interesting goes on."""

    def page(self) -> str:
        """See ``Lab.page``."""
        return self._run(self._chosen.value).page(self.moment.value)

    def scenes(self, number: int) -> tuple[Scene, ...]:
        """What is drawn for a moment of what is chosen."""
        return self._run(self._chosen.value).scenes(number)

    def adapt(self, control: widgets.DOMWidget) -> None:
        """Another run has other moments; the end of the first call is there for every choice, to be compared."""
        if control is self._chosen:
            ends = self._go().recording.ends
            self.moment.value = next(iter(ends.values()))

    def restart(self) -> None:
        """See ``Lab.restart``."""
        with self._unobserved():
            self._chosen.value = self._start[0]
            self.moment.value = self._opens_at(self._go().recording)
        self.draw()

    def _go(self) -> RunPage:
        run = self._run(self._chosen.value)
        self.moment.max = len(run.recording.moments) - 1
        return run

    def _run(self, value: str) -> RunPage:
        if value not in self._runs:
            self._runs[value] = RunPage(self._record(value))
        return self._runs[value]


class MigrationStepper(Stepper):
    """Step through a prefetch: where the pages are, who could reach them, what happens, and why.

    The CPU fills a buffer. Then: gpu0 gets access and a prefetch location is asked for; the machine comes to rest; gpu0
    reads; the CPU reads one byte; the machine comes to rest again.

    Args:
        machine: name of a machine.
        size: of the buffer.

    Attributes:
        prefetch: the control for the prefetch location.
        moment: the slider for the moment; ``number`` is a box for the same.
        reset: the button that goes back to the start.
        view: pictures and sentences, as HTML.

    >>> stepper = MigrationStepper("toy", size="64 KiB")
    >>> stepper.prefetch.value, "step 3 of 6, copy with SDMA" in stepper.view.value
    ('gpu0', True)
    """

    def __init__(self, machine: str = "mi210-two-hives", size: str = "4 MiB") -> None:
        self._machine, self._size = Machine.find(machine), size
        self._places = places(self._machine)
        self.prefetch = choice({name: place for place, name in self._places.items()}, START)
        super().__init__("prefetch", self.prefetch)

    def notes(self) -> Iterable[str]:
        """See ``Lab.notes``."""
        for name, run in self._recordings().items():
            yield f"{name}: the pages shall be {reason(run, run.ends[_RETURNS])}"

    def summary(self) -> Scene:
        """What ``static`` shows: a row for each prefetch location and page table, a column for each part of the run."""
        runs = {name.partition(",")[0]: run for name, run in self._recordings().items()}
        lines = [row for name, run in runs.items() for row in rows(name, run, numbers=(0, *run.ends.values()))]
        moved = [name for name, run in runs.items() if run.first("migrate_end")]
        title = f"Only a prefetch to {' or '.join(moved)} moves pages"
        columns = ("prefetch to", "table of", "before", *runs[START].ends)
        return Scene("summary", title, (Table(columns, tuple(lines), kind="summary"),))

    def _recordings(self) -> Mapping[str, Recording]:
        return {name: self._run(place).recording for place, name in self._places.items()}

    def _opens_at(self, recording: Recording) -> int:
        return recording.first("copy")

    def _record(self, value: str) -> Recording:
        p = Process(self._machine)
        a = p.mmap(self._size, name="a")
        a[:] = 7
        asked: dict[str, Any] = {"access": ["gpu0"]} | ({"prefetch": value} if value else {})
        chapters = (
            Chapter(_RETURNS, lambda: p.start.set_attr(a, **asked)),
            Chapter("restored"),
            Chapter("gpu0 reads", lambda: p.start.gpu_read("gpu0", a)),
            Chapter("CPU reads", lambda: p.start.cpu_read(Span(a.address, 1))),
            Chapter("restored again"),
        )
        return record(p, a.span, chapters=chapters)
