"""The map of ranges: look-ups against a plain list, and how much a range weighs."""

import sys

from hypothesis import given
from hypothesis import strategies as st

from svmlab.hardware.world import World
from svmlab.svm.ranges import Range, RangeList

SIZES = st.lists(st.tuples(st.integers(0, 5), st.integers(1, 7)), max_size=30)
"""Gap and length of each range."""


def listed(sizes):
    ranges, page = [], 10
    for gap, npages in sizes:
        ranges.append(Range(page + gap, page + gap + npages - 1))
        page += gap + npages
    svms = RangeList(World(), "test")
    for each in sorted(ranges, key=lambda each: (each.start * 7919) % 101):
        svms.insert(each)
    return svms, ranges, page


@given(SIZES)
def test_every_page_finds_the_range_that_holds_it(sizes):
    svms, ranges, end = listed(sizes)
    for page in range(end + 12):
        assert svms.at(page) is next((each for each in ranges if each.start <= page <= each.last), None)


@given(SIZES, st.integers(0, 120), st.integers(0, 40))
def test_a_span_finds_all_that_overlap_it_in_address_order(sizes, start, more):
    svms, ranges, _ = listed(sizes)
    wanted = [each for each in ranges if each.overlaps(start, start + more)]
    assert svms.overlapping(start, start + more) == wanted
    assert svms.registered(start, start + more) == wanted


@given(SIZES)
def test_the_order_of_insertion_is_kept_beside_that_of_addresses(sizes):
    svms, ranges, _ = listed(sizes)
    inserted = list(svms.order.values())
    assert list(svms) == ranges
    assert [svms.parent_of(each) for each in ranges] == ranges
    for each in inserted[::2]:
        svms.remove(each)
    assert list(svms.order.values()) == inserted[1::2]
    assert list(svms) == [each for each in ranges if each in inserted[1::2]]


def test_a_range_is_found_under_its_registered_extent_until_it_is_registered_anew():
    svms = RangeList(World(), "test")
    range_ = Range(100, 199)
    svms.insert(range_)
    range_.start, range_.last = 120, 149
    assert svms.registered(100, 110) == svms.registered(180, 180) == [range_]
    assert svms.overlapping(100, 110) == svms.overlapping(180, 180) == []
    assert (svms.at(110), svms.at(130)) == (None, range_)
    svms.reinsert(range_)
    assert svms.registered(100, 110) == []
    assert (range_.node_start, range_.node_last, list(svms.order.values())) == (120, 149, [range_])


def test_a_range_makes_what_few_ranges_need_when_it_needs_it():
    world = World()
    range_ = Range(1, 2)
    assert not hasattr(range_, "__dict__")
    assert (range_._lock, range_._migrate_mutex, range_._dma, range_.notifier, range_.children) == (
        None,
        None,
        None,
        None,
        (),
    )
    assert sys.getsizeof(range_) <= 320
    assert range_.lock(world) is range_.lock(world)
    assert range_.migrate_mutex(world) is range_.migrate_mutex(world)
    range_.dma[0] = None
    assert range_.dma == {0: None}
