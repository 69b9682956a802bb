"""The sentences that tell a page map over time: which pages changed place at which moment, table by table."""

from __future__ import annotations

from collections import Counter

from svmlab.views.scene import Chart
from svmlab.views.source import plural
from svmlab.views.tell import listed

__all__ = ["tell_page_map_over_time"]

_MOST = 4
_WAYS = 2
"""Ways that are told of each moment; of more, only how many pages took them."""
_PLACES = {"cpu": "RAM", "none": "nothing", "swapped": "swap"}


def tell_page_map_over_time(chart: Chart, title: str) -> list[str]:
    """Tell the changes of one page table in order of time; of more than four moments, the first four."""
    told = [f"{lane.note} {listed(ways)}" for lane in chart.lanes if (ways := _ways(chart, lane.name))]
    if not told:
        return [f"{title}: nothing changes."]
    rest = f", and {len(told) - _MOST} times more later" if len(told) > _MOST else ""
    return [f"{title}: {'; '.join(told[:_MOST])}{rest}."]


def _ways(chart: Chart, lane: str) -> list[str]:
    ways: Counter[str] = Counter()
    for bar in chart.bars:
        if bar.lane == lane:
            ways.update({way: int(npages) for way, npages in bar.data})
    told = [_way(way, npages) for way, npages in ways.most_common(_WAYS)]
    rest = ways.total() - sum(npages for _, npages in ways.most_common(_WAYS))
    return [*told, *([f"{plural(rest, one='page')} otherwise"] if rest else [])]


def _way(way: str, npages: int) -> str:
    source, target = way.split(" > ")
    places = f"from {_PLACES.get(source, source)} to {_PLACES.get(target, target)}"
    return f"{plural(npages, one='page')} {'changes' if npages == 1 else 'change'} {places}"
