"""``svmlab new``: a scenario to begin with."""

from __future__ import annotations

from pathlib import Path

import click

from svmlab.errors import InputError

__all__ = ["new"]


@click.command()
@click.argument("file", type=click.Path(path_type=Path), metavar="FILE.toml")
def new(file: Path) -> None:
    """Write a scenario to begin with: it runs, it passes, and its comments say what may stand where.

    A file that is there already stays as it is.
    """
    from svmlab.cli.output import check_output
    from svmlab.resources import data_path

    check_output(file, (".toml",))
    text = data_path("scenarios", "starter.toml").read_text(encoding="utf-8")
    try:
        with file.open("x", encoding="utf-8") as out:
            out.write(text)
    except FileExistsError:
        raise InputError(f"{file} is there already", hint="another name") from None
    except OSError as error:
        raise InputError(f"{file} cannot be written: {error.strerror or error}") from None
    click.echo(f"{file} is a scenario; run it: svmlab run {file}")
