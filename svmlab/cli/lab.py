"""``svmlab lab``: the course in a folder of the learner's own, opened in JupyterLab."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from svmlab.course.handout import Handed

__all__ = ["lab"]


@click.command()
@click.option(
    "--workdir",
    type=click.Path(path_type=Path),
    default=Path("svmlab-course"),
    show_default=True,
    help="The folder to work in; made if it is not there.",
)
@click.option("--reset", "number", metavar="NN", help="Put a fresh copy of notebook NN there; yours is kept beside it.")
@click.option("--check", "only_check", is_flag=True, help="Look at the set-up, and open nothing.")
@click.argument("jupyter", nargs=-1, type=click.UNPROCESSED)
def lab(workdir: Path, number: str | None, *, only_check: bool, jupyter: tuple[str, ...]) -> None:
    """Copy the course into a folder and open JupyterLab there.

    What you have worked on is never written over: a newer version of a notebook lands beside yours. Arguments
    behind -- go to JupyterLab, as in svmlab lab -- --no-browser.

    Exit code 0: JupyterLab has ended, or --check found nothing wrong; 1: --check found something; 2: the folder or the
    notebook cannot be used.
    """
    from svmlab.course.handout import hand_out, reset
    from svmlab.resources import notebooks_path

    if only_check:
        _check(workdir)
        return
    notebooks = notebooks_path()
    if number is not None:
        _tell(workdir, [reset(notebooks, workdir, number)])
    else:
        _tell(workdir, hand_out(notebooks, workdir))
        _open(workdir, jupyter)


def _tell(workdir: Path, handed: list[Handed]) -> None:
    """A line for each notebook that something became of; the others are counted."""
    from svmlab.course.handout import Fate

    for each in handed:
        if each.fate not in (Fate.SAME, Fate.COPIED) or len(handed) == 1:
            click.echo(f"{each.name}: {each.fate}" + (f" ({each.beside.name})" if each.beside else ""))
    copied = sum(each.fate is Fate.COPIED for each in handed)
    if len(handed) > 1:
        click.echo(f"{workdir}: {len(handed)} notebooks, {copied} of them new")


def _check(workdir: Path) -> None:
    from svmlab.course.readiness import findings

    wrong = 0
    for each in findings(workdir):
        wrong += bool(each.wrong)
        click.echo(f"{'wrong' if each.wrong else 'ok':<6} {each.of:<12} {each.wrong or each.told}")
    if wrong:
        click.get_current_context().exit(1)
    click.echo("everything is there: svmlab lab opens the course")


def _open(workdir: Path, jupyter: tuple[str, ...]) -> None:
    from importlib.util import find_spec

    from svmlab.course.handout import lessons
    from svmlab.errors import InputError
    from svmlab.resources import notebooks_path

    if find_spec("jupyterlab") is None:
        raise InputError("JupyterLab is not installed", hint="pip install 'svmlab[lab]'")
    # Jupyter refuses to run as root, as in containers, unless it is told to.
    root = ["--allow-root"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []
    first = lessons(notebooks_path())[0].name
    os.chdir(workdir)
    sys.stdout.flush()
    # It takes this process over: a parent that waits would have to pass Ctrl-C on, which JupyterLab asks twice about.
    os.execv(sys.executable, [sys.executable, "-m", "jupyterlab", *root, *jupyter, first])
