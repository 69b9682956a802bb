"""Notebook 08, a GPU fault."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from itertools import pairwise, product
from typing import Any, NamedTuple

from svmlab.course.exercise import Exercise, Kind, Miss, Prediction, Question
from svmlab.course.kinds import function, on_cases, one_of, order
from svmlab.errors import SvmError
from svmlab.svm.buffer_view import Buffer
from svmlab.svm.process import Process
from svmlab.uapi import SYSMEM
from svmlab.units import PAGE_SIZE

__all__ = ["EXERCISES", "PREDICTIONS"]


def _filled(npages: int, **options: Any) -> tuple[Process, Buffer]:
    """A process with xnack on, and a buffer in RAM."""
    p = Process("mi210-two-hives", xnack=True)
    a = p.mmap(npages * PAGE_SIZE, name="a", **options)
    a[:] = 7
    return p, a


def _served(p: Process) -> int:
    return p.log.count("page_fault_end")


def _moved(p: Process) -> int:
    return int(p.log.field("migrate_end", "npages").sum())


def _read_in_order(granularity: int) -> int:
    """How long gpu0 takes to read 64 pages in order, in ns."""
    p, a = _filled(64)
    p.set_attr(a, granularity=granularity)
    p.advance("2 ms")
    begin = p.now
    p.gpu(0).touch(a)
    return p.now - begin


def _four_touches() -> dict[str, str]:
    """A page nobody registered, a thousand waves, small blocks in order, the heap."""
    p, a = _filled(1024)
    p.gpu(0).touch(a.pages(5))
    waves, b = _filled(1024)
    waves.gpu(0).touch(b.pages(5), waves=1000)
    waves.run(for_ns="1 ms")
    heap, c = _filled(1024, kind="heap")
    heap.gpu(0).touch(c.pages(5))
    (location,) = heap.look.locations(c.pages(5)).tolist()
    times = _read_in_order(0) / _read_in_order(6)
    return {
        "moved": str(_moved(p)),
        "served": str(_served(waves)),
        "slower": f"about {min((10, 64, 1000), key=lambda choice: abs(times - choice))} times",
        "heap": "RAM" if location == SYSMEM else "VRAM of gpu0",
    }


PREDICTIONS = (
    Prediction(
        "08.p1",
        (
            Question(
                "moved",
                "gpu0 reads one page of 1024 that no call registered. How many move?",
                ("none", "1", "512", "1024"),
                "the fault makes a range of the 2 MiB block around the page, and serves one block of it",
            ),
            Question(
                "served",
                "1000 waves read the same page. How many faults are served?",
                ("1", "1000"),
                "the other reports are read when the range is mapped already, and dropped",
            ),
            Question(
                "slower",
                "How much longer do 64 faults take than one that serves all 64 pages?",
                ("about 10 times", "about 64 times", "about 1000 times"),
                "each fault but the first waits until the range has been mapped for 2 ms",
            ),
            Question(
                "heap",
                "gpu0 reads a page of the heap that no call registered. Where is the page?",
                ("RAM", "VRAM of gpu0"),
                "a range that a fault makes of heap or stack prefers RAM",
            ),
        ),
        _four_touches,
    ),
)

# 08.1: the steps in order

_STEPS = {
    "F": "a wave finds no entry",
    "H": "mmap_lock and the svms lock",
    "C": "the range is found",
    "E": "the migrate_mutex",
    "D": "less than 2 ms ago?",
    "I": "does the VMA allow it?",
    "B": "the best location",
    "G": "the block moves",
    "A": "gpu0 gets entries",
    "J": "the wave repeats its access",
}
_NEEDS = {
    "F": "nothing else happens before a GPU reports that an entry is missing",
    "H": "the driver takes no lock before it has read a report",
    "C": "the list of ranges is looked at when nobody can change it: the locks of the process come first",
    "E": "the mutex belongs to a range: there is none to take before the range is found",
    "D": "who waits for the mutex may find the work done, so this is asked when the mutex is held",
    "I": "whether the fault is needed at all is asked before what it may do",
    "B": "where the block should be is asked of a fault that is needed and allowed: two questions come first",
    "G": "nothing moves before it is decided where to",
    "A": "entries name frames: the pages are in their place before the GPU gets them",
    "J": "an access that is repeated before there is an entry finds none again",
}
_STRANGERS = {
    "K": "with xnack on no queue is stopped: only the work that touches the page waits",
    "L": "a fault maps the block to the GPU that faulted, and to no other",
}

# 08.2: how many faults


class _Touches(NamedTuple):
    touched: tuple[int, ...]
    granularity: int
    ranges: tuple[tuple[int, int], ...]

    def __str__(self) -> str:
        return f"touched={list(self.touched)}, granularity={self.granularity}, ranges={list(self.ranges)}"


_TOUCHED = (
    (0,),
    (0, 0),
    (0, 1),
    (7, 8),
    (15, 16),
    (9, 10),
    (63, 0),
    (3, 9, 20, 21, 40, 63),
    (40, 9, 41, 9),
    (20, 21, 22, 23),
)
_CUTS = ((0, 64), (0, 10, 64), (0, 21, 41, 64))
_CASES = tuple(
    _Touches(touched, granularity, tuple((first, end - 1) for first, end in pairwise(cuts)))
    for touched, cuts, granularity in product(_TOUCHED, _CUTS, (0, 2, 3, 4, 9))
)


@cache
def _runs() -> dict[_Touches, int]:
    """What the log counts; the ranges prefer RAM, which makes it quick and changes no count."""
    p, counted = Process("toy", xnack=True), {}
    for case in _CASES:
        a = p.mmap(64 * PAGE_SIZE, name="a")
        for first, last in case.ranges:
            p.set_attr(a.pages(first, last - first + 1), granularity=case.granularity, preferred="cpu")
        before = _served(p)
        for page in case.touched:
            p.advance("3 ms")
            p.gpu(0).touch(a.pages(page))
        counted[case] = _served(p) - before
    return counted


def _how_many(case: _Touches) -> int:
    return _runs()[case]


def _ask(answer: Any, case: _Touches) -> Any:
    return answer(list(case.touched), case.granularity, list(case.ranges))


_ONE_BLOCK = (
    "a fault serves the aligned block of 2^granularity pages, cut at the ends of its range; no fault comes twice"
)

# 08.3: the granularity


class _Pattern(NamedTuple):
    """What gpu0 reads, as runs of pages ``(first, count)``, and what it may cost."""

    name: str
    runs: tuple[tuple[int, int], ...]
    faults: int
    pages: int


_PATTERNS = (
    _Pattern("tile", ((24, 16),), 1, 64),
    _Pattern("scatter", tuple((page, 1) for page in range(0, 1024, 64)), 16, 128),
    _Pattern("stream", ((0, 1024),), 1, 1024),
)
_THREE = 'a number for each of "stream", "scatter" and "tile", in a dict'
_LARGER = "the pages lie in more than one block: count from page 0 where a block ends"
_SMALLER = "a fault moves its whole block, touched or not"


def _within_budget(pattern: _Pattern, answer: Any) -> Miss | None:
    if not isinstance(answer, Mapping) or pattern.name not in answer:
        return Miss("your answer", repr(answer), '{"stream": ..., "scatter": ..., "tile": ...}', _THREE)
    mine = answer[pattern.name]
    if mine is ...:
        raise NotImplementedError  # a hole is still open
    given = f"{pattern.name}, granularity {mine!r}"
    if not isinstance(mine, int) or isinstance(mine, bool):
        return Miss(given, "not a whole number", "a whole number", "a block has 2^granularity pages")
    try:
        p = _run(pattern, mine)
    except SvmError as error:
        return Miss(given, str(error), "a granularity that set_attr takes", _THREE)
    return _over(pattern, given, p)


def _run(pattern: _Pattern, granularity: int) -> Process:
    p, a = _filled(1024)
    p.set_attr(a, granularity=granularity)
    for first, count in pattern.runs:
        p.advance("3 ms")
        p.gpu(0).touch(a.pages(first, count))
    return p


def _over(pattern: _Pattern, given: str, p: Process) -> Miss | None:
    if _served(p) > pattern.faults:
        return Miss(given, f"{_served(p)} faults", f"at most {pattern.faults}", _LARGER)
    if _moved(p) > pattern.pages:
        return Miss(given, f"{_moved(p)} pages move", f"at most {pattern.pages}", _SMALLER)
    return None


EXERCISES = (
    Exercise(
        "08.w1",
        Kind.WARM_UP,
        "What happens, with xnack off, to a touch of memory that no call registered?",
        one_of(
            {
                "it waits": "with xnack off a GPU does not try again: there is nothing that it could wait for",
                "it is served": "with xnack off the driver is told of a fault that it cannot mend",
                "it is fatal": "with xnack off no fault is retried",
            },
            "it is fatal",
            of="gpu0 reads memory that no call registered, xnack off",
        ),
    ),
    Exercise(
        "08.w2",
        Kind.WARM_UP,
        "Where does a fault take a range that prefers a near GPU?",
        one_of(
            {
                "ram": "RAM is preferred by nobody here, and gpu0 reaches what is preferred",
                "gpu0": "a fault looks at the preferred location first, and gpu0 reaches it",
                "gpu1": "the preferred location is in the hive of gpu0",
            },
            "gpu1",
            of="a range in RAM that prefers gpu1; gpu0, in its hive, faults",
        ),
    ),
    Exercise(
        "08.1",
        Kind.ORDER,
        "Put the steps of a GPU fault in order.",
        order(_STEPS, _NEEDS, strangers=_STRANGERS, of="a GPU fault"),
        (
            "Look at the two lists in *The steps of the driver*: the second one is the end of step 5 of the first.",
            "Locks go from large to small: the process, then the range. Questions come before deeds.",
            "F H _ E _ _ B _ _ J",
        ),
    ),
    Exercise(
        "08.2",
        Kind.WRITE,
        "Count the faults that a list of touches takes.",
        function(_CASES, _how_many, rule=_ONE_BLOCK, call=_ask),
        (
            "Look at the list in *Which pages one fault serves*: four touches, three faults.",
            "Give each touch a name that touches of the same block in the same range share. Then count the names.",
            "served.add((first, page >> ____)) for the range with first <= page <= last; return len(____)",
        ),
    ),
    Exercise(
        "08.3",
        Kind.MODIFY,
        "Choose a granularity for each of three access patterns.",
        on_cases(_PATTERNS, _within_budget),
        (
            "Look at *Which pages one fault serves*: where does a block begin, and where does it end?",
            "Fewer faults need larger blocks, fewer pages smaller ones. For tile, find the block that has 24 and 39.",
            "stream: 2^__ = 1024. scatter: 2^__ is at most 128 / 16. tile: __ to __ is one block of 2^__ pages.",
        ),
    ),
)
