from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from svmlab.errors import InputError
from svmlab.svm.process import Process
from svmlab.units import USEC
from svmlab.views.describe import describe
from svmlab.views.pagemap_time import pagemap_over_time
from svmlab.views.snapshot import Snapshot, snapshot


def name(location):
    return "cpu" if location == 0 else f"gpu{location - 1}"


def moments(*rows, **tables):
    """Snapshots 1 us apart of the CPU's table (and of others, a list of rows each)."""
    columns = {"cpu": rows, **tables}
    return [
        Snapshot(at * USEC, {owner: np.array(column[at]) for owner, column in columns.items()}, name)
        for at in range(len(rows))
    ]


def bars(scene, lane=None):
    return [bar for bar in scene.panels[0].bars if lane in (None, bar.lane)]


def there_and_home():
    """4 MiB are written, prefetched, mapped, and the CPU reads the first byte."""
    p = Process("mi210-two-hives")
    a = p.mmap("4 MiB", name="a")
    taken = [snapshot(p, a, "start")]
    for says, act in (
        ("CPU wrote", lambda: p.cpu_write(a, 1)),
        ("call is back", lambda: p.set_attr(a, access=["gpu0"], prefetch="gpu0")),
        ("restored", p.run),
        ("CPU read", lambda: a[0]),
        ("idle", p.run),
    ):
        act()
        taken.append(snapshot(p, a, says))
    return taken


def block_by_block():
    """With xnack on gpu0 reads 8 MiB: a fault for each block of 2 MiB."""
    p = Process("mi210-two-hives", xnack=True)
    a = p.mmap("8 MiB", name="a")
    a[:] = 1
    taken = [snapshot(p, a)]
    work = p.start.gpu_read("gpu0", a)
    while not work.done:
        p.run(for_ns="40 us")
        taken.append(snapshot(p, a))
    return taken


def between_gpus():
    """2 MiB go to gpu0, then to gpu1, then away."""
    p = Process("mi210-two-hives")
    a = p.mmap("2 MiB", name="a")
    p.set_attr(a, access=["gpu0", "gpu1"], prefetch="gpu0")
    p.run()
    taken = [snapshot(p, a, "on gpu0")]
    p.set_attr(a, prefetch="gpu1")
    p.run()
    taken.append(snapshot(p, a, "on gpu1"))
    p.discard(a.pages(0, 100))
    p.run()
    return [*taken, snapshot(p, a, "discarded")]


CASES = {"there-and-home": there_and_home, "block-by-block": block_by_block, "between-gpus": between_gpus}
BEGINNINGS = {
    "there-and-home": "CPU table: at 1.128 ms (CPU wrote) 1024 pages change from nothing to RAM; "
    "at 1.704 ms (call is back) 1024 pages change from RAM to gpu0; "
    "at 2.54 ms (CPU read) 512 pages change from gpu0 to RAM. gpu0 table: ",
    "block-by-block": "CPU table: at 2.494 ms 512 pages change from RAM to gpu0; ",
    "between-gpus": "CPU table: at ",
}


@pytest.fixture(scope="module")
def stories():
    return {title: pagemap_over_time(make()) for title, make in CASES.items()}


@pytest.mark.parametrize("title", CASES)
def test_a_known_story_is_a_known_scene(title, stories, matches_golden):
    matches_golden(stories[title], f"moments-{title}")
    assert describe(stories[title]).startswith(BEGINNINGS[title])


def test_what_moved_says_from_where_and_what_stayed_only_where_it_is():
    scene = pagemap_over_time(moments([0] * 8, [0, 0, 1, 1, 1, 1, 0, 0]))
    assert [(bar.start, bar.end, bar.label or bar.short) for bar in bars(scene, "1 us")] == [
        (0, 2, "R"),
        (2, 6, "R -> V0 4"),
        (6, 8, "R"),
    ]
    assert describe(scene) == "CPU table: at 1 us 4 pages change from RAM to gpu0."


def test_pages_that_come_into_being_or_vanish_say_so():
    scene = pagemap_over_time(moments([-1, 0, 0], [0, 0, -1]))
    assert [bar.label for bar in bars(scene, "1 us")] == ["new R 1", "", "R lost 1"]
    assert describe(scene) == (
        "CPU table: at 1 us 1 page changes from nothing to RAM and 1 page changes from RAM to nothing."
    )


