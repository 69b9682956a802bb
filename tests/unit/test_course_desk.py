"""The instructor's guide says of lessons and exercises what they are."""

import re
from pathlib import Path

import pytest

from svmlab.course import bank
from svmlab.course.check import verdict
from svmlab.course.desk import desk, minutes, notes, renewed
from svmlab.course.exercise import Kind
from svmlab.errors import InputError

ROOT = Path(__file__).resolve().parents[2]
NOTES = notes(ROOT)
GUIDE = desk(ROOT).read_text(encoding="utf-8")


def test_every_exercise_but_the_warm_ups_has_a_note_in_the_order_of_the_bank():
    assert list(NOTES) == [each.id for each in bank.exercises().values() if each.kind is not Kind.WARM_UP]


@pytest.mark.parametrize("number", NOTES)
def test_the_wrong_answer_to_expect_is_rejected_by_its_check(number: str):
    assert verdict(bank.exercise(number), eval(NOTES[number]["answer"]))[0] == "wrong"


@pytest.mark.parametrize("number", NOTES)
def test_a_note_is_short_and_says_all(number: str):
    assert set(NOTES[number]) == {"tests", "answer", "shows"}
    assert all(3 <= len(NOTES[number][what].split()) <= 25 for what in ("tests", "shows"))


def test_every_lesson_and_exercise_is_in_the_guide():
    assert all(re.search(rf"^\| {number} \|", GUIDE, re.MULTILINE) for number in minutes(ROOT))
    assert all(re.search(rf"^\| {re.escape(number)} \|", GUIDE, re.MULTILINE) for number in NOTES)


def plan(name: str) -> list[str]:
    """The lessons of one of the three ways, as its table names them."""
    part = GUIDE.partition(f"**{name}")[2].partition("\n\n**")[0].partition("\nWho knows")[0]
    rows = re.findall(r"^\| (?:\d|morning|midday|afternoon|last).*", part, re.MULTILINE)
    return [number for row in rows for number in re.findall(r"\b(\d\d|A)\b(?![.:]\d)", re.sub(r"\d:\d\d", "", row))]


def test_the_lessons_of_two_hours_fit_in_two_hours_with_time_for_half_of_the_third():
    taken = minutes(ROOT)
    assert plan("A lab of two hours") == ["00", "04", "07"]
    assert taken["00"] + taken["04"] + taken["07"] / 2 <= 115


def test_the_six_weeks_have_each_lesson_once_and_in_order():
    assert plan("Six weeks") == list(minutes(ROOT))


def test_a_guide_without_its_markers_is_refused(tmp_path: Path):
    for folder in ("docs", "notebooks/source"):
        (tmp_path / folder).mkdir(parents=True)
    for path in (ROOT / "notebooks" / "source").iterdir():
        if path.is_file():
            (tmp_path / "notebooks" / "source" / path.name).write_bytes(path.read_bytes())
    desk(tmp_path).write_text("# A guide")
    with pytest.raises(InputError, match="has no part 'lessons'"):
        renewed(tmp_path)


def test_a_note_that_is_missing_is_named(tmp_path: Path):
    (tmp_path / "docs").mkdir()
    (tmp_path / "notebooks" / "source").mkdir(parents=True)
    desk(tmp_path).write_text(GUIDE)
    source = ROOT / "notebooks" / "source" / "exercises.toml"
    (tmp_path / "notebooks" / "source" / "exercises.toml").write_text(
        source.read_text().replace('["12.3"]', '["12.4"]')
    )
    with pytest.raises(InputError, match=re.escape("differ in 12.3, 12.4")):
        renewed(tmp_path)
