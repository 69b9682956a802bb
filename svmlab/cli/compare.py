"""``svmlab compare``: the first event in which two runs differ."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from svmlab.cli.complete import machine_names, preset_names
from svmlab.cli.output import check_outputs

__all__ = ["compare"]


@click.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--behaviour",
    "behaviours",
    multiple=True,
    shell_complete=preset_names,
    help="A preset: of both runs if given twice, else the second.",
)
@click.option("--xnack", "modes", multiple=True, type=click.Choice(["on", "off"]), help="As --behaviour.")
@click.option("--machine", "machines", multiple=True, shell_complete=machine_names, help="As --behaviour.")
@click.option("--times", is_flag=True, help="Times and durations count too.")
@click.option("--plot", type=click.Path(path_type=Path), metavar="OUT.png|.svg", help="Draw both on one axis.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of text.")
def compare(files: tuple[Path, ...], *, times: bool, plot: Path | None, as_json: bool, **over: Any) -> None:
    """Run two scenarios, or one in two ways, and tell the first event in which they differ and what is behind it.

    Exit code 0: no event differs; 1: one does; 2: a file cannot be used.
    """
    import json

    from svmlab.scenario.runner import load_scenario
    from svmlab.scenario.two_runs import pairs_of, run_both
    from svmlab.views import save, two_runs

    check_outputs((), plot, None)
    pairs = pairs_of(files, machine=over["machines"], xnack=over["modes"], behaviour=over["behaviours"])
    first, second = (load_scenario(path, overrides) for path, overrides in pairs)
    made = run_both(first, second, times=times)
    click.echo(json.dumps(made.as_dict(), indent=2) if as_json else str(made))
    if plot is not None:
        save(two_runs(made.first.process, made.second.process, names=made.names), plot)
    if not made.found.equal:
        click.get_current_context().exit(1)
