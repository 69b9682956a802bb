"""Notebook 06, prefetch, preferred, and their price."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from itertools import product
from typing import Any, NamedTuple

import numpy as np

from svmlab.course.exercise import Exercise, Kind, Miss, Prediction, Question
from svmlab.course.kinds import on_cases, one_number
from svmlab.course.mishap import attempt as tried
from svmlab.errors import SvmError
from svmlab.hardware.machine import Machine
from svmlab.svm.buffer_view import Buffer
from svmlab.svm.process import Process
from svmlab.uapi import SYSMEM
from svmlab.units import PAGE_SIZE, format_time

__all__ = ["EXERCISES", "PREDICTIONS"]

_PAGES = 1024


def _ready(*, xnack: bool, npages: int = _PAGES, **asked: Any) -> tuple[Process, Buffer]:
    """A buffer in RAM of the small machine, with attributes that are older than 2 ms."""
    p = Process("toy", xnack=xnack, payload=False)
    a = p.mmap(npages * PAGE_SIZE, name="a", populate=True)
    if asked:
        p.set_attr(a, **asked)
    p.advance("2 ms")
    return p, a


def _moved(p: Process, since: int) -> int:
    return int(p.log.field("migrate_end", "npages", p.log.select("migrate_end", since=since)).sum())


def _late_and_early() -> dict[str, str]:
    """Prefer and touch, prefetch and touch; then stop queues for a prefetch."""
    p, a = _ready(xnack=True, preferred="gpu0")
    call, since = _moved(p, 0), len(p.log)
    p.gpu(0).touch(a.pages(0))
    touch = _moved(p, since)
    p, a = _ready(xnack=True, prefetch="gpu0")
    p.gpu(0).touch(a)
    faults = p.log.count("page_fault_end")
    return {"call": str(call), "touch": str(touch), "faults": str(faults), "stopped": _stopped()}


def _stopped() -> str:
    p, a = _ready(xnack=False, access=["gpu0"])
    p.set_attr(a, prefetch="gpu0")
    p.run()
    if not p.log.count("queue_eviction"):
        return "not at all"
    begin, end = (p.log.events(kind)[0].time_ns for kind in ("queue_eviction", "queue_restore"))
    return "1 ms or longer" if end - begin >= 1_000_000 else "during the copy alone"


PREDICTIONS = (
    Prediction(
        "06.p1",
        (
            Question(
                "call",
                "A call sets the preferred location to gpu0. How many pages does it move?",
                ("0", "512", "1024"),
                "the call only writes the preference into the range",
            ),
            Question(
                "touch",
                "Then gpu0 touches one page. How many pages move?",
                ("1", "512", "1024"),
                "the fault reads the preference, and moves the block around the page",
            ),
            Question(
                "faults",
                "All of a buffer that was prefetched to gpu0 is touched by gpu0. How many faults are served?",
                ("0", "1", "2"),
                "the prefetch has moved and mapped all pages before the call returns",
            ),
            Question(
                "stopped",
                "With xnack off, how long do the queues stand still for a prefetch?",
                ("not at all", "during the copy alone", "1 ms or longer"),
                "they stop when the pages leave RAM, and the restore worker waits for 1 ms before it lets them run",
            ),
        ),
        _late_and_early,
    ),
)

# 06.1: what the calls move, and what the touch meets


class _Setting(NamedTuple):
    letter: str
    xnack: bool
    calls: tuple[Mapping[str, Any], ...]
    rule: str


_MINE = ["gpu0"]
_BLOCKS = "a preference moves nothing; each block that gpu0 touches is one fault"
_THERE = "a prefetch moves all pages and maps them for gpu0, so there is nothing to fault on"
_SETTINGS = (
    _Setting("A", True, ({"preferred": "gpu0"},), _BLOCKS),
    _Setting("B", True, ({"prefetch": "gpu0"},), _THERE),
    _Setting("C", True, ({"preferred": "gpu0", "granularity": 8},), f"{_BLOCKS}, here of 256 pages"),
    _Setting("D", False, ({"access": _MINE, "preferred": "gpu0"},), "xnack off: mapped ahead in RAM, without faults"),
    _Setting("E", False, ({"access": _MINE, "prefetch": "gpu0"},), "xnack off: a prefetch moves, and nobody faults"),
    _Setting("F", True, ({"prefetch": "gpu0"}, {"preferred": "cpu"}), f"{_THERE}; the preference is never read"),
    _Setting("G", True, ({"preferred": "gpu0"}, {"prefetch": "cpu"}), f"the pages are in RAM already; {_BLOCKS}"),
)


@cache
def _runs(letter: str) -> tuple[int, int]:
    """Pages that the calls of a setting move, and faults that are served after them."""
    setting = next(one for one in _SETTINGS if one.letter == letter)
    p, a = _ready(xnack=setting.xnack)
    for call in setting.calls:
        p.set_attr(a, **call)
    p.run()
    p.advance("2 ms")
    moved = _moved(p, 0)
    p.gpu(0).touch(a)
    return moved, p.log.count("page_fault_end")


def _line(setting: _Setting, answer: Any) -> Miss | None:
    form = "two whole numbers for each letter: (pages moved, faults served)"
    if not isinstance(answer, Mapping):
        return Miss("your answer", repr(answer), '{"A": (0, 2), ...}', form)
    mine, given = answer.get(setting.letter), f"line {setting.letter}"
    if not isinstance(mine, tuple | list) or len(mine) != 2:
        return Miss(given, repr(mine), "(pages moved, faults served)", form)
    if any(part is ... for part in mine):
        raise NotImplementedError  # a hole is still open
    right = _runs(setting.letter)
    for number, expected, of in zip(mine, right, ("pages moved", "faults served"), strict=True):
        if number != expected:
            return Miss(given, f"{number} {of}", f"another number of {of}", setting.rule)
    return None


# 06.2: a schedule


class _Bench(NamedTuple):
    machine: str
    xnack: bool
    npages: int

    def __str__(self) -> str:
        return f"{self.machine}, xnack {'on' if self.xnack else 'off'}, two buffers of {self.npages} pages"


_MACHINES = ("toy", "mi210-two-hives", "pcie-pair", "mi250x-node")
_BENCHES = tuple(
    _Bench(machine, xnack, npages)
    for npages, machine, xnack in product((1, 700), _MACHINES, (True, False))
    if not xnack or Machine.find(machine).gpus[0].xnack_capable
)
_WORK = "gpu0 reads all of a, gpu0 writes 1 all over b, and then the CPU reads b"
_MAPPED = "gpu0 must find an entry for every page: set what it needs before it touches them"


def _schedule(bench: _Bench, answer: Any) -> Miss | None:
    if not callable(answer):
        return Miss("your answer", repr(answer), "a function", "define plan(p, a, b), and give its name to check")
    p = Process(bench.machine, xnack=bench.xnack)
    a, b = (p.mmap(bench.npages * PAGE_SIZE, name=name, populate=True) for name in "ab")
    _, error = tried(lambda: answer(p, a, b))
    if error:
        rule = _MAPPED if isinstance(error, SvmError) else _WORK
        return Miss(str(bench), f"it stops with {type(error).__name__}: {error}", "a plan that goes through", rule)
    p.run()
    faults = p.log.count("page_fault_start")
    if faults:
        return Miss(str(bench), f"{faults} GPU faults", "0 GPU faults", _MAPPED)
    return _undone(bench, p, a, b) or _misplaced(bench, p, a, b)


def _undone(bench: _Bench, p: Process, a: Buffer, b: Buffer) -> Miss | None:
    for buffer, write, does in ((a, False, "reads"), (b, True, "writes")):
        if not _used(p, buffer, write=write):
            said = f"gpu0 {does} not all of {buffer.name}"
            return Miss(str(bench), said, f"gpu0 {does} all of {buffer.name}", _WORK)
    ones = bool((np.asarray(p.look.content(b.span)) == 1).all())
    return None if ones else Miss(str(bench), "b does not hold 1 everywhere", "1 in every byte of b", _WORK)


def _used(p: Process, buffer: Buffer, *, write: bool) -> bool:
    """Whether gpu0 has gone over every page of a buffer, in one piece or in several."""
    seen: set[int] = set()
    for event in p.log.events("gpu_work_start"):
        if event.fields["gpu"] == 0 and bool(event.fields["write"]) == write:
            seen |= set(range(event.start, event.last + 1))
    return set(range(buffer.span.start, buffer.span.last + 1)) <= seen


def _misplaced(bench: _Bench, p: Process, a: Buffer, b: Buffer) -> Miss | None:
    gpu0 = p.machine.gpus[0].gpu_id
    for buffer, location, place in ((a, gpu0, "VRAM of gpu0"), (b, SYSMEM, "RAM")):
        there = int((p.look.locations(buffer.span) == location).sum())
        if there != buffer.npages:
            said = f"{there} pages of {buffer.name} are in {place}"
            rule = "a was moved for gpu0 and stays; b comes home when the CPU reads it"
            return Miss(str(bench), said, f"all {buffer.npages} pages of {buffer.name} in {place}", rule)
    return None


# 06.3: the break-even size


@cache
def _cost_ns(npages: int, granularity: int, *, prefetch: bool) -> int:
    """From a prefetch, or from the touch, until gpu0 has touched the first page."""
    p, a = _ready(xnack=True, npages=npages, preferred="gpu0", granularity=granularity)
    begin = p.now
    if prefetch:
        p.set_attr(a, prefetch="gpu0")
    p.gpu(0).touch(a.pages(0))
    return p.now - begin


def _late_wins(npages: int, granularity: int) -> bool:
    late, early = (_cost_ns(npages, granularity, prefetch=way) for way in (False, True))
    return late < early


_EVEN = "early pays for all pages of the buffer; late pays for one block, and for the fault on top"


def _break_even(granularity: int, answer: Any) -> Miss | None:
    if not isinstance(answer, Mapping):
        return Miss("your answer", repr(answer), "{0: ..., 4: ..., 9: ...}", "one size for each granularity, in pages")
    npages = answer.get(granularity)
    if npages is ...:
        raise NotImplementedError  # a hole is still open
    given = f"granularity {granularity}, a buffer of {npages} pages"
    if isinstance(npages, bool) or not isinstance(npages, int | np.integer) or not 1 <= npages <= 1 << 15:
        return Miss(given, "no size", "a whole number of pages, at most 32768", "a buffer has 1 page or more")
    if not _late_wins(int(npages), granularity):
        times = [format_time(_cost_ns(int(npages), granularity, prefetch=way)) for way in (True, False)]
        return Miss(given, f"early takes {times[0]}, late {times[1]}", "early takes longer", _EVEN)
    if npages > 1 and _late_wins(int(npages) - 1, granularity):
        return Miss(given, "early takes longer with one page less as well", "the smallest such buffer", _EVEN)
    return None


EXERCISES = (
    Exercise(
        "06.w1",
        Kind.WARM_UP,
        "How many pages does one CPU touch bring home?",
        one_number(512, of="pages that come home", rule="a CPU fault brings one block, and a block has 2^9 pages"),
    ),
    Exercise(
        "06.w2",
        Kind.WARM_UP,
        "How many windows does a copy of 1300 pages into one piece take?",
        one_number(3, of="windows", rule="a window holds 512 pages of one batch, the last one what is left"),
    ),
    Exercise(
        "06.1",
        Kind.COMPLETE,
        "Tell what calls move, and how many faults a touch meets.",
        on_cases(_SETTINGS, _line),
        (
            "Look at the two timelines in Two attributes: which call moves, and which touch faults?",
            "Moved: only a prefetch to another place. Faults: only with xnack on, one for each block without an entry.",
            '"B": (1024, 0), "C": (0, _), "D": (_, 0), "E": (____, 0), "F": (____, _), "G": (0, _)',
        ),
    ),
    Exercise(
        "06.2",
        Kind.WRITE,
        "Write a schedule that meets no GPU fault.",
        on_cases(_BENCHES, _schedule),
        (
            "Look at All of it, early: which call makes the faults go away? With xnack off, gpu0 needs one thing more.",
            "Before gpu0 touches a buffer, let its pages be moved and mapped. The rest of the schedule can stay.",
            "p.set_attr(a, access=[____], ____=____), the same for b; then read, write, cpu_read",
        ),
    ),
    Exercise(
        "06.3",
        Kind.COUNTER_EXAMPLE,
        "Find the smallest buffers for which a prefetch is slower than the one fault.",
        on_cases((0, 4, 9), _break_even),
        (
            "Look at the table in When late wins: between which two sizes does early overtake late?",
            "Start from the size of a block, and go up page by page until cost with prefetch=True is the larger one.",
            "while cost(npages, 1, prefetch=____) <= cost(npages, 1, granularity=____): npages += 1",
        ),
    ),
)
