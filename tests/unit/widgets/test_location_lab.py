"""LocationLab: attributes chosen, the decision read."""

import pytest

from svmlab.widgets import LocationLab


@pytest.fixture
def lab(read):
    return read(LocationLab(size="64 KiB"))


def test_it_shows_where_pages_are_how_that_was_decided_and_when(lab):
    maps, path, timeline = lab.pictures
    assert maps.startswith("Where the pages of a are")
    assert path.startswith("The pages of a belong in RAM")
    assert timeline.startswith("Timeline")


def test_it_starts_with_a_prefetch_that_does_not_count(lab):
    assert "gpu0 cannot reach the VRAM of gpu4: not in its hive" in lab.headline
    assert "CPU table: 16 pages in RAM" in lab.said


@pytest.mark.parametrize(
    ("prefetch", "access", "where"),
    [("gpu1", "gpu0", "on gpu1"), ("gpu1", "gpu0,gpu4", "in RAM"), ("cpu", "gpu0", "in RAM"), ("gpu4", "", "on gpu4")],
)
def test_a_prefetch_counts_as_far_as_every_accessor_reaches_it(lab, prefetch, access, where):
    lab.lab.access.value, lab.lab.prefetch.value = access, prefetch
    assert lab.headline.startswith(f"The pages of a belong {where}")
    assert f"CPU table: 16 pages {where}" in lab.said


def test_with_xnack_on_the_touch_decides_again(lab):
    lab.lab.xnack.value = "on"
    assert "the prefetch location (gpu4) is taken as it is; gpu0's touch waits for 1 fault" in lab.headline
    assert "CPU table: 16 pages on gpu0" in lab.said


def test_without_access_the_touch_is_fatal(lab):
    lab.lab.access.value = ""
    assert "gpu0's touch is fatal; gpu0 cannot read page" in lab.headline


def test_what_was_asked_stands_beside_what_came_of_it(lab):
    lab.lab.preferred.value = "gpu1"
    assert "Asked of the driver: preferred gpu1; prefetch gpu4; access gpu0" in lab.said


@pytest.mark.parametrize("machine", ["toy", "mi100-hive4", "mi300x-8", "pcie-pair"])
def test_it_runs_on_any_machine(read, machine):
    lab = read(LocationLab(machine, size="16 KiB"))
    for _, place in lab.lab.prefetch.options:
        lab.lab.prefetch.value = place
        assert lab.refused == ""
        assert lab.headline.startswith("The pages of a")


def test_the_twin_has_every_rule_and_both_ways_a_touch_can_end(lab):
    (panel,) = lab.lab.summary().tables
    assert {row.cells[-1].text for row in panel.rows} == {"is fatal", "finds the pages"}
    assert {row.cells[2].text for row in panel.rows} == {
        "prefetch location",
        "an accessor is far",
        "prefetch to RAM",
        "no prefetch location",
    }
