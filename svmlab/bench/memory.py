"""What page state costs: resident bytes a page, and what bulk work takes for a while; each in a fresh process.

What work takes for a while is how much more is resident at most while it is done than before and after. It is done once
before it is measured, so that all that it leaves is there already.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from time import perf_counter_ns

import numpy as np

from svmlab.bench.harness import PAIRS, Row, judged
from svmlab.errors import InputError
from svmlab.svm.buffer_view import Buffer
from svmlab.svm.process import Process
from svmlab.units import GIB, MIB, format_size

__all__ = ["MEASURED", "measured", "rows"]

_RAM_SHARE = 8
"""The machine has an eighth more RAM than the buffer, since ranges may not reserve all of it."""
_NOTHING_KEPT = {"MALLOC_TRIM_THRESHOLD_": "0", "MALLOC_MMAP_THRESHOLD_": "65536"}
"""glibc gives back at once what is freed: what it keeps for later would hide what is taken the next time."""
_MOST_MIB = 64.0
GOALS = {"populated": (6.0, "bytes a page"), "mapped": (5.0, "more bytes a page")}
"""What stays may be at most so much; what is taken for a while ``_MOST_MIB``."""


def rows(
    pairs: int = PAIRS, *, state: int = 128 * GIB, moved: int = 4 * GIB, contents: int = GIB // 2
) -> Iterator[Row]:
    """Measure everything.

    Args:
        pairs: how often, each time in a fresh process.
        state: how many bytes are populated, and mapped.
        moved: how many are migrated, as page state.
        contents: how many are migrated and swapped with their contents.

    Raises:
        InputError: the operating system does not tell what a process takes as Linux does.
    """
    if not sys.platform.startswith("linux"):
        raise InputError("bench memory on this operating system", allowed="Linux: it reads /proc/self")
    yield _row("populated", state, pairs, f"page state of {format_size(state)}, populated")
    yield _row("mapped", state, pairs, f"{format_size(state)} mapped by a GPU")
    for what, nbytes in [(what, moved) for what in STATE] + [(what, contents) for what in CONTENTS]:
        yield _row(what, nbytes, pairs, f"for a while, {format_size(nbytes)} {TRANSIENTS[what]}")


def _row(what: str, nbytes: int, pairs: int, name: str) -> Row:
    begin = perf_counter_ns()
    values = [_in_a_process(what, nbytes) for _ in range(pairs)]
    goal, unit = GOALS.get(what, (_MOST_MIB, "MiB beyond before and after"))
    return judged(name, values, goal, base=unit, ms=(perf_counter_ns() - begin) / pairs / 1e6)


def _in_a_process(what: str, nbytes: int) -> float:
    script = f"from svmlab.bench.memory import measured; print(measured({what!r}, {nbytes}))"
    environment = os.environ | (_NOTHING_KEPT if what in TRANSIENTS else {})
    done = subprocess.run([sys.executable, "-c", script], env=environment, check=True, capture_output=True, text=True)
    return max(0.0, float(done.stdout))


def measured(what: str, nbytes: int) -> float:
    """Measure in this process, which should not have done anything else.

    Args:
        what: a key of ``MEASURED``.
        nbytes: how much memory it is done with.

    Returns:
        Bytes a page, or MiB.
    """
    room = nbytes + nbytes // _RAM_SHARE
    process = Process("toy", ram=room, vram=room, payload=what in CONTENTS)
    _mapped(process, process.mmap("4 MiB"))  # what is made once, however many pages there are, is there then
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
    return _transient(partial(_to_vram, process, buffer), partial(_home, process, buffer))


def _scattered(process: Process, buffer: Buffer) -> float:
    process.cpu_touch(buffer, write=True)
    return _transient(partial(_to_vram, process, buffer), partial(_home_in_no_order, process, buffer))


def _swapped_out(process: Process, buffer: Buffer) -> float:
    process.cpu_write(buffer, 7)
    return _transient(partial(process.swap_out, buffer), partial(process.cpu_touch, buffer, write=True))


def _swapped_in(process: Process, buffer: Buffer) -> float:
    process.cpu_write(buffer, 7)
    return _transient(partial(process.cpu_touch, buffer, write=True), partial(process.swap_out, buffer))


def _to_vram(process: Process, buffer: Buffer) -> None:
    process.set_attr(buffer, access=["gpu0"], prefetch="gpu0")
    process.run()


def _home(process: Process, buffer: Buffer) -> None:
    process.set_attr(buffer, prefetch="cpu")
    process.run()


def _home_in_no_order(process: Process, buffer: Buffer) -> None:
    _home(process, buffer)
    table, span = process.driver.mm.table, buffer.span
    for _, entries in table.blocks(span.start, span.last, write=True):
        entries[:] = np.random.default_rng(1).permutation(entries)


def _transient(work: Callable[[], object], undo: Callable[[], object]) -> float:
    """MiB that some work takes at most, beyond what is resident before and after it."""
    undo()
    work()
    undo()
    before = _resident()
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # the highest mark starts over
    work()
    return (_resident("VmHWM") - max(before, _resident())) / MIB


def _resident(key: str = "VmRSS") -> int:
    """Bytes of this process in memory now, or at most so far (VmHWM)."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) << 10 for line in lines if line.startswith(key))


TRANSIENTS = {
    "moved": "to VRAM, page state",
    "scattered": "to VRAM from frames in no order, page state",
    "moved bytes": "to VRAM with contents",
    "scattered bytes": "to VRAM from frames in no order, with contents",
    "swapped out": "to swap with contents",
    "swapped in": "from swap with contents",
}
"""What is measured while it is done."""
STATE, CONTENTS = tuple(TRANSIENTS)[:2], tuple(TRANSIENTS)[2:]
"""Those that are measured without contents, and with them."""
MEASURED: dict[str, Callable[[Process, Buffer], float]] = {
    "populated": _populated,
    "mapped": _mapped,
    "moved": _moved,
    "scattered": _scattered,
    "moved bytes": _moved,
    "scattered bytes": _scattered,
    "swapped out": _swapped_out,
    "swapped in": _swapped_in,
}
"""What can be measured."""
