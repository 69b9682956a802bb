"""The course as nbgrader gets it: an answer cell for each exercise, a test with points for each check."""

import re

import nbformat
import pytest
from click.testing import CliRunner

from svmlab.cli import main
from svmlab.course import bank
from svmlab.course.build import sources
from svmlab.course.editions import LESSON
from svmlab.course.grading import POINTS, NotRightError, grade
from svmlab.course.release import release
from svmlab.errors import InputError
from svmlab.resources import notebooks_path

HIDDEN = re.compile(r"### BEGIN HIDDEN TESTS\n.*\n### END HIDDEN TESTS", re.DOTALL)


@pytest.fixture(scope="module")
def notebooks(tmp_path_factory: pytest.TempPathFactory) -> dict[str, nbformat.NotebookNode]:
    folder = tmp_path_factory.mktemp("course")
    return {path.stem: nbformat.read(path, as_version=4) for path in release(folder, sources(notebooks_path()), seed=1)}


def marked(notebook: nbformat.NotebookNode, what: str) -> list[nbformat.NotebookNode]:
    return [cell for cell in notebook.cells if cell.metadata.get("nbgrader", {}).get(what)]


def test_every_lesson_is_released_and_nothing_else(notebooks):
    assert set(notebooks) == {path.stem for path in notebooks_path("source").glob("*.py") if LESSON.match(path.name)}


def test_every_exercise_of_the_bank_is_tested_once_for_the_points_of_its_kind(notebooks):
    points = {
        cell.metadata.nbgrader.grade_id: cell.metadata.nbgrader.points
        for notebook in notebooks.values()
        for cell in marked(notebook, "grade")
    }
    expected = {
        f"test-{each.id.replace('.', '-')}": POINTS[each.kind]
        for each in bank.exercises().values()
        if any(name.split("_")[0] == each.id.split(".")[0] for name in notebooks)
    }
    assert points == expected


def test_a_test_is_locked_and_shows_only_the_check_that_learners_know(notebooks):
    for notebook in notebooks.values():
        for cell in marked(notebook, "grade"):
            assert cell.metadata.nbgrader.locked
            assert re.fullmatch(r'check\("\w+\.\w+", [^\n]+\)\n', HIDDEN.sub("", cell.source)), cell.source


def test_no_two_hidden_tests_have_one_seed_and_another_release_has_others(notebooks, tmp_path):
    def seeds(found):
        return re.findall(r"seed=(\d+)\)", "\n".join(cell.source for each in found for cell in marked(each, "grade")))

    first = seeds(notebooks.values())
    assert len(set(first)) == len(first) > 0
    again = release(tmp_path, sources(notebooks_path(), ["01"]))
    assert not set(seeds([nbformat.read(path, as_version=4) for path in again])) & set(first)


def test_solutions_stand_in_regions_that_nbgrader_takes_out(notebooks):
    for notebook in notebooks.values():
        for cell in marked(notebook, "solution"):
            assert re.search(r"### BEGIN SOLUTION\n.+\n### END SOLUTION$", cell.source, re.DOTALL)
    text = "\n".join(cell.source for notebook in notebooks.values() for cell in notebook.cells)
    assert "**Why.**" not in text
    assert "(solutions/" not in text


def test_a_release_is_refused_where_one_is_so_that_the_seeds_of_handed_out_notebooks_stay(tmp_path):
    (made,) = release(tmp_path, sources(notebooks_path(), ["00"]))
    before = made.read_bytes()
    with pytest.raises(InputError, match="00_start_here in .*: released before"):
        release(tmp_path, sources(notebooks_path(), ["00", "01"]))
    assert made.read_bytes() == before
    assert not (tmp_path / "source" / "01_two_memories").exists(), "all or nothing"


def test_the_command_says_what_it_wrote(tmp_path):
    done = CliRunner().invoke(main, ["release", str(tmp_path / "out"), "01"])
    assert (done.exit_code, done.output.count("wrote")) == (0, 1)
    done = CliRunner().invoke(main, ["release", str(tmp_path / "out"), "99"])
    assert (done.exit_code, "no source for 99" in done.output) == (2, True)


def test_without_the_packages_for_grading_the_command_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    done = CliRunner().invoke(main, ["release", str(tmp_path / "out")])
    assert (done.exit_code, "pip install 'svmlab[grading]'" in done.output) == (2, True)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("number", [each.id for each in bank.exercises().values() if each.drawn])
def test_random_cases_accept_what_the_check_accepts(number: str):
    answer = _solution(number)
    for seed in range(3):
        grade(number, answer, seed=seed)


def _solution(number: str):
    """The answer in the solutions of the course."""
    (path,) = notebooks_path("solutions").glob(f"{number.split('.', maxsplit=1)[0]}_*.ipynb")
    for cell in nbformat.read(path, as_version=4).cells:
        if cell.cell_type == "code" and (
            found := re.search(rf'^check\("{number}", (.+)\)$', cell.source, re.MULTILINE)
        ):
            names: dict = {}
            exec(cell.source.replace("check(", "(lambda *_: None)("), names)
            return eval(found[1], names)
    raise AssertionError(number)


def test_random_cases_catch_an_answer_that_knows_only_the_cases_of_the_check():
    from svmlab.course.bank.nb01 import _right_pages, _spans

    known = {tuple(span): _right_pages(span) for span in _spans()}
    with pytest.raises(NotRightError, match="01.1 not right yet"):
        grade("01.1", lambda address, nbytes: known.get((address, nbytes)), seed=3)
