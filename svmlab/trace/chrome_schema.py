"""What a trace file in Chrome's format must be: its schema, and what must hold between its events."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

__all__ = ["ChromeFile", "Shown", "complaints", "parse"]

_SHOWN = 5
_NS = 1e-3
"""A nanosecond in the format's microseconds; what is nearer than half of it is the same moment."""
_Number = Annotated[int, Field(ge=0, lt=1 << 63)]


class _Open(BaseModel):
    """The format lets anybody add keys."""

    model_config = ConfigDict(extra="ignore", strict=True)


class Name(_Open):
    """What a process or a track is called."""

    ph: Literal["M"]
    name: str
    pid: _Number
    tid: _Number | None = None
    args: dict[str, Any] = Field(default_factory=dict)


class Shown(_Open):
    """One event of a track: ``B`` and ``E`` begin and end a slice, ``X`` is a whole one, ``i`` takes no time."""

    ph: Literal["B", "E", "X", "i"]
    name: str = ""
    ts: float = Field(ge=0, lt=1e16, strict=False)
    dur: float = Field(default=0, ge=0, lt=1e16, strict=False)
    pid: _Number
    tid: _Number
    args: dict[str, Any] = Field(default_factory=dict)

    @property
    def end(self) -> float:
        """When it is over."""
        return self.ts + self.dur


class Origin(_Open):
    """Who wrote the file, and what svmlab's own have: where the log came from, GPU ids, tasks with their process."""

    producer: str = ""
    origin: str = ""
    gpus: list[_Number] = Field(default_factory=list)
    tasks: list[tuple[str, int]] = Field(default_factory=list)


class ChromeFile(_Open):
    """A trace file.

    Attributes:
        trace_events: in the order of the file.
        other: who wrote it.
    """

    trace_events: list[Annotated[Name | Shown, Field(discriminator="ph")]] = Field(alias="traceEvents")
    other: Origin = Field(alias="otherData", default_factory=Origin)

    @property
    def shown(self) -> list[Shown]:
        """The events that stand on tracks."""
        return [event for event in self.trace_events if isinstance(event, Shown)]


def parse(text: bytes) -> tuple[ChromeFile | None, list[str]]:
    """Read a file by its schema.

    Returns:
        The file and nothing; or nothing, and the first few things that are wrong with it, each with its place.

    >>> parse(b'{"traceEvents":[{"ph":"X","name":"copy","ts":0,"dur":-1,"pid":1,"tid":1}]}')
    (None, ['traceEvents.0.X.dur: input should be greater than or equal to 0'])
    """
    try:
        return ChromeFile.model_validate_json(text), []
    except ValidationError as wrong:
        found = wrong.errors(include_url=False, include_context=False, include_input=False)
        return None, [_told(error["loc"], error["msg"]) for error in found[:_SHOWN]]


def _told(place: Iterable[Any], message: str) -> str:
    where = ".".join(map(str, place))
    return f"{where}: {message[:1].lower()}{message[1:]}"


def complaints(file: ChromeFile) -> list[str]:
    """What does not hold between the events of a file.

    Every track has a name, slices of a track nest or are disjoint, each end has a beginning of its name, and events of
    svmlab have their own numbers, none twice, and causes that came before them.

    Args:
        file: as ``parse`` read it.

    >>> slices = [{"ph": "X", "name": name, "ts": ts, "dur": 2, "pid": 1, "tid": 1} for ts, name in enumerate("ab")]
    >>> complaints(ChromeFile.model_validate({"traceEvents": slices}))
    ['track 1 of process 1 has no name', 'track 1 of process 1: b at 1.000 us ends after a, in which it began']
    """
    named = {
        (each.pid, each.tid) for each in file.trace_events if isinstance(each, Name) and each.name == "thread_name"
    }
    tracks: defaultdict[tuple[int, int], list[Shown]] = defaultdict(list)
    for event in file.shown:
        tracks[event.pid, event.tid].append(event)
    found = [f"track {tid} of process {pid} has no name" for pid, tid in tracks if (pid, tid) not in named]
    for (pid, tid), events in tracks.items():
        found += [f"track {tid} of process {pid}: {wrong}" for wrong in _crossing(events)]
    return [*found, *_wrong_numbers(file.shown)]


def _crossing(events: list[Shown]) -> Iterator[str]:
    """Slices of one track that neither nest nor are disjoint, and ends without a beginning."""
    open_: list[tuple[str, float]] = []
    for event in sorted(events, key=lambda each: each.ts):
        while open_ and open_[-1][1] <= event.ts + _NS / 2:
            open_.pop()
        if event.ph == "E":
            yield from _closed(open_, event)
        elif event.ph in "BX":
            end = event.end if event.ph == "X" else float("inf")
            outer = min(open_, key=lambda each: each[1], default=None)
            if outer and event.ph == "X" and end > outer[1] + _NS / 2:
                yield f"{event.name} at {event.ts:.3f} us ends after {outer[0]}, in which it began"
            open_.append((event.name, end))


def _closed(open_: list[tuple[str, float]], event: Shown) -> Iterator[str]:
    """End the innermost slice that has no end yet: nothing else may go on in it."""
    if open_ and open_[-1][1] != float("inf"):
        yield f"{event.name} ends at {event.ts:.3f} us while {open_[-1][0]} goes on in it"
    while open_ and open_[-1][1] != float("inf"):
        open_.pop()
    if not open_:
        yield f"{event.name} ends at {event.ts:.3f} us and has not begun"
    elif open_.pop()[0] != event.name != "":
        yield f"{event.name} ends at {event.ts:.3f} us while another slice goes on in it"


def _wrong_numbers(events: list[Shown]) -> Iterator[str]:
    seen: set[int] = set()
    for event in events:
        number, cause = event.args.get("id"), event.args.get("cause", -1)
        if number is None:
            continue
        if number in seen:
            yield f"two events have the number {number}"
        seen.add(number)
        if not isinstance(cause, int) or cause >= number:
            yield f"event {number} follows from event {cause}, which comes later"
