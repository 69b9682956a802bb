"""An order as a story: who goes on how far, and what happens meanwhile."""

from __future__ import annotations

import re
from collections.abc import Iterator

from svmlab.hardware.exploring import END, WAITS, Leg
from svmlab.hardware.points import POINTS
from svmlab.log import Event, Log
from svmlab.scenario.format import Scenario
from svmlab.scenario.orders import Following, Stop
from svmlab.scenario.page_names import named, names_of
from svmlab.scenario.result import Result
from svmlab.scenario.runner import Runner, process_of
from svmlab.scenario.session import Session

__all__ = ["story"]

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


def story(scenario: Scenario, order: tuple[Stop, ...]) -> str:
    """An order in words: who goes on how far, what happens meanwhile, and what has not happened yet."""
    process = process_of(scenario, explorable=True)
    runner = Runner(Session(scenario, process), Result(scenario.title, process), pick=Following(order))
    runner.run(scenario.steps)
    legs = runner.explorer.legs if runner.explorer else []
    ends = [leg.first_event for leg in legs[1:]] + [len(process.log)]
    names = names_of(runner.session)
    lines: list[str] = []
    for number, (leg, end) in enumerate(zip(legs, ends, strict=True), start=1):
        lines.append(f"{number:3}. {leg.label} {_how_far(leg)}")
        lines += [f"       {named(line, names)}" for line in _told(process.log, leg, end)]
    return "\n".join(lines)


def _how_far(leg: Leg) -> str:
    if leg.until == END:
        return "goes on to its end"
    if leg.until == WAITS:
        return "goes on until it has to wait"
    meaning = f": {POINTS[leg.until]}" if leg.until in POINTS else ""
    return f"stops {leg.until}{meaning}"


def _told(log: Log, leg: Leg, end: int) -> Iterator[str]:
    """What a task did in a leg; what is the same for every GPU is told once."""
    before = ""
    for number in range(leg.first_event, end):
        event: Event = log[number]
        if event.name in _TOLD and event.task is leg.process.task:
            text = re.sub(r"\bgpu\d+\b", "every GPU", str(event)) if event.name.startswith("queue_") else str(event)
            if text != before:
                yield text
            before = text
