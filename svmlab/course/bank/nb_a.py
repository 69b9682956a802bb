"""Appendix A, the real driver and a real log."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from io import BytesIO
from pathlib import Path
from random import Random
from typing import Any

from svmlab.course.exercise import Exercise, Judge, Kind, Miss, Prediction, Question
from svmlab.course.kinds import function, on_cases, one_number, one_of
from svmlab.course.mishap import attempt as tried
from svmlab.resources import data_path
from svmlab.scenario.experiment import Act, Performed, perform
from svmlab.svm.behaviour_table import UPSTREAM
from svmlab.svm.process import Process
from svmlab.trace.formats import FORMATS, read_trace
from svmlab.trace.smi import smi_lines
from svmlab.trace.trace import Trace, trace_of
from svmlab.uapi import SYSMEM

__all__ = ["DROPPED", "EXERCISES", "PREDICTIONS", "lines_of", "read_lines"]

_SAMPLES = ("first-migration.smi", "first-gpu-fault.smi")


def lines_of(p: Any) -> list[str]:
    """The lines that the driver of a process would have written."""
    return [line for _, line in smi_lines(trace_of(p))]


def read_lines(lines: Iterable[str]) -> Trace:
    """The trace of lines of the kernel."""
    read = FORMATS[".smi"].read
    if read is None:
        raise NotImplementedError
    return read(BytesIO("\n".join([*lines, ""]).encode()), Path("lines.smi"))


def _first_line() -> dict[str, str]:
    """Read the first line of a sample; let a page stay; ask a log for causes."""
    trace = read_trace(data_path("traces", _SAMPLES[0]))
    (done, said), causes = _one_stays(), trace.causes
    moved = int((done.process.look.locations(done.buffer.span) != SYSMEM).sum())
    return {
        "pages": str(trace.log.events("migrate_start")[0].npages),
        "moved": "yes" if moved == said else "no",
        "causes": "yes" if causes else "no",
    }


def _one_stays() -> tuple[Performed, int]:
    """A migration that leaves a page, and how many pages the log speaks of."""

    def act(p: Process, a: Any) -> None:
        p.pin(a.pages(3))
        p.set_attr(a, access=["gpu0"], prefetch="gpu0")

    done = perform(act, UPSTREAM)
    return done, read_lines(lines_of(done.process)).log.events("migrate_end")[0].npages


PREDICTIONS = (
    Prediction(
        "A.p1",
        (
            Question(
                "pages",
                "How many pages is the first line about?",
                ("400", "512", "1024"),
                "sizes in the kernel's lines are numbers of pages, in hexadecimal",
            ),
            Question(
                "moved",
                "Can you read from such lines how many pages did move?",
                ("yes", "no"),
                "they tell the piece that was to move; what could not be collected stays, and no line tells",
            ),
            Question(
                "causes",
                "Does a log of the driver tell which event led to which?",
                ("yes", "no"),
                "a line has a time and a trigger; svmlab infers the rest, and says so",
            ),
        ),
        _first_line,
    ),
)

# A.1: the pages of a line


@cache
def _lines() -> tuple[str, ...]:
    """Lines of the samples, each form once or a few times, and some as later kernels write them."""
    found = [line for name in _SAMPLES for line in data_path("traces", name).read_text(encoding="utf-8").splitlines()]
    extra = [
        "b 81234567891500 -4242 @7f3c40000(200) 8a3f 1",
        "6 81234567990456 -4242 @7f3c40000(1) 0->8a3f 0 -12",
        "7 81234568000001 -4242 @7f3c40010(8a3f) W",
        "8 81234568105000 -4242 @7f3c40010(8a3f) M",
        "a 81234569000200 -4242 8a3f R",
    ]
    return tuple(dict.fromkeys([*(line for line in found if not line.startswith("#")), *extra]))


def _pages(line: str) -> tuple[int, int] | None:
    event = read_lines([line]).log[0]
    return None if event.start < 0 else (event.start, event.last)


def _pages_rule(line: str) -> str:
    if line[0] in "78":
        return "a fault is about one page; the number in brackets is the id of a GPU"
    return "page and size are hexadecimal, and the last page is the first one, plus the size, minus 1"


def _drawn_lines(random: Random) -> Judge:
    return function([_drawn_line(random) for _ in range(100)], _pages, rule=_pages_rule)


def _drawn_line(random: Random) -> str:
    gpu, head = random.randrange(1, 1 << 16), f"{random.randrange(1 << 40)} -{random.randrange(1, 1 << 22)}"
    page = f"@{random.randrange(1 << 36):x}"
    span = f"{page}({random.randrange(1, 1 << 16):x})"
    return random.choice(
        (
            f"5 {head} {span} 0->{gpu:x} {gpu:x}:ffffffff 0",
            f"6 {head} {span} {gpu:x}->0 2 0",
            f"7 {head} {page}({gpu:x}) {random.choice('RW')}",
            f"8 {head} {page}({gpu:x}) {random.choice('MU')}",
            f"9 {head} {gpu:x} 0",
            f"a {head} {gpu:x} {random.choice('0R')}",
            f"b {head} {span} {gpu:x} {random.randrange(3)}",
        )
    )


# A.2: the same lines, other pages


def _plain(p: Process) -> list[str]:
    """Lines without their times."""
    return [" ".join(word for at, word in enumerate(line.split()) if at != 1) for line in lines_of(p)]


def _same_lines(version: str, answer: Any) -> Miss | None:
    form = "two functions, in a tuple or a list: each does something with p and a"
    if not isinstance(answer, tuple | list) or len(answer) != 2 or not all(map(callable, answer)):
        return Miss("your answer", repr(answer), "(first, second)", form)
    runs = []
    for act in answer:
        run, error = _run(act, version)
        if error or run is None or run.answer != "0":
            told = f"it is told {run.answer}" if run else f"it stops with {type(error).__name__}: {error}"
            return Miss(version, told, "a program that runs to its end", form)
        if any(event.text.startswith("pin") for event in run.process.log.events("call_start")):
            return Miss(version, "a page is pinned", "another reason why a page stays", "pin was shown already")
        runs.append(run)
    return _differing_lines(version, runs) or _same_places(version, runs)


def _differing_lines(version: str, runs: list[Performed]) -> Miss | None:
    lines, others = (_plain(run.process) for run in runs)
    if lines == others and lines:
        return None
    part = next((pair for pair in zip(lines, others, strict=False) if pair[0] != pair[1]), None)
    told = f"they part: {part[0]!r}, {part[1]!r}" if part else f"{len(lines)} and {len(others)} lines"
    return Miss(version, told, "the same lines but for their times, at least one", "a log is all that you have")


def _same_places(version: str, runs: list[Performed]) -> Miss | None:
    first, second = (run.process.look.locations(run.buffer.span).tolist() for run in runs)
    if first != second:
        return None
    return Miss(version, "the same pages in the same places", "a page in different places", "the claim holds here")


def _run(act: Act, version: str) -> tuple[Performed | None, BaseException | None]:
    return tried(lambda: perform(act, version))


# A.3: dropped lines

DROPPED = (
    "5 2000000 -77 @7f0000000(200) 0->8a3f 8a3f:ffffffff 0",
    "6 2400000 -77 @7f0000000(200) 0->8a3f 0 0",
    "7 5000000 -77 @7f0000a00(8a3f) R",
    "8 5030000 -77 @7f0000a00(8a3f) U",
    "5 9000000 -77 @7f0000000(200) 0->77b2 77b2:ffffffff 0",
    "6 9400000 -77 @7f0000000(200) 0->77b2 0 0",
)
"""Lines of which two were dropped."""
_WAY_HOME = "pages that were in VRAM of 8a3f can only leave RAM if they came home in between"


def _found(lines: tuple[str, ...], answer: Any) -> Miss | None:
    if isinstance(answer, str) or not isinstance(answer, list | tuple) or not all(isinstance(x, str) for x in answer):
        return Miss("your answer", repr(answer), '["5 ...", "6 ..."]', "the dropped lines, as texts")
    if len(answer) != 2:
        return Miss("your answer", f"{len(answer)} lines", "2 lines", "a migration begins and ends")
    trace = read_lines(_in_time([*lines, *answer]))
    if len(trace) != len(lines) + 2:
        return Miss(
            "your lines", "not all of them are events", "lines as the kernel writes them", "id, time, -pid, @..."
        )
    wrong = trace.replay().contradictions
    if wrong:
        return Miss("the log with your lines", str(wrong[0]), "a log that does not contradict itself", _WAY_HOME)
    return None


def _in_time(lines: list[str]) -> list[str]:
    def time_of(line: str) -> int:
        words = line.split()
        return int(words[1]) if len(words) > 1 and words[1].isdigit() else 0

    return sorted(lines, key=time_of)


EXERCISES = (
    Exercise(
        "A.w1",
        Kind.WARM_UP,
        "How many pages are 2 MiB?",
        one_number(512, of="pages of 2 MiB", rule="a page has 4 KiB"),
    ),
    Exercise(
        "A.w2",
        Kind.WARM_UP,
        "What follows the start of a migration next, with xnack off?",
        one_of(
            {
                "the end of the migration": "collecting pages changes the CPU's table, and that comes first",
                "the queues stop": "collecting pages changes the CPU's table, and the notifier stops the queues",
                "the queues run again": "nobody has stopped them yet",
            },
            "the queues stop",
            of="a prefetch of a buffer in RAM, xnack off",
        ),
    ),
    Exercise(
        "A.1",
        Kind.WRITE,
        "Read the pages of a line.",
        function(_lines(), _pages, rule=_pages_rule),
        (
            "Look at the table in Field by field: which lines have an @, and what stands in the brackets?",
            "Take the text behind the @ up to the blank, and cut it at the bracket. Both numbers have base 16.",
            'page, size = line.split("@")[1].split(")")[0].split("____"); int(page, ____)',
        ),
        _drawn_lines,
    ),
    Exercise(
        "A.2",
        Kind.COUNTER_EXAMPLE,
        "Find two programs that leave the same log and other pages in VRAM.",
        on_cases((UPSTREAM,), _same_lines),
        (
            "Look at What no line tells: what differs between the two runs, and where is it in the log?",
            "Something must keep a page from being collected, and leave no line. Pages can be in a third place.",
            "first: p.swap____(a.pages(3)), then the prefetch. second: the prefetch alone.",
        ),
    ),
    Exercise(
        "A.3",
        Kind.MODIFY,
        "Say which two lines of a log were dropped.",
        on_cases((DROPPED,), _found),
        (
            "Let svmlab replay the lines as they are: which event does it object to, and why?",
            "The pages leave RAM twice. What must have happened between 2400000 and 9000000?",
            '["5 3000000 -77 @7f0000000(200) ____->0 8a3f:ffffffff 2", "6 3300000 -77 @7f0000000(200) ____ 2 0"]',
        ),
    ),
)
