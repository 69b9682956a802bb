"""The builder: two editions of one source, outputs that are the same each time, differences a person can read."""

from pathlib import Path

import nbformat
import pytest
from click.testing import CliRunner

from svmlab.course import build
from svmlab.course.difference import differences
from svmlab.course.editions import EDITIONS, read_source
from svmlab.course.execution import NotebookError, execute
from svmlab.errors import InputError

SOURCE = """\
# %% [markdown]
# # 07 A notebook

# %% [markdown]
# ## First section

# %% tags=["stub"]
answer = ...

# %% tags=["solution"]
answer = 6 * 7

# %% tags=["nbval-ignore-output"]
print(answer)

# %% [markdown]
# ## Second section
"""


@pytest.fixture
def course(tmp_path: Path) -> Path:
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "07_a_notebook.py").write_text(SOURCE, encoding="utf-8")
    return tmp_path


def editions(course: Path) -> list:
    source = read_source(course / "source" / "07_a_notebook.py")
    return [edition.of(source) for edition in EDITIONS]


def code(notebook) -> list[str]:
    return [cell.source for cell in notebook.cells if cell.cell_type == "code"]


def test_the_learner_gets_the_stub_and_the_other_edition_the_solution(course: Path):
    learner, solutions = editions(course)
    assert code(learner) == ["answer = ...", "print(answer)"]
    assert code(solutions) == ["answer = 6 * 7", "print(answer)"]


def test_ids_come_from_section_and_place_and_are_the_same_in_both_editions(course: Path):
    learner, solutions = ([cell.id for cell in notebook.cells] for notebook in editions(course))
    assert learner == ["07-a-notebook-1", "first-section-1", "first-section-2", "first-section-4", "second-section-1"]
    assert [name for name in solutions if name not in learner] == ["first-section-3"]


def test_only_tags_that_other_tools_read_stay(course: Path):
    learner, _ = editions(course)
    assert [cell.metadata.get("tags") for cell in learner.cells if cell.cell_type == "code"] == [
        None,
        ["nbval-ignore-output"],
    ]


def test_metadata_name_no_version(course: Path):
    for notebook in editions(course):
        assert notebook.metadata == {
            "kernelspec": {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"},
            "language_info": {"name": "python"},
        }
        nbformat.validate(notebook)


def one_cell(text: str):
    return nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(text, id="only")])


def test_a_stream_is_one_output_however_the_kernel_cut_it(tmp_path: Path):
    notebook = one_cell("import sys\nfor i in range(3):\n    print(i)\n    sys.stdout.flush()")
    execute(notebook, tmp_path)
    assert [output.text for output in notebook.cells[0].outputs] == ["0\n1\n2\n"]


def test_a_live_widget_leaves_its_text_and_not_its_random_name(tmp_path: Path):
    notebook = one_cell("import svmlab.widgets\nsvmlab.widgets.MigrationStepper('toy', size='4 KiB')")
    execute(notebook, tmp_path)
    (output,) = notebook.cells[0].outputs
    assert list(output.data) == ["text/plain"]
    assert output.data["text/plain"].startswith("MigrationStepper: run this cell to use it")


def test_a_notebook_keeps_nothing_in_the_learners_folder(tmp_path: Path):
    execute(one_cell("from svmlab.course import check\ncheck('00.w1', 64)"), tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("text", "message"),
    [("1 / 0", "ZeroDivisionError"), ("import sys\nprint('careful', file=sys.stderr)", "cell only writes to stderr")],
)
def test_a_cell_that_fails_or_warns_stops_the_build(text: str, message: str, tmp_path: Path):
    with pytest.raises(NotebookError, match=message):
        execute(one_cell(text), tmp_path)


def outputs(*, text: str, png: str):
    notebook = one_cell("show()")
    notebook.cells[0].outputs = [
        nbformat.v4.new_output("display_data", {"image/png": png, "text/plain": "<Figure: timeline>"}),
        nbformat.v4.new_output("stream", name="stdout", text=text),
    ]
    return notebook


def test_the_bytes_of_a_picture_make_no_difference():
    assert differences(outputs(text="moves", png="AAAA"), outputs(text="moves", png="BBBB")) == []


def test_another_text_is_told_line_by_line():
    lines = differences(outputs(text="1 page\nmoves\n", png=""), outputs(text="2 pages\nmoves\n", png=""))
    assert lines[0] == "cell only differs:"
    assert any(line.strip().startswith("-") and "1 page" in line for line in lines)
    assert any(line.strip().startswith("+") and "2 pages" in line for line in lines)


def test_a_check_of_what_was_built_finds_nothing_and_of_a_changed_source_the_cell(course: Path):
    runner = CliRunner()
    never = runner.invoke(build.main, ["--check", "--folder", str(course)])
    assert (never.exit_code, never.stderr.splitlines()[0]) == (1, "07_a_notebook.ipynb was never built")
    assert runner.invoke(build.main, ["--folder", str(course), "07"]).exit_code == 0
    assert (course / "solutions" / "07_a_notebook.ipynb").exists()
    before = (course / "07_a_notebook.ipynb").read_bytes()
    assert runner.invoke(build.main, ["--check", "--folder", str(course)]).exit_code == 0
    source = course / "source" / "07_a_notebook.py"
    source.write_text(SOURCE.replace("print(answer)", "print(answer, 1)"), encoding="utf-8")
    changed = runner.invoke(build.main, ["--check", "--folder", str(course)])
    assert changed.exit_code == 1
    assert "07_a_notebook.ipynb: cell first-section-4 differs:" in changed.stderr
    assert (course / "07_a_notebook.ipynb").read_bytes() == before


def test_a_notebook_without_a_source_is_found(course: Path):
    (course / "08_forgotten.ipynb").write_text("{}", encoding="utf-8")
    assert build.strays(course) == [course / "08_forgotten.ipynb"]


def test_a_number_that_no_source_has_is_refused(course: Path):
    with pytest.raises(InputError, match="no source for 08; allowed: 07_a_notebook"):
        build.sources(course, ["08"])
