"""The command line: one group, a command for each thing svmlab does, heavy imports inside them.

Exit codes: 0 all is well; 1 it ran, and something did not hold; 2 the input cannot be used (one line tells why).
"""

from __future__ import annotations

import os
import sys
from functools import partial
from pathlib import Path
from typing import Any

import click

from svmlab.bench.command import bench
from svmlab.course.command import course
from svmlab.errors import InputError, SvmError

__all__ = ["main"]

_PICTURES = (".png", ".svg")


class _Group(click.Group):
    """A group whose commands report what svmlab refuses in one line, with exit code 2."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; ``--debug`` shows where an error came from."""
        try:
            return super().invoke(ctx)
        except SvmError as error:
            if ctx.obj:
                raise
            click.echo(f"svmlab: {_one_line(str(error))}", err=True)
            ctx.exit(2)
        except (click.exceptions.ClickException, click.exceptions.Abort, click.exceptions.Exit):
            raise
        except Exception as error:  # no traceback reaches a user who did not ask for one
            if ctx.obj:
                raise
            told = f"{type(error).__name__}: {error}"
            click.echo(f"svmlab: a defect of svmlab itself: {_one_line(told)}; --debug shows where", err=True)
            ctx.exit(2)


def _one_line(text: str) -> str:
    """Names in a message may come from a file: nothing in them reaches the terminal as a control character."""
    return "".join(character if character.isprintable() else "?" for character in " ".join(text.split()))


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="svmlab")
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
@click.pass_context
def main(ctx: click.Context, debug: bool) -> None:
    """A laboratory for GPU shared virtual memory: the Linux AMD KFD SVM driver as a simulation."""
    ctx.obj = debug
    # https://no-color.org: set and not empty means no colour, even on a terminal.
    if os.environ.get("NO_COLOR"):
        ctx.color = False


