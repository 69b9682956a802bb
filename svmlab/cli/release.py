"""``svmlab release``: the course as a folder for nbgrader."""

from __future__ import annotations

from pathlib import Path

import click

__all__ = ["release"]


@click.command()
@click.argument("out", type=click.Path(path_type=Path, file_okay=False))
@click.argument("numbers", nargs=-1)
@click.option("--seed", type=int, help="Draws the seeds of the hidden tests; without it they differ each time.")
def release(out: Path, numbers: tuple[str, ...], *, seed: int | None) -> None:
    """Write the notebooks NUMBERS (00, 01, ...), or all of them, as a course for nbgrader into the folder OUT.

    Exercises become answer cells with points and tests; go on in OUT with `nbgrader generate_assignment NN_name`.
    """
    from importlib.util import find_spec

    from svmlab.course.build import sources
    from svmlab.course.release import release as write
    from svmlab.errors import InputError
    from svmlab.resources import notebooks_path

    if missing := [name for name in ("jupytext", "nbformat") if find_spec(name) is None]:
        raise InputError(f"{' and '.join(missing)} not installed", hint="pip install 'svmlab[grading]'")
    made = write(out, sources(notebooks_path(), numbers), seed=seed)
    for path in made:
        click.echo(f"wrote {path}")
    if not made:
        click.echo("none of these is a lesson, so nothing was written")
