"""nbgrader's own commands on a released course: what four submissions get."""

import csv
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import nbformat
import pytest

from svmlab.course.build import sources
from svmlab.course.release import release
from svmlab.resources import notebooks_path

pytestmark = pytest.mark.slow

NAME = "01_two_memories"
RIGHT_FOR_WHAT_CHECK_TRIES = """
from svmlab.course.bank import exercise
from svmlab.course.bank.nb01 import _right_pages, _spans

known = {tuple(span): _right_pages(span) for span in _spans()}


def pages_of(address, nbytes):
    return known.get((address, nbytes))
"""


def nbgrader(course: Path, *arguments: str) -> None:
    own = {f"JUPYTER_{name}_DIR": str(course / ".jupyter" / name.lower()) for name in ("CONFIG", "DATA", "RUNTIME")}
    # nbgrader starts alembic, which is beside this Python.
    path = os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"]))
    command = [sys.executable, "-m", "nbgrader", *arguments]
    done = subprocess.run(
        command, cwd=course, env={**os.environ, **own, "PATH": path}, check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-4000:]


def submit(course: Path, student: str, *, of: str, change: Callable[[str], str] = str) -> None:
    """Hand in a notebook of the course whose answer cells were changed."""
    notebook = nbformat.read(course / of / NAME / f"{NAME}.ipynb", as_version=4)
    for cell in notebook.cells:
        if cell.metadata.get("nbgrader", {}).get("solution"):
            cell.source = change(cell.source)
    target = course / "submitted" / student / NAME / f"{NAME}.ipynb"
    target.parent.mkdir(parents=True)
    nbformat.write(notebook, target)


@pytest.fixture(scope="module")
def course(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("course")
    release(folder, sources(notebooks_path(), ["01"]), seed=1)
    nbgrader(folder, "generate_assignment", NAME)
    submit(folder, "solved", of="source")
    submit(folder, "empty", of="release")
    submit(folder, "one-wrong", of="source", change=lambda text: text.replace("pages = 512", "pages = 511"))
    submit(
        folder,
        "learned-the-cases",
        of="source",
        change=lambda text: RIGHT_FOR_WHAT_CHECK_TRIES if "def pages_of" in text else text,
    )
    nbgrader(folder, "autograde", "--create", NAME)
    nbgrader(folder, "generate_feedback", NAME)
    nbgrader(folder, "export")
    return folder


def test_marks_tell_a_solved_an_empty_and_a_wrong_submission_apart(course: Path):
    with (course / "grades.csv").open(encoding="utf-8") as file:
        marks = {row["student_id"]: (float(row["score"]), float(row["max_score"])) for row in csv.DictReader(file)}
    assert marks == {
        "solved": (10, 10),
        "empty": (0, 10),
        "one-wrong": (9, 10),
        "learned-the-cases": (8, 10),
    }


def test_what_is_handed_out_has_neither_solutions_nor_hidden_tests_nor_seeds(course: Path):
    handed = (course / "release" / NAME / f"{NAME}.ipynb").read_text(encoding="utf-8")
    assert "(address + nbytes - 1) // 4096" not in handed
    assert not any(word in handed for word in ("SOLUTION", "HIDDEN", "seed", "solutions/"))


def test_what_is_handed_out_runs_from_top_to_bottom_without_an_answer(course: Path):
    from svmlab.course.execution import execute

    notebook = nbformat.read(course / "release" / NAME / f"{NAME}.ipynb", as_version=4)
    execute(notebook, course / "release" / NAME)
    told = [cell.outputs[0].text for cell in notebook.cells if cell.source.startswith("check(")]
    assert told == [f"01.{number} not tried yet\n" for number in ("w1", "w2", "1", "2", "3")]


def test_the_feedback_says_which_case_is_wrong(course: Path):
    page = (course / "feedback" / "one-wrong" / NAME / f"{NAME}.html").read_text(encoding="utf-8")
    assert "NotRightError" in page
    assert "01.w2 not right yet" in page
