"""The survey before and after the course, and what an instructor learns from it."""

import json
import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from svmlab.cli import main
from svmlab.course import check, hint, state, survey
from svmlab.course.bank.misconceptions import MISCONCEPTIONS
from svmlab.course.report import report
from svmlab.errors import InputError

RIGHT = MISCONCEPTIONS.happens()
SHEET = Path(__file__).resolve().parents[2] / "notebooks" / "source" / "survey.py"


@pytest.fixture
def learner(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Act as a learner with a folder of their own."""

    def enter(name: str) -> Path:
        folder = tmp_path / name
        folder.mkdir(exist_ok=True)
        monkeypatch.setenv(state.VARIABLE, str(folder / state.DEFAULT))
        return folder

    return enter


def test_what_is_right_is_found_by_running_each_question():
    assert all(RIGHT[question.name] in question.choices for question in MISCONCEPTIONS.questions)


def test_every_question_has_a_notebook_that_answers_it():
    assert all(re.search(r"\(notebooks? [\d, ]+\)$", question.rule) for question in MISCONCEPTIONS.questions)


def test_the_sheet_asks_every_question_with_its_choices():
    text = SHEET.read_text(encoding="utf-8")
    for question in MISCONCEPTIONS.questions:
        assert f"`{question.name}`: {question.asks}" in text
        assert all(f'`"{choice}"`' in text for choice in question.choices)
        assert text.count(f"    {question.name}=...,") == 2


def test_answers_are_kept_without_a_name_or_a_time(learner, capsys):
    folder = learner("someone")
    survey("before", homes="two", overlap=...)
    assert capsys.readouterr().out == "1 of 9 answered.\n"
    lines = (folder / ".svmlab" / "course.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == [{"what": "survey", "id": "before", "answers": {"homes": "two"}}]


def test_a_sheet_left_blank_keeps_nothing(learner, capsys):
    folder = learner("someone")
    survey("after", homes=...)
    assert capsys.readouterr().out == "Nothing is answered yet.\n"
    assert not (folder / ".svmlab").exists()


@pytest.mark.parametrize(
    ("when", "answers", "message"),
    [
        ("during", {}, "allowed: 'before' or 'after'"),
        ("before", {"homes": "three"}, "homes='three' is no answer; allowed: 'one', 'two'"),
        ("before", {"age": "20"}, "nothing is asked about 'age'"),
    ],
)
def test_what_is_no_answer_is_refused(when: str, answers: dict, message: str):
    with pytest.raises(InputError, match=re.escape(message)):
        survey(when, **answers)


@pytest.fixture
def a_class(learner) -> list[Path]:
    """Two learners and one who handed in nothing."""
    ada = learner("ada")
    survey("before", homes="two", overlap="it is replaced")
    survey("before", homes="two", overlap="it is split")
    survey("after", **RIGHT)
    check("00.1", "A")
    hint("00.1", 3)
    check("00.1", "DEAFCB")
    bob = learner("bob")
    survey("before", homes="one")
    survey("after", homes="two")
    check("00.1", ...)
    return [ada, bob, learner("carol")]


def test_a_report_counts_right_answers_before_and_after_the_last_answer_counts(a_class: list[Path]):
    homes, overlap = report(a_class).questions[:2]
    assert (homes.right, homes.answered, homes.wrong) == ({"before": 1, "after": 1}, {"before": 2, "after": 2}, "two")
    assert (overlap.right, overlap.answered, overlap.wrong) == (
        {"before": 1, "after": 1},
        {"before": 1, "after": 1},
        "",
    )


def test_a_report_tells_how_each_exercise_went(a_class: list[Path]):
    (row,) = [row for row in report(a_class).exercises if row.id == "00.1"]
    assert (row.tried, row.right, row.checks, row.hints) == (1, 1, 2, 3)


def test_the_command_prints_the_report_and_names_nobody(a_class: list[Path]):
    done = CliRunner().invoke(main, ["course", "report", *map(str, a_class)])
    assert done.exit_code == 0
    assert done.output.splitlines()[0] == "2 learners, 1 empty folders"
    assert re.search(r"^homes +1 of 2 +1 of 2 +two$", done.output, re.MULTILINE)
    assert re.search(r"^00\.1 +1 of 1 +2 +3$", done.output, re.MULTILINE)
    assert not re.search("ada|bob|carol", done.output)


def test_the_command_gives_the_same_as_json(a_class: list[Path]):
    done = CliRunner().invoke(main, ["course", "report", "--json", *map(str, a_class)])
    assert json.loads(done.output)["learners"] == 2


def test_damaged_lines_are_counted_and_do_not_stop_the_report(a_class: list[Path]):
    with (a_class[0] / ".svmlab" / "course.jsonl").open("a") as file:
        file.write('{"what": "surv\n')
    assert report(a_class).damaged == 1


def test_a_folder_that_is_not_there_is_refused(tmp_path: Path):
    done = CliRunner().invoke(main, ["course", "report", str(tmp_path / "nobody")])
    assert done.exit_code == 2
    assert "there is no folder" in done.output
