"""TraceViewer: a log of a driver, shipped or the reader's own: what it adds up to, and why each event happened."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

from svmlab.errors import SvmError
from svmlab.resources import data_path
from svmlab.trace.formats import read_stream, read_trace
from svmlab.trace.replay import Replay
from svmlab.trace.summary import Stopped, Summary
from svmlab.trace.trace import Trace
from svmlab.units import format_time
from svmlab.views import Cell, Chart, Mark, Row, Scene, Table, counters, pagemap_over_time, timeline
from svmlab.views.source import about, gpu_names, place_name, plural
from svmlab.widgets.controls import choice, file, slider, uploaded
from svmlab.widgets.lab import Lab
from svmlab.widgets.page import LEFT, RIGHT, beside, bullets, heading, labelled, refusal, told

__all__ = ["TraceViewer"]

_START = "to-and-fro.smi"
_VIEWS = ("timeline", "page map", "counters")
_ENDINGS = ".smi,.rocr,.json,.log,.txt"
_MOST = 6


class TraceViewer(Lab):
    """Look at a log of the driver: choose a shipped one, or upload one, also of a real machine.

    Attributes:
        log: the control for the log; those that were uploaded stand behind the shipped ones.
        picture: the control for what is drawn.
        event: the slider for the event whose causes are told.
        upload: the button that takes a log of the reader's own.
        reset: the button that goes back to the start.
        view: the picture, what the log adds up to, where it contradicts itself, and the causes, as HTML.

    >>> viewer = TraceViewer()
    >>> viewer.log.value = "first-gpu-fault.smi"
    >>> "GPU page fault" in viewer.view.value
    True
    """

    def __init__(self) -> None:
        self._traces = {path.name: read_trace(path) for path in _shipped()}
        self._replays: dict[str, Replay] = {}
        self.log, self.picture = choice(list(self._traces), _START), choice(_VIEWS, _VIEWS[0])
        self.event = slider(0, len(self._traces[_START]) - 1, 0)
        self.upload = file("Upload a log", _ENDINGS)
        self.upload.observe(self._take, "value")
        super().__init__({"log": self.log, "event": self.event, "picture": self.picture}, self.upload)

    def adapt(self, control: Any) -> None:
        """The slider ends with the last event of the log."""
        if control is self.log:
            self.event.value, self.event.max = 0, max(0, len(self._trace) - 1)

    def page(self) -> str:
        """See ``Lab.page``."""
        trace, replay = self._trace, self._replay(self.log.value)
        left = (
            bullets("What it adds up to", _amounts(trace)),
            bullets("Where it contradicts itself", _wrong(replay)),
            *self._causes(trace),
            bullets("About the file", [trace.origin, *trace.report.told()]),
        )
        return heading(f"{trace.title}: {_verdict(trace, replay)}") + beside(
            (LEFT, left), (RIGHT, (told(self._scene(trace), RIGHT),))
        )

    def summary(self) -> Scene:
        """A row for each log that is shipped."""
        lines = [_line(self._traces[path.name], self._replay(path.name)) for path in _shipped()]
        columns = ("log", "events", "moved", "queues stood still", "to and fro", "contradictions")
        return Scene("summary", "The logs that are shipped", (Table(columns, tuple(lines), kind="summary"),))

    def notes(self) -> Iterable[str]:
        """See ``Lab.notes``."""
        yield "All of them are simulated: svmlab wrote them, no driver did."

    def restart(self) -> None:
        """Go back to the start; what was uploaded stays among the logs."""
        self.event.max = len(self._traces[_START]) - 1
        super().restart()

    @property
    def _trace(self) -> Trace:
        return self._traces[self.log.value]

    def _replay(self, name: str) -> Replay:
        if name not in self._replays:
            self._replays[name] = self._traces[name].replay()
        return self._replays[name]

    def _take(self, change: Any) -> None:
        """Put an uploaded log among the others and show it; one that cannot be read is refused, and nothing changes."""
        given = uploaded(change.new)
        if given is None:
            return
        name, content = given
        try:
            trace = read_stream(BytesIO(content), Path(name))
        except SvmError as refused:
            self.message.value = refusal(str(refused))
            return
        self._replays.pop(trace.title, None)
        self._traces[trace.title] = trace
        with self._unobserved():
            self.log.options = [(each, each) for each in self._traces]
            self.log.value = trace.title
            self.adapt(self.log)
        self.draw()

    def _scene(self, trace: Trace) -> Scene:
        """The picture that was asked for; if nothing moved, there is no page map, and the timeline stands for it."""
        if self.picture.value == "counters":
            return counters(trace)
        if self.picture.value == "page map" and trace.log.count("migrate_start"):
            scene = pagemap_over_time(self._replay(self.log.value).moments())
            return replace(scene, title=f"Pages of {trace.title}, moment by moment")
        scene = timeline(trace)
        if not len(trace):
            return scene
        at = trace.log[self.event.value].time_ns
        panels = (
            replace(panel, marks=(*panel.marks, Mark("", at, "now", "now"))) if isinstance(panel, Chart) else panel
            for panel in scene.panels
        )
        title = f"{scene.title} of {trace.title}, event {self.event.value} marked"
        return replace(scene, title=title, panels=tuple(panels))

    def _causes(self, trace: Trace) -> list[str]:
        if not len(trace):
            return []
        chain = trace.why(self.event.value)
        steps = [f"{format_time(event.time_ns)}: {event}" for event in reversed(chain)]
        because = chain.reason
        said = [bullets(f"Why event {self.event.value}", steps)]
        return [*said, labelled("Inferred:", because)] if because else said


def _shipped() -> list[Path]:
    return sorted(path for path in data_path("traces").iterdir() if path.suffix in (".smi", ".rocr"))


def _verdict(trace: Trace, replay: Replay) -> str:
    found, count = trace.summary(), len(replay.contradictions)
    moved = about(_bytes(found))
    wrong = f"it contradicts itself {plural(count, one='time')}" if count else "it does not contradict itself"
    return f"{plural(found.events, one='event')}, {moved} moved; {wrong}"


def _bytes(found: Summary) -> int:
    return sum(move.nbytes for move in found.moved)


def _amounts(trace: Trace) -> list[str]:
    found = trace.summary()
    lines = [
        f"{about(move.nbytes)} from {place_name(move.source)} to {place_name(move.target)} by {move.trigger}, "
        f"in {plural(move.pieces, one='piece')}"
        for move in found.moved
    ]
    lines += [f"queues on {gpus} stood still {how}" for how, gpus in _stops(found.stopped).items()]
    lines += [
        f"gpu{fault.gpu}: {plural(fault.count, one='page fault')} took {format_time(fault.time_ns)}"
        for fault in found.faults
    ]
    lines += [f"{about(span.nbytes)} at {span.address:#x} moved {span.moves} times" for span in found.to_and_fro]
    return lines or ["nothing that a driver reports"]


def _stops(found: Iterable[Stopped]) -> dict[str, str]:
    """How long and how often, and the GPUs of which that is true."""
    alike: dict[str, list[int]] = {}
    for stop in found:
        how = f"{format_time(stop.time_ns)} in {plural(stop.count, one='stop')}"
        alike.setdefault(how, []).append(stop.gpu)
    return {how: gpu_names(gpus) for how, gpus in alike.items()}


def _wrong(replay: Replay) -> list[str]:
    wrong = [str(each) for each in replay.contradictions]
    return [*wrong[:_MOST], *([f"and {len(wrong) - _MOST} more"] if len(wrong) > _MOST else [])] or ["nowhere"]


def _line(trace: Trace, replay: Replay) -> Row:
    found = trace.summary()
    stood = format_time(max((stop.time_ns for stop in found.stopped), default=0))
    fro = str(len(found.to_and_fro))
    texts = (trace.title, str(found.events), about(_bytes(found)), stood, fro, str(len(replay.contradictions)))
    return Row(tuple(map(Cell, texts)))
