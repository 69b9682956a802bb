"""Notebook 11, reviewing the patch: defects found by reading, and proved by experiments."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from svmlab.course.exercise import Exercise, Kind, Miss, Prediction, Question
from svmlab.course.kinds import on_cases, one_number, one_of
from svmlab.course.mishap import attempt as tried
from svmlab.errors import SvmError
from svmlab.scenario.experiment import FILLED, Act, Performed, fence_fails, file_changes, move, perform
from svmlab.svm.behaviour import Behaviour
from svmlab.svm.behaviour_table import POSTED
from svmlab.svm.buffer_view import Buffer
from svmlab.svm.process import Process

__all__ = ["EXERCISES", "PREDICTIONS", "SYMPTOMS"]

_TWO = ("anonymous", "heap")
"""A buffer that is two mappings."""


def _copy_fails(p: Process, a: Buffer) -> None:
    p.inject("copy")
    move(p, a)


def _page_in_swap(p: Process, a: Buffer) -> None:
    p.set_attr(a, access=["gpu0"])
    p.run()
    p.swap_out(a.pages(3))
    move(p, a)


def _others_bytes(p: Process, a: Buffer) -> None:
    """Most of the VRAM held something else before, and the copy fails."""
    secret = p.mmap("4072 KiB", name="secret")
    secret[:] = 99
    move(p, secret)
    p.run()
    p.munmap(secret)
    p.run()
    _copy_fails(p, a)


def _page_pinned(p: Process, a: Buffer) -> None:
    p.pin(a.pages(6))
    move(p, a)


def _fragmented(p: Process, a: Buffer) -> None:
    p.vram_layout("gpu0", [[16, 4], [32, 4]])
    _copy_fails(p, a)


def _read(numbers: tuple[int | str, ...]) -> str:
    return "1 to 8" if numbers == FILLED else "zeros" if set(numbers) == {0} else "something else"


def _two_experiments() -> dict[str, str]:
    """A copy that fails, and a range over two mappings."""
    failed, two = perform(_copy_fails, POSTED), perform(move, POSTED, kinds=_TWO)
    wrong = sum(found != wanted for found, wanted in zip(two.read_by("cpu"), FILLED, strict=True))
    gpu0, cpu = _read(failed.read_by("gpu0")), _read(failed.read_by("cpu"))
    return {"answer": failed.answer, "gpu0": gpu0, "cpu": cpu, "two": str(wrong)}


PREDICTIONS = (
    Prediction(
        "11.p1",
        (
            Question(
                "answer",
                "The copy to VRAM fails. What does set_attr return?",
                ("0", "EIO"),
                "step 11 fails, and step 15 returns what the collecting returned",
            ),
            Question(
                "gpu0",
                "What does gpu0 read then?",
                ("1 to 8", "zeros", "something else"),
                "the range counts as moved, so gpu0 maps its VRAM, into which nothing was copied",
            ),
            Question(
                "cpu",
                "And what does the CPU read?",
                ("1 to 8", "zeros", "something else"),
                "pages without a destination stay, and the CPU's entries name them",
            ),
            Question(
                "two",
                "A range covers two mappings of 4 pages. Of how many of the 8 pages does the CPU read wrong bytes?",
                ("0", "4", "8"),
                "step 18 counts from the first page of the range's VRAM for each part, so the second meets the first",
            ),
        ),
        _two_experiments,
    ),
)

# 11.1: which step


class _Symptom(NamedTuple):
    """A program that shows something, and the steps that a reviewer may name for it.

    Attributes:
        letter: what the notebook calls it.
        act: the program.
        kinds: of which mappings its buffer is made.
        steps: any of them is right.
        rule: what goes wrong there.
    """

    letter: str
    act: Act
    kinds: tuple[str, ...]
    steps: tuple[int, ...]
    rule: str


SYMPTOMS = (
    _Symptom("A", fence_fails, ("anonymous",), (13,), "the copies failed, and whoever waited for them did not look"),
    _Symptom(
        "B",
        file_changes,
        ("file",),
        (7, 15),
        "pages of a file are refused when structures move; nobody counts what moved before the range counts as moved",
    ),
    _Symptom(
        "C",
        _page_in_swap,
        ("anonymous",),
        (9, 10),
        "a page in swap cannot be collected, and nothing that happens between the attempts would change that",
    ),
    _Symptom("D", _others_bytes, ("anonymous",), (16,), "what nobody copies to keeps what was there before"),
    _Symptom("E", _page_pinned, _TWO, (5,), "the first part has moved, and leaving the loop takes nothing back"),
)
_LINE = "a step of the patch, 1 to 22"


def _step(symptom: _Symptom, answer: Any) -> Miss | None:
    if not isinstance(answer, Mapping):
        return Miss("your answer", repr(answer), '{"A": 1, "B": 2, ...}', "a step for each letter")
    mine, given = answer.get(symptom.letter), f"symptom {symptom.letter}"
    if mine is ...:
        raise NotImplementedError  # a hole is still open
    if isinstance(mine, bool) or not isinstance(mine, int):
        return Miss(given, repr(mine), _LINE, "the steps are numbered through all three parts")
    return None if mine in symptom.steps else Miss(given, f"step {mine}", "another step", symptom.rule)


# 11.2: a page is lost

_MENDED = Behaviour(POSTED, {"copy_cleanup": "all"})
_DEFECT = "the proof of one defect: as posted a page is lost, and with step 22 alone mended none is"


def _lost(version: str, answer: Any) -> Miss | None:
    """Run a learner's program by the posting, and by the posting with one step mended."""
    if not callable(answer):
        return Miss("your answer", repr(answer), "a function", "define lose(p, a), and give its name to check")
    posted = version == "as posted"
    done, error = tried(lambda: perform(answer, POSTED if posted else _MENDED))
    if error:
        return Miss(version, f"it stops with {type(error).__name__}: {error}", "a program that runs", _DEFECT)
    kept = done.read_by("cpu")
    if posted == (kept == FILLED):
        wanted = "a page that it does not find" if posted else "1 to 8"
        return Miss(version, f"the CPU reads {list(kept)}", wanted, _DEFECT)
    return None


