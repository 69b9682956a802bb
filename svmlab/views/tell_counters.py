"""The sentences that tell counters: what moved, who waited, how often what happened."""

from __future__ import annotations

from svmlab.units import PAGE_SIZE, format_time
from svmlab.views.scene import Bar, Chart, Table
from svmlab.views.source import about, place_name, plural
from svmlab.views.tell import listed

__all__ = ["tell_bytes_moved", "tell_counts", "tell_sweep", "tell_time_waited"]

_MOST = 4


def tell_bytes_moved(chart: Chart, _title: str) -> list[str]:
    """Tell how much went which way and why, the most first."""
    bars = sorted(chart.bars, key=lambda bar: -bar.end)
    ways = [_way(bar) for bar in bars[:_MOST]]
    ways += [f"{len(bars) - _MOST} more ways"] * (len(bars) > _MOST)
    first, *rest = ways
    amount, way = first.split("|")
    return [f"{listed([f'{amount} moved {way}', *(part.replace('|', ' ') for part in rest)])}."]


def tell_time_waited(chart: Chart, _title: str) -> list[str]:
    """Tell whose queues stood still longest, and which GPU spent most time on page faults."""
    return [sentence(max(bars, key=lambda bar: bar.end)) for style, sentence in _WAITS if (bars := chart.styled(style))]


def tell_counts(table: Table, _title: str) -> list[str]:
    """Tell the counts that are not zero."""
    counted = [f"{row.cells[0].text} {row.cells[1].text}" for row in table.rows if row.style != "pale"]
    return [f"Counted: {listed(counted)}."] if counted else ["Nothing that is counted happened."]


def tell_sweep(chart: Chart, title: str) -> list[str]:
    """Tell what moves with the least VRAM, with the most that is too little, and with enough."""
    bars = {bar.lane: bar for bar in chart.bars if "moved_in" in dict(bar.data)}
    enough = [lane for lane, bar in bars.items() if not bar.get("evicted")]
    scarce = [lane for lane in bars if lane not in enough]
    parts = [f"with {lane} {_moved(bars[lane])} move" for lane in dict.fromkeys([*scarce[:1], *scarce[-1:]])]
    parts += [f"from {enough[0]} on {_moved(bars[enough[0]])}, and nothing comes home"] if enough else []
    return [f"{title}: {', '.join(parts)}."]


def _moved(bar: Bar) -> str:
    return about(bar.get("moved_in") + bar.get("evicted"))


def _way(bar: Bar) -> str:
    amount = about(bar.get("npages") * PAGE_SIZE)
    source, target = place_name(bar.get("source", "cpu")), place_name(bar.get("target", "cpu"))
    return f"{amount}|from {source} to {target} ({bar.get('trigger')})"


def _stopped(bar: Bar) -> str:
    still = ", and are still stopped" if bar.get("still") else ""
    return (
        f"Queues on {bar.lane} stood still for {format_time(bar.end)} in {plural(bar.get('count'), one='stop')}{still}."
    )


def _faulting(bar: Bar) -> str:
    faults = plural(bar.get("count"), one="page fault")
    return f"{faults} of {bar.lane} took {format_time(bar.end)}."


_WAITS = (("stopped", _stopped), ("fault", _faulting))
