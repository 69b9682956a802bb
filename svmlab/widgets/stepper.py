"""MigrationStepper: one prefetch, moment by moment, forward and back."""

from __future__ import annotations

from typing import Any

import ipywidgets as widgets

from svmlab.hardware.machine import Machine
from svmlab.mm.span import Span
from svmlab.svm.process import Process
from svmlab.views import Scene, Table, show, table
from svmlab.widgets.recording import Chapter, Recording, record
from svmlab.widgets.run_page import RunPage, rows
from svmlab.widgets.shown import Shown, Twin, numbered
from svmlab.widgets.telling import reason

__all__ = ["MigrationStepper"]

START = "gpu0"
_RETURNS = "call returns"


class MigrationStepper(Shown):
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

    text = "MigrationStepper: run this cell to use it; the next cell shows what matters without a kernel."

    def __init__(self, machine: str = "mi210-two-hives", size: str = "4 MiB") -> None:
        self._machine, self._size = Machine.find(machine), size
        self._runs: dict[str, RunPage] = {}
        self.view = widgets.HTML()
        places = [(name, place) for place, name in self._places().items()]
        self.prefetch = widgets.Dropdown(options=places, value=START, description="prefetch")
        self.moment = widgets.IntSlider(min=0, readout=False)
        self.number = numbered(self.moment, "moment")
        self.reset = widgets.Button(description="Reset")
        self.box = widgets.VBox([widgets.HBox([self.prefetch, self.number, self.moment, self.reset]), self.view])
        self.prefetch.observe(self._choose, "value")
        self.moment.observe(self._draw, "value")
        self.reset.on_click(self._start)
        self._start()

    def static(self) -> Twin:
        """Show without a kernel what matters: where the pages are after each part, for every prefetch location.

        Returns:
            The same in words.
        """
        scene = self.summary()
        show(scene)
        runs = {name: self._run(place).recording for place, name in self._places().items()}
        reasons = (f"{name}: the pages shall be {reason(run, run.ends[_RETURNS])}" for name, run in runs.items())
        return Twin("\n".join([table(scene), "", *reasons]))

    def summary(self) -> Scene:
        """What ``static`` shows: a row for each prefetch location and page table, a column for each part of the run."""
        runs = {name.partition(",")[0]: self._run(place).recording for place, name in self._places().items()}
        lines = [row for name, run in runs.items() for row in rows(name, run, numbers=(0, *run.ends.values()))]
        moved = [name for name, run in runs.items() if run.first("migrate_end")]
        title = f"Only a prefetch to {' or '.join(moved)} moves pages"
        columns = ("prefetch to", "table of", "before", *runs[START].ends)
        return Scene("summary", title, (Table(columns, tuple(lines), kind="summary"),))

    def _places(self) -> dict[str, str]:
        """The prefetch locations to choose from, with what the reader calls them."""
        others = range(1, len(self._machine.gpus))
        near = [gpu for gpu in others if self._machine.near(0, gpu)][:1]
        far = [gpu for gpu in others if not self._machine.near(0, gpu)][:1]
        gpus = {
            f"gpu{gpu}": f"gpu{gpu}, {hive} hive" for hive, found in (("same", near), ("other", far)) for gpu in found
        }
        return {START: START, **gpus, "cpu": "RAM", "": "nowhere"}

    def _run(self, place: str) -> RunPage:
        if place not in self._runs:
            self._runs[place] = RunPage(self._record(place))
        return self._runs[place]

    def _record(self, place: str) -> Recording:
        p = Process(self._machine)
        a = p.mmap(self._size, name="a")
        a[:] = 7
        asked: dict[str, Any] = {"access": ["gpu0"]} | ({"prefetch": place} if place else {})
        chapters = (
            Chapter(_RETURNS, lambda: p.start.set_attr(a, **asked)),
            Chapter("restored"),
            Chapter("gpu0 reads", lambda: p.start.gpu_read("gpu0", a)),
            Chapter("CPU reads", lambda: p.start.cpu_read(Span(a.address, 1))),
            Chapter("restored again"),
        )
        return record(p, a.span, chapters=chapters)

    def _start(self, _button: Any = None) -> None:
        # What is drawn on the way would be sent to the browser, and flicker.
        with self.view.hold_sync():
            self.prefetch.value = START
            self._choose()
            self.moment.value = self._run(START).recording.first("copy")

    def _choose(self, _change: Any = None) -> None:
        recording = self._run(self.prefetch.value).recording
        with self.view.hold_sync():
            self.moment.max = len(recording.moments) - 1
            # The end of the call is there for every location, so that what differs can be compared.
            self.moment.value = recording.ends[_RETURNS]
            self._draw()

    def _draw(self, _change: Any = None) -> None:
        self.view.value = self._run(self.prefetch.value).page(self.moment.value)
