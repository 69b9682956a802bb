"""PressureSweep: how much VRAM a working set needs, and what happens below that."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from svmlab.hardware.machine import Machine
from svmlab.svm.process import Process
from svmlab.uapi import SYSMEM
from svmlab.units import PAGE_SIZE, format_size, format_time
from svmlab.views import Cell, Row, Scene, Table, svg, vram_map
from svmlab.widgets.controls import slider
from svmlab.widgets.lab import Lab
from svmlab.widgets.page import LEFT, RIGHT, beside, bullets, heading, labelled, told

__all__ = ["PressureSweep"]

_PASSES, _TOLD = 2, 4
_LEAST_MIB, _MOST_MIB = 2, 16
_AROUND = (-4, -2, -1, 0, 1, 2, 4)


@dataclass(frozen=True, slots=True)
class _Run:
    """What a capacity came to.

    Attributes:
        process: at the end.
        moved_in, evicted: bytes that went to VRAM and bytes that came home.
        lasted_ns: how long it took.
    """

    process: Process
    moved_in: int
    evicted: int
    lasted_ns: int


class PressureSweep(Lab):
    """Let gpu0 go twice through buffers of 1 MiB each, with less VRAM than they need, or just enough.

    Before gpu0 reads a buffer, a prefetch brings it in; where there is no room, earlier buffers are evicted.

    Args:
        machine: name of a machine.

    Attributes:
        vram: the slider for the VRAM of each GPU, in MiB.
        buffers: the slider for the number of buffers.
        reset: the button that goes back to the start.
        view: VRAM map, sweep and reason, as HTML.

    >>> sweep = PressureSweep()
    >>> sweep.buffers.value = 2
    >>> "nothing is evicted" in sweep.view.value
    True
    """

    def __init__(self, machine: str = "toy") -> None:
        self._machine = Machine.find(machine)
        self._runs: dict[tuple[int, int], _Run] = {}
        self.vram = slider(_LEAST_MIB, _MOST_MIB, 5)
        self.buffers = slider(1, _MOST_MIB - max(_AROUND), 6)
        super().__init__({"VRAM, MiB": self.vram, "buffers": self.buffers})

    def page(self) -> str:
        """See ``Lab.page``."""
        vram_mib, count = self.vram.value, self.buffers.value
        run = self._run(vram_mib, count)
        left = (bullets("Evictions", self._evictions(run)), labelled("Why:", self._why(run)))
        right = (told(vram_map(run.process), RIGHT), svg(self._sweep(count, vram_mib), width_px=RIGHT))
        verdict = f"{format_size(run.evicted)} come home again" if run.evicted else "nothing is evicted"
        title = f"{count} MiB of buffers, {vram_mib} MiB of VRAM: {format_size(run.moved_in)} move to gpu0, {verdict}"
        return heading(title) + beside((LEFT, left), (RIGHT, right))

    def summary(self) -> Scene:
        """What ``static`` shows: the sweep as it is at the start."""
        return self._sweep(self._start[1], self._start[0])

    def notes(self) -> Iterable[str]:
        """See ``Lab.notes``."""
        yield f"From {self._knee(self._start[1])} MiB on nothing is evicted."

    def _sweep(self, count: int, vram_mib: int) -> Scene:
        capacities = {*self._near(count), vram_mib}
        lines = [self._line(capacity, count, lit=capacity == vram_mib) for capacity in sorted(capacities)]
        columns = ("VRAM", "moved to gpu0", "evicted", "takes")
        title = f"{count} MiB in {_PASSES} passes: the knee is at {self._knee(count)} MiB"
        return Scene("sweep", title, (Table(columns, tuple(lines), kind="sweep"),))

    def _line(self, vram_mib: int, count: int, *, lit: bool) -> Row:
        run = self._run(vram_mib, count)
        sizes = (format_size(run.moved_in), format_size(run.evicted), format_time(run.lasted_ns))
        return Row(tuple(map(Cell, (f"{vram_mib} MiB", *sizes))), "lit" if lit else "")

    def _near(self, count: int) -> list[int]:
        return [count + step for step in _AROUND if count + step >= _LEAST_MIB]

    def _knee(self, count: int) -> int:
        """The least capacity of the sweep with which nothing is evicted."""
        return min(vram_mib for vram_mib in self._near(count) if not self._run(vram_mib, count).evicted)

    def _evictions(self, run: _Run) -> list[str]:
        """Who made room for whom, from the log; only the first few."""
        ends = run.process.log.events("migrate_end")
        home = [event for event in ends if event.fields["target"] == SYSMEM]
        told_ = [f"{_owner(run.process, event.start)}: {event.npages} pages" for event in home]
        more = [f"and {len(told_) - _TOLD} more"] if len(told_) > _TOLD else []
        return [*told_[:_TOLD], *more] or ["none"]

    def _why(self, run: _Run) -> str:
        if not run.evicted:
            return "all buffers fit, so the second pass finds them in VRAM"
        return "the oldest buffer makes room, and it is the one that is wanted next: each pass moves everything again"

    def _run(self, vram_mib: int, count: int) -> _Run:
        key = vram_mib, count
        if key not in self._runs:
            self._runs[key] = self._go(vram_mib, count)
        return self._runs[key]

    def _go(self, vram_mib: int, count: int) -> _Run:
        p = Process(self._machine, vram=f"{vram_mib} MiB", payload=False)
        buffers = [p.mmap("1 MiB", name=f"b{number}") for number in range(count)]
        for buffer in buffers:
            p.cpu_touch(buffer, write=True)
        begin_ns = p.now
        for buffer in buffers * _PASSES:
            p.set_attr(buffer, access=["gpu0"], prefetch="gpu0")
            p.run()
            p.gpu_read("gpu0", buffer)
        moved = p.look.counters(0)
        return _Run(p, moved["page_in"] * PAGE_SIZE, moved["page_out"] * PAGE_SIZE, p.now - begin_ns)


def _owner(process: Process, page: int) -> str:
    vma = process.driver.mm.vma_at(page)
    return vma.name if vma is not None else ""
