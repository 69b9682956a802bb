from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from svmlab.views.layout import lay_out
from svmlab.views.lettering import BODY_PX, shorten, width, wrap
from svmlab.views.scene import Axis, Bar, Cell, Chart, Lane, Mark, Row, Scene, Table

NAMES = ("first", "pending", "back", "busy", "faults", "empty", "map", "decision", "widget")


@pytest.mark.parametrize("width_px", [500, 700, 1100])
@pytest.mark.parametrize("name", NAMES)
def test_no_text_collides_or_leaves_the_paper(name, width_px, scenes, check_sheet):
    check_sheet(lay_out(scenes[name], width_px))


TEXT = st.text(st.sampled_from("abc WM1"), max_size=25)
BARS = st.builds(
    lambda lane, start, length, style, label, short: Bar(lane, start, start + length, style, label, short),
    st.sampled_from("abc"), st.integers(0, 10**6), st.integers(0, 10**5),
    st.sampled_from(["call", "copy", "wait"]), TEXT, st.sampled_from(["", "7", "short"]),
)  # fmt: skip
MARKS = st.builds(Mark, st.sampled_from(["a", "b", "c", ""]), st.integers(0, 10**6), st.just("notice"), TEXT)


@settings(max_examples=60)
@given(st.lists(BARS, max_size=30), st.lists(MARKS, max_size=8), st.booleans())
def test_no_text_collides_in_any_chart(check_sheet, bars, marks, broken):
    axis = Axis(0, 1_200_000, "ns", "time", ((300_000, 700_000),) if broken else ())
    chart = Chart(axis, tuple(map(Lane, "abc")), tuple(bars), tuple(marks))
    check_sheet(lay_out(Scene("any", "any chart", (chart,))))


@settings(max_examples=40)
@given(st.lists(st.tuples(TEXT, TEXT, st.text(st.sampled_from("abc de"), max_size=300)), min_size=1, max_size=6))
def test_no_text_collides_in_any_table(check_sheet, rows):
    table = Table(("one", "two", "three"), tuple(Row(tuple(map(Cell, row)), "lit") for row in rows))
    check_sheet(lay_out(Scene("any", "any table", (table,))))


def test_all_text_is_at_least_eleven_points(scenes):
    assert pytest.approx(BODY_PX) == 11 * 96 / 72
    assert min(word.size for scene in scenes.values() for word in lay_out(scene).words) >= BODY_PX


def test_a_break_is_torn_through_every_lane_and_says_what_is_missing(scenes):
    sheet = lay_out(scenes["first"])
    torn = [line for line in sheet.lines if len(line.points) > 10]
    assert len(torn) == 2
    assert any(word.text == "691 us cut out" for word in sheet.words)


def test_the_key_explains_every_number_when_one_could_not_be_written_out(scenes, logs):
    words = [word.text for word in lay_out(scenes["first"]).words]
    assert all(f"{number} {text}" in words for number, text in enumerate(logs.STEPS, 1))
    roomy = Chart(Axis(0, 10), (Lane("lane"),), (Bar("lane", 0, 10, "step", "1 only step", "1"),))
    assert Counter(word.text for word in lay_out(Scene("", "", (roomy,))).words)["1 only step"] == 1


def test_a_bar_of_no_length_can_still_be_seen():
    chart = Chart(Axis(0, 10**9), (Lane("lane"),), (Bar("lane", 5, 5, "step"),))
    assert lay_out(Scene("", "", (chart,))).boxes[0].width >= 2


def test_the_legend_explains_every_style_in_use_once(scenes):
    words = Counter(word.text for word in lay_out(scenes["map"]).words)
    assert (words["RAM"], words["VRAM of gpu0"], words["no page"]) == (1, 1, 1)


def test_a_line_through_all_lanes_carries_its_label():
    chart = Chart(Axis(0, 10), (Lane("a"), Lane("b")), (), (Mark("", 5, "now", "first difference"),))
    sheet = lay_out(Scene("", "", (chart,)))
    assert [line.dashed for line in sheet.lines].count(True) == 1
    assert "first difference" in [word.text for word in sheet.words]


def test_text_is_shortened_and_wrapped_to_the_room_there_is():
    assert shorten("abc", 100) == "abc"
    assert width(shorten("a long name of a lane", 80)) <= 80
    assert all(width(line) <= 120 for line in wrap("several words that do not fit on a line " * 3, 120))
    assert wrap("", 10) == [""]
