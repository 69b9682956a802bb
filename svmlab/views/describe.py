"""Scenes in words: what a reader who does not see the picture needs to know, the same words for the same scene."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from svmlab.units import format_size, format_time
from svmlab.views.combinations import tell_combinations
from svmlab.views.migrate_entries import tell_migrate_entries
from svmlab.views.scene import Bar, Chart, Diagram, Panel, Scene, Table
from svmlab.views.style import look
from svmlab.views.tell import tell_any, tell_decision, tell_follows, tell_page_map, tell_policy, tell_policy_rules
from svmlab.views.tell_counters import tell_bytes_moved, tell_counts, tell_sweep, tell_time_waited
from svmlab.views.tell_pagemap_time import tell_page_map_over_time
from svmlab.views.tell_ranges import tell_range_changes, tell_range_strip, tell_ranges
from svmlab.views.tell_steps import tell_steps
from svmlab.views.tell_timeline import tell_run, tell_timeline
from svmlab.views.tell_topology import tell_topology
from svmlab.views.tell_vram import tell_vram_map
from svmlab.views.translation import tell_translation

__all__ = ["alt_text", "describe", "table"]

_TELLERS: dict[str, Callable[[Any, str], list[str]]] = {
    "timeline": tell_timeline,
    "run": tell_run,
    "page map": tell_page_map,
    "page map over time": tell_page_map_over_time,
    "decision": tell_decision,
    "follows": tell_follows,
    "translation": tell_translation,
    "migrate entries": tell_migrate_entries,
    "bytes moved": tell_bytes_moved,
    "sweep": tell_sweep,
    "combinations": tell_combinations,
    "time waited": tell_time_waited,
    "counts": tell_counts,
    "steps": tell_steps,
    "topology": tell_topology,
    "range strip": tell_range_strip,
    "range changes": tell_range_changes,
    "ranges": tell_ranges,
    "policy": tell_policy,
    "policy rules": tell_policy_rules,
    "VRAM map": tell_vram_map,
}
_Lines = list[tuple[str, ...]]


def describe(scene: Scene) -> str:
    """Tell what a scene shows, in one to three sentences for each panel.

    Args:
        scene: any scene; of a panel of a kind that nobody taught to tell, the parts are counted.
    """
    told = (_TELLERS.get(panel.kind, tell_any)(panel, panel.title or scene.title) for panel in scene.panels)
    return " ".join(sentence for sentences in told for sentence in sentences)


def alt_text(scene: Scene) -> str:
    """The alternative text of a picture: its title, then what it shows."""
    return f"{scene.title}. {describe(scene)}" if scene.title else describe(scene)


def table(scene: Scene) -> str:
    """Write everything a scene holds as plain text tables, one for each panel.

    Args:
        scene: any scene. Bars and marks come in order of their start, parts indented under their whole.
    """
    return "\n\n".join("\n".join(_aligned(_lines(panel))) for panel in scene.panels)


def _lines(panel: Panel) -> _Lines:
    if isinstance(panel, Table):
        return [panel.columns, *(tuple(cell.text for cell in row.cells) for row in panel.rows)]
    if isinstance(panel, Diagram):
        return [("one end", "other end", "link"), *((*wire.ends, wire.label) for wire in panel.wires)]
    return [("from", "lasts", "lane", "what"), *_chart_lines(panel)]


def _chart_lines(chart: Chart) -> Iterator[tuple[str, ...]]:
    unit, order = chart.axis.unit, {lane.name: number for number, lane in enumerate(chart.lanes)}
    bars = [(bar.start, order[bar.lane], bar.depth, bar.end - bar.start, _name(bar)) for bar in chart.bars]
    marks = [(mark.at, order.get(mark.lane, -1), 0, -1, mark.label or mark.style) for mark in chart.marks]
    lanes = [*(lane.name for lane in chart.lanes), "all"]
    for start, lane, depth, length, name in sorted(bars + marks):
        lasts = "-" if length < 0 else _amount(length, unit)
        yield (_amount(start, unit), lasts, lanes[lane], "  " * depth + name)


def _name(bar: Bar) -> str:
    return bar.label or look(bar.style).name


def _amount(value: int, unit: str) -> str:
    if unit == "ns":
        return format_time(value)
    return format_size(value) if unit == "bytes" else str(value)


def _aligned(lines: _Lines) -> Iterator[str]:
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        cells = (text.ljust(size) for text, size in zip(line, widths, strict=True))
        yield "  ".join(cells).rstrip()
