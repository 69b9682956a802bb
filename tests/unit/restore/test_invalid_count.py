"""Whose invalid count an invalidation raises while children wait to be registered."""

import pytest

from svmlab.uapi import NotifierEvent

BASE = 0x1000

# the option, and then the counts of the range, of the removed part, of the rest
OPTIONS = {"owner": (2, 0, 0), "parts": (1, 0, 1), "mapped-parts": (1, 0, 1)}


def cut(story, option):
    """Pages 8 to 15 of 64 are unmapped, and the deferred worker had no turn; then all of the rest changes twice."""
    made = story({"base": "as-intended", "invalid_count": option})
    made.map("a", 64, at=BASE)
    made.process.munmap(made.span("a", 8, 8))
    return made


def counts(made):
    range_ = made.range("a")
    return (range_.invalid, *(child.invalid for child in range_.children))


@pytest.mark.parametrize(("option", "expected"), OPTIONS.items(), ids=OPTIONS)
def test_a_change_of_the_range_and_a_change_of_its_child(story, option, expected):
    made = cut(story, option)
    made.announce_now(NotifierEvent.CLEAR, "a", 0, 4)
    made.announce_now(NotifierEvent.CLEAR, "a", 40, 4)
    assert counts(made) == expected


def test_a_child_that_no_gpu_maps_does_not_count_where_that_matters(story):
    found = {}
    for option in ("parts", "mapped-parts"):
        made = cut(story, option)
        made.range("a").children[-1].mapped = 0
        made.announce_now(NotifierEvent.CLEAR, "a", 40, 4)
        found[option] = counts(made)
    assert found == {"parts": (0, 0, 1), "mapped-parts": (0, 0, 0)}
