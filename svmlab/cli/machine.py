"""``svmlab machine``: what a machine has."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from svmlab.cli.complete import machine_names
from svmlab.cli.output import PICTURES, check_output
from svmlab.errors import InputError

__all__ = ["machine"]


@click.command()
@click.argument("name", required=False, shell_complete=machine_names)
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
    check_output(plot, PICTURES)
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
