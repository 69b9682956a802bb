"""A page column against a dictionary of pages."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from svmlab.hardware.page_column import BLOCK_PAGES, PageColumn

NEAR = st.sampled_from([0, BLOCK_PAGES, 2 * BLOCK_PAGES, 7 * BLOCK_PAGES])
PAGE = st.builds(lambda base, offset: max(0, base + offset), NEAR, st.integers(-6, 6))
LENGTH = st.one_of(st.integers(1, 12), st.sampled_from([BLOCK_PAGES, BLOCK_PAGES + 3, 2 * BLOCK_PAGES + 1]))
STEP = st.one_of(
    st.tuples(st.just("set"), PAGE, LENGTH, st.integers(0, 3)),
    st.tuples(st.just("write"), PAGE, LENGTH, st.integers(0, 3)),
    st.tuples(st.just("put"), PAGE, st.just(1), st.integers(0, 3)),
    st.tuples(st.just("clear"), PAGE, LENGTH, st.just(0)),
)
END = 10 * BLOCK_PAGES


@settings(max_examples=60)
@given(st.lists(STEP, max_size=12), PAGE, LENGTH)
def test_a_column_holds_what_a_flat_array_would(steps: list[tuple[str, int, int, int]], start: int, length: int):
    column, flat = PageColumn(np.uint8), np.zeros(END, np.uint8)
    for verb, page, count, value in steps:
        last = page + count - 1
        if verb == "set":
            column.set(page, np.full(count, value, np.uint8))
        elif verb == "write":
            for _, view in column.blocks(page, last, write=True):
                view[:] = value
        elif verb == "put":
            column.put(page, value)
        else:
            column.clear(page, last)
        flat[page : last + 1] = value
    last = start + length - 1
    assert np.array_equal(column.get(start, last), flat[start : last + 1])
    assert [column.at(page) for page in (start, last)] == [flat[start], flat[last]]
    assert np.array_equal(np.concatenate([view for _, view in column.blocks(start, last)]), flat[start : last + 1])
    for page, view in column.stored():
        assert np.array_equal(view, flat[page : page + BLOCK_PAGES])
    stored = {page // BLOCK_PAGES for page, _ in column.stored()}
    assert stored >= set((np.flatnonzero(flat) // BLOCK_PAGES).tolist())
    other = np.flatnonzero(flat[start : last + 1] != flat[start])
    end_of_block = BLOCK_PAGES - start % BLOCK_PAGES
    run = min(int(other[0]) if len(other) else length, end_of_block)
    assert column.leading(start, last, lambda values: values == flat[start]) == run
