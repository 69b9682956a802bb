"""Build the course: ``python -m svmlab.course.build [--check] [NN ...]``.

Each ``notebooks/source/NN_name.py`` becomes ``notebooks/NN_name.ipynb`` for the learner and
``notebooks/solutions/NN_name.ipynb``, both executed. A source without exercises makes the first alone.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import click

from svmlab.course.difference import differences
from svmlab.course.editions import editions_of, read_source
from svmlab.course.execution import execute
from svmlab.errors import InputError, SvmError
from svmlab.resources import notebooks_path

__all__ = ["build", "check", "sources", "strays"]


def sources(notebooks: Path, chosen: Iterable[str] = ()) -> list[Path]:
    """The sources of the notebooks.

    Args:
        notebooks: the folder of the course.
        chosen: their first letters, usually the number; none: all of them.

    Raises:
        InputError: no source begins like one of ``chosen``.
    """
    found = sorted((notebooks / "source").glob("[0-9a-zA-Z]*.py"))
    unknown = [name for name in chosen if not any(path.name.startswith(name) for path in found)]
    if unknown or not found:
        names = ", ".join(path.stem for path in found)
        raise InputError(f"no source for {', '.join(unknown) or notebooks}", allowed=names)
    return [path for path in found if not chosen or path.name.startswith(tuple(chosen))]


def build(source: Path, notebooks: Path) -> Iterator[tuple[Path, Any]]:
    """Make the notebooks of a source and run them where they are to be.

    Args:
        source: a percent file.
        notebooks: the folder of the course.

    Returns:
        For each notebook its path, and the notebook. Nothing is written.

    Raises:
        NotebookError: a cell fails.
    """
    read = read_source(source)
    for edition in editions_of(read):
        path = edition.path(notebooks, source)
        path.parent.mkdir(exist_ok=True)
        notebook = edition.of(read)
        execute(notebook, path.parent)
        yield path, notebook


def check(source: Path, notebooks: Path) -> list[str]:
    """Build a source again and tell how the result differs from the notebooks that are there.

    Args:
        source: a percent file.
        notebooks: the folder of the course.
    """
    import nbformat

    lines = []
    for path, rebuilt in build(source, notebooks):
        if not path.exists():
            lines.append(f"{path.name} was never built")
            continue
        found = differences(nbformat.read(path, as_version=4), rebuilt)  # type: ignore[no-untyped-call]
        lines += [f"{path.relative_to(notebooks)}: {line}" for line in found]
    return lines


def strays(notebooks: Path) -> list[Path]:
    """Notebooks that no source makes."""
    made = {
        edition.path(notebooks, source) for source in sources(notebooks) for edition in editions_of(read_source(source))
    }
    return [path for path in sorted({*notebooks.glob("*.ipynb"), *notebooks.glob("*/*.ipynb")}) if path not in made]


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--check", "only_check", is_flag=True, help="Write nothing; fail if a rebuild differs.")
@click.option(
    "--folder", type=click.Path(path_type=Path, exists=True), default=notebooks_path, help="Where the course is."
)
@click.argument("numbers", nargs=-1)
def main(numbers: tuple[str, ...], *, only_check: bool, folder: Path) -> None:
    """Build the notebooks NUMBERS (00, 01, ...) from their sources, or all of them."""
    try:
        wrong = [line for source in sources(folder, numbers) for line in _one(source, folder, only_check=only_check)]
        wrong += [f"{path.relative_to(folder)} has no source" for path in strays(folder)]
    except SvmError as error:
        wrong = [str(error)]
    for line in wrong:
        click.echo(line, err=True)
    sys.exit(bool(wrong))


def _one(source: Path, notebooks: Path, *, only_check: bool) -> list[str]:
    if only_check:
        return check(source, notebooks)
    import nbformat

    for path, notebook in build(source, notebooks):
        nbformat.validate(notebook)
        path.write_text(nbformat.writes(notebook) + "\n", encoding="utf-8")  # type: ignore[no-untyped-call]
        click.echo(f"built {path.relative_to(notebooks)}")
    return []


if __name__ == "__main__":
    main()
