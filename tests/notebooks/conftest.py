"""The notebooks of the course, read once, and how to walk through them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import nbformat
import pytest

from svmlab.course.editions import LESSON

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "notebooks"
ALL = sorted([*FOLDER.glob("*.ipynb"), *FOLDER.glob("solutions/*.ipynb")])
SOLUTIONS = [path for path in ALL if path.parent.name == "solutions"]
LEARNER = [path for path in ALL if LESSON.match(path.name) and path not in SOLUTIONS]


class Notebook:
    """A notebook as its reader meets it: sections of cells.

    Attributes:
        path: its file.
        cells: its cells.
    """

    def __init__(self, path: Path, read: Any) -> None:
        self.path, self.cells = path, read.cells
        self.is_learners = path.parent.name != "solutions"

    @property
    def number(self) -> str:
        """What its file, its title and the ids of its exercises begin with."""
        return self.path.name.split("_")[0]

    @property
    def code(self) -> list[Any]:
        return [cell for cell in self.cells if cell.cell_type == "code"]

    @property
    def prose(self) -> str:
        """All text, without tables and headings' marks."""
        return "\n\n".join(cell.source for cell in self.cells if cell.cell_type == "markdown")

    def headings(self, level: int) -> list[str]:
        return re.findall(rf"^#{{{level}}} (.+)$", self.prose, re.MULTILINE)

    def sections(self) -> dict[str, list[Any]]:
        """The cells under each heading of the second level; what comes before the first is under its title."""
        found: dict[str, list[Any]] = {}
        name = ""
        for cell in self.cells:
            heading = re.search(r"^##? (.+)$", cell.source, re.MULTILINE) if cell.cell_type == "markdown" else None
            name = heading[1] if heading else name
            found.setdefault(name, []).append(cell)
        return found

    def section(self, name: str) -> str:
        """The text of one section."""
        return "\n\n".join(cell.source for cell in self.sections().get(name, []) if cell.cell_type == "markdown")


@cache
def notebook(path: Path) -> Notebook:
    return Notebook(path, nbformat.read(path, as_version=4))


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """``any_nb``: every notebook; ``nb``: lessons; ``learners``, ``solved``: one of their editions."""
    kinds = (("any_nb", ALL), ("nb", [*LEARNER, *SOLUTIONS]), ("learners", LEARNER), ("solved", SOLUTIONS))
    for name, paths in kinds:
        if name in metafunc.fixturenames:
            metafunc.parametrize(name, [notebook(path) for path in paths], ids=list(_ids(paths)))


def _ids(paths: list[Path]) -> Iterator[str]:
    return (str(path.relative_to(FOLDER)) for path in paths)
