"""``svmlab bench``: run the measurements and tell which goals are met."""

from __future__ import annotations

import json
from collections.abc import Iterator
from importlib import import_module

import click

from svmlab.bench.harness import PAIRS, Row, measure, render

__all__ = ["ALONG", "MODULES", "bench", "run"]

MODULES = {
    name: f"svmlab.bench.{name}" for name in ("memory", "migration", "ranges", "faults", "views", "widgets", "start")
}
"""What can be measured; a module has ``cases()``, timed one after the other, or measures ``rows()`` itself."""
ALONG = {"views": ("widgets",)}
"""What is measured along with a group: widgets are views that follow a control."""


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
@click.pass_context
def bench(ctx: click.Context, what: str, *, as_json: bool, pairs: int) -> None:
    """Measure svmlab itself and compare with its goals.

    WHAT is a group of measurements, or "all". Each one times svmlab and something to compare it with in turn; the
    ratio is the median over the pairs. Exit code 1: a goal is missed.
    """
    rows = list(run(what, pairs=pairs))
    click.echo(json.dumps({"rows": rows}, indent=2) if as_json else render(rows))
    if not all(row["met"] for row in rows):
        ctx.exit(1)
