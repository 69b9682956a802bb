"""The combinations of a sweep side by side: how long each took in virtual time, and how many bytes it moved."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from svmlab.units import format_time
from svmlab.views.scene import Axis, Bar, Chart, Lane, Scene, data
from svmlab.views.source import about

__all__ = ["Combination", "combinations", "tell_combinations"]

_SHOWN = 40
_WAYS = {"moved in": " to VRAM", "moved home": " home"}


@dataclass(frozen=True, slots=True)
class Combination:
    """What became of a combination.

    Attributes:
        name: its values, in a few words.
        time_ns: how long it took, in virtual time.
        moved_in, moved_out: bytes that went to VRAM and bytes that came home.
        ok: whether every expectation held.
    """

    name: str
    time_ns: int
    moved_in: int
    moved_out: int
    ok: bool = True


def combinations(found: Sequence[Combination], title: str) -> Scene:
    """Picture the combinations of a sweep, in the order of the sweep; of a large one the first 40.

    Args:
        found: what became of each.
        title: the scenario's.

    >>> from svmlab.views.describe import describe
    >>> sizes = [Combination("1 MiB", 5000, 1 << 20, 0), Combination("2 MiB", 9000, 1 << 21, 0)]
    >>> describe(combinations(sizes, "Sizes"))
    'Virtual time: from 5 us (1 MiB) to 9 us (2 MiB). Bytes moved: from 1 MiB (1 MiB) to 2 MiB (2 MiB).'
    """
    shown = found[:_SHOWN]
    left = f" (the first {_SHOWN} of {len(found)} combinations)" if len(found) > _SHOWN else ""
    lanes = tuple(Lane(one.name) for one in shown)
    times = [_bar(one, 0, one.time_ns, style="held" if one.ok else "broken") for one in shown]
    ways = [bar for one in shown for bar in _ways(one)]
    charts = (_chart("Virtual time", "ns", lanes, times), _chart("Bytes moved", "bytes", lanes, ways))
    return Scene("combinations", f"{title}{left}", tuple(chart for chart in charts if chart.bars))


def _ways(one: Combination) -> list[Bar]:
    amounts = (("moved in", one.moved_in), ("moved home", one.moved_out))
    moved = [(style, nbytes) for style, nbytes in amounts if nbytes]
    return [_bar(one, row, nbytes, style=style) for row, (style, nbytes) in enumerate(moved)]


def _bar(one: Combination, row: int, length: int, *, style: str) -> Bar:
    amount = about(length) if style in _WAYS else format_time(length)
    label = f"{amount}{_WAYS.get(style, '')}"
    return Bar(one.name, 0, length, style, label, amount, depth=row, data=data(amount=length))


def _chart(title: str, unit: str, lanes: tuple[Lane, ...], bars: list[Bar]) -> Chart:
    axis = Axis(0, max((bar.end for bar in bars), default=0), unit, title.lower())
    return Chart(axis, lanes, tuple(bar for bar in bars if bar.end), title=title, kind="combinations")


def tell_combinations(chart: Chart, title: str) -> list[str]:
    """Tell the least and the most, and how many did not hold."""
    amounts = {lane.name: sum(bar.end for bar in chart.bars if bar.lane == lane.name) for lane in chart.lanes}
    say = about if chart.axis.unit == "bytes" else format_time
    least, most = min(amounts, key=amounts.__getitem__), max(amounts, key=amounts.__getitem__)
    failed = len(chart.styled("broken"))
    trouble = f", and in {failed} some expectation did not hold" if failed else ""
    return [f"{title}: from {say(amounts[least])} ({least}) to {say(amounts[most])} ({most}){trouble}."]