@main.command()
@click.argument("name", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of text.")
@click.option("--save", type=click.Path(path_type=Path), metavar="FILE.toml", help="Also write the machine to a file.")
@click.option("--plot", type=click.Path(path_type=Path), metavar="OUT.png|.svg", help="Draw its hives and links.")
@click.option("--list", "show_list", is_flag=True, help="List the machines that are shipped.")
def machine(name: str | None, *, as_json: bool, save: Path | None, plot: Path | None, show_list: bool) -> None:
    """Describe a machine: its GPUs, hives and links.

    NAME is a machine that is shipped (--list), a .toml file, or a KFD topology tree (folder or .tar.gz);
    without it, the tree of the running machine.
    """
    import json

    from svmlab.hardware.describe import describe_machine, machine_as_dict
    from svmlab.hardware.machine_file import save_machine

    if show_list:
        click.echo(_shipped_machines())
        return
    _check_output(plot, _PICTURES)
    found = _machine(name)
    if save is not None:
        save_machine(found, save)
    click.echo(json.dumps(machine_as_dict(found), indent=2) if as_json else describe_machine(found))
    if plot is not None:
        _draw_machine(found, plot, quiet=as_json)


def _draw_machine(found: Any, plot: Path, *, quiet: bool) -> None:
    from svmlab.views import describe, save, topology

    scene = topology(found)
    save(scene, plot)
    if not quiet:
        click.echo(f"\n{describe(scene)}\nthe topology is in {plot}")


def _machine(name: str | None) -> Any:
    from svmlab.hardware.machine import Machine
    from svmlab.hardware.topology import RUNNING_MACHINE

    if name is not None:
        return Machine.find(name)
    if not RUNNING_MACHINE.is_dir():
        raise InputError(
            f"this machine shows no KFD topology ({RUNNING_MACHINE} is not there: no AMD GPU, or no amdgpu driver)",
            hint="name a machine: svmlab machine --list",
        )
    return Machine.find(RUNNING_MACHINE)


def _shipped_machines() -> str:
    from svmlab.hardware.describe import table
    from svmlab.hardware.finder import find_machine, preset_names

    return table([(name, find_machine(name).title) for name in preset_names()])


@main.command()
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


@main.command()
@click.option("--diff", nargs=2, metavar="A B", help="Only what two presets choose differently.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of text.")
@click.option("--into", type=click.Path(path_type=Path), metavar="FILE.md", help="Renew their part of a document.")
def behaviours(*, diff: tuple[str, str] | None, as_json: bool, into: Path | None) -> None:
    """List the decision points at which versions of the driver differ, and what each preset chooses."""
    import json

    from svmlab.hardware.describe import table
    from svmlab.svm import catalogue
    from svmlab.svm.behaviour_table import PRESETS, SLOTS

    if diff:
        found = catalogue.differing(*diff)
        click.echo(table([("slot", *diff), *((slot.name, a, b) for slot, a, b in found)]))
    elif into:
        into.write_text(catalogue.put_into(into.read_text(encoding="utf-8")), encoding="utf-8")
    elif as_json:
        click.echo(json.dumps(catalogue.as_rows(), indent=2))
    else:
        click.echo(table([("slot", *PRESETS), *((slot.name, *slot.presets) for slot in SLOTS.values())]))


@main.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--behaviour", help="A preset, over what the file says.")
@click.option("--xnack", type=click.Choice(["on", "off"]), help="Whether GPUs take page faults.")
@click.option("--machine", "machine_name", help="A machine, over what the file says.")
@click.option("--seed", type=click.IntRange(min=0), help="The seed, over what the file says.")
@click.option("--plot", type=click.Path(path_type=Path), metavar="OUT.png|.svg", help="Draw the run.")
@click.option("--view", "view_name", default="timeline", show_default=True, help="What --plot draws.")
@click.option("--trace", type=click.Path(path_type=Path), metavar="OUT.json", help="Write the log (Chrome JSON).")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of text.")
def run(
    files: tuple[Path, ...], *, plot: Path | None, view_name: str, trace: Path | None, as_json: bool, **head: Any
) -> None:
    """Run scenarios and check what they expect.

    Exit code 0: every expectation held; 1: some did not; 2: a file cannot be used.
    """
    from svmlab.scenario.format import Overrides
    from svmlab.scenario.runner import load_scenario
    from svmlab.scenario.runner import run as execute

    _check_outputs(files, plot, trace)
    _check_view(view_name)
    overrides = Overrides(head["machine_name"], head["xnack"], head["behaviour"], head["seed"])
    scenarios = [load_scenario(path, overrides) for path in files]
    results = []
    for scenario in scenarios:
        results.append(execute(scenario))
        _tell_run(scenario, results[-1], as_json=as_json, brief=len(files) > 1)
    for result in results:
        _write_outputs(result, (plot, view_name), trace, quiet=as_json)
    failed = sum(not result.ok for result in results)
    if len(results) > 1 and not as_json:
        click.echo(f"{len(results) - failed} passed, {failed} failed")
    if failed:
        click.get_current_context().exit(1)


def _check_outputs(files: tuple[Path, ...], plot: Path | None, trace: Path | None) -> None:
    if (plot or trace) and len(files) > 1:
        raise InputError("--plot and --trace of several scenarios", allowed="one scenario at a time")
    _check_output(plot, _PICTURES)
    _check_output(trace, (".json",))


def _check_output(path: Path | None, endings: tuple[str, ...]) -> None:
    if path is not None and path.suffix not in endings:
        raise InputError(f"{path} to write", allowed="a name that ends in " + " or ".join(endings))
    if path is not None and not path.absolute().parent.is_dir():
        raise InputError(f"there is no folder {path.parent}", hint=f"mkdir -p {path.parent}")


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


def _write_outputs(result: Any, picture: tuple[Path | None, str], trace: Path | None, *, quiet: bool) -> None:
    from svmlab.trace.chrome import write_chrome
    from svmlab.views import save, view

    plot, name = picture
    if plot is not None:
        save(view(name, result.process), plot)
    if trace is not None:
        write_chrome(result.process.log, trace)
    if not quiet:
        for path, what in ((plot, name), (trace, "trace")):
            if path is not None:
                click.echo(f"the {what} is in {path}")


@main.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--behaviour", "behaviours", multiple=True, help="A preset: of both runs if given twice, else the second."
)
@click.option("--xnack", "modes", multiple=True, type=click.Choice(["on", "off"]), help="As --behaviour.")
@click.option("--machine", "machines", multiple=True, help="As --behaviour.")
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

    _check_outputs((), plot, None)
    pairs = pairs_of(files, machine=over["machines"], xnack=over["modes"], behaviour=over["behaviours"])
    first, second = (load_scenario(path, overrides) for path, overrides in pairs)
    made = run_both(first, second, times=times)
    click.echo(json.dumps(made.as_dict(), indent=2) if as_json else str(made))
    if plot is not None:
        save(two_runs(made.first.process, made.second.process, names=made.names), plot)
    if not made.found.equal:
        click.get_current_context().exit(1)


main.add_command(bench)
main.add_command(course)
