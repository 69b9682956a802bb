"""EarlyOrLate: what moves late and what moves early, side by side."""

import pytest

from svmlab.widgets import EarlyOrLate


@pytest.fixture
def lab() -> EarlyOrLate:
    return EarlyOrLate()


def test_at_the_start_a_prefetch_of_all_that_is_touched_is_faster(lab):
    assert "Early is faster" in lab.view.value


def test_one_touched_page_of_a_large_buffer_is_faster_by_its_fault(lab):
    lab.touched.value = "one page"
    assert "Late is faster" in lab.view.value


def test_larger_blocks_take_fewer_faults(lab):
    faults = []
    for granularity in (8, 9, 10):
        lab.granularity.value = granularity
        faults.append(lab._go("4 MiB", "all of it", "GPU faults").faults)
    assert faults == [4, 2, 1]


def test_a_prefetch_leaves_no_fault_whatever_is_chosen(lab):
    assert {row[3] for row in rows(lab) if row[2] == "prefetch"} == {"0"}


def rows(lab: EarlyOrLate) -> list[list[str]]:
    (table,) = lab.summary().tables
    return [[cell.text for cell in row.cells] for row in table.rows]
