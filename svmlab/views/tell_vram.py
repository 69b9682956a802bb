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
    alone = {lane.name: lanes[lane.name] for lane in chart.lanes[1:] if not lane.note}
    page_0 = "; page 0 is reserved" if chart.marks else ""
    gpu, size = everything.partition(",")[0], about(chart.axis.end)
    return [_who(alone, _sum(whole, "held"), f"the {size} of {gpu}"), f"{_gaps(whole)}{page_0}."]


def _who(lanes: dict[str, list[Bar]], held: int, of: str) -> str:
    if not held:
        return f"Nothing is held of {of}."
    ranked = sorted(lanes, key=lambda name: -_sum(lanes[name], "held"))[:_MOST]
    told = [_one(name, lanes[name]) for name in ranked]
    rest = held - sum(_sum(lanes[name], "held") for name in ranked)
    if rest:
        told.append(f"{_size(rest)} by others")
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
