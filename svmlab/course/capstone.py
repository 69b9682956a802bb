"""The capstone: the budget of a workload, and whether a learner's planner keeps to it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache
from typing import Any

from svmlab.course.exercise import Miss
from svmlab.course.mishap import attempt as tried
from svmlab.course.placement import Call, Score, in_mib, in_ms, play
from svmlab.course.workload import Piece, Workload, workload
from svmlab.errors import SvmError
from svmlab.units import MIB

__all__ = ["Budget", "budget", "grade", "judge", "judge_plan", "model_plan", "pays"]

_SLACK = 1.1
"""How much more than the model placement a budget allows: enough for another order of calls, not for another stop."""
_TENTH_MS = 100_000


@dataclass(frozen=True, slots=True)
class Budget:
    """What a placement may cost.

    Attributes:
        carried_bytes: over PCIe.
        stopped_ns: time that queues stand still.
    """

    carried_bytes: int
    stopped_ns: int

    def __str__(self) -> str:
        return f"budget: {in_mib(self.carried_bytes)} over PCIe, queues stopped {in_ms(self.stopped_ns)}"

    def allows(self, score: Score) -> bool:
        """Whether a placement keeps to it."""
        return score.carried_bytes <= self.carried_bytes and score.stopped_ns <= self.stopped_ns


@cache
def _budget(seed: int) -> Budget:
    work = workload(seed)
    model = play(work, model_plan(work))
    carried, stopped = int(model.carried_bytes * _SLACK), int(model.stopped_ns * _SLACK)
    return Budget(-(-carried // MIB) * MIB, -(-stopped // _TENTH_MS) * _TENTH_MS)


def budget(work: Workload) -> Budget:
    """The budget of a workload: what the model placement costs when it is run, and a tenth more.

    Args:
        work: a workload that ``workload`` made.

    >>> print(budget(workload(3)))
    budget: ... MiB over PCIe, queues stopped ... ms
    """
    return _budget(work.seed)


def model_plan(work: Workload) -> list[Call]:
    """A placement that keeps to the budget: a piece moves if its users share a hive and moving it carries less."""
    free = {gpu: work.vram_pages for hive in work.hives for gpu in hive}
    return [_call(piece, work, free) for piece in sorted(work.pieces(), key=lambda piece: -piece.npages)]


def _call(piece: Piece, work: Workload, free: dict[str, int]) -> Call:
    asked: dict[str, Any] = {"access": piece.gpus}
    if pays(piece, work):
        hive = next(hive for hive in work.hives if piece.gpus[0] in hive)
        gpu = asked["prefetch"] = max(hive, key=lambda name: free[name])
        free[gpu] -= piece.npages
    return piece.buffer, piece.first, piece.last, asked


def pays(piece: Piece, work: Workload) -> bool:
    """Whether a move carries less over PCIe than leaving a piece in RAM, and all of its users reach it there."""
    there_and_back = 2 + piece.after if piece.read_by_cpu else 1
    return there_and_back < piece.touches and any(set(piece.gpus) <= set(hive) for hive in work.hives)


def judge_plan(seed: int, plan: Any) -> Miss | None:
    """Run a plan for the workload of a seed, and tell what is wrong with it."""
    work = workload(seed)
    given, allowed = f"workload({seed})", budget(work)
    try:
        score = play(work, plan)
    except SvmError as error:
        return Miss(given, str(error), "a plan that goes through", "the driver answers each call, and each GPU's touch")
    if score.carried_bytes > allowed.carried_bytes:
        carried = f"{in_mib(score.carried_bytes)} over PCIe, of it {in_mib(score.in_place_bytes)} used in RAM"
        rule = _MAKE_IT_FIT if score.moved["a full VRAM"] else _MOVE_WHAT_PAYS
        return Miss(given, carried, f"at most {in_mib(allowed.carried_bytes)}", rule)
    if score.stopped_ns > allowed.stopped_ns:
        return Miss(
            given,
            f"queues stopped {in_ms(score.stopped_ns)}",
            f"at most {in_ms(allowed.stopped_ns)}",
            _STOP_LESS,
        )
    return None


_MOVE_WHAT_PAYS = "a page is worth a move if one hive alone uses it, more often than the move and the way home cost"
_MAKE_IT_FIT = "where more is placed than the VRAM holds, other buffers are thrown out to RAM"
_STOP_LESS = "each move in or out stops all queues, for a millisecond or longer; moves in a row share a stop"


def judge(seed: int, place: Any) -> Miss | None:
    """Let a planner place the workload of a seed, and tell what is wrong with what it says."""
    if not callable(place):
        return Miss("your answer", repr(place), "a function", "define place(work), and give its name to check")
    plan, error = tried(lambda: place(workload(seed)))
    if error:
        told = f"it stops with {type(error).__name__}: {error}"
        return Miss(f"workload({seed})", told, "a list of calls", "work.pieces() has what a call needs to know")
    return judge_plan(seed, plan)


def grade(place: Callable[[Workload], Iterable[Call]], seeds: Iterable[int]) -> dict[int, str]:
    """For those who teach: run a planner on seeds of one's own.

    Args:
        place: a learner's function.
        seeds: any whole numbers from 0.

    Returns:
        For each seed an empty text if the planner keeps to the budget, else what is wrong.

    >>> grade(model_plan, [7, 8])
    {7: '', 8: ''}
    """
    misses = {seed: judge(seed, place) for seed in seeds}
    return {seed: "" if miss is None else str(miss) for seed, miss in misses.items()}
