"""The sentences that tell steps: which one is lit, what came before, what is to come."""

from __future__ import annotations

from svmlab.views.scene import Row, Table
from svmlab.views.tell import listed

__all__ = ["tell_steps"]


def tell_steps(table: Table, title: str) -> list[str]:
    """Tell the step that is lit, how long those before it took, and which are still to come."""
    if len(table.columns) == 2:
        return [f"{title}: {_lit(table) or listed(_texts(table.rows, sep='. '))}."]
    begun = [row for row in table.rows if row.cells[2].text]
    done = [row for row in begun if row.style != "lit"]
    rest = [row for row in table.rows if not row.cells[2].text]
    told = [f"{title}{': ' + _lit(table) if _lit(table) else ''}."]
    if done:
        told.append(f"Done: {listed(f'step {row.cells[0].text} in {row.cells[2].text}' for row in done)}.")
    if rest:
        told.append(f"Not begun: {'; '.join(_texts(rest, sep=' '))}.")
    return told


def _lit(table: Table) -> str:
    lit = [row for row in table.rows if row.style == "lit"]
    takes = f" ({lit[0].cells[2].text})" if lit and len(lit[0].cells) > 2 else ""
    return f"step {lit[0].cells[0].text} of {len(table.rows)} is lit, {lit[0].cells[1].text}{takes}" if lit else ""


def _texts(rows: tuple[Row, ...] | list[Row], *, sep: str) -> list[str]:
    return [f"{row.cells[0].text}{sep}{row.cells[1].text}" for row in rows]
