"""Notebook 07, stop, move, resume."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from itertools import combinations
from typing import Any, NamedTuple

from svmlab.course.exercise import Exercise, Kind, Miss, Prediction, Question
from svmlab.course.kinds import bug_hunt, counter_example, function, on_cases, one_number, order
from svmlab.course.mishap import attempt as tried
from svmlab.errors import InputError
from svmlab.mm.span import Span
from svmlab.resources import data_path
from svmlab.scenario.orders import parse_order
from svmlab.scenario.runner import load_scenario, run
from svmlab.svm.buffer_view import Buffer
from svmlab.svm.mechanisms import mechanism
from svmlab.svm.process import Process
from svmlab.svm.queue_state import Output
from svmlab.svm.steps import STEPS
from svmlab.units import format_time

__all__ = ["EXERCISES", "PREDICTIONS"]

_MS = 1_000_000
_SIZE = "2 MiB"


def _mapped(names: str, size: str = _SIZE) -> tuple[Process, list[Buffer]]:
    """A process with buffers in RAM that gpu0 maps, and a queue of gpu0."""
    p = Process("toy")
    buffers = [p.mmap(size, name=name) for name in names]
    for buffer in buffers:
        p.cpu_write(buffer, 7)
        p.set_attr(buffer, access=["gpu0"])
    p.create_queue("gpu0")
    p.run()
    return p, buffers


def _longest_stop(p: Process, since: int) -> int:
    """The longest time that gpu0's queues stood still, in ns; stops are counted, and one may go on still."""
    longest = depth = begin = 0
    for event in p.log.events("queue_eviction", "queue_restore", since=since):
        if event.fields["gpu"] != 0:
            continue
        stops = event.name == "queue_eviction"
        begin = event.time_ns if stops and depth == 0 else begin
        depth += 1 if stops else -1
        longest = max(longest, event.time_ns - begin)
    return max(longest, p.now - begin) if depth else longest


def _moved(p: Process, since: int) -> int:
    return int(p.log.field("migrate_end", "npages", p.log.select("migrate_end", since=since)).sum())


