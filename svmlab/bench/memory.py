"""What page state costs: resident bytes a page, and what a migration takes for a while; each in a fresh process."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from time import perf_counter_ns

from svmlab.bench.harness import Row
from svmlab.errors import InputError
from svmlab.svm.buffer_view import Buffer
from svmlab.svm.process import Process
from svmlab.units import GIB, MIB

__all__ = ["MEASURED", "measured", "rows"]

_RAM_SHARE = 8
"""The machine has an eighth more RAM than the buffer, since ranges may not reserve all of it."""
_LEFT_BYTES = 12
"""What a migration leaves for each page: of VRAM the owner (4), references and flags; of RAM the flags; 5 on a GPU."""


def rows(state_gib: int = 128, moved_gib: int = 16) -> Iterator[Row]:
    """Measure everything.

    Args:
        state_gib: how much memory is populated, and mapped.
        moved_gib: how much is migrated.

    Raises:
        InputError: the operating system does not tell what a process takes as Linux does.
    """
    yield _row("populated", state_gib, f"page state of {state_gib} GiB, populated", "bytes a page", 6.0)
    yield _row("mapped", state_gib, f"{state_gib} GiB mapped by a GPU", "more bytes a page", 5.0)
    yield _row("moved", moved_gib, f"for a while, {moved_gib} GiB to VRAM", "MiB beyond what it leaves", 64.0)
    yield _row("scattered", moved_gib, f"the same from frames in no order, {moved_gib} GiB", "MiB, as above", 64.0)


def _row(what: str, gib: int, name: str, base: str, goal: float) -> Row:
    if not sys.platform.startswith("linux"):
        raise InputError("bench memory on this operating system", allowed="Linux: it reads /proc/self")
    begin = perf_counter_ns()
    script = f"from svmlab.bench.memory import measured; print(measured({what!r}, {gib}))"
    done = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    value = round(float(done.stdout), 2)
    ms = (perf_counter_ns() - begin) / 1e6
    return Row(name=name, ratio=value, goal=goal, met=value <= goal, spread=(value, value), base=base, ms=ms)


def measured(what: str, gib: int) -> float:
    """Measure in this process, which should not have done anything else.

    Args:
        what: a key of ``MEASURED``.
        gib: how much memory it is done with.

    Returns:
        Bytes a page, or MiB.
    """
    nbytes = gib * GIB
    process = Process("toy", ram=nbytes + nbytes // _RAM_SHARE, vram=nbytes + nbytes // _RAM_SHARE, payload=False)
    return MEASURED[what](process, process.mmap(nbytes))


def _populated(process: Process, buffer: Buffer) -> float:
    before = _resident()
    process.cpu_touch(buffer, write=True)
    return (_resident() - before) / buffer.npages


def _mapped(process: Process, buffer: Buffer) -> float:
    process.cpu_touch(buffer, write=True)
    before = _resident()
    process.set_attr(buffer, access=["gpu0"])
    process.run()
    return (_resident() - before) / buffer.npages


def _moved(process: Process, buffer: Buffer) -> float:
    process.cpu_touch(buffer, write=True)
    return _transient(process, buffer)


def _scattered(process: Process, buffer: Buffer) -> float:
    process.cpu_touch(buffer, write=True)
    table, span = process.driver.mm.table, buffer.span
    for _, entries in table.blocks(span.start, span.last, write=True):
        entries[:] = entries[::-1].copy()
    return _transient(process, buffer)


def _transient(process: Process, buffer: Buffer) -> float:
    """MiB that the way to VRAM takes at most, beyond what was resident before and what it leaves."""
    before = _resident()
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # the highest mark starts over
    process.set_attr(buffer, access=["gpu0"], prefetch="gpu0")
    process.run()
    return (_resident("VmHWM") - before - _LEFT_BYTES * buffer.npages) / MIB


def _resident(key: str = "VmRSS") -> int:
    """Bytes of this process in memory now, or at most so far (VmHWM)."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) << 10 for line in lines if line.startswith(key))


MEASURED: dict[str, Callable[[Process, Buffer], float]] = {
    "populated": _populated,
    "mapped": _mapped,
    "moved": _moved,
    "scattered": _scattered,
}
"""What can be measured."""
