"""The sentences that tell a timeline: what moved, how long queues stood still and why, what went wrong."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Container, Iterable

from svmlab.units import format_time
from svmlab.views.scene import Bar, Chart, Mark
from svmlab.views.source import place_name, plural
from svmlab.views.tell import listed

__all__ = ["mover", "tell_run", "tell_timeline"]


_FAULTS = {"cpu fault": "CPU fault", "fault": "GPU fault"}
"""Styles whose bars and marks are counted in the last sentence, and what they are called there."""


def tell_timeline(chart: Chart, _title: str) -> list[str]:
    """Tell a timeline in up to three sentences."""
    return [sentence for sentence in (_moves(chart), _stops(chart), _troubles(chart)) if sentence]


def tell_run(chart: Chart, title: str) -> list[str]:
    """Tell one of two runs in up to three sentences: what moved, what stood still, where it parts."""
    first, *others = [sentence for sentence in (_moves(chart), _stops(chart)) if sentence]
    parts = [mark for mark in chart.marks if mark.style == "difference"]
    ends = [f"It parts at {format_time(mark.at)}: {mark.note}." for mark in parts] or ["The other run does the same."]
    return [f"{title}: {first}", *others, *ends]


def _moves(chart: Chart) -> str:
    moves, call = chart.styled("move"), mover(chart.bars)
    who = call.get("call") if call else ""
    if not moves:
        return f"{who} moves no page." if who else "No page moves."
    ways = listed(_ways(moves))
    count = _count(moves)
    if count > 1:
        return f"{count} migrations move {ways}{_copies(chart)}."
    so_far = " so far" if moves[0].get("still") else ""
    subject = f"{who} moves {ways}" if who else _moving(ways)
    return f"{subject} in {format_time(_length(moves))}{so_far}{_copies(chart)}."


def _moving(ways: str) -> str:
    """The ways as a sentence's subject and verb; only the first one needs the verb."""
    if ways.startswith("1 page "):
        return ways.replace(" page ", " page moves ", 1)
    return ways.replace(" pages ", " pages move ", 1)


def mover(bars: Iterable[Bar]) -> Bar | None:
    """The call in which everything moved that moved, if there is one such call.

    Args:
        bars: the bars of a timeline.
    """
    moves = [bar for bar in bars if bar.style == "move"]
    calls = [call for call in bars if call.style == "call" and all(_holds(call, move) for move in moves)]
    return calls[0] if len(calls) == 1 and calls[0].get("call") else None


def _holds(call: Bar, move: Bar) -> bool:
    return call.start <= move.start and move.end <= call.end


def _ways(moves: list[Bar]) -> Iterable[str]:
    pages: Counter[tuple[str, str, str]] = Counter()
    for move in moves:
        way = (move.get("source", "cpu"), move.get("target", "cpu"), move.get("trigger", ""))
        pages[way] += move.get("npages")
    for (source, target, trigger), npages in pages.items():
        yield f"{plural(npages, one='page')} from {place_name(source)} to {place_name(target)} ({trigger})"


def _copies(chart: Chart) -> str:
    batches, windows = (sum(bar.get(name) for bar in chart.styled("copy")) for name in ("batches", "windows"))
    if not batches:
        return ""
    return f", copied in {plural(batches, one='batch', many='batches')} ({plural(windows, one='window')})"


def _stops(chart: Chart) -> str:
    lanes: defaultdict[str, list[Bar]] = defaultdict(list)
    for bar in chart.styled("stopped"):
        lanes[bar.lane].append(bar)
    if not lanes:
        return ""
    longest = max(map(_length, lanes.values()))
    alike = {lane: stops for lane, stops in lanes.items() if _length(stops) == longest}
    stops = next(iter(alike.values()))
    delay = _length(chart.styled("wait"))
    share = "all" if delay == longest else format_time(delay)
    waits = f", {share} of it the restore delay" if delay else ""
    ends = ", and are still stopped at the end" if any(bar.get("still") for bar in stops) else ""
    who = listed(lane.removeprefix("queues ") for lane in alike)
    return f"Queues on {who} stand still {_times(stops)}{format_time(longest)}{waits}{ends}{_others(lanes, alike)}."


def _times(stops: list[Bar]) -> str:
    return "for " if _count(stops) == 1 else f"{_count(stops)} times, together for "


def _others(lanes: Iterable[str], told: Container[str]) -> str:
    rest = [lane.removeprefix("queues ") for lane in lanes if lane not in told]
    return f"; those on {listed(rest)} for a shorter time" if rest else ""


def _troubles(chart: Chart) -> str:
    items: list[Bar | Mark] = [*chart.bars, *chart.marks]
    parts = [
        plural(count, one=name)
        for style, name in _FAULTS.items()
        if (count := sum(item.get("count", 1) for item in items if item.style == style))
    ]
    troubles: Counter[str] = Counter()
    for item in items:
        if item.style == "trouble":
            troubles[item.get("what", item.label)] += item.get("count", 1)
    parts += [f"{count} times '{trouble}'" if count > 1 else f"'{trouble}'" for trouble, count in troubles.items()]
    longest = sorted(chart.styled("lock"), key=lambda bar: bar.start - bar.end)[:1]
    parts += [f"waits for locks, the longest {format_time(_length([bar]))} for {bar.get('lock')}" for bar in longest]
    return f"It also shows {listed(parts)}." if parts else ""


def _count(bars: list[Bar]) -> int:
    return sum(bar.get("count", 1) for bar in bars)


def _length(bars: Iterable[Bar]) -> int:
    """How long they last, also where only a piece of them is drawn."""
    return sum(bar.get("lasts") or bar.end - bar.start for bar in bars)
