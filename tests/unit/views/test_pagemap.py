import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from svmlab.views.describe import describe
from svmlab.views.pagemap import pagemap_of, pages_of_runs


def name(location):
    return "cpu" if location == 0 else f"gpu{location - 1}"


def bars(*places, cells=256):
    scene = pagemap_of({"cpu": np.array(places)}, name, cells=cells)
    return [(bar.start, bar.end, bar.style) for bar in scene.panels[0].bars]


def test_a_known_map_gives_a_known_scene(scenes, matches_golden):
    matches_golden(scenes["map"], "map")


def test_equal_neighbours_are_one_bar():
    assert bars(0, 0, 1, 1, 1, -1, -2) == [
        (0, 2, "cpu"),
        (2, 5, "gpu0"),
        (5, 6, "none"),
        (6, 7, "swapped"),
    ]


def test_a_cell_whose_pages_differ_is_several_places_and_keeps_the_counts():
    scene = pagemap_of({"cpu": np.array([0, 0, 0, 1, 1, 1])}, name, cells=3)
    first, mixed, last = scene.panels[0].bars
    assert (first.style, mixed.style, last.style) == ("cpu", "mixed", "gpu0")
    assert dict(mixed.data) == {"cpu": 1, "gpu0": 1}
    assert describe(scene) == "CPU table: 3 pages in RAM and 3 on gpu0."


def test_gpu_tables_that_agree_share_a_lane_and_the_cpu_keeps_its_own():
    here, there = np.zeros(4, np.int64), np.ones(4, np.int64)
    lanes = pagemap_of({"cpu": here, "gpu0": here, "gpu1": there, "gpu2": there, "gpu3": there}, name).panels[0].lanes
    assert [lane.name for lane in lanes] == ["CPU table", "gpu0 table", "gpu1-gpu3 tables"]


def test_a_table_may_name_its_lane_itself():
    lanes = pagemap_of({"before": np.zeros(2, np.int64), "after": np.ones(2, np.int64)}, name).panels[0].lanes
    assert [lane.name for lane in lanes] == ["before", "after"]


def test_of_many_tables_two_are_told_and_the_others_counted():
    tables = {f"gpu{index}": np.full(2, index) for index in range(5)}
    assert describe(pagemap_of(tables, name)).endswith("3 more tables are shown.")


@given(st.lists(st.integers(-2, 3), min_size=1, max_size=200), st.integers(1, 50))
def test_the_bars_cover_every_page_once_and_count_each_place_rightly(places, cells):
    array = np.array(places)
    chart = pagemap_of({"cpu": array}, name, cells=cells).panels[0]
    assert [bar.start for bar in chart.bars] == [0, *(bar.end for bar in chart.bars[:-1])]
    assert chart.bars[-1].end == len(places)
    assert sum(bar.style == "mixed" for bar in chart.bars) <= cells
    for bar in chart.bars:
        values = set(places[bar.start : bar.end])
        assert (len(values) > 1) == (bar.style == "mixed")
        assert sum(dict(bar.data).values() or [bar.end - bar.start]) == bar.end - bar.start


@pytest.mark.parametrize("dtype", [np.int8, np.int32, np.int64])
def test_millions_of_pages_become_few_bars(dtype):
    places = np.zeros(5_000_000, dtype)
    places[1_000_000:] = 1
    assert len(pagemap_of({"cpu": places}, name).panels[0].bars) <= 3


def test_no_page_at_all_is_an_empty_lane():
    assert pagemap_of({"cpu": np.zeros(0, np.int64)}, name).panels[0].bars == ()


def test_runs_are_spread_over_pages():
    assert pages_of_runs(np.array([0, 3, 4]), np.array([0, 7, -1]), npages=6).tolist() == [0, 0, 0, 7, -1, -1]
