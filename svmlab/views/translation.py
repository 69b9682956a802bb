"""One address in every page table: the page and byte it is, and what each table makes of it."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING, Any

from svmlab.units import PAGE_SIZE
from svmlab.views.scene import Cell, Row, Scene, Table
from svmlab.views.source import gpu_names, place_name

if TYPE_CHECKING:
    from svmlab.svm.process import Process
    from svmlab.svm.translate import Entry

__all__ = ["tell_translation", "translation"]

_MOST = 4
_COLUMNS = ("table", "says", "access without a fault", "memory", "frame")


def translation(process: Process, address: int) -> Scene:
    """Picture what every page table of a process makes of one address.

    Args:
        process: whose tables.
        address: a byte of its address space, mapped or not.

    Returns:
        A scene with one table: a row for the CPU and one for each group of GPUs whose tables agree; a row whose owner
        reaches the byte without a fault is lit.

    >>> import svmlab as sl
    >>> p = sl.Process("toy")
    >>> a = p.mmap("4 KiB")
    >>> a[:] = 7
    >>> print(sl.describe(translation(p, a.address + 3)))
    Address 0x7e0000000003 is byte 3 of page 0x7e0000000. CPU table: a frame in RAM. gpu0-gpu2 tables: nothing.
    """
    # The entries of a table come from a process, and with it SimPy; who only draws needs neither.
    from svmlab.svm.translate import entries_of

    page, byte = divmod(address, PAGE_SIZE)
    cpu, *gpus = entries_of(process.driver, page)
    names = process.machine.location_name
    rows = [_row("CPU table", cpu, names)]
    for _, alike in groupby(sorted(gpus, key=_said), key=_said):
        same = list(alike)
        owners = [entry.gpu for entry in same]
        rows.append(_row(f"{gpu_names(owners)} table{'s' * (len(owners) > 1)}", same[0], names))
    title = f"Address {address:#x} is byte {byte} of page {page:#x}"
    return Scene("translation", title, (Table(_COLUMNS, tuple(rows), kind="translation"),))


def _said(entry: Entry) -> tuple[Any, ...]:
    # What is mapped comes first.
    return entry.says == "nothing", entry.location, entry.frame, entry.access, entry.says


def _row(name: str, entry: Entry, names: Any) -> Row:
    location = names(entry.location) if entry.frame >= 0 else ""
    frame = f"{entry.frame:#x}" if entry.frame >= 0 else "-"
    place = Cell(place_name(location) if location else "-", location)
    reached = "lit" if entry.access != "none" else "pale"
    return Row((Cell(name), Cell(entry.says), Cell(entry.access), place, Cell(frame)), reached)


def tell_translation(table: Table, title: str) -> list[str]:
    """Tell what the address is, and what each table says of it."""
    told = []
    for row in table.rows:
        name, says, access, memory, _frame = (cell.text for cell in row.cells)
        limit = ", read only" if access == "read" else ""
        place = "" if memory == "-" else f" in {'RAM' if memory == 'RAM' else f'VRAM of {memory}'}"
        told.append(f"{name}: {says}{place}{limit}")
    cpu, *gpus = told
    shown = gpus if len(gpus) <= _MOST else [*gpus[: _MOST - 1], f"{len(gpus) - _MOST + 1} more kinds of tables"]
    return [f"{title}.", f"{cpu}.", f"{'; '.join(shown)}."]
