"""AddressExplorer: one address after the other, and what every page table makes of it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from svmlab.hardware.machine import Machine
from svmlab.svm.buffer_view import Buffer
from svmlab.svm.process import Process
from svmlab.units import PAGE_SIZE
from svmlab.views import Cell, Mark, Row, Scene, Table, pagemap, svg, translation
from svmlab.widgets.controls import choice, slider
from svmlab.widgets.lab import Lab
from svmlab.widgets.page import beside, heading, labelled, told

__all__ = ["AddressExplorer"]

_NPAGES = 1024
_MOVED, _WRITTEN = 512, 256
_BITS = 12
_WIDTH = 680
_TOUCHES = {"nobody": "", "the CPU reads it": "read", "the CPU writes it": "write", "gpu0 reads it": "gpu0"}


class AddressExplorer(Lab):
    """Choose a page and a byte of a buffer of 4 MiB, let somebody touch it, and see what each page table says.

    The first 512 pages were prefetched to gpu0; the CPU wrote the next 256; nobody touched the rest.

    Args:
        machine: name of a machine.

    Attributes:
        page_number, byte: the controls for the address.
        touch: the control for who touches it before the look.
        reset: the button that goes back to the start.
        view: the tables' entries, the page map and the address in bits, as HTML.

    >>> explorer = AddressExplorer("toy")
    >>> explorer.page_number.value = 1023
    >>> "CPU table: nothing" in explorer.view.value
    True
    """

    def __init__(self, machine: str = "mi210-two-hives") -> None:
        self._machine = Machine.find(machine)
        self.page_number = slider(0, _NPAGES - 1, 0)
        self.byte = slider(0, PAGE_SIZE - 1, 8)
        self.touch = choice(_TOUCHES, "")
        super().__init__({"page": self.page_number, "byte": self.byte, "touched by": self.touch})

    def page(self) -> str:
        """See ``Lab.page``."""
        number = self.page_number.value
        process, buffer, came = self._touched(number, self.touch.value)
        address = buffer.address + number * PAGE_SIZE + self.byte.value
        walk, where = translation(process, address), pagemap(process, buffer)
        (tables,) = where.charts
        marked = replace(tables, marks=(Mark("", number, "here", f"page {number}"),))
        bits = f"{address >> _BITS:#x} is the page, {address % PAGE_SIZE:#05x} the byte: the lower {_BITS} bits"
        return (
            heading(walk.title)
            + beside((_WIDTH, (told(walk, _WIDTH), svg(replace(where, panels=(marked,)), width_px=_WIDTH))))
            + labelled("Address", f"{address:#x}: {bits}")
            + labelled("Block", f"pages {number // 512 * 512} to {number // 512 * 512 + 511} of the buffer")
            + labelled("Touch", came)
        )

    def summary(self) -> Scene:
        """One page of each kind, untouched."""
        process, buffer, _came = self._touched(0, "")
        lines = [row for number in (0, _MOVED, _NPAGES - 1) for row in self._rows(process, buffer, number)]
        columns = ("page", "table", "says", "access without a fault", "memory", "frame")
        title = "One buffer, three kinds of pages"
        return Scene("summary", title, (Table(columns, tuple(lines), kind="summary"),))

    def notes(self) -> Iterable[str]:
        """What a touch makes of such a page."""
        for number in (0, _MOVED, _NPAGES - 1):
            for name, touch in _TOUCHES.items():
                if touch:
                    yield f"page {number}, {name}: {self._touched(number, touch)[2]}"

    def _rows(self, process: Process, buffer: Buffer, number: int) -> Iterable[Row]:
        (table,) = translation(process, buffer.address + number * PAGE_SIZE).tables
        for row in table.rows:
            yield Row((Cell(str(number)), *row.cells), row.style)

    def _touched(self, number: int, touch: str) -> tuple[Process, Buffer, str]:
        """Make the buffer, touch a page of it, wait until all is at rest, and tell what came of it."""
        p = Process(self._machine, vram="64 MiB")
        a = p.mmap(_NPAGES * PAGE_SIZE, name="a")
        a[: (_MOVED + _WRITTEN) * PAGE_SIZE] = 7
        p.set_attr(a.pages(0, _MOVED), access=["gpu0"], prefetch="gpu0")
        p.run()
        since = len(p.log)
        work = p.start.gpu_read("gpu0", a.pages(number)) if touch == "gpu0" else None
        if touch in ("read", "write"):
            p.cpu_touch(a.pages(number), write=touch == "write")
        p.run()
        if work is not None and work.error is not None:
            return p, a, f"fatal: {work.error.given}"
        return p, a, _came_of_it(p, since) if touch else "nobody touched it"


def _came_of_it(process: Process, since: int) -> str:
    """What a touch made happen, from the log."""
    moved = [int(event.fields["npages"]) for event in process.log.events("migrate_end", since=since)]
    if moved:
        return f"a fault brought {sum(moved)} pages home"
    made = process.log.events("populate", since=since)
    return f"a fault: {made[0]}" if made else "no fault"
