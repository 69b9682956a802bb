"""Notebook 09, running out of VRAM."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any, NamedTuple

from svmlab.course.exercise import Exercise, Kind, Miss, Prediction, Question
from svmlab.course.kinds import counter_example, function, on_cases, one_number, one_of
from svmlab.errors import InputError
from svmlab.svm.buffer_view import Buffer
from svmlab.svm.process import Process
from svmlab.uapi import SYSMEM
from svmlab.units import PAGE_SIZE

__all__ = ["EXERCISES", "PREDICTIONS"]

_NPAGES = 4
"""Buffers of the exercises are small: who has to go is the same for any size."""


def _fetch(p: Process, buffer: Buffer) -> None:
    p.set_attr(buffer, access=["gpu0"], prefetch="gpu0")
    p.run()


def _four_prefetches() -> dict[str, str]:
    """Three buffers fill VRAM, gpu0 reads the first, a fourth comes; and blocks that gpu0 reads twice."""
    p = Process("toy", vram="4 MiB")
    buffers = {name: p.mmap("1 MiB", name=name, populate=True) for name in "abcd"}
    for name in "abc":
        _fetch(p, buffers[name])
    p.gpu_read("gpu0", buffers["a"])
    call = p.start.set_attr(buffers["d"], access=["gpu0"], prefetch="gpu0")
    p.run()
    at_home = [name for name, buffer in buffers.items() if set(p.look.locations(buffer.span).tolist()) == {SYSMEM}]
    return {
        "call": "an error" if call.error else "success",
        "leaves": at_home[0] if at_home else "none",
        "second": str(_second_pass()),
    }


def _second_pass() -> int:
    """How many of 8 blocks have to come again, with room for 7."""
    p = Process("toy", xnack=True, vram="16 MiB", payload=False)
    a = p.mmap("16 MiB", name="a", populate=True)
    p.gpu(0).touch(a)
    since = len(p.log)
    p.gpu(0).touch(a)
    return p.log.count("page_fault_end", since=since)


PREDICTIONS = (
    Prediction(
        "09.p1",
        (
            Question(
                "call",
                "VRAM is full. What does the fourth prefetch return?",
                ("success", "an error"),
                "the driver makes room first: it moves another buffer home",
            ),
            Question(
                "leaves",
                "Which buffer has to leave?",
                ("none", "a", "b", "c"),
                "the one that moved in longest ago; that gpu0 has just read it is not known to the driver",
            ),
            Question(
                "second",
                "Room for 7 of 8 blocks. How many of them does the second pass bring in again?",
                ("0", "1", "8"),
                "each block that comes pushes out the one that is wanted next",
            ),
        ),
        _four_prefetches,
    ),
)

# what a list of reads comes to


class _Reads(NamedTuple):
    """Reads of gpu0, a letter for each buffer, and for how many of them VRAM has room."""

    room: int
    reads: str

    def __str__(self) -> str:
        return f"room={self.room}, reads={self.reads!r}"


class _Outcome(NamedTuple):
    """How many buffers moved in, and which ones left, in order."""

    moved: int
    left: tuple[str, ...]


@cache
def _outcome(case: _Reads) -> _Outcome:
    """What the driver does: gpu0 takes a fault on what is not in VRAM; one page of VRAM is reserved."""
    p = Process("toy", xnack=True, vram=(case.room * _NPAGES + 1) * PAGE_SIZE, payload=False)
    buffers = {name: p.mmap(_NPAGES * PAGE_SIZE, name=name, populate=True) for name in sorted(set(case.reads))}
    for name in case.reads:
        p.gpu_touch("gpu0", buffers[name])
    starts = {int(buffer.span.start): name for name, buffer in buffers.items()}
    home = [event for event in p.log.events("migrate_end") if event.fields["target"] == SYSMEM]
    moved = p.log.count("migrate_end") - len(home)
    return _Outcome(moved, tuple(starts[int(event.start)] for event in home))


# 09.1: who leaves


def _shapes(length: int, letters: str = "abc") -> Iterable[str]:
    """All lists of reads up to the names of the buffers: a new one has the next letter."""
    known = [""]
    for _ in range(length):
        known = [reads + letter for reads in known for letter in letters[: min(len(set(reads)) + 1, len(letters))]]
    return known


_LISTS = (
    *(_Reads(1, reads) for reads in _shapes(3)),
    *(_Reads(2, reads) for reads in (*_shapes(4), "abacb", "abcab", "abcba", "abbca", "abaca")),
    *(_Reads(3, reads) for reads in ("abcabc", "abcdabcd", "abcdda", "abcadbae", "abcdcbaabcd", "abcdabeabcde")),
)


def _leavers(case: _Reads) -> list[str]:
    return list(_outcome(case).left)


def _ask(answer: Any, case: _Reads) -> Any:
    given = answer(case.room, case.reads)
    return list(given) if isinstance(given, list | tuple | str) else given


_OLDEST = "who moved in longest ago leaves; a read of what is in VRAM changes nothing about that"

# 09.2: the second pass


class _Budget(NamedTuple):
    room: int
    moves: int


_FIRST = "abcdef"
_BUDGETS = (_Budget(5, 7), _Budget(4, 8), _Budget(3, 9))
_ORDERS = '{5: "abcdef", 4: "abcdef", 3: "abcdef"} with other orders'


def _within_budget(budget: _Budget, answer: Any) -> Miss | None:
    if not isinstance(answer, Mapping) or budget.room not in answer:
        return Miss("your answer", repr(answer), _ORDERS, "an order for each room, in a dict")
    mine = answer[budget.room]
    if mine is ...:
        raise NotImplementedError  # a hole is still open
    reads = "".join(map(str, mine)) if isinstance(mine, list | tuple) else str(mine)
    given = f"room for {budget.room}, second pass {reads!r}"
    if sorted(reads) != list(_FIRST):
        return Miss(given, "not all six once", "each of the letters a to f once", "the second pass reads all of them")
    moved = _outcome(_Reads(budget.room, _FIRST + reads)).moved
    if moved <= budget.moves:
        return None
    rule = "what is still in VRAM should be read before anything pushes it out"
    return Miss(given, f"{moved} buffers move to gpu0", f"at most {budget.moves}", rule)


# 09.3: more room, more moves

_MOST_READS, _MOST_ROOM = 16, 4


def _read(answer: Any) -> _Reads:
    allowed = f'(reads, room), such as ("abcab", 2): at most {_MOST_READS} letters a to f, room 1 to {_MOST_ROOM}'
    if not isinstance(answer, list | tuple) or len(answer) != 2:
        raise InputError("a case is two values", allowed=allowed)
    reads, room = answer
    if not isinstance(reads, str) or not 0 < len(reads) <= _MOST_READS or set(reads) - set("abcdef"):
        raise InputError(f"the reads {reads!r}", allowed=allowed)
    if not isinstance(room, int) or isinstance(room, bool) or not 1 <= room <= _MOST_ROOM:
        raise InputError(f"room for {room!r}", allowed=allowed)
    return _Reads(room, reads)


def _no_more(case: _Reads) -> str | None:
    less, more = _outcome(case).moved, _outcome(case._replace(room=case.room + 1)).moved
    told = f"{less} buffers move in with room for {case.room}, {more} with room for {case.room + 1}"
    return None if more > less else told


EXERCISES = (
    Exercise(
        "09.w1",
        Kind.WARM_UP,
        "In which step does a migration get its VRAM?",
        one_number(2, of="the step in which the buffer gets VRAM", rule="collect, then allocate; then there is a copy"),
    ),
    Exercise(
        "09.w2",
        Kind.WARM_UP,
        "Whose queues stop when a block of a buffer comes home, with xnack off?",
        one_of(
            {
                "none": "with xnack off each change of the CPU's table stops queues",
                "those of gpu0": "the driver does not ask who uses the pages",
                "all of its process": "the driver stops all queues of the process that the pages belong to",
                "all of the machine": "the notifier belongs to one process, and so does the stop",
            },
            "all of its process",
            of="a block comes home from VRAM of gpu0",
        ),
    ),
    Exercise(
        "09.1",
        Kind.WRITE,
        "Tell which buffers have to leave VRAM, in order.",
        function(_LISTS, _leavers, rule=_OLDEST, call=_ask),
        (
            "Look at the output of *Who has to go*: what puts a buffer at the end of the list, and what does not?",
            "Keep a list of the buffers in VRAM, in the order in which they came. A read of one of them does nothing.",
            "for name in reads: if name not in inside: if len(inside) == ____: left.append(inside.pop(____)); "
            "inside.append(____)",
        ),
    ),
    Exercise(
        "09.2",
        Kind.MODIFY,
        "Order the second pass so that little has to move.",
        on_cases(_BUDGETS, _within_budget),
        (
            "Look at the sweep *to and fro* in *Explore*: which buffers are in VRAM when the first pass ends?",
            "Read first what is still there. What is not there pushes out the oldest.",
            "room 5: b to f are there, so _ _ _ _ _ a. room 4: _ to f are there.",
        ),
    ),
    Exercise(
        "09.3",
        Kind.COUNTER_EXAMPLE,
        "Show that more room can mean more moves.",
        counter_example(_read, _no_more, claim="with room for one more buffer, the same reads never move more"),
        (
            "Your function of 09.1 counts for you: each buffer that leaves made room for one that came.",
            "With more room the order in the driver's list is another one. A list of 12 reads of 5 buffers is enough.",
            '("abcdabe" + "_____", 3): after e, read all five once more, in order.',
        ),
    ),
)