def test_a_moment_like_the_one_before_is_left_out():
    scene = pagemap_over_time(moments([0, 0], [0, 0], [1, 1], [1, 1]))
    assert [lane.name for lane in scene.panels[0].lanes] == ["0 ns", "2 us"]


def test_a_table_that_never_changes_has_one_row_and_tables_with_one_history_share_a_chart():
    idle = [[-1, -1]] * 2
    scene = pagemap_over_time(moments([0, 0], [1, 1], gpu0=[[-1, -1], [1, 1]], gpu1=idle, gpu2=idle))
    assert [chart.title for chart in scene.charts] == ["CPU table", "gpu0 table", "gpu1, gpu2 tables"]
    assert [len(chart.lanes) for chart in scene.charts] == [2, 2, 1]
    assert describe(scene).endswith("gpu1, gpu2 tables: nothing changes.")


def test_of_many_moments_some_in_between_are_left_out_and_the_title_says_so():
    scene = pagemap_over_time(moments(*([at % 2] * 4 for at in range(40))), rows=5)
    assert len(scene.panels[0].lanes) == 5
    assert (scene.panels[0].lanes[0].name, scene.panels[0].lanes[-1].name) == ("0 ns", "39 us")
    assert scene.title.endswith("5 of 40 moments")


def test_two_moments_at_one_time_are_told_apart():
    one, other = moments([0], [1])
    scene = pagemap_over_time([one, Snapshot(0, other.tables, name)])
    assert [lane.name for lane in scene.panels[0].lanes] == ["1: 0 ns", "2: 0 ns"]


def test_pages_that_moved_in_cells_of_several_places_are_counted_exactly():
    rows = [0] * 32, [0, 1] * 12 + [0] * 8, [0, 1] * 6 + [-2, 1] * 6 + [0] * 8
    scene = pagemap_over_time(moments(*rows), cells=8)
    assert [(bar.start, bar.end, bar.style, bar.label) for bar in bars(scene, "1 us")] == [
        (0, 24, "mixed", "R -> * 12"),
        (24, 32, "cpu", ""),
    ]
    assert [(bar.start, bar.end, bar.label) for bar in bars(scene, "2 us")][:2] == [(0, 12, ""), (12, 24, "* -> * 6")]
    assert describe(scene) == (
        "CPU table: at 1 us 12 pages change from RAM to gpu0; at 2 us 6 pages change from RAM to swap."
    )


def test_of_many_ways_at_one_moment_the_two_that_most_pages_took_are_told():
    scene = pagemap_over_time(moments([0, 0, 0, 1, 1, 2, 2, -1], [1, 1, 1, 0, 0, -2, 0, 0]))
    assert describe(scene) == (
        "CPU table: at 1 us 3 pages change from RAM to gpu0, 2 pages change from gpu0 to RAM and 3 pages otherwise."
    )


def test_moments_of_a_recording_will_do():
    like = [SimpleNamespace(time_ns=0, tables={"cpu": np.zeros(3, int)})]
    assert describe(pagemap_over_time(like, name)) == "CPU table: nothing changes."


@given(st.lists(st.lists(st.integers(-2, 2), min_size=12, max_size=12), min_size=1, max_size=6), st.integers(1, 12))
def test_every_page_of_every_row_is_drawn_once_and_every_change_is_counted(rows, cells):
    scene = pagemap_over_time(moments(*rows), cells=cells)
    distinct = [rows[0], *(after for before, after in pairwise(rows) if before != after)]
    for at, lane in enumerate(scene.panels[0].lanes):
        drawn = bars(scene, lane.name)
        assert [bar.start for bar in drawn] == [0, *(bar.end for bar in drawn[:-1])]
        assert drawn[-1].end == 12
        changed = sum(a != b for a, b in zip(distinct[max(at - 1, 0)], distinct[at], strict=True))
        assert sum(count for bar in drawn for _, count in bar.data) == changed


def test_what_are_no_moments_is_refused():
    with pytest.raises(InputError, match="no moments"):
        pagemap_over_time([])
    with pytest.raises(InputError, match="no moments"):
        pagemap_over_time([1, 2])
    with pytest.raises(InputError, match="different pages"):
        pagemap_over_time([*moments([0, 0]), *moments([0])])
    with pytest.raises(InputError, match="2 or more"):
        pagemap_over_time(moments([0]), rows=1)
