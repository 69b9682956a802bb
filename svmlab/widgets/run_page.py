"""How the moments of a recording look: page tables, timeline and sentences together."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from svmlab.views import Cell, Row, Scene, pagemap_of, svg, timeline
from svmlab.views.migrate_entries import migrate_entries
from svmlab.widgets.page import LEFT, RIGHT, beside, bullets, heading, labelled
from svmlab.widgets.recording import Moment, Places, Recording
from svmlab.widgets.reveal import reveal
from svmlab.widgets.telling import cause, entries, headline, reach, reason, told

__all__ = ["RunPage", "rows"]


class RunPage:
    """A recording, and how its moments look.

    Args:
        recording: the run.
    """

    def __init__(self, recording: Recording) -> None:
        self.recording = recording
        self.whole = timeline(recording.process, since=recording.moments[0].until)
        self._end_ns = max(chart.axis.end for chart in self.whole.charts)

    def page(self, number: int) -> str:
        """One moment: page tables and sentences on the left, the timeline up to it and src and dst on the right."""
        run = self.recording
        because = cause(run, number)
        sentences = (
            labelled("Entries of the CPU's table:", entries(run, number)),
            bullets("Who could reach the pages now", reach(run, number)),
            bullets("What happens", told(run, number) or ["nothing yet"]),
            *([labelled("It follows from:", because)] if because else []),
            labelled("Where the pages shall be:", reason(run, number)),
        )
        pages, so_far, src_dst = self.scenes(number)
        left = (svg(pages, width_px=LEFT), *sentences)
        right = (svg(so_far, width_px=RIGHT), svg(src_dst, width_px=RIGHT))
        return heading(headline(run, number)) + beside((LEFT, left), (RIGHT, right))

    def scenes(self, number: int) -> tuple[Scene, Scene, Scene]:
        """What is drawn for a moment: page tables, the timeline up to it, and the migration's src and dst."""
        return self._pages(number), self.so_far(number), migrate_entries(self.recording.moments[number].src_dst)

    def _pages(self, number: int) -> Scene:
        """The CPU's table, gpu0's and the others', each in a lane of its own even where they agree."""
        tables = self.recording.moments[number].tables
        parts = ({"cpu"}, {"gpu0"}, tables.keys() - {"cpu", "gpu0"})
        maps = [_map({name: tables[name] for name in tables if name in part}, self.recording) for part in parts if part]
        charts = [chart for scene in maps for chart in scene.charts]
        lanes = tuple(lane for chart in charts for lane in chart.lanes)
        bars = tuple(bar for chart in charts for bar in chart.bars)
        return replace(maps[0], panels=(replace(charts[0], lanes=lanes, bars=bars),))

    def so_far(self, number: int) -> Scene:
        """The timeline up to a moment."""
        moments = self.recording.moments
        following = moments[number + 1].time_ns if number + 1 < len(moments) else self._end_ns
        so_far = timeline(self.recording.process, since=moments[0].until, until=moments[number].until)
        return reveal(self.whole, so_far, now=moments[number].time_ns, until=following)


def _map(tables: Mapping[str, Places], recording: Recording) -> Scene:
    return pagemap_of(tables, recording.process.machine.location_name)


def rows(name: str, recording: Recording, *, numbers: Iterable[int]) -> list[Row]:
    """Where the pages are at some moments, by the CPU's page table and by gpu0's, as rows of a table.

    Args:
        name: stands in front.
        recording: the run.
        numbers: which moments, a cell for each.
    """
    moments = [recording.moments[number] for number in numbers]
    return [_row((name, owner), moments, table, recording) for table, owner in (("cpu", "CPU"), ("gpu0", "gpu0"))]


def _row(heads: Iterable[str], moments: Iterable[Moment], table: str, recording: Recording) -> Row:
    return Row((*map(Cell, heads), *(_cell(moment.tables[table], recording) for moment in moments)))


def _cell(places: Places, recording: Recording) -> Cell:
    (chart,) = _map({"cpu": places}, recording).charts
    if len(chart.bars) == 1:
        place = chart.bars[0].style
        return Cell("RAM" if place == "cpu" else place, place)
    return Cell(", ".join(bar.label for bar in chart.bars), "mixed")
