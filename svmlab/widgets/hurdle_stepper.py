"""HurdleStepper: a prefetch that meets a hurdle, moment by moment."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from svmlab.errors import DriverError, errno_name
from svmlab.hardware.machine import Machine
from svmlab.svm.handle import Handle
from svmlab.svm.process import Process
from svmlab.views import Cell, Row, Scene, Table
from svmlab.widgets.controls import choice
from svmlab.widgets.recording import Chapter, Recording, record
from svmlab.widgets.run_page import RunPage
from svmlab.widgets.stepper import Stepper

__all__ = ["HurdleStepper"]

START = "pieces"
_HURDLES = {
    "none": "none",
    START: "VRAM in pieces",
    "moment": "a lock for a moment",
    "pin": "a pinned page",
    "copy": "a copy that fails",
    "file": "pages of a file",
}
_RETURNS, _RESTORED = "call returns", "restored"


class HurdleStepper(Stepper):
    """Step through a prefetch of 4 MiB to gpu0 that meets a hurdle, or none.

    Args:
        machine: name of a machine.

    Attributes:
        hurdle: the control for what is in the way.
        moment: the slider for the moment; ``number`` is a box for the same.
        reset: the button that goes back to the start.
        view: pictures and sentences, as HTML.

    >>> "step 3 of 6, copy with SDMA" in HurdleStepper("toy").view.value
    True
    """

    def __init__(self, machine: str = "mi210-two-hives") -> None:
        self._machine = Machine.find(machine)
        self.hurdle = choice({name: key for key, name in _HURDLES.items()}, START)
        self._errors: dict[str, str] = {}
        super().__init__("hurdle", self.hurdle)

    def notes(self) -> Iterable[str]:
        """See ``Lab.notes``."""
        for key, name in _HURDLES.items():
            run = self._run(key).recording
            yield f"{name}: copies of " + (", ".join(map(str, _fields(run, "copy", "npages"))) or "no") + " pages"

    def summary(self) -> Scene:
        """A row for each hurdle: attempts, copies, windows, pages that moved, and what the call returns."""
        lines = tuple(self._line(key, self._run(key)) for key in _HURDLES)
        columns = ("hurdle", "attempts", "copies", "windows", "pages moved", "call returns")
        title = "A prefetch moves all pages or none"
        return Scene("summary", title, (Table(columns, lines, kind="summary"),))

    def _line(self, key: str, page: RunPage) -> Row:
        run = page.recording
        counts = (len(_fields(run, kind, "npages")) for kind in ("migrate_setup", "copy", "copy_window"))
        moved = sum(_fields(run, "migrate_end", "npages"))
        return Row(tuple(Cell(str(each)) for each in (_HURDLES[key], *counts, moved, self._errors[key])))

    def _opens_at(self, recording: Recording) -> int:
        return recording.first("copy")

    def _record(self, value: str) -> Recording:
        p = Process(self._machine)
        kind: dict[str, Any] = {"kind": "file", "file": "data"} if value == "file" else {}
        a = p.mmap("4 MiB", name="a", **kind)
        a[:] = 7
        self._put_up(value, p, a)
        calls: list[Handle] = []

        def prefetch() -> Handle:
            calls.append(p.start.set_attr(a, access=["gpu0"], prefetch="gpu0"))
            return calls[0]

        recording = record(p, a.span, chapters=(Chapter(_RETURNS, prefetch), Chapter(_RESTORED)))
        self._errors[value] = _outcome(calls[0])
        return recording

    def _put_up(self, value: str, p: Process, a: Any) -> None:
        if value == "pieces":
            p.vram_layout("gpu0", ((1, 100), (512, 512), (2048, 412)))
        if value == "moment":
            p.inject("page_lock")
        if value == "pin":
            p.pin(a.pages(700))
        if value == "copy":
            p.inject("copy")


def _outcome(call: Handle) -> str:
    try:
        call.result()
    except DriverError as error:
        return errno_name(error.errno)
    return "success"


def _fields(run: Recording, kind: str, name: str) -> list[int]:
    since = run.moments[0].until
    return [event.fields[name] for event in run.process.log.events(kind, since=since)]
