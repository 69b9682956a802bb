"""Faults on request: which occurrence fails, with what, and what is counted."""

from __future__ import annotations

import errno

import pytest

from svmlab.errors import InputError
from svmlab.hardware.injection import FAULTS, Hit, Injections


@pytest.fixture
def faults() -> Injections:
    return Injections()


def failing(faults: Injections, fault: str, times: int, **which: int) -> list[int]:
    """Which of the next occurrences fail, from 1."""
    return [n for n in range(1, times + 1) if faults.first(fault, **which) is not None]


def test_nothing_fails_unless_it_was_ordered(faults: Injections):
    assert [failing(faults, fault, 3) for fault in FAULTS] == [[]] * len(FAULTS)


@pytest.mark.parametrize(("nth", "count", "which"), [(1, 1, [1]), (3, 1, [3]), (2, 3, [2, 3, 4]), (5, 9, [5])])
def test_the_nth_from_now_and_the_ones_behind_it_fail(faults: Injections, nth: int, count: int, which: list[int]):
    faults.order("copy", nth=nth, count=count)
    assert failing(faults, "copy", 5) == which


def test_counting_begins_with_the_order(faults: Injections):
    assert failing(faults, "copy", 4) == []
    faults.order("copy", nth=2)
    assert failing(faults, "copy", 3) == [2]


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_returns_its_usual_errno_or_the_one_asked_for(faults: Injections, fault: str):
    faults.order(fault)
    faults.order(fault, nth=2, error=errno.EINTR)
    assert [faults.first(fault).errno for _ in range(2)] == [FAULTS[fault], errno.EINTR]


def test_a_fault_on_one_gpu_counts_only_there(faults: Injections):
    faults.order("copy", nth=2, gpu=1)
    assert (failing(faults, "copy", 4, gpu=0), failing(faults, "copy", 3, gpu=1)) == ([], [2])


def test_a_fault_on_any_gpu_counts_everywhere(faults: Injections):
    faults.order("copy", nth=3)
    assert [faults.first("copy", gpu=gpu) is not None for gpu in (0, 1, 0)] == [False, False, True]


def test_what_belongs_to_no_gpu_counts_for_every_order(faults: Injections):
    faults.order("hmm_fault", gpu=2)
    assert failing(faults, "hmm_fault", 2) == [1]


def test_several_occurrences_stop_at_the_first_that_fails(faults: Injections):
    faults.order("dma_map", nth=3)
    faults.order("dma_map", nth=6)
    assert faults.first("dma_map", 5) == Hit(2, errno.ENOMEM)  # the fourth and fifth did not take place
    assert faults.first("dma_map", 5) == Hit(2, errno.ENOMEM)
    assert faults.first("dma_map", 5) is None


def test_occurrences_that_take_place_anyway_are_all_counted(faults: Injections):
    faults.order("page_lock", nth=2, count=2)
    faults.order("page_lock", nth=7)
    assert [hit.index for hit in faults.all("page_lock", 5)] == [1, 2]
    assert [hit.index for hit in faults.all("page_lock", 5)] == [1]


def test_two_faults_that_take_turns_stop_each_other(faults: Injections):
    faults.order("ram_alloc", nth=4)
    faults.order("dma_map", nth=3)
    assert faults.first_of(("ram_alloc", "dma_map"), 10) == ("dma_map", Hit(2, errno.ENOMEM))
    assert faults.first_of(("ram_alloc", "dma_map"), 10) == ("ram_alloc", Hit(0, errno.ENOMEM))
    assert faults.first_of(("ram_alloc", "dma_map"), 10) is None


def test_of_two_faults_at_one_turn_the_first_in_order_fails(faults: Injections):
    faults.order("dma_map", nth=2)
    faults.order("ram_alloc", nth=2)
    assert faults.first_of(("ram_alloc", "dma_map"), 10) == ("ram_alloc", Hit(1, errno.ENOMEM))
    assert faults.first_of(("ram_alloc", "dma_map"), 10) == ("dma_map", Hit(0, errno.ENOMEM))


@pytest.mark.parametrize(
    ("order", "message"),
    [
        ({"fault": "nothing"}, "fault 'nothing'; allowed: vram_alloc"),
        ({"fault": "copy", "nth": 0}, "nth = 0, count = 1"),
        ({"fault": "copy", "count": 0}, "allowed: 1 and more"),
    ],
)
def test_an_order_that_means_nothing_is_refused(faults: Injections, order: dict, message: str):
    with pytest.raises(InputError, match=message):
        faults.order(**order)
