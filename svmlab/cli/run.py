"""``svmlab run``: scenarios, run and checked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from svmlab.cli.complete import machine_names, preset_names, view_names
from svmlab.cli.output import check_outputs
from svmlab.cli.progress import Progress
from svmlab.errors import InputError

__all__ = ["run"]


@click.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--behaviour", shell_complete=preset_names, help="A preset, over what the file says.")
@click.option("--xnack", type=click.Choice(["on", "off"]), help="Whether GPUs take page faults.")
@click.option("--machine", "machine_name", shell_complete=machine_names, help="A machine, over what the file says.")
@click.option("--seed", type=click.IntRange(min=0), help="The seed, over what the file says.")
@click.option("--plot", type=click.Path(path_type=Path), metavar="OUT.png|.svg", help="Draw the run.")
@click.option(
    "--view",
    "view_name",
    default="timeline",
    show_default=True,
    shell_complete=view_names,
    help="What --plot draws.",
)
@click.option("--trace", type=click.Path(path_type=Path), metavar="OUT", help="Write the log: .smi .rocr .json .csv")
@click.option("--reader", metavar="TIME", help="Let --trace OUT.smi lose what a reader every TIME misses.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of text.")
def run(
    files: tuple[Path, ...], *, plot: Path | None, view_name: str, trace: Path | None, as_json: bool, **head: Any
) -> None:
    """Run scenarios and check what they expect.

    All files are read and checked before the first one runs. Several files get a line each, and a summary.

    Exit code 0: every expectation held; 1: some did not; 2: a file cannot be used.
    """
    from svmlab.scenario.format import Overrides
    from svmlab.scenario.runner import load_scenario
    from svmlab.scenario.runner import run as execute

    check_outputs(files, plot, trace)
    _check_reader(head["reader"], trace)
    _check_view(view_name)
    overrides = Overrides(head["machine_name"], head["xnack"], head["behaviour"], head["seed"])
    scenarios = [load_scenario(path, overrides) for path in files]
    progress, failed = Progress(sum(len(scenario.steps) for scenario in scenarios)), 0
    for scenario in scenarios:
        result = execute(scenario, progress.watch(scenario.file))
        progress.clear()
        failed += not result.ok
        _tell_run(scenario, result, as_json=as_json, brief=len(files) > 1)
        _write_outputs(result, (plot, view_name), (trace, head["reader"]), quiet=as_json)
    if len(files) > 1 and not as_json:
        click.echo(f"{len(files) - failed} passed, {failed} failed")
    if failed:
        click.get_current_context().exit(1)


def _tell_run(scenario: Any, result: Any, *, as_json: bool, brief: bool) -> None:
    import json

    from svmlab.scenario.report import render, summary
    from svmlab.views import describe, timeline

    if as_json:
        click.echo(json.dumps(result.as_dict()))
    elif brief and result.ok:
        click.echo(f"passed  {scenario.file}: {summary(result)}")
    else:
        click.echo(f"{render(result)}\n\n{describe(timeline(result.process))}")


def _check_view(name: str) -> None:
    from svmlab.views import VIEWS

    if name not in VIEWS:
        raise InputError(f"a view {name!r}", allowed=", ".join(VIEWS))


def _check_reader(reader: str | None, trace: Path | None) -> None:
    """Refuse a reader of nothing before anything runs."""
    from svmlab.units import parse_time

    if reader is not None and (trace is None or trace.suffix != ".smi" or not parse_time(reader)):
        raise InputError(f"--reader {reader!r} without lines to read", allowed="a time above 0, with --trace OUT.smi")


def _write_outputs(
    result: Any, picture: tuple[Path | None, str], log: tuple[Path | None, str | None], *, quiet: bool
) -> None:
    from svmlab.trace.formats import write_trace
    from svmlab.views import save, view

    (plot, name), (trace, reader) = picture, log
    if plot is not None:
        save(view(name, result.process), plot)
    if trace is not None:
        write_trace(result.process, trace, reader=reader)
    if not quiet:
        for path, what in ((plot, name), (trace, "trace")):
            if path is not None:
                click.echo(f"the {what} is in {path}")
