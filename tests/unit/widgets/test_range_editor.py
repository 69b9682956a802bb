"""RangeEditor: pages and a call chosen, ranges before and after read."""

import pytest

from svmlab.widgets import RangeEditor


@pytest.fixture
def start(read):
    return read(RangeEditor())


def test_a_call_on_the_middle_cuts_a_range_in_three(start):
    assert start.headline.startswith("1 range before, 3 ranges after: pages 0-15 are split at 4 and 8")
    assert "range is cut: [0, 3] becomes one of its own" in start.said


def test_a_call_that_changes_nothing_cuts_nothing(start):
    start.lab.call.value = "access for gpu0"
    assert start.headline == "1 range before, 1 range after. No attribute changes."
    assert "What happens to ranges nothing" in start.said


@pytest.mark.parametrize(
    ("before", "pages", "call", "told"),
    [
        ("one range", "0-15", "granularity 2", "1 range before, 1 range after"),
        ("one range", "15", "granularity 2", "1 range before, 2 ranges after: pages 0-15 are split at 15"),
        ("two ranges", "6-9", "no access for gpu0", "2 ranges before, 4 ranges after"),
        ("a range with free pages around it", "0-15", "access for gpu1", "1 range before, 3 ranges after"),
        ("no range", "3 - 5", "prefetch to gpu0", "0 ranges before, 1 range after"),
        ("one range", "4-7", "munmap", "1 range before, 2 ranges after"),
        ("two ranges", "0-15", "munmap", "2 ranges before, 0 ranges after"),
    ],
)
def test_ranges_before_and_after(start, before, pages, call, told):
    lab = start.lab
    lab.before.value, lab.pages.value, lab.call.value = before, pages, call
    assert start.refused == ""
    assert start.headline.startswith(told)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("x", "'x' names no pages; allowed: a page or first-last, 0 to 15; try: 4-7"),
        ("", "'' names no pages"),
        ("-3", "'-3' names no pages"),
        ("9-3", "pages 9 to 3; allowed: the smaller one first; try: 3-9"),
        ("4-20", "pages 4 to 20 of"),
    ],
)
def test_pages_that_are_none_are_refused_in_words(start, words, told):
    before = start.lab.view.value
    start.lab.pages.value = words
    assert start.refused.startswith(f"Not done: {told}")
    assert start.lab.view.value == before


def test_every_piece_says_where_its_pages_shall_be(start):
    start.lab.call.value = "prefetch to gpu0"
    assert "pages 4-7: gpu0, because all accessors reach the VRAM of gpu0" in start.said
    assert "pages 0-3: undefined, because no prefetch was ever asked for" in start.said


def test_the_strip_is_that_of_the_process(start):
    run = start.lab._run("two ranges", "6-9", "granularity 2")
    ranges = [
        (each.start - run.buffer.span.start, each.last - run.buffer.span.start) for each in run.process.look.ranges()
    ]
    after = [(bar.start, bar.end - 1) for chart in run.strip.charts for bar in chart.bars if bar.lane == "after"]
    assert sorted(after) == sorted(ranges) == [(0, 5), (6, 7), (8, 9), (10, 15)]
    assert run.process.broken_invariants() == []
