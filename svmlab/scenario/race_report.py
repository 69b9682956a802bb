"""What the orders of a race lead to, as a table, as stories and for a program."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from svmlab.hardware.exploring import END, WAITS, Leg
from svmlab.hardware.points import POINTS
from svmlab.log import Event
from svmlab.mm.span import Span
from svmlab.scenario.format import Scenario
from svmlab.scenario.orders import Following, Stop
from svmlab.scenario.outcome import FOR_EVER, MANY
from svmlab.scenario.races import Found, Races
from svmlab.scenario.result import Result
from svmlab.scenario.runner import Runner, process_of
from svmlab.scenario.session import Session
from svmlab.svm.behaviour import Behaviour

__all__ = ["as_dict", "story", "table"]

_TOLD = frozenset(
    {
        "attributes",
        "call_end",
        "copy",
        "copy_failed",
        "cpu_fault",
        "deferred_work",
        "driver_fallback",
        "evict",
        "gpu_work_end",
        "map_to_gpu",
        "memory_exception",
        "migrate_end",
        "migrate_setup",
        "page_fault_dropped",
        "page_fault_start",
        "page_fault_end",
        "queue_eviction",
        "queue_restore",
        "queue_restore_rescheduled",
        "range_split",
        "restore_end",
        "unmap_from_gpu",
        "vram_alloc",
    }
)
"""Events of which a story tells."""
_HEADINGS = ("#", "orders", "least", "given up", "queues", "where the pages are", "what they hold")


_GIVEN_UP = {FOR_EVER: "for ever", MANY: f"{MANY} or more"}


def table(races: Races) -> str:
    """A table of the outcomes, with the bound that it holds for."""
    lines = [f"{races.scenario.title} ({_head(races)})", _searched(races), ""]
    rows = [_HEADINGS, *(_row(number, found) for number, found in enumerate(races.found, start=1))]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEADINGS))]
    for number, row in enumerate(rows):
        cells = [
            cell.rjust(width) if column < 4 else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join(cells).rstrip())
        if number:
            lines += [f"     {line}" for line in _troubles(races.found[number - 1])]
    return "\n".join(lines)


def _head(races: Races) -> str:
    return f"{_behaviour(races)}, xnack {races.scenario.head.xnack}"


def _behaviour(races: Races) -> str:
    chosen = Behaviour.of(races.scenario.head.behaviour)
    return ", ".join([chosen.base, *(f"{slot} = {option}" for slot, option in chosen.overrides.items())])


def _searched(races: Races) -> str:
    every, outcomes = races.orders.total() - races.drawn, len(races.found)
    bound = "no preemption" if not races.bound else f"at most {_count(races.bound, 'preemption')}"
    drawn = f" and {races.drawn:,} drawn with more (seed {races.seed})" if races.drawn else ""
    bad = sum(found.orders for found in races.found if not found.outcome.good)
    wrong = f"something is wrong in {_count(bad, 'of them', 'of them')}" if bad else "nothing is wrong in any of them"
    return f"every order with {bound}: {every:,}{drawn}; {_count(outcomes, 'outcome')}; {wrong}"


def _count(number: int, one: str, many: str = "") -> str:
    return f"{number:,} {one}" if number == 1 else f"{number:,} {many or one + 's'}"


def _row(number: int, found: Found) -> tuple[str, ...]:
    outcome = found.outcome
    return (
        str(number),
        f"{found.orders:,}",
        str(found.preemptions),
        _GIVEN_UP.get(outcome.rescheduled, str(outcome.rescheduled)),
        outcome.queues,
        "; ".join(outcome.places),
        "; ".join(outcome.contents),
    )


def _troubles(found: Found) -> Iterator[str]:
    yield from found.outcome.errors
    yield from (f"WRONG: {one}" for one in found.outcome.wrong)
    yield from (f"WRONG for a moment: {one}" for one in found.outcome.meanwhile)


def as_dict(races: Races) -> dict[str, Any]:
    """What ``svmlab race --json`` prints."""
    return {
        "title": races.scenario.title,
        "file": races.scenario.file,
        "behaviour": _behaviour(races),
        "xnack": races.scenario.head.xnack,
        "ok": races.ok,
        "bound": races.bound,
        "orders": {str(preemptions): count for preemptions, count in sorted(races.orders.items())},
        "drawn": races.drawn,
        "seed": races.seed,
        "outcomes": [
            {
                "n": number,
                "orders": found.orders,
                "preemptions": found.preemptions,
                "ok": found.outcome.good,
                "places": list(found.outcome.places),
                "contents": list(found.outcome.contents),
                "errors": list(found.outcome.errors),
                "rescheduled": found.outcome.rescheduled,
                "queues": found.outcome.queues,
                "wrong": list(found.outcome.wrong),
                "meanwhile": list(found.outcome.meanwhile),
                "order": [stop.text for stop in found.order],
            }
            for number, found in enumerate(races.found, start=1)
        ],
    }


def story(scenario: Scenario, order: tuple[Stop, ...]) -> str:
    """An order in words: who goes on how far, what happens meanwhile, and what has not happened yet."""
    process = process_of(scenario, explorable=True)
    runner = Runner(Session(scenario, process), Result(scenario.title, process), pick=Following(order))
    runner.run(scenario.steps)
    legs = runner.explorer.legs if runner.explorer else []
    ends = [leg.first_event for leg in legs[1:]] + [len(process.log)]
    names = _names(runner.session)
    lines: list[str] = []
    for number, (leg, end) in enumerate(zip(legs, ends, strict=True), start=1):
        lines.append(f"{number:3}. {leg.label} {_how_far(leg)}")
        lines += [f"       {_named(line, names)}" for line in _told(process.log, leg, end)]
    return "\n".join(lines)


def _how_far(leg: Leg) -> str:
    if leg.until == END:
        return "goes on to its end"
    if leg.until == WAITS:
        return "goes on until it has to wait"
    meaning = f": {POINTS[leg.until]}" if leg.until in POINTS else ""
    return f"stops {leg.until}{meaning}"


def _told(log: Any, leg: Leg, end: int) -> Iterator[str]:
    """What a task did in a leg; what is the same for every GPU is told once."""
    before = ""
    for number in range(leg.first_event, end):
        event: Event = log[number]
        if event.name in _TOLD and event.task is leg.process.task:
            text = re.sub(r"\bgpu\d+\b", "every GPU", str(event)) if event.name.startswith("queue_") else str(event)
            if text != before:
                yield text
            before = text


def _names(session: Session) -> list[tuple[str, Span]]:
    return [(one.name, Span(one.address, one.nbytes)) for one in session.actors["main"].names.values()]


def _named(line: str, names: list[tuple[str, Span]]) -> str:
    """Addresses of pages as pages of mappings."""

    def name(match: re.Match[str]) -> str:
        start, last = int(match[1], 16), int(match[2] or match[1], 16)
        for title, span in names:
            if span.start <= start and last <= span.last:
                return _pages(title, span, start, last)
        return match[0]

    return re.sub(r"\[?(0x[0-9a-f]{6,})(?:, (0x[0-9a-f]+)\])?", name, line)


def _pages(title: str, span: Span, start: int, last: int) -> str:
    if (start, last) == (span.start, span.last):
        return title
    first = start - span.start
    return f"page {first} of {title}" if start == last else f"pages {first} to {last - span.start} of {title}"
