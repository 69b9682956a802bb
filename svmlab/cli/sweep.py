"""``svmlab sweep``: every combination of the lists of a scenario, as a table."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from svmlab.cli.output import PICTURES, check_output
from svmlab.errors import InputError

__all__ = ["sweep"]

_BESIDE = Path("beside --out")


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), required=True, metavar="OUT.csv|.parquet", help="The table.")
@click.option(
    "--plot",
    type=click.Path(path_type=Path),
    is_flag=False,
    flag_value=_BESIDE,
    metavar="[OUT.png|.svg]",
    help="Also draw it; without a name as a .png beside the table.",
)
@click.option("--workers", type=click.IntRange(min=1), help="Processes on this computer; default: one for each core.")
@click.option("--scheduler", metavar="ADDRESS", help="Use the Dask cluster that is there instead, as tcp://HOST:8786.")
def sweep(file: Path, *, out: Path, plot: Path | None, workers: int | None, scheduler: str | None) -> None:
    """Run every combination of the lists in [sweep] of a scenario.

    The table has a row for each: the values, whether every expectation held, virtual time, pages moved, faults, events.
    What is done is kept in OUT.partial until all is: a sweep that was interrupted goes on where it stopped.

    Exit code 0: every expectation held in all of them; 1: some did not; 2: the file cannot be used.
    """
    from svmlab.scenario.pools import cluster_pool, local_pool, rows_of
    from svmlab.scenario.sweep_rows import FORMATS, Kept, columns, parquet_library, write_rows

    picture = out.with_suffix(".png") if plot == _BESIDE else plot
    check_output(out, FORMATS)
    check_output(picture, PICTURES)
    if out.suffix == ".parquet":
        parquet_library()
    found = _checked(file)
    pool = local_pool(workers) if scheduler is None else cluster_pool(scheduler)
    kept = Kept(out, found)
    missing = kept.missing
    if len(missing) < len(found):
        click.echo(f"{len(found) - len(missing)} of {len(found)} are in {kept.path} already", err=True)
    for row in _progress(rows_of(found, missing, pool), len(missing)):
        kept.add(row)
    rows = [kept.rows[n] for n in sorted(kept.rows)]
    write_rows(rows, columns(found), out)
    kept.remove()
    _tell(found, rows, out)
    if picture is not None:
        _draw(found, rows, picture)
    if not all(row["ok"] for row in rows):
        click.get_current_context().exit(1)


def _checked(file: Path) -> Any:
    """The sweep, each of whose combinations can be run."""
    from svmlab.scenario.actions import ACTIONS
    from svmlab.scenario.sweep import load_sweep

    found = load_sweep(file, known=ACTIONS)
    if not found.lists:
        raise InputError(f"{file}: there is no [sweep] in it", hint="svmlab run, or add [sweep] with lists of values")
    for n in range(1, len(found) + 1):
        found.scenario(n)
    return found


def _progress(rows: Any, total: int) -> Any:
    """The rows, with a bar on a terminal."""
    if not sys.stderr.isatty():
        return rows
    try:
        from tqdm import tqdm
    except ImportError:  # it comes with the extra "lab"; a bar is no part of the work
        return rows
    return tqdm(rows, total=total, unit="run")


def _tell(found: Any, rows: list[Any], out: Path) -> None:
    failed = [row for row in rows if not row["ok"]]
    for row in failed[:10]:
        click.echo(f"did not hold: {found.named(row['n'])}: {row['failures']} expectations")
    if len(failed) > 10:
        click.echo(f"and {len(failed) - 10} more")
    click.echo(f"{len(rows) - len(failed)} passed, {len(failed)} failed; the table is in {out}")


def _draw(found: Any, rows: list[Any], picture: Path) -> None:
    from svmlab.units import PAGE_SIZE
    from svmlab.views import Combination, combinations, describe, save

    made = [
        Combination(
            ", ".join(f"{key.rpartition('.')[2]} {row[key]}" for key in found.lists),
            row["time_ns"],
            row["page_in"] * PAGE_SIZE,
            row["page_out"] * PAGE_SIZE,
            ok=row["ok"],
        )
        for row in rows
    ]
    scene = combinations(made, str(found.tables["title"]))
    save(scene, picture)
    click.echo(f"{describe(scene)}\nthe picture is in {picture}")
