"""The sentences that tell a VRAM map: who holds how much in how many nodes, and how the rest is free."""

from __future__ import annotations

from collections import defaultdict

from svmlab.units import PAGE_SIZE
from svmlab.views.scene import Bar, Chart
from svmlab.views.source import about, plural
from svmlab.views.tell import listed

__all__ = ["tell_vram_map"]

_MOST = 3


def tell_vram_map(chart: Chart, _title: str) -> list[str]:
    """Tell who holds the VRAM, what is empty in it, and the gaps that are left."""
    everything = chart.lanes[0].name
    lanes: defaultdict[str, list[Bar]] = defaultdict(list)
    for bar in chart.bars:
        lanes[bar.lane].append(bar)
    whole = lanes.pop(everything, [])
    gpu, size = everything.partition(",")[0], about(chart.axis.end)
    return [_who(lanes, whole, f"the {size} of {gpu}"), f"{_gaps(whole)}{'; page 0 is reserved' * bool(chart.marks)}."]


def _who(lanes: dict[str, list[Bar]], whole: list[Bar], of: str) -> str:
    held = _sum(whole, "held")
    if not held:
        return f"Nothing is held of {of}."
    ranked = sorted(lanes, key=lambda name: -_sum(lanes[name], "held"))
    told = [_one(name, lanes[name]) for name in ranked[:_MOST]]
    if len(ranked) > _MOST:
        rest = sum(_sum(lanes[name], "held") for name in ranked[_MOST:])
        told.append(f"{_size(rest)} by {len(ranked) - _MOST} more")
    return f"{_size(held)} of {of} are held: {listed(told)}."


def _one(name: str, bars: list[Bar]) -> str:
    empty = _sum(bars, "empty")
    nodes = f"{_size(_sum(bars, 'held'))} by {name} in {plural(_sum(bars, 'nodes'), one='node')}"
    return nodes + (f" ({_size(empty)} without pages)" if empty else "")


def _gaps(whole: list[Bar]) -> str:
    gaps = _sum(whole, "gaps")
    if not gaps:
        return "Nothing is free"
    largest = max(bar.get("largest") for bar in whole)
    pieces = f" in {gaps} gaps, the largest of {_size(largest)}" if gaps > 1 else " in one piece"
    return f"{_size(_sum(whole, 'free'))} are free{pieces}"


def _sum(bars: list[Bar], name: str) -> int:
    return sum(bar.get(name) for bar in bars)


def _size(npages: int) -> str:
    return about(npages * PAGE_SIZE)
