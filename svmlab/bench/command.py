"""``svmlab bench``: run the measurements and tell which goals are met."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import date
from importlib import import_module
from pathlib import Path

import click

from svmlab.bench.harness import PAIRS, Row, measure
from svmlab.bench.report import as_markdown, read_rows, render, this_computer
from svmlab.hardware.describe import renewed

__all__ = ["ALONG", "MODULES", "bench", "run"]

GROUPS = ("memory", "migration", "growth", "log", "ranges", "faults", "traces", "views", "widgets", "start")
MODULES = {name: f"svmlab.bench.{name}" for name in GROUPS}
"""What can be measured; a module has ``cases()``, timed one after the other, or measures ``rows()`` itself."""
ALONG = {"views": ("widgets",), "migration": ("growth", "log")}
"""What is measured along with a group: widgets are views that follow a control, and both others migrate."""


_FILE = click.Path(path_type=Path, exists=True, dir_okay=False)


def run(what: str, *, pairs: int = PAIRS) -> Iterator[Row]:
    """Measure one group of cases, or all of them.

    Args:
        what: a key of ``MODULES``, or ``"all"``.
        pairs: how many pairs of each case count.
    """
    for name in MODULES if what == "all" else (what, *ALONG.get(what, ())):
        module = import_module(MODULES[name])
        if hasattr(module, "rows"):
            yield from module.rows(pairs=pairs)
        else:
            yield from (measure(case, pairs=pairs) for case in module.cases())


@click.command()
@click.argument("what", type=click.Choice([*MODULES, "all"]), default="all")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of a table.")
@click.option(
    "--pairs", type=click.IntRange(7, 24), default=PAIRS, show_default=True, help="Pairs timed for each case."
)
@click.option("--with", "others", type=_FILE, metavar="FILE.json", help="Add rows of --json.")
@click.option("--into", type=_FILE, metavar="FILE.md", help="Renew the table of a document.")
@click.pass_context
def bench(ctx: click.Context, what: str, *, as_json: bool, pairs: int, others: Path | None, into: Path | None) -> None:
    """Measure svmlab itself and compare with its goals.

    WHAT is a group of measurements, or "all". Each one times svmlab and something to compare it with in turn; the
    ratio is the median over the pairs. Exit code 1: a goal is missed.
    """
    document, nothing = into.read_text(encoding="utf-8") if into else "", as_markdown([], day=date.today(), computer="")
    if into:
        renewed(document, nothing)  # a document without a place for the table is refused before anything is measured
    more = list(read_rows(others)) if others else []
    rows = [*run(what, pairs=pairs), *more]
    click.echo(json.dumps({"rows": rows}, indent=2) if as_json else render(rows))
    if into:
        table = as_markdown(rows, day=date.today(), computer=this_computer())
        into.write_text(renewed(document, table), encoding="utf-8")
    if not all(row["met"] for row in rows):
        ctx.exit(1)
