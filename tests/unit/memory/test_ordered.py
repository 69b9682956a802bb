"""Looking into a sorted list."""

import pytest
from sortedcontainers import SortedKeyList

from svmlab.mm.ordered import last_up_to


@pytest.mark.parametrize("count", [0, 1, 2, 7, 100])
def test_the_last_value_up_to_a_key_is_what_the_library_itself_finds(count):
    ordered = SortedKeyList(key=lambda value: value[0])
    ordered._reset(4)  # lists of at most eight values, so that there are many
    ordered.update((3 * number, f"value {number}") for number in range(count))
    for key in range(-1, 3 * count + 2):
        assert last_up_to(ordered, key) == next(ordered.irange_key(max_key=key, reverse=True), None)


def test_values_that_came_and_went_change_nothing_about_that():
    ordered = SortedKeyList(key=lambda value: value)
    ordered._reset(4)
    for number in [*range(0, 200, 7), *range(3, 200, 5)]:
        ordered.add(number)
    for number in range(0, 200, 14):
        ordered.remove(number)
    for key in range(-1, 201):
        assert last_up_to(ordered, key) == next(ordered.irange_key(max_key=key, reverse=True), None)
