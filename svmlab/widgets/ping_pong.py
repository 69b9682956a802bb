"""PingPong: the CPU and a GPU take turns on one buffer, and pages follow."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from svmlab.hardware.machine import Machine
from svmlab.mm.span import Span
from svmlab.svm.process import Process
from svmlab.units import PAGE_SIZE, format_size, format_time
from svmlab.views import Cell, Row, Scene, Table, pagemap, svg, timeline
from svmlab.views.source import plural
from svmlab.widgets.controls import choice, slider
from svmlab.widgets.lab import Lab
from svmlab.widgets.page import LEFT, RIGHT, beside, heading, labelled, told

__all__ = ["PingPong"]

_FAULTS, _PREFETCH, _STAY = "GPU faults", "prefetch", "nothing"
_WAYS = {"its own faults (xnack on)": _FAULTS, "a prefetch each turn": _PREFETCH, "nothing, they stay": _STAY}
_TURNS = 5


@dataclass(frozen=True, slots=True)
class _Turn:
    """One turn.

    Attributes:
        who: who touches the pages.
        faults: how many faults the driver served.
        moved_pages: how many pages moved, in both directions together.
        lasted_ns: how long the turn took, waiting included.
    """

    who: str
    faults: int
    moved_pages: int
    lasted_ns: int


class PingPong(Lab):
    """Let the CPU and gpu0 write the same few pages in turn, and count the bytes that move for it.

    Args:
        machine: name of a machine.
        size: of the buffer.

    Attributes:
        granularity: the slider for the granularity, log2 of pages.
        touched: the slider for how many pages are touched, from the first on.
        by: the control for what brings pages to gpu0.
        reset: the button that goes back to the start.
        view: turns, page map, timeline and reason, as HTML.

    >>> game = PingPong("toy", size="64 KiB")
    >>> game.by.value = "nothing"
    >>> "nothing moves" in game.view.value
    True
    """

    def __init__(self, machine: str = "toy", size: str = "4 MiB") -> None:
        self._machine, self._size = Machine.find(machine), size
        self.granularity = slider(0, 10, 9)
        self.touched = slider(1, 16, 1)
        self.by = choice(_WAYS, _FAULTS)
        super().__init__({"granularity": self.granularity, "pages": self.touched, "to gpu0 by": self.by})

    def page(self) -> str:
        """See ``Lab.page``."""
        process, buffer, turns = self._play(self.granularity.value, self.touched.value, self.by.value)
        left = (told(pagemap(process, buffer), LEFT), labelled("Why:", self._why(turns)))
        picture = svg(_table(turns, self.touched.value), width_px=RIGHT)
        right = (picture, told(timeline(process, since=process.log.events("attributes")[0].id), RIGHT))
        return heading(_verdict(turns, self.touched.value)) + beside((LEFT, left), (RIGHT, right))

    def summary(self) -> Scene:
        """A row for each granularity that matters, number of pages and way to gpu0."""
        lines = [self._line(way, value, npages) for npages in (1, 8) for way, value in self._cases()]
        columns = ("to gpu0 by", "granularity", "pages touched", "faults", "moved", "for each byte touched", "takes")
        title = f"What {_TURNS} turns cost"
        return Scene("summary", title, (Table(columns, tuple(lines), kind="summary"),))

    def notes(self) -> Iterable[str]:
        """See ``Lab.notes``."""
        yield "With small blocks little moves and many faults are taken; with large ones it is the other way round."

    def _cases(self) -> list[tuple[str, int]]:
        return [*((_FAULTS, value) for value in (0, 3, 9)), (_PREFETCH, 0), (_PREFETCH, 9), (_STAY, 9)]

    def _line(self, way: str, granularity: int, npages: int) -> Row:
        _, _, turns = self._play(granularity, npages, way)
        moved, faults = sum(turn.moved_pages for turn in turns), sum(turn.faults for turn in turns)
        lasted = format_time(sum(turn.lasted_ns for turn in turns))
        share = moved / (npages * len(turns))
        texts = (way, granularity, npages, faults, format_size(moved * PAGE_SIZE), f"{share:g}", lasted)
        return Row(tuple(Cell(str(text)) for text in texts))

    def _why(self, turns: list[_Turn]) -> str:
        block = format_size(PAGE_SIZE << self.granularity.value)
        if not any(turn.moved_pages for turn in turns):
            return "nobody asks for a move: gpu0 maps the pages in RAM and reaches them over the bus"
        if self.by.value == _PREFETCH:
            return f"the first prefetch moves all, a CPU fault brings a block of {block} home, the next moves that one"
        return f"each fault moves the block of {block} around the page, in either direction"

    def _play(self, granularity: int, npages: int, way: str) -> tuple[Process, Any, list[_Turn]]:
        p = Process(self._machine, xnack=way == _FAULTS)
        a = p.mmap(self._size, name="a")
        a[:] = 7
        preferred: dict[str, Any] = {"preferred": "gpu0"} if way == _FAULTS else {}
        p.set_attr(a, access=["gpu0"], granularity=granularity, **preferred)
        p.run()
        touched = Span(a.address, npages * PAGE_SIZE)
        return p, a, [_turn(p, a, touched, way, gpu=number % 2 == 0) for number in range(_TURNS)]


def _turn(p: Process, a: Any, touched: Span, way: str, *, gpu: bool) -> _Turn:
    # A fault on a range that was mapped less than 2 ms ago is dropped; who comes later is served at once.
    p.run(for_ns="3 ms")
    since, begin_ns = len(p.log), p.now
    if gpu and way == _PREFETCH:
        p.set_attr(a, prefetch="gpu0")
    if gpu:
        p.gpu_write("gpu0", touched, 1)
    else:
        p.cpu_write(touched, 2)
    lasted_ns = p.now - begin_ns
    p.run()
    faults = p.log.count("page_fault_end", since=since) + p.log.count("cpu_fault", since=since)
    moved = p.log.field("migrate_end", "npages", p.log.select("migrate_end", since=since))
    return _Turn("gpu0" if gpu else "CPU", faults, int(moved.sum()), lasted_ns)


def _table(turns: list[_Turn], npages: int) -> Scene:
    lines = [
        (number, turn.who, npages, turn.faults, format_size(turn.moved_pages * PAGE_SIZE), format_time(turn.lasted_ns))
        for number, turn in enumerate(turns, 1)
    ]
    rows = tuple(Row(tuple(Cell(str(value)) for value in line)) for line in lines)
    table = Table(("turn", "who", "pages touched", "faults", "moved", "takes"), rows, kind="turns")
    return Scene("turns", f"{plural(npages, one='page')}, turn by turn", (table,))


def _verdict(turns: list[_Turn], npages: int) -> str:
    moved, touched = sum(turn.moved_pages for turn in turns), npages * len(turns)
    text = f"{len(turns)} turns touch {format_size(touched * PAGE_SIZE)} in all"
    if not moved:
        return f"{text}, and nothing moves"
    faults = sum(turn.faults for turn in turns)
    return (
        f"{text} and move {format_size(moved * PAGE_SIZE)}: {moved / touched:g} for each byte touched, {faults} faults"
    )
