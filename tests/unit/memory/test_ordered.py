"""Looking into a sorted list."""

import pytest
from sortedcontainers import SortedKeyList, SortedList

from svmlab.hardware.ordered import last_up_to, shrink_largest


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


@pytest.mark.parametrize("count", [1, 2, 7, 8, 9, 100])
def test_the_largest_value_shrinks_as_if_it_were_taken_out_and_put_back_smaller(count):
    for value in range(10 * count):
        ordered, expected = (SortedList() for _ in range(2))
        for each in (ordered, expected):
            each._reset(4)
            each.update(range(0, 10 * count, 10))
        largest = expected[-1]
        if value >= largest or value % 10 == 0:
            continue
        still_largest = count == 1 or value > expected[-2]
        assert shrink_largest(ordered, value) == still_largest
        if still_largest:
            expected.remove(largest)
            expected.add(value)
        ordered._check()
        assert list(ordered) == list(expected)
