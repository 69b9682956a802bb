"""LocationLab: where a buffer goes, by its attributes and the xnack mode, and what the first touch meets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from svmlab.errors import SvmError
from svmlab.hardware.machine import Machine
from svmlab.svm.buffer_view import Buffer
from svmlab.svm.decision import Decision
from svmlab.svm.process import Process
from svmlab.views import Cell, Row, Scene, Table, decision_path, pagemap, svg, timeline
from svmlab.widgets.controls import choice
from svmlab.widgets.lab import Lab
from svmlab.widgets.page import LEFT, RIGHT, beside, bullets, heading, labelled, told
from svmlab.widgets.stepper import places

__all__ = ["LocationLab"]

_NOBODY = "nobody"
_ASKED, _LISTS = ("preferred", "prefetch"), ("access", "access_in_place")


@dataclass(frozen=True, slots=True)
class _Run:
    """A process after the run.

    Attributes:
        process, buffer: whose pages.
        asked: what set_attr was asked for.
        decision: what the driver would decide about them now.
        touch: what came of gpu0's touch, in words; where it was fatal, why.
        since: the first event after the buffer was filled.
    """

    process: Process
    buffer: Buffer
    asked: Mapping[str, Any]
    decision: Decision
    touch: tuple[str, str]
    since: int

    def scenes(self) -> tuple[Scene, Scene, Scene]:
        """Page map, decision path and timeline."""
        path = decision_path(self.decision, self.process.machine.location_name, of="The pages of a")
        return pagemap(self.process, self.buffer), path, timeline(self.process, since=self.since)


class LocationLab(Lab):
    """Set attributes of a buffer, let gpu0 touch it, and see where it went and by which rule.

    The CPU fills a buffer; set_attr asks for what is chosen; the machine comes to rest; gpu0 reads; it rests again.

    Args:
        machine: name of a machine.
        size: of the buffer.

    Attributes:
        preferred, prefetch: the controls for the two locations.
        access: the control for who gets access.
        xnack: the control for the xnack mode.
        reset: the button that goes back to the start.
        view: page map, decision path, timeline and sentences, as HTML.

    >>> lab = LocationLab("toy", size="64 KiB")
    >>> lab.prefetch.value = "cpu"
    >>> "the prefetch location is RAM" in lab.view.value
    True
    """

    def __init__(self, machine: str = "mi210-two-hives", size: str = "2 MiB") -> None:
        self._machine, self._size = Machine.find(machine), size
        self._places = {name: place for place, name in places(self._machine).items()}
        self._accesses = _accesses(self._machine)
        able = all(gpu.xnack_capable for gpu in self._machine.gpus)
        farthest = list(self._places.values())[-3]
        self.preferred = choice(self._places, "")
        self.prefetch = choice(self._places, farthest)
        self.access = choice(self._accesses, "gpu0")
        self.xnack = choice(["off", "on"] if able else ["off"], "off")
        super().__init__(
            {"preferred": self.preferred, "prefetch": self.prefetch, "access": self.access, "xnack": self.xnack}
        )

    def page(self) -> str:
        """See ``Lab.page``."""
        run = self._run(self._chosen())
        pages, path, when = run.scenes()
        decided = [str(event).partition(": ")[2] for event in run.process.log.events("decision")]
        asked = "; ".join(f"{name} {' '.join(value) if name in _LISTS else value}" for name, value in run.asked.items())
        left = (
            labelled("Asked of the driver:", asked or "nothing"),
            told(pages, LEFT),
            bullets("What was decided, in order", decided or ["nothing"]),
        )
        right = (svg(path, width_px=RIGHT), told(when, RIGHT))
        title = f"{path.title}, because {run.decision.because}; gpu0's touch {'; '.join(filter(None, run.touch))}"
        return heading(title) + beside((LEFT, left), (RIGHT, right))

    def scenes(self) -> tuple[Scene, ...]:
        """What is drawn for what is chosen."""
        return self._run(self._chosen()).scenes()

    def summary(self) -> Scene:
        """A row for each prefetch location and accessors, with xnack as it is at the start."""
        lines = [self._line(name, place, gpus) for name, place in self._places.items() for gpus in self._few()]
        columns = ("prefetch to", "access", "rule that decides", "CPU table", "gpu0 table", "gpu0's touch")
        title = "A prefetch counts as far as every accessor reaches"
        return Scene("summary", title, (Table(columns, tuple(lines), kind="summary"),))

    def _few(self) -> list[str]:
        """Of the accessors the ones that differ: nobody, gpu0, and the most there are."""
        values = list(self._accesses.values())
        return ["", "gpu0", *(value for value in values[-1:] if value != "gpu0")]

    def _line(self, name: str, place: str, gpus: str) -> Row:
        run = self._run({"preferred": "", "prefetch": place, "access": gpus, "xnack": "off"})
        look, where = run.process.look, run.process.machine.location_name
        tables = (look.locations(run.buffer.span), look.gpu_frames(0, run.buffer.span))
        cells = (_place(int(table[0]), where) for table in tables)
        called = next(label for label, value in self._accesses.items() if value == gpus)
        return Row((Cell(name), Cell(called), Cell(run.decision.rule), *cells, Cell(run.touch[0])))

    def _chosen(self) -> dict[str, str]:
        controls = {"preferred": self.preferred, "prefetch": self.prefetch, "access": self.access, "xnack": self.xnack}
        return {name: control.value for name, control in controls.items()}

    def _run(self, chosen: Mapping[str, str]) -> _Run:
        p = Process(self._machine, xnack=chosen["xnack"] == "on")
        a = p.mmap(self._size, name="a")
        a[:] = 7
        since = len(p.log)
        asked: dict[str, Any] = {name: chosen[name] for name in _ASKED if chosen[name]}
        if chosen["access"]:
            word, _, gpus = chosen["access"].rpartition(" ")
            asked[word or "access"] = gpus.split(",")
        if asked:
            p.set_attr(a, **asked)
        p.run()
        decision = p.why(a).decision
        touch = _touched(p, a)
        p.run()
        return _Run(p, a, asked, decision, touch, since)


def _touched(process: Process, buffer: Buffer) -> tuple[str, str]:
    since = len(process.log)
    try:
        process.gpu_read("gpu0", buffer)
    except SvmError as error:
        return "is fatal", error.given
    faults = process.log.count("page_fault_start", since=since)
    return f"waits for {faults} fault{'s' * (faults != 1)}" if faults else "finds the pages", ""


def _place(location: int, names: Any) -> Cell:
    if location < 0:
        return Cell("absent", "none")
    name = names(location)
    return Cell("RAM" if name == "cpu" else name, name)


def _accesses(machine: Machine) -> dict[str, str]:
    """Who may get access, as the reader calls it, to what set_attr is asked for."""
    gpus = [place for place in places(machine) if place not in ("", "cpu")]
    pairs = {f"gpu0 and {gpu}": f"gpu0,{gpu}" for gpu in gpus[1:]}
    every = ",".join(f"gpu{gpu.index}" for gpu in machine.gpus)
    many = {"all GPUs": every} if len(machine.gpus) > 1 else {}
    return {_NOBODY: "", "gpu0": "gpu0", "gpu0, in place": "access_in_place gpu0", **pairs, **many}
