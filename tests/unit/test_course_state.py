"""Predictions and progress: kept in the learner's folder, never shown in what a cell of the course prints."""

import json
import os
import re
from pathlib import Path

import pytest

from svmlab.course import check, compare, hint, predict, progress, state
from svmlab.errors import InputError

RIGHT = {"cpu_table": "VRAM of gpu0", "gpu_table": "nothing", "after_cpu_read": "RAM"}


def test_a_prediction_prints_that_it_is_recorded_and_nothing_else(capsys):
    predict("00.p1", **RIGHT)
    assert capsys.readouterr().out == "Recorded.\n"


def test_a_prediction_with_blanks_asks_for_the_rest_and_keeps_what_is_there(capsys):
    predict("00.p1", cpu_table="RAM", gpu_table=..., after_cpu_read=...)
    assert capsys.readouterr().out == "Not predicted yet: put an answer in place of each ...\n"
    assert state.kept().of("prediction", "00.p1") == [
        {"what": "prediction", "id": "00.p1", "answers": {"cpu_table": "RAM"}}
    ]


def test_a_prediction_may_be_written_in_any_case():
    assert predict("00.p1", cpu_table="vram of GPU0").answers == {"cpu_table": "VRAM of gpu0"}


@pytest.mark.parametrize(
    ("number", "answers", "message"),
    [
        ("00.p1", {"cpu_table": "both"}, "cpu_table='both' is no answer; allowed: 'RAM', 'VRAM of gpu0', 'nothing'"),
        ("00.p1", {"table": "RAM"}, "nothing is asked about 'table'; allowed: cpu_table"),
        ("00.p9", {}, "there is no prediction '00.p9'; allowed: 00.p1"),
    ],
)
def test_a_prediction_that_cannot_be_is_refused_with_what_can(number: str, answers: dict, message: str):
    with pytest.raises(InputError, match=re.escape(message)):
        predict(number, **answers)


def test_the_comparison_shows_yours_what_happened_and_why_without_a_score(capsys):
    compare(predict("00.p1", **RIGHT | {"gpu_table": "VRAM of gpu0"}))
    told = capsys.readouterr().out
    assert "you said  VRAM of gpu0\n  happened  nothing\n  because   mapping is the restore worker's task" in told
    assert not re.search(r"right|wrong|correct", told)


def test_the_comparison_depends_on_its_argument_and_not_on_what_was_kept(capsys):
    mine = predict("00.p1", **RIGHT)
    capsys.readouterr()
    compare(mine)
    first = capsys.readouterr().out
    predict("00.p1", cpu_table="RAM", gpu_table="RAM", after_cpu_read="RAM")
    capsys.readouterr()
    compare(mine)
    assert capsys.readouterr().out == first


def test_what_is_kept_has_neither_time_nor_name():
    check("00.1", "DEAFCB")
    hint("00.1")
    lines = (state.folder() / "course.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line) for line in lines] == [
        {"what": "check", "id": "00.1", "verdict": "right"},
        {"what": "hint", "id": "00.1", "level": 1},
    ]


def test_without_the_variable_the_folder_is_beside_the_notebook(monkeypatch, tmp_path: Path):
    monkeypatch.delenv(state.VARIABLE)
    monkeypatch.chdir(tmp_path)
    check("00.w1", ...)
    assert (tmp_path / ".svmlab" / "course.jsonl").exists()


def test_a_folder_that_cannot_be_written_is_told_and_the_check_goes_on(monkeypatch, tmp_path: Path, capsys):
    (tmp_path / "file").write_text("", encoding="utf-8")
    monkeypatch.setenv(state.VARIABLE, os.fspath(tmp_path / "file"))
    check("00.w1", 64)
    assert (
        capsys.readouterr().out
        == "(not kept: File exists; let SVMLAB_STATE name a folder you can write)\n00.w1 right\n"
    )


def test_progress_tells_each_exercise_and_what_was_predicted(capsys):
    check("00.1", "DEAFBC")
    check("00.2", ...)
    check("00.w1", 64)
    hint("00.1", 1)
    predict("00.p1", **RIGHT)
    path = state.folder() / "course.jsonl"
    path.write_text(path.read_text(encoding="utf-8") + "half a li\n", encoding="utf-8")
    capsys.readouterr()
    progress()
    told = capsys.readouterr().out
    assert re.search(r"^00\.w1  right +1 checked, 0 hints", told, re.MULTILINE)
    assert re.search(r"^00\.1   not right yet +1 checked, 1 hints", told, re.MULTILINE)
    assert re.search(r"^00\.2   not tried yet +0 checked, 0 hints", told, re.MULTILINE)
    assert "predictions: 00.p1" in told
    assert "(1 lines in" in told


def test_progress_of_a_newcomer_is_no_error(capsys):
    progress()
    assert "predictions: none yet" in capsys.readouterr().out
