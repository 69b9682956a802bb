"""PressureSweep: how much VRAM a working set needs, and what happens below that."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import chain

from svmlab.hardware.machine import Machine
from svmlab.svm.buffer_view import Buffer
from svmlab.svm.process import Process
from svmlab.uapi import SYSMEM
from svmlab.units import MIB, PAGE_SIZE, format_size
from svmlab.views import Axis, Bar, Cell, Chart, Lane, Mark, Row, Scene, Table, table, vram_map
from svmlab.views.scene import data
from svmlab.widgets.controls import choice, slider
from svmlab.widgets.lab import Lab
from svmlab.widgets.page import LEFT, RIGHT, beside, bullets, heading, labelled, told

__all__ = ["PressureSweep"]

_MOST = 4
_LEAST_MIB, _MOST_MIB = 2, 16
_AROUND = (-4, -3, -2, -1, 0, 1, 2)
_IN_ORDER, _TO_AND_FRO, _TWICE_AT_ONCE = "in order, twice", "to and fro", "each twice at once"


@dataclass(frozen=True, slots=True)
class _Order:
    """An order in which gpu0 reads the buffers, each of them twice.

    Attributes:
        of: puts the buffers into it.
        why: what follows from it where they do not all fit.
    """

    of: Callable[[list[Buffer]], list[Buffer]]
    why: str


_ORDERS = {
    _IN_ORDER: _Order(
        lambda buffers: buffers * 2,
        "the oldest buffer makes room, and it is the one that is wanted next: each pass moves everything again",
    ),
    _TO_AND_FRO: _Order(
        lambda buffers: buffers + buffers[::-1],
        "the way back begins with the buffers that came last, which are still there",
    ),
    _TWICE_AT_ONCE: _Order(
        lambda buffers: [buffer for buffer in buffers for _ in range(2)],
        "a buffer that makes room is not wanted any more, so each of them moves to gpu0 once",
    ),
}


@dataclass(frozen=True, slots=True)
class _Run:
    """What a capacity came to.

    Attributes:
        process: at the end.
        moved_in, evicted: bytes that went to VRAM and bytes that came home.
    """

    process: Process
    moved_in: int
    evicted: int


class PressureSweep(Lab):
    """Let gpu0 read each of some buffers of 1 MiB twice, with less VRAM than they need, or just enough.

    Before gpu0 reads a buffer, a prefetch brings it in; where there is no room, earlier buffers are evicted.

    Args:
        machine: name of a machine.

    Attributes:
        vram: the slider for the VRAM of each GPU, in MiB.
        buffers: the slider for the number of buffers.
        order: the control for the order of the reads.
        reset: the button that goes back to the start.
        view: VRAM map, sweep and reason, as HTML.

    >>> sweep = PressureSweep()
    >>> sweep.buffers.value = 2
    >>> "nothing is evicted" in sweep.view.value
    True
    """

    def __init__(self, machine: str = "toy") -> None:
        self._machine = Machine.find(machine)
        self._runs: dict[tuple[int, int, str], _Run] = {}
        self.vram = slider(_LEAST_MIB, _MOST_MIB, 5)
        self.buffers = slider(1, _MOST_MIB - max(_AROUND), 6)
        self.order = choice(list(_ORDERS), _IN_ORDER)
        super().__init__({"VRAM, MiB": self.vram, "buffers": self.buffers, "read": self.order})

    def page(self) -> str:
        """See ``Lab.page``."""
        vram_mib, count, order = self.vram.value, self.buffers.value, self.order.value
        run = self._run(vram_mib, count, order)
        left = (bullets("Evictions", self._evictions(run)), labelled("Why:", self._why(run, order)))
        sweep = Scene("sweep", "", (self._sweep(count, order, vram_mib),))
        right = (told(vram_map(run.process), RIGHT), told(sweep, RIGHT))
        verdict = f"{format_size(run.evicted)} come home again" if run.evicted else "nothing is evicted"
        title = f"{count} MiB of buffers, {vram_mib} MiB of VRAM: {format_size(run.moved_in)} move to gpu0, {verdict}"
        return heading(title) + beside((LEFT, left), (RIGHT, right))

    def summary(self) -> Scene:
        """The sweep of each order, with the buffers that there are at the start."""
        count = int(self._start[1])
        charts = tuple(self._sweep(count, order) for order in _ORDERS)
        return Scene("sweep", f"{count} MiB that gpu0 reads twice: what moves, by the size of VRAM", charts)

    def words(self, scene: Scene) -> str:
        """See ``Lab.words``: a row for each capacity, a column for each order."""
        charts = [chart for chart in scene.panels if isinstance(chart, Chart)]
        rows = [
            Row((Cell(lane.name), *(Cell(_told(chart, lane.name)) for chart in charts))) for lane in charts[0].lanes
        ]
        columns = ("", *(chart.title for chart in charts))
        return table(Scene("sweep", "", (Table(columns, tuple(rows)),)))

    def notes(self) -> Iterable[str]:
        """See ``Lab.notes``."""
        return (f"{order}: {each.why}." for order, each in _ORDERS.items())

    def _sweep(self, count: int, order: str, chosen: int | None = None) -> Chart:
        """A lane for each capacity, with what moves to gpu0 and then what comes home."""
        capacities = sorted({*self._near(count), *([] if chosen is None else [chosen])})
        runs = {f"{mib} MiB of VRAM": self._run(mib, count, order) for mib in capacities}
        bars = chain.from_iterable(_bars(lane, run) for lane, run in runs.items())
        here = [Mark(lane, 0, "here", "chosen") for mib, lane in zip(capacities, runs, strict=True) if mib == chosen]
        # Read in order, each buffer comes twice and goes home twice at most: one scale fits all orders.
        axis = Axis(0, 4 * count * MIB, "bytes", "moved")
        lanes = tuple(map(Lane, runs))
        return Chart(axis, lanes, tuple(bars), tuple(here), title=f"Read {order}", kind="sweep")

    def _near(self, count: int) -> list[int]:
        return [count + step for step in _AROUND if count + step >= _LEAST_MIB]

    def _evictions(self, run: _Run) -> list[str]:
        """Who made room for whom, from the log; only the first few."""
        ends = run.process.log.events("migrate_end")
        home = [event for event in ends if event.fields["target"] == SYSMEM]
        names = [f"{_owner(run.process, event.start)}: {event.npages} pages" for event in home]
        more = [f"and {len(names) - _MOST} more"] if len(names) > _MOST else []
        return [*names[:_MOST], *more] or ["none"]

    def _why(self, run: _Run, order: str) -> str:
        return _ORDERS[order].why if run.evicted else "all buffers fit, so the second read finds each of them in VRAM"

    def _run(self, vram_mib: int, count: int, order: str) -> _Run:
        key = vram_mib, count, order
        if key not in self._runs:
            self._runs[key] = self._go(vram_mib, count, _ORDERS[order])
        return self._runs[key]

    def _go(self, vram_mib: int, count: int, order: _Order) -> _Run:
        p = Process(self._machine, vram=f"{vram_mib} MiB", payload=False)
        buffers = [p.mmap("1 MiB", name=f"b{number}") for number in range(count)]
        for buffer in buffers:
            p.cpu_touch(buffer, write=True)
        for buffer in order.of(buffers):
            p.set_attr(buffer, access=["gpu0"], prefetch="gpu0")
            p.run()
            p.gpu_read("gpu0", buffer)
        moved = p.look.counters(0)
        return _Run(p, moved["page_in"] * PAGE_SIZE, moved["page_out"] * PAGE_SIZE)


def _bars(lane: str, run: _Run) -> Iterator[Bar]:
    comes, goes = format_size(run.moved_in), format_size(run.evicted)
    known = data(moved_in=run.moved_in, evicted=run.evicted)
    yield Bar(lane, 0, run.moved_in, "gpu0", f"{comes} to gpu0", comes, data=known)
    if run.evicted:
        yield Bar(lane, run.moved_in, run.moved_in + run.evicted, "cpu", f"{goes} home", goes)


def _told(chart: Chart, lane: str) -> str:
    return ", ".join(bar.label for bar in chart.bars if bar.lane == lane)


def _owner(process: Process, page: int) -> str:
    vma = process.driver.mm.vma_at(page)
    return vma.name if vma is not None else ""
