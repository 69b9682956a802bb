"""The sentences that tell page maps, decisions, and panels of any other kind."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from svmlab.views.scene import Bar, Chart, Diagram, Panel, Table
from svmlab.views.source import at_place, plural

__all__ = ["listed", "tell_any", "tell_decision", "tell_follows", "tell_page_map", "tell_policy", "tell_policy_rules"]

_MOST = 3


def listed(parts: Iterable[str]) -> str:
    """Join parts as a sentence does.

    >>> listed(["a", "b", "c"])
    'a, b and c'
    """
    *first, last = parts
    return f"{', '.join(first)} and {last}" if first else last


def tell_any(panel: Panel, title: str) -> list[str]:
    """Count the parts of a panel."""
    if isinstance(panel, Table):
        return [f"{title}: a table of {len(panel.rows)} rows."]
    if isinstance(panel, Diagram):
        return [f"{title}: {plural(len(panel.nodes), one='part')} and {plural(len(panel.wires), one='link')}."]
    return [f"{title}: {len(panel.bars)} bars in {len(panel.lanes)} lanes."]


def tell_page_map(chart: Chart, _title: str) -> list[str]:
    """Tell for each table how many pages are where; of more than three, two, and how many there are."""
    names = [lane.name for lane in chart.lanes]
    told = names if len(names) <= _MOST else names[: _MOST - 1]
    sentences = [f"{name}: {_places(_tally(chart, name))}." for name in told]
    if len(names) > len(told):
        sentences.append(f"{len(names) - len(told)} more tables are shown.")
    return sentences


def tell_decision(table: Table, title: str) -> list[str]:
    """Tell the rule that fired, why, and which rules were passed over before it."""
    verdicts = [f"{title} {_ruled(row.cells[1].text, row.cells[3].text)}." for row in table.rows if row.style == "lit"]
    passed = [f"{row.cells[1].text} ({row.cells[3].text})" for row in table.rows if row.style == "pale"]
    return verdicts + ([f"Passed over before: {'; '.join(passed)}."] if passed else [])


def tell_policy(table: Table, title: str) -> list[str]:
    """Tell how much depends on who has access, by the column in which most places meet."""
    if len(table.rows) == 1:
        return [f"With {title}, who has access makes no difference."]
    columns = list(zip(*(row.cells for row in table.rows), strict=True))
    answers = [[cell.text.rpartition(" (")[0] for cell in column] for column in columns]
    at = max(range(len(columns)), key=lambda at: len(set(filter(None, answers[at]))))
    tally = listed(f"{place} for {count}" for place, count in Counter(answers[at]).most_common())
    told = [f"With {title}, {len(table.rows)} kinds of access differ: '{table.columns[at]}' gives {tally} of them."]
    lit = (cell.text for row in table.rows for cell in row.cells if row.style == "lit" and cell.text.endswith(" here"))
    return told + [f"Here it is {cell.removesuffix(' here')}." for cell in lit]


def tell_policy_rules(table: Table, _title: str) -> list[str]:
    """Tell the rules in their order, with how often each fires."""
    fired = [(row.cells[1].text, *row.cells[3].text.split(" of ")) for row in table.rows]
    parts = listed(f"{rule} ({count})" for rule, count, _ in fired)
    return [f"The first rule that applies decides; of {fired[0][2]} combinations each decides so many: {parts}."]


def tell_follows(table: Table, _title: str) -> list[str]:
    """Tell what follows from a decision."""
    return [f"{table.columns[0]}: {row.cells[0].text}." for row in table.rows]


def _ruled(rule: str, because: str) -> str:
    return f"by the rule '{rule}'" + (f", because {because}" if because else "")


def _tally(chart: Chart, lane: str) -> Counter[str]:
    tally: Counter[str] = Counter()
    for bar in chart.bars:
        if bar.lane == lane:
            tally.update(_pages(bar))
    return tally


def _pages(bar: Bar) -> dict[str, int]:
    """How many pages of a bar are where; a mixed one holds its counts."""
    return {name: int(value) for name, value in bar.data} or {bar.style: bar.end - bar.start}


def _places(tally: Counter[str]) -> str:
    found = sorted(tally.items())
    if not found:
        return "no pages"
    parts = [f"{npages} {at_place(place)}" for place, npages in found]
    return listed(parts).replace(str(found[0][1]), plural(found[0][1], one="page"), 1)
