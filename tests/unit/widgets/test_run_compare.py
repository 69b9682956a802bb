"""RunCompare: a scenario and two versions chosen, where they part read."""

import pytest

from svmlab.svm.behaviour_table import DEFAULT_PRESET, POSTED, PRESETS
from svmlab.trace.compare import compare
from svmlab.widgets import RunCompare


@pytest.fixture(scope="module")
def runs():
    return RunCompare()


@pytest.fixture
def start(runs, read):
    runs.reset.click()
    return read(runs)


def test_it_starts_where_the_posted_driver_cannot_go_home(start):
    assert start.headline.startswith(f"There and back: {DEFAULT_PRESET} and {POSTED} part after ")
    assert f"{DEFAULT_PRESET}: holds" in start.said
    assert f"{POSTED}: 5 things do not hold" in start.said


def test_both_timelines_stand_on_one_axis_with_their_first_difference(start):
    (picture,) = start.pictures
    assert picture.startswith("Two runs that part after")
    assert start.lab.view.value.count("first difference") >= 2


def test_the_same_version_twice_does_the_same(runs, start):
    runs.second.value = runs.first.value
    assert start.headline.startswith(f"There and back: {DEFAULT_PRESET} do the same")
    assert "at other times" not in start.headline
    assert "The first difference there is none" in start.said


def test_the_same_events_at_other_times_are_told_as_such(runs, start):
    runs.scenario.value = "first-migration"
    assert start.headline.endswith(" events, at other times")


@pytest.mark.parametrize("other", [name for name in PRESETS if name != DEFAULT_PRESET])
def test_what_differs_first_is_what_the_logs_say(runs, start, other):
    runs.second.value = other
    found = compare(
        runs._result("there-and-back", DEFAULT_PRESET).process, runs._result("there-and-back", other).process
    )
    assert f"part after {found.same} events" in start.headline
    assert f"{other}: {found.second}" in start.said


def test_a_fault_is_fatal_as_posted(runs, start):
    runs.scenario.value = "first-gpu-fault"
    assert "gpu0: fatal read" in start.said
    assert "Why, as-posted" in start.said


def test_the_twin_has_each_scenario_with_both_other_versions(runs):
    (panel,) = runs.summary().tables
    assert len(panel.rows) == 6
    assert {row.cells[2].text for row in panel.rows} == {"as-posted", "upstream"}
