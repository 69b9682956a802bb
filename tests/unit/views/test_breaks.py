from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from svmlab.views.breaks import find_breaks
from svmlab.views.ruler import BREAK_PX, Ruler
from svmlab.views.scene import Axis

MOMENTS = st.lists(st.integers(0, 10**9), min_size=1, max_size=40)


def test_a_millisecond_of_waiting_beside_windows_of_fifty_microseconds_is_cut(scenes):
    (chart,) = scenes["first"].panels
    assert len(chart.axis.breaks) == 1
    (start, end) = chart.axis.breaks[0]
    assert 334_000 < start < end < 1_060_000, "it lies in the wait alone, and stubs of the wait stay"


def test_an_axis_without_long_waits_stays_whole(scenes):
    assert scenes["pending"].panels[0].axis.breaks == ()


def test_work_is_never_cut(scenes):
    assert scenes["busy"].panels[0].axis.breaks == ()


def test_two_waits_are_cut_together():
    moments = [0, 10, 20, 30, 40, 1040, 1050, 1060, 2060, 2070]
    assert len(find_breaks(moments)) == 2


def test_nothing_is_cut_where_only_cuts_would_remain():
    assert find_breaks([0, 1000]) == ()
    assert find_breaks([0, 1, 1000]) == ()
    assert find_breaks([]) == ()


@given(MOMENTS)
def test_breaks_are_ascending_disjoint_and_hide_no_moment(moments):
    pieces = find_breaks(moments)
    edges = [edge for piece in pieces for edge in piece]
    assert edges == sorted(edges)
    assert not any(start < moment < end for start, end in pieces for moment in moments)


@given(MOMENTS)
def test_along_a_broken_axis_later_is_further_right_and_nothing_leaves_the_paper(moments):
    axis = Axis(min(moments), max(moments), breaks=find_breaks(moments))
    places = Ruler(axis, 100, 700).at(sorted(set(moments))).tolist()
    assert all(a < b for a, b in pairwise(places))
    assert places[0] == 100
    assert places[-1] <= 700 + 1e-6


def test_a_break_takes_the_same_room_however_much_it_hides():
    for end in (10_000, 10_000_000):
        ruler = Ruler(Axis(0, end, breaks=((100, end - 100),)), 0, 500)
        ((left, right),) = ruler.breaks()
        assert right - left == BREAK_PX
        assert left == (500 - BREAK_PX) / 2


def test_ticks_are_round_lie_in_what_is_shown_and_carry_one_unit(scenes):
    ruler = Ruler(scenes["first"].panels[0].axis, 150, 680)
    assert [text for _, text in ruler.ticks()] == ["0", "100", "200", "300", "1100"]
    assert ruler.words == "virtual time, us"


def test_pages_and_bytes_are_ticked_in_powers_of_two():
    assert [text for _, text in Ruler(Axis(0, 1024, "pages"), 0, 500).ticks()][:3] == ["0", "128", "256"]
    ruler = Ruler(Axis(0, 4 << 20, "bytes", "moved"), 0, 500)
    assert [text for _, text in ruler.ticks()] == ["0", "0.5", "1", "1.5", "2", "2.5", "3", "3.5", "4"]
    assert ruler.words == "moved, MiB"
    assert Ruler(Axis(0, 64 << 30, "bytes"), 0, 500).unit == "GiB"


def test_ticks_leave_room_for_the_widest_label_not_just_for_the_last():
    texts = [text for _, text in Ruler(Axis(0, 4 << 20, "bytes"), 0, 380).ticks()]
    assert texts == ["0", "0.5", "1", "1.5", "2", "2.5", "3", "3.5", "4"]
    assert [text for _, text in Ruler(Axis(0, 4 << 20, "bytes"), 0, 270).ticks()] == ["0", "1", "2", "3", "4"]