def _one_page_changes() -> dict[str, str]:
    """Make a page read-only; in another process take two away, the second while the worker is at work."""
    p, (a, b) = _mapped("ab")
    p.set_attr(b, access=["gpu1"])
    p.create_queue("gpu1")
    p.run()
    since = len(p.log)
    p.mprotect(a.pages(0), "r")
    other = "stop" if p.look.queues(1) == "evicted" else "run on"
    p.run()
    moved, length = _moved(p, since), _longest_stop(p, since)
    return {
        "other": other,
        "pages": {0: "none", 1: "1"}.get(moved, "512"),
        "length": ("less than 1 ms", "1 ms to 2 ms", "more than 2 ms")[min(length // _MS, 2)],
        "passes": {1: "once", 2: "twice", 3: "three times"}[_passes()],
    }


def _passes() -> int:
    p, (a,) = _mapped("a")
    p.start.swap_out(a.pages(0))
    p.advance("1110 us")
    p.start.swap_out(a.pages(1))
    p.run()
    return p.log.count("restore_start")


PREDICTIONS = (
    Prediction(
        "07.p1",
        (
            Question(
                "other",
                "gpu1 works on b while a page of a changes. What do its queues do?",
                ("run on", "stop"),
                "the driver stops all queues of the process, whoever uses the page",
            ),
            Question(
                "pages",
                "How many pages move between RAM and VRAM?",
                ("none", "1", "512"),
                "a stop moves nothing; the page is where it was, and mapped anew",
            ),
            Question(
                "length",
                "How long do gpu0's queues stand still?",
                ("less than 1 ms", "1 ms to 2 ms", "more than 2 ms"),
                "the restore worker starts 1 ms after the stop, and has little to do here",
            ),
            Question(
                "passes",
                "Page 1 goes while page 0 is being repaired. How often is the driver at it, in all?",
                ("once", "twice", "three times"),
                "a count changed while the worker was at work, so it gives up and starts over 1 ms later",
            ),
        ),
        _one_page_changes,
    ),
)


def _pieces() -> dict[str, str]:
    """The pieces of 07.1 in order, in the words of the mechanisms that do them."""
    count, worker = mechanism("stop_queues").steps, mechanism("restore_work").steps
    texts = ("; ".join(count[:2]), Output.QUIESCE.value, Output.SCHEDULE.value, *worker[1:5])
    return dict(zip("HEBFIAC", texts, strict=True))


_NEEDS = {
    "H": "only the first eviction stops queues, so the driver counts before it stops anything",
    "E": "the eviction is counted, and it is the first: now the queues stop, before anything is planned",
    "B": "the queues stand still, and somebody must let them run again: the worker is ordered",
    "F": "the worker has started; it touches no range before it has its locks",
    "I": "with the locks held, each invalid range is made valid, and its own count compared",
    "A": "all ranges are done; before queues run, the evictions of the whole process are compared",
    "C": "both comparisons held: every range is mapped, and nothing has changed meanwhile",
}
_STRANGERS = {
    "D": "with xnack off the entries of the GPU stay as they are; that is why the queues must stop",
    "G": "a restore maps pages where they are; it moves none between RAM and VRAM",
}


class _Hit(NamedTuple):
    """A case of 07.2: a text of buffers hit at first, the one at work, the one that is hit then."""

    invalid: str
    at: str
    hit: str

    def __str__(self) -> str:
        return f"invalid={list(self.invalid)}, at={self.at!r}, hit={self.hit!r}"


_NAMES = "abcd"


def _hits() -> Iterator[_Hit]:
    for count in range(1, len(_NAMES) + 1):
        for invalid in combinations(_NAMES, count):
            for at in invalid:
                yield from (_Hit("".join(invalid), at, hit) for hit in _NAMES)


@cache
def _second_passes() -> dict[_Hit, list[str]]:
    """What the driver's second pass restores, in each case; one process runs them all."""
    p, buffers = _mapped(_NAMES, "16 KiB")
    named = dict(zip(_NAMES, buffers, strict=True))
    return {case: _second_pass(p, named, case) for case in _hits()}


def _second_pass(p: Process, named: dict[str, Buffer], case: _Hit) -> list[str]:
    since = len(p.log)
    for name in case.invalid:
        p.start.swap_out(named[name].pages(0))
    p.advance("200 us")
    (ordered,) = p.log.events("restore_scheduled", since=since)
    p.advance(ordered.time_ns + _MS - p.now)
    while named[case.at].span.start not in _restored(p, since):
        p.advance("1 us")
    p.start.swap_out(named[case.hit].pages(1))
    p.run()
    _first, second = p.log.events("restore_start", since=since)
    begins: dict[int, str] = {named[name].span.start: name for name in _NAMES}
    return [begins[start] for start in _restored(p, second.id)]


def _restored(p: Process, since: int) -> list[int]:
    return [event.start for event in p.log.events("restore_range", since=since)]


def _why_again(case: _Hit) -> str:
    if case.hit == case.at:
        return f"the own comparison of {case.at} fails; it and all that come behind it are left for the next pass"
    if case.hit > case.at:
        return f"{case.hit} is hit before the worker comes to it, so the first pass restores it; the evictions changed"
    return f"{case.hit} was done or passed over when it was hit; the rest is restored in the first pass"


def _ask(answer: Callable[..., Any], case: _Hit) -> Any:
    mine = answer(list(case.invalid), case.at, case.hit)
    return list(mine) if isinstance(mine, tuple | str) else mine


def _stops_long(_case: int, answer: Any) -> Miss | None:
    given = "a program on toy"
    if not callable(answer):
        return Miss("your answer", repr(answer), "a function", "define it with def, and give its name to check")
    p, (a,) = _mapped("a")
    since = len(p.log)
    _, error = tried(lambda: answer(p, a))
    if error is not None:
        return Miss(given, f"it stops with {type(error).__name__}: {error}", "a program that ends", "see its message")
    p.run(for_ns=10 * _MS)
    moved, length = _moved(p, since), _longest_stop(p, since)
    yours = f"gpu0's longest stop takes {format_time(length)}, and {moved} pages move"
    if moved:
        return Miss(given, yours, "a program that moves none", "the claim speaks of stops without moves")
    if length <= 3 * _MS:
        return Miss(given, yours, "a stop longer than 3 ms", _because(p, since))
    return None


def _because(p: Process, since: int) -> str:
    passes = p.log.count("restore_start", since=since)
    if not passes:
        return "no page of a changed, so nothing stopped"
    again = p.log.count("queue_restore_rescheduled", since=since) // len(p.machine.gpus)
    return f"the worker made {passes} passes, and gave up in {again} of them; only a hit during a pass makes it give up"


_LOST = "defects/x50-queues-still-run.toml"
_OLD, _NEW = 2, 9


class _Order(NamedTuple):
    """A case of 07.4, run: what page 0 of b holds at the end, and whether the store had to wait for the restore."""

    held: int
    waited: bool

    def __str__(self) -> str:
        return "your order"


def _order(answer: Any) -> _Order:
    if answer is ...:
        raise NotImplementedError  # a hole is still open
    if not isinstance(answer, list | tuple) or not all(isinstance(line, str) for line in answer):
        raise InputError("not a list of texts", allowed='a list such as ["main: gpu_write until its end"]')
    parse_order(answer)
    result = run(load_scenario(data_path("scenarios", *_LOST.split("/"))).with_head(order=list(answer)))
    p = result.process
    page = next(vma.start for vma in p.driver.mm.vmas.values() if vma.name == "b")
    (stored,) = p.log.events("gpu_work_end")
    waited = any(event.id < stored.id for event in p.log.events("queue_restore"))
    return _Order(int(p.look.content(Span.of_pages(page, page))[0]), waited)


def _store_is_kept(case: _Order) -> str | None:
    if case.held == _OLD:
        return None
    if case.waited:
        return f"page 0 of b holds {_NEW}: the queues stood, so the store waited until the page was mapped again"
    return f"page 0 of b holds {_NEW}: the store came before the page went, so swap has it"


_LINES = {
    1: "it has counted, and will stop the queues when it goes on; that it is slow is no error",
    3: "it does stop the queues; it is line 2 that did not wait for it",
    4: "the worker finds both pages where they are now, and maps them",
}


EXERCISES = (
    Exercise(
        "07.w1",
        Kind.WARM_UP,
        "In which step of a migration do the queues run again?",
        one_number(len(STEPS), of="the step", rule="the last step maps the new pages; only then may a GPU run on them"),
    ),
    Exercise(
        "07.w2",
        Kind.WARM_UP,
        "How many pages move when a GPU reads what prefers it, with xnack off?",
        one_number(
            0, of="pages that move", rule="gpu0 maps the pages in RAM, so it takes no fault; a preference moves nothing"
        ),
    ),
    Exercise(
        "07.1",
        Kind.ORDER,
        "Order what happens from the change of a page until the queues run.",
        order(_pieces(), _NEEDS, strangers=_STRANGERS, of="a stop and a restore"),
        (
            "Look at the output of sl.why in *One page changes*, and at the list in *The steps of the worker*.",
            "Three pieces are the notifier's, four the worker's. Two pieces do not belong: one moves, one unmaps.",
            "H _ B _ _ A _",
        ),
    ),
    Exercise(
        "07.2",
        Kind.WRITE,
        "Tell what the second pass of the restore worker restores.",
        function(_hits(), lambda case: _second_passes()[case], rule=_why_again, call=_ask),
        (
            "Look at *Compare and exchange*: a was done when it was hit. Which buffers were in the second pass?",
            "Compare hit with at: the same, before it, behind it. A count is read when the worker comes to the range.",
            "if hit == at: return [name for name in invalid if ____]; return [hit] if ____ else ____",
        ),
    ),
    Exercise(
        "07.3",
        Kind.COUNTER_EXAMPLE,
        "Write a program whose queues stop for longer than 3 ms though no page moves.",
        on_cases((0,), _stops_long),
        (
            "Look at the second run of *A second page*: when did the first pass begin and end, and when the second?",
            "Each hit during a pass costs 1 ms more. Two hits are needed, one in the first pass and one in the second.",
            'swap_out page 0; p.advance("1110 us"); swap_out page 1; p.advance("____ us"); ____: all with p.start',
        ),
    ),
    Exercise(
        "07.4",
        Kind.BUG_HUNT,
        "Find the line in which a task relies on what is not so, and an order that loses a store by it.",
        bug_hunt(
            2,
            counter_example(_order, _store_is_kept, claim="a store of gpu0 is never lost"),
            lines=_LINES,
        ),
        (
            "Who has stopped the queues when the second reclaim is at its end? Who thinks that somebody has?",
            "Begin as the story does. The store must come when page 0 of b is gone and the queues still run.",
            '["main: swap_out until before ____", "main: swap_out #2 until ____", "main: ____ until its end"]',
        ),
    ),
)
