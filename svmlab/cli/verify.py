"""``svmlab verify``: recorded answers of the driver's own code, replayed."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path
from typing import Any

import click

__all__ = ["verify"]


@click.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--kind", help="What the files record, where their names do not say it.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of text.")
def verify(files: tuple[Path, ...], *, kind: str | None, as_json: bool) -> None:
    """Replay recorded answers of the driver's own code through the model.

    Exit code 0: all agree; 1: some differ; 2: a file cannot be used.
    """
    import dataclasses
    import json

    from svmlab.scenario.verify import kind_of
    from svmlab.scenario.verify import verify as replay

    for path in files:
        kind_of(path, kind)
    reports = []
    for path in files:
        size = path.stat().st_size if path.is_file() else 0
        with click.progressbar(length=size, label=path.name, file=sys.stderr, hidden=not sys.stderr.isatty()) as bar:
            reports.append(replay(path, kind, tick=partial(_advance, bar)))
        if not as_json:
            click.echo(_told(reports[-1]))
    if as_json:
        click.echo(json.dumps({"files": [dataclasses.asdict(report) for report in reports]}, indent=2))
    if any(report.differences for report in reports):
        click.get_current_context().exit(1)


def _advance(bar: Any, done: int) -> None:
    bar.update(done - bar.pos)


def _told(report: Any) -> str:
    lines = [report.summary]
    for difference in report.differences[:5]:
        lines += [
            f"  line {difference.line}",
            f"    input    {difference.given}",
            f"    expected {difference.expected}",
            f"    found    {difference.found}",
            f"    rule     {difference.rule}",
        ]
    if len(report.differences) > 5:
        lines.append(f"  and {len(report.differences) - 5} more")
    return "\n".join(lines)