# 11.3: mend it


class _Case(NamedTuple):
    """A program that a mended driver must stand.

    Attributes:
        title: what happens, as a clause.
        act: the program.
        kinds: of which mappings its buffer is made.
        fails: whether something fails in it that the program has to hear of.
        wanted: what each page must hold in the end.
    """

    title: str
    act: Act
    kinds: tuple[str, ...] = ("anonymous",)
    fails: bool = True
    wanted: tuple[int, ...] = FILLED


_CASES = (
    _Case("a copy fails", _copy_fails),
    _Case("one range covers two mappings", move, _TWO, fails=False),
    _Case("VRAM is in two pieces and the first copy fails", _fragmented),
    _Case("the fence of a copy reports an error", fence_fails),
    _Case("a page of the second mapping is pinned", _page_pinned, _TWO),
    _Case("a page of a file changes", file_changes, ("file",), fails=False, wanted=(1, 2, 77, *FILLED[3:])),
    _Case("VRAM held something else before, and a copy fails", _others_bytes),
)
_MOST = 6
_FORM = '{"after_copy": "returned", ...}'


def _mended(case: _Case, answer: Any) -> Miss | None:
    if not isinstance(answer, Mapping):
        return Miss("your answer", repr(answer), _FORM, "an option for each slot that you change")
    if len(answer) > _MOST:
        return Miss("your answer", f"{len(answer)} slots", f"at most {_MOST}", "a patch changes what it has to")
    try:
        done = perform(case.act, Behaviour(POSTED, answer), kinds=case.kinds)
    except SvmError as error:
        return Miss("your answer", str(error), _FORM, "slots and options are those of the table")
    return _unmended(case, done)


def _unmended(case: _Case, done: Performed) -> Miss | None:
    for who in ("gpu0", "cpu"):
        found = done.read_by(who)
        if found != case.wanted:
            name = "the CPU" if who == "cpu" else who
            return Miss(
                case.title, f"{name} reads {list(found)}", str(list(case.wanted)), "no byte is lost or invented"
            )
    if case.fails and done.answer == "0":
        return Miss(case.title, "the program is told 0", "an error", "who asked for a move has to hear that it failed")
    return None


EXERCISES = (
    Exercise(
        "11.w1",
        Kind.WARM_UP,
        "In which of the six steps of a migration do the CPU's entries name the new pages?",
        one_number(5, of="the step in which the CPU's entries change", rule="finalize is the fifth step"),
    ),
    Exercise(
        "11.w2",
        Kind.WARM_UP,
        "Who maps pages for the GPUs after a migration, with xnack off?",
        one_of(
            {
                "the call": "with xnack off the call that moved pages leaves the mapping to somebody else",
                "the restore worker": "with xnack off it maps what moved, and lets the queues run",
                "a gpu fault": "with xnack off no fault is served",
            },
            "the restore worker",
            of="xnack off, pages have moved to VRAM",
        ),
    ),
    Exercise(
        "11.1",
        Kind.COMPLETE,
        "Name the step behind each of five symptoms.",
        on_cases(SYMPTOMS, _step),
        (
            "Read each step with the three questions of The patch. Which of them does the symptom answer?",
            "A and C: can it fail? B and E: what is true when it is left? D: what is there before?",
            '"A": waiting, 1_. "B": what counts as moved, _. "C": _. "D": allocating, 1_. "E": leaving the loop, _.',
        ),
    ),
    Exercise(
        "11.2",
        Kind.COUNTER_EXAMPLE,
        "Write a program that loses a page of the CPU's data.",
        on_cases(("as posted", "with step 22 mended"), _lost),
        (
            "Look at step 22, and at what step 18 has done already when step 19 fails.",
            "Step 19 has to fail in the midst of a part. So VRAM must come in pieces: p.vram_layout makes some.",
            'p.vram_layout("gpu0", [[16, _], [32, _]]); p.inject("____"); p.set_attr(...)',
        ),
    ),
    Exercise(
        "11.3",
        Kind.MODIFY,
        "Mend the patch at as few decision points as possible.",
        on_cases(_CASES, _mended),
        (
            "Look at the table above: which slot is about the step that you suspect?",
            "One slot for each defect: the copy's result, a part's place, clean-up, fence, location, leaving early.",
            'after_copy, piece_____, copy_____, fence_____, record_____, later_____: "returned", "own-place", ...',
        ),
    ),
)
