"""Notebook 05, coming back."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import product
from random import Random
from typing import Any, NamedTuple

from svmlab.course.exercise import Exercise, Judge, Kind, Miss, Prediction, Question
from svmlab.course.kinds import counter_example, function, on_cases, one_number
from svmlab.errors import InputError, SvmError
from svmlab.svm.buffer_view import Buffer
from svmlab.svm.cpu_fault import block_of
from svmlab.svm.process import Process
from svmlab.svm.ranges import Range
from svmlab.units import PAGE_SIZE, format_time

__all__ = ["EXERCISES", "PREDICTIONS"]


def _filled(p: Process, npages: int) -> Buffer:
    a = p.mmap(npages * PAGE_SIZE, name="a")
    a[:] = 7
    return a


def _moved_pages(p: Process, since: int) -> int:
    return int(p.log.field("migrate_end", "npages", p.log.select("migrate_end", since=since)).sum())


def _one_read() -> dict[str, str]:
    """Read one byte of 8 MiB in VRAM, then let gpu0 read the same page."""
    p = Process("mi210-two-hives", vram="64 MiB")
    a = _filled(p, 2048)
    p.set_attr(a, access=["gpu0"], prefetch="gpu0")
    p.run()
    since = len(p.log)
    p.cpu_read(a.pages(700))
    p.run()
    home = _moved_pages(p, since)
    p.gpu_read("gpu0", a.pages(700))
    p.run()
    return {
        "home": str(home),
        "ranges": {1: "one", 2: "two", 3: "three"}[len(p.ranges(a))],
        "then": "it stays in RAM" if _moved_pages(p, since) == home else "it goes back to VRAM",
    }


PREDICTIONS = (
    Prediction(
        "05.p1",
        (
            Question(
                "home",
                "The CPU reads one byte of 2048 pages in VRAM. How many pages come home?",
                ("1", "512", "2048"),
                "a CPU fault brings the block of 2^granularity pages home, and the granularity is 9 by default",
            ),
            Question(
                "ranges",
                "How many ranges does the buffer have then?",
                ("one", "two", "three"),
                "the block is cut out of the range: what lies before it and behind it become ranges of their own",
            ),
            Question(
                "then",
                "Now gpu0 reads the same page. What happens to it?",
                ("it stays in RAM", "it goes back to VRAM"),
                "the restore worker has mapped the page where it is; with xnack off nothing but a call moves it back",
            ),
        ),
        _one_read,
    ),
)

# 05.1: the block


class _Fault(NamedTuple):
    page: int
    start: int
    last: int
    granularity: int

    def __str__(self) -> str:
        number = hex if self.last > 99 else str
        span = f"range [{number(self.start)}, {number(self.last)}]"
        return f"a fault on page {number(self.page)} of {span}, granularity {self.granularity}"


_FAR = 0x7E0000250


def _faults() -> Iterator[_Fault]:
    """Every range of up to 12 small pages and every page in it, then some like those of a process."""
    for last, granularity in product(range(12), range(5)):
        for start in range(last + 1):
            yield from (_Fault(page, start, last, granularity) for page in range(start, last + 1))
    for npages, granularity in product((1, 100, 512, 1100, 5000), (0, 4, 9, 10, 27, 63)):
        for page in sorted({0, npages // 3, npages // 2, npages - 1}):
            yield _Fault(_FAR + page, _FAR, _FAR + npages - 1, granularity)


def _drawn_faults(random: Random) -> Judge:
    return function(
        (_drawn_fault(random) for _ in range(300)), _right_block, rule=_block_rule, show=_in_pages, call=_as_pair
    )


def _drawn_fault(random: Random) -> _Fault:
    start, npages = random.randrange(_FAR), random.randint(1, 1 << random.randint(1, 14))
    return _Fault(random.randrange(start, start + npages), start, start + npages - 1, random.randrange(64))


def _right_block(fault: _Fault) -> tuple[int, int]:
    return block_of(Range(fault.start, fault.last, granularity=fault.granularity), fault.page)


def _block_rule(fault: _Fault) -> str:
    size = 1 << fault.granularity
    start = fault.page // size * size
    if start < fault.start:
        return f"blocks count from page 0; this one begins at page {start:#x}, before the range, and is clipped to it"
    if start + size - 1 > fault.last:
        return f"this block begins at page {start:#x} and ends behind the range, so it is clipped to its last page"
    return "a block has 2^granularity pages and begins at a multiple of that, not counted from the range"


def _as_pair(answer: Any, fault: _Fault) -> Any:
    found = answer(*fault)
    return tuple(found) if isinstance(found, list) else found


def _in_pages(found: Any) -> str:
    if isinstance(found, tuple) and len(found) == 2 and all(type(page) is int for page in found):
        number = hex if max(found) > 99 else str
        return f"({number(found[0])}, {number(found[1])})"
    return repr(found)


# 05.2: without ping-pong


class _Program(NamedTuple):
    machine: str
    npages: int

    def __str__(self) -> str:
        return f"{self.machine}, xnack on, {self.npages} pages: {_ROUNDS} rounds"


_ROUNDS = 10
_PROGRAMS = tuple(_Program(machine, npages) for npages, machine in product((8, 40), ("mi210-two-hives", "toy")))


def _drawn_programs(random: Random) -> Judge:
    return on_cases([_Program(machine, random.randint(10, 60)) for machine in ("mi210-two-hives", "toy")], _cures)


_MAY_MOVE = "at most a tenth"
_NO_DICT = "the attributes of one call are a dict, as in the text"
_WHO_MOVES = (
    "the CPU's touch brings pages home whatever you ask for; what you can change is whether a fault of gpu0 takes them "
    "to VRAM again"
)
_READS = "gpu0 must be able to write, and the CPU must find what gpu0 wrote"


def _cures(program: _Program, answer: Any) -> Miss | None:
    if not isinstance(answer, Mapping):
        return Miss("your answer", repr(answer), '{"access": ["gpu0"], ...}', _NO_DICT)
    try:
        before, after = _rounds(program, {"access": ["gpu0"]}), _rounds(program, answer)
    except SvmError as error:
        return Miss(str(program), str(error), "gpu0 writes and the CPU reads", _READS)
    if after is None or before is None:
        return Miss(str(program), "the CPU reads other bytes", "the CPU reads what gpu0 wrote", _READS)
    if after * 10 <= before:
        return None
    return Miss(str(program), f"{after} pages move", f"{_MAY_MOVE} of {before} pages", _WHO_MOVES)


def _rounds(program: _Program, asked: Mapping[str, Any]) -> int | None:
    """How many pages move while gpu0 and the CPU take turns; None if the CPU reads something else."""
    p = Process(program.machine, vram="64 MiB", xnack=True)
    a = _filled(p, program.npages)
    p.set_attr(a, **asked)
    since = len(p.log)
    for number in range(_ROUNDS):
        p.advance("2 ms")
        p.gpu_write("gpu0", a, number)
        p.advance("2 ms")
        if set(p.cpu_read(a).tolist()) != {number}:
            return None
    p.run()
    return _moved_pages(p, since)


# 05.3: fewer bytes, and yet later


class _Reads(NamedTuple):
    npages: int
    one: int
    other: int

    def __str__(self) -> str:
        return f"{self.npages} pages read, granularity {self.one} and {self.other}"


_MOST_PAGES, _MOST_GRANULARITY = 8, 10
_ALLOWED = f"(1 to {_MOST_PAGES} pages, a granularity, another one), granularities 0 to {_MOST_GRANULARITY}"


def _reads(answer: Any) -> _Reads:
    whole = isinstance(answer, list | tuple) and len(answer) == 3 and all(type(part) is int for part in answer)
    if not whole:
        raise InputError("a case is three whole numbers", allowed=_ALLOWED)
    case = _Reads(*answer)
    if not 1 <= case.npages <= _MOST_PAGES:
        raise InputError(f"{case.npages} pages are too few or too many", allowed=_ALLOWED)
    if not all(0 <= granularity <= _MOST_GRANULARITY for granularity in case[1:]) or case.one == case.other:
        raise InputError("these are not two granularities", allowed=_ALLOWED)
    return case


def _costs(npages: int, granularity: int) -> tuple[int, int]:
    """Pages that move while the CPU reads some one after the other, and ns it takes."""
    p = Process("mi210-two-hives", vram="64 MiB")
    a = _filled(p, 1024)
    p.set_attr(a, access=["gpu0"], prefetch="gpu0", granularity=granularity)
    p.run()
    since, begin_ns = len(p.log), p.now
    p.cpu_read(a.pages(0, npages))
    lasted_ns = p.now - begin_ns
    return _moved_pages(p, since), lasted_ns


def _fewer_is_sooner(case: _Reads) -> str | None:
    (fewer, soon_ns), (more, late_ns) = sorted((_costs(case.npages, case.one), _costs(case.npages, case.other)))
    if fewer == more:
        return f"both move {fewer} pages, so that the claim says nothing"
    if soon_ns <= late_ns:
        return f"{fewer} pages in {format_time(soon_ns)}, {more} pages in {format_time(late_ns)}"
    return None


EXERCISES = (
    Exercise(
        "05.w1",
        Kind.WARM_UP,
        "Where does the block of a page begin?",
        one_number(1024, of="first page of the block of page 1300", rule="a block begins at a multiple of 512 pages"),
    ),
    Exercise(
        "05.w2",
        Kind.WARM_UP,
        "How many ranges are there after a call about the middle of one?",
        one_number(3, of="ranges after a call about pages 4 to 7 of 0 to 15", rule="0 to 3, 4 to 7 and 8 to 15"),
    ),
    Exercise(
        "05.1",
        Kind.COMPLETE,
        "Return the block that a CPU fault brings home.",
        function(_faults(), _right_block, rule=_block_rule, show=_in_pages, call=_as_pair),
        (
            "Look at the table in Where a block begins: which pages came home for page 650, and why not more?",
            "The first page of the block is a multiple of its size; the last is size - 1 behind it. Then clip both.",
            "first = max(____, start); last_of_block = min(____ + size - 1, last)",
        ),
        _drawn_faults,
    ),
    Exercise(
        "05.2",
        Kind.MODIFY,
        "Let a CPU and a GPU take turns while at most a tenth of the pages move.",
        on_cases(_PROGRAMS, _cures),
        (
            "Which of the two directions can an attribute stop? Look at what ended the ping-pong in Run.",
            "With xnack on a fault of gpu0 moves the pages. Which rules of notebook 03 for a fault leave them in RAM?",
            '{"access": ["gpu0"], "pref_____": ____}, or another word than "access"',
        ),
        _drawn_programs,
    ),
    Exercise(
        "05.3",
        Kind.COUNTER_EXAMPLE,
        "Find reads for which the granularity that moves fewer pages takes longer.",
        counter_example(
            _reads, _fewer_is_sooner, claim="of two granularities, the one that moves fewer pages takes less time"
        ),
        (
            "Look at the list in Granularity: what does one fault cost that moves 1 page, and one that moves 16?",
            "Every fault costs some 40 us, whatever it moves. Up to some size a larger block is nearly free.",
            "(a few pages, ____ so that each page is a fault, a granularity whose block holds all of them and more)",
        ),
    ),
)
