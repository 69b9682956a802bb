"""The sparse columns that page tables are made of."""

from __future__ import annotations

import numpy as np
import pytest

from svmlab.hardware.page_column import BLOCK_PAGES, PageColumn

EDGE = 5 * BLOCK_PAGES


@pytest.fixture
def column() -> PageColumn:
    return PageColumn(np.uint32)


def test_pages_nobody_wrote_are_zero_and_have_no_storage(column: PageColumn):
    assert (column.at(1 << 50), column.get(EDGE - 2, EDGE + 1).tolist(), list(column.pages())) == (0, [0] * 4, [])


def test_values_stand_over_the_borders_of_blocks(column: PageColumn):
    column.set(EDGE - 2, np.array([1, 2, 3, 4]))
    column.put(EDGE, 9)
    assert column.get(EDGE - 3, EDGE + 2).tolist() == [0, 1, 2, 9, 4, 0]
    assert [(page, len(values)) for page, values in column.pages()] == [
        (EDGE - BLOCK_PAGES, BLOCK_PAGES),
        (EDGE, BLOCK_PAGES),
    ]


def test_zeros_make_no_storage_but_overwrite(column: PageColumn):
    column.set(EDGE - 1, np.array([7, 0]))
    assert len(list(column.pages())) == 1
    column.set(EDGE - 2, np.zeros(4, np.uint32))
    assert column.at(EDGE - 1) == 0


def test_a_span_is_seen_block_by_block(column: PageColumn):
    column.put(EDGE, 3)
    seen = [(page, len(view)) for page, view in column.blocks(EDGE - 3, EDGE + BLOCK_PAGES)]
    assert seen == [(EDGE - 3, 3), (EDGE, BLOCK_PAGES), (EDGE + BLOCK_PAGES, 1)]
    assert [(page, len(view)) for page, view in column.stored(EDGE - 3, EDGE + BLOCK_PAGES)] == [(EDGE, BLOCK_PAGES)]
    assert list(column.blocks(5, 4)) == list(column.stored(5, 4)) == []


def test_what_has_no_storage_cannot_be_written_unless_asked_for(column: PageColumn):
    with pytest.raises(ValueError, match="read-only"):
        column.view(5, 6)[:] = 1
    for _, view in column.blocks(5, 6, write=True):
        view[:] = 1
    assert column.get(4, 7).tolist() == [0, 1, 1, 0]


def test_clearing_gives_the_storage_of_whole_blocks_back(column: PageColumn):
    column.set(EDGE - 1, np.ones(BLOCK_PAGES + 2, np.uint32))
    column.clear(EDGE - 1, EDGE + BLOCK_PAGES - 1)
    assert [page for page, _ in column.pages()] == [EDGE - BLOCK_PAGES, EDGE + BLOCK_PAGES]
    assert column.get(EDGE - 1, EDGE + BLOCK_PAGES).tolist() == [0] * (BLOCK_PAGES + 1) + [1]


@pytest.mark.parametrize("run", [0, 1, 63, 64, 65, 5000, BLOCK_PAGES - 7])
def test_the_leading_run_is_found_whatever_its_length(column: PageColumn, run: int):
    column.set(EDGE + 7, np.full(run, 4, np.uint32))
    assert column.leading(EDGE + 7, EDGE + 2 * BLOCK_PAGES, lambda values: values == 4) == run


def test_the_leading_run_ends_with_the_span_and_with_the_block(column: PageColumn):
    assert column.leading(EDGE, EDGE + 9, lambda values: values == 0) == 10
    assert column.leading(EDGE + 1, EDGE + 2 * BLOCK_PAGES, lambda values: values == 0) == BLOCK_PAGES - 1


def test_a_short_run_is_found_without_looking_at_the_block(column: PageColumn):
    looked: list[int] = []

    def test(values: np.ndarray) -> np.ndarray:
        looked.append(len(values))
        return values != 0

    column.leading(EDGE, EDGE + BLOCK_PAGES - 1, test)
    assert sum(looked) <= 64


@pytest.mark.parametrize("length", [1, 2, 300, BLOCK_PAGES])
def test_values_that_count_up_are_told_and_replaced_as_one(column: PageColumn, length: int):
    last = EDGE + length - 1
    column.set_run(EDGE, last, 40, 4)
    told = column.run(EDGE, last, 4)
    replaced = (
        column.replace_run(EDGE, last, 4, old=44, new=80),
        column.replace_run(EDGE, last, 4, old=40, new=80),
        column.replace_run(EDGE, last, 4, old=40, new=120),
    )
    assert (told, replaced) == (40, (False, True, False))
    assert np.array_equal(column.get(EDGE - 1, last + 1), [0, *range(80, 80 + 4 * length, 4), 0])


@pytest.mark.parametrize("odd", [0, 1, 150, 299])
def test_values_of_which_one_is_odd_do_not_count_up(column: PageColumn, odd: int):
    column.set_run(EDGE, EDGE + 299, 40, 4)
    column.put(EDGE + odd, 41)
    before = column.get(EDGE, EDGE + 299)
    assert column.run(EDGE, EDGE + 299, 4) is None
    assert not column.replace_run(EDGE, EDGE + 299, 4, old=40, new=80)
    assert np.array_equal(column.get(EDGE, EDGE + 299), before)


def test_a_copy_is_a_copy(column: PageColumn):
    column.put(EDGE, 1)
    column.get(EDGE, EDGE)[0] = 9
    assert (column.at(EDGE), column.get(3, 2).tolist()) == (1, [])
