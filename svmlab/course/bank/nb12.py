"""Notebook 12, the capstone: place a workload on two hives."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from random import Random
from typing import Any

from svmlab.course.capstone import judge, pays
from svmlab.course.exercise import Exercise, Judge, Kind, Prediction, Question
from svmlab.course.kinds import bug_hunt, counter_example, function, on_cases, one_number, one_of
from svmlab.course.placement import Call, Score, play
from svmlab.course.workload import PUBLIC, Piece, Workload, workload
from svmlab.errors import DriverError, InputError

__all__ = ["EXERCISES", "PREDICTIONS"]

_HIDDEN = (11, 20, 29, 36, 53)
"""Seeds that no notebook shows."""


def _whole(work: Workload, **asked: Any) -> list[Call]:
    """Each buffer as one range for the GPUs that use it, prefetched to the first of them."""
    users = {name: _users(work, name) for name in work.buffers}
    return [
        (name, 0, npages - 1, {"access": users[name], "prefetch": users[name][0]} | asked)
        for name, npages in work.buffers.items()
    ]


def _users(work: Workload, name: str) -> list[str]:
    return sorted({gpu for piece in work.pieces() if piece.buffer == name for gpu in piece.gpus})


def _three_plans() -> dict[str, str]:
    """Access for everybody, whole buffers, and flags in VRAM."""
    work = workload(PUBLIC)
    everybody = play(work, _whole(work, access=[gpu for hive in work.hives for gpu in hive]))
    moved, all_pages = everybody.moved["calls"], sum(work.buffers.values())
    return {
        "everybody": "nothing" if not moved else "all of it" if moved == all_pages else "a part",
        "table": _table(work),
        "flags": _journeys(work),
    }


def _table(work: Workload) -> str:
    (call,) = (call for call in _whole(work) if call[0] == "table")
    try:
        score = play(replace(work, uses=()), [call])
    except DriverError:
        return "the call fails"
    return "all of it moves" if score.moved["calls"] == work.buffers["table"] else "what fits moves"


def _journeys(work: Workload) -> str:
    (call,) = (call for call in _whole(work) if call[0] == "flags")
    score = play(_only(work, "flags"), [call])
    homeward, once = score.moved["CPU faults"], work.buffers["flags"]
    return "never" if not homeward else "once" if homeward == once else "in each round"


def _only(work: Workload, name: str) -> Workload:
    """A workload with one of its buffers."""
    uses = tuple(use for use in work.uses if use.buffer == name)
    return replace(work, buffers={name: work.buffers[name]}, uses=uses)


PREDICTIONS = (
    Prediction(
        "12.p1",
        (
            Question(
                "everybody",
                "All eight GPUs get access to everything. How much do the prefetches move?",
                ("nothing", "a part", "all of it"),
                "for each buffer there is an accessor in the other hive, and that turns a prefetch into RAM",
            ),
            Question(
                "table",
                "A buffer of 16 MiB is prefetched to a GPU with 8 MiB of VRAM. What happens?",
                ("what fits moves", "all of it moves", "the call fails"),
                "a migration to VRAM is all or nothing, and no eviction makes a VRAM larger than it is",
            ),
            Question(
                "flags",
                "After one prefetch a GPU and the CPU use it in turns, for six rounds. How often does it come home?",
                ("never", "once", "in each round"),
                "what has come home stays in RAM until a call asks for something else",
            ),
        ),
        _three_plans,
    ),
)

# 12.1: what a piece costs


def _cases() -> tuple[Piece, ...]:
    """Pieces whose users share a hive, the smallest first."""
    work = workload(PUBLIC)
    near = [piece for piece in work.pieces() if any(set(piece.gpus) <= set(hive) for hive in work.hives)]
    return tuple(sorted(near, key=lambda piece: piece.npages))


@cache
def _price(piece: Piece) -> tuple[int, int]:
    """What a run counts: pages over PCIe if the piece stays in RAM, and if it is prefetched to one of its GPUs."""
    work = _only(workload(PUBLIC), piece.buffer)
    uses = tuple(replace(use, first=piece.first, last=piece.last) for use in work.uses if _covers(use, piece))
    alone = replace(work, uses=uses)
    span = (piece.buffer, piece.first, piece.last)
    runs = [play(alone, [(*span, {"access": piece.gpus} | asked)]) for asked in ({}, {"prefetch": piece.gpus[0]})]
    stays, moves = map(_pages, runs)
    return stays, moves


def _covers(use: Any, piece: Piece) -> bool:
    return bool(use.first <= piece.first <= use.last)


def _pages(score: Score) -> int:
    return sum(score.moved.values()) + score.in_place


def _rule(piece: Piece) -> str:
    home = "home once, and what GPUs touch after that is touched in RAM" if piece.read_by_cpu else "no page comes home"
    return f"in RAM each touch goes over PCIe; moved, a page goes there once, {home}"


# 12.2: the planner that passed


def _colleague(work: Workload) -> list[Call]:
    """The planner of the exercise."""
    plan: list[Call] = []
    for piece in work.pieces():
        asked: dict[str, Any] = {"access": piece.gpus}
        if pays(piece, work):
            asked["prefetch"] = piece.gpus[0]
        plan.append((piece.buffer, piece.first, piece.last, asked))
    return plan


def _seed(answer: Any) -> int:
    if isinstance(answer, bool) or not isinstance(answer, int):
        raise InputError(f"{answer!r} is no seed", allowed="a whole number, 0 or more")
    return workload(answer).seed


def _keeps(seed: int) -> str | None:
    miss = judge(seed, _colleague)
    return None if miss else f"with seed {seed} it keeps to the budget"


_LINES = {
    2: "a plan begins empty",
    3: "these are all pages that somebody uses",
    4: "each GPU that uses a piece gets access to it, and no other one does",
    5: "the exercise says that price is right",
    6: "a move is worth it if it carries less, and if all users reach the pages there",
    8: "each piece gets its call",
    9: "the calls are what place has to return",
}

# 12.3: the planner


def _drawn_workloads(random: Random) -> Judge:
    return on_cases([random.randrange(1 << 30) for _ in range(3)], judge)


EXERCISES = (
    Exercise(
        "12.w1",
        Kind.WARM_UP,
        "Where does a prefetch go if an accessor is in the other hive?",
        one_of(
            {
                "ram": "one accessor cannot reach the VRAM of gpu1",
                "gpu0": "a prefetch to gpu1 is never turned into one to gpu0",
                "gpu1": "gpu5 is in the other hive, and it has access",
                "gpu5": "the prefetch asks for gpu1",
            },
            "ram",
            of="gpu0 and gpu5 have access, prefetch to gpu1, xnack off",
        ),
    ),
    Exercise(
        "12.w2",
        Kind.WARM_UP,
        "How many pages does one CPU touch bring home, of a range of 200 pages?",
        one_number(200, of="pages that come home", rule="a block has 512 pages, and is clipped to the range"),
    ),
    Exercise(
        "12.1",
        Kind.COMPLETE,
        "Tell what a piece carries over PCIe, in RAM and moved.",
        function(_cases(), _price, rule=_rule),
        (
            "Compare the last two scores in One buffer at a time, row by row: who pays for what?",
            "In RAM every touch of a GPU counts. Moved, count the way there, the way home, and the touches after it.",
            "return piece.npages * piece.____, piece.npages * (____ if piece.read_by_cpu else 1)",
        ),
    ),
    Exercise(
        "12.2",
        Kind.BUG_HUNT,
        "Find what is wrong with a planner that passes the public case.",
        bug_hunt(7, counter_example(_seed, _keeps, claim="the planner keeps to the budget of each seed"), lines=_LINES),
        (
            "Let the planner place a few other seeds with play, and look at the row of a full VRAM.",
            "Add up how many pages each GPU gets, and compare with work.vram_pages.",
            "for seed in range(____): print(seed, play(workload(seed), place(workload(seed))).moved[____])",
        ),
    ),
    Exercise(
        "12.3",
        Kind.WRITE,
        "Write a planner that keeps to the budget, also of workloads that you do not see.",
        on_cases((PUBLIC, *_HIDDEN), judge),
        (
            "Start from the planner of 12.2: what moves is settled there. Where it goes is the new question.",
            "Any GPU of the hive will do, so keep a count of what is free on each, and place large pieces first.",
            "for piece in sorted(work.pieces(), key=____): ... gpu = max(hive, key=free.get); free[gpu] -= ____",
        ),
        _drawn_workloads,
    ),
)
