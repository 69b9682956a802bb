"""The committed notebooks are what their sources give now, and a section shows the same however often it is run."""

import re
from pathlib import Path
from types import SimpleNamespace

import nbformat
import pytest

from svmlab.course import build
from svmlab.course.execution import execute

NOTEBOOKS = Path(__file__).resolve().parents[2] / "notebooks"
SOURCES = build.sources(NOTEBOOKS)


@pytest.mark.slow
@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.stem)
def test_a_rebuild_gives_the_committed_notebooks(source: Path):
    if found := build.check(source, NOTEBOOKS):
        pytest.fail("\n".join(["run make notebooks and look at what changed:", *found]), pytrace=False)


def test_every_committed_notebook_has_a_source():
    assert build.strays(NOTEBOOKS) == []


def twice(nb) -> tuple[SimpleNamespace, list[tuple[int, int]]]:
    """The cells of each section two times in a row, and which of them belong together."""
    cells, pairs = [], []
    for name, section in nb.sections().items():
        code = [cell.source for cell in section if cell.cell_type == "code"]
        begin = len(cells)
        cells += [*code, *code]
        pairs += [(begin + at, begin + len(code) + at) for at in range(len(code))] if name else []
    return cells, pairs


@pytest.mark.slow
def test_each_section_run_twice_shows_the_same_twice(solved):
    cells, pairs = twice(solved)
    made = [nbformat.v4.new_code_cell(text, id=f"cell-{at}") for at, text in enumerate(cells)]
    repeated = nbformat.v4.new_notebook(cells=made)
    execute(repeated, solved.path.parent)
    assert len(pairs) >= 10
    for first, second in pairs:
        shown = [[without_counts(output) for output in repeated.cells[at].outputs] for at in (first, second)]
        assert shown[0] == shown[1], cells[first]


def without_counts(output) -> dict:
    return {key: value for key, value in output.items() if key != "execution_count"}


def test_a_section_that_uses_a_process_makes_it(nb):
    for name, section in nb.sections().items():
        code = "\n".join(cell.source for cell in section if cell.cell_type == "code")
        used = re.search(
            r"^\S.*\bp\.|^p\.", code, re.MULTILINE
        )  # what a function does with its own p is another matter
        made = re.search(r"^p = sl\.Process\(", code, re.MULTILINE)
        assert not used or (made and made.start() < used.start()), name
