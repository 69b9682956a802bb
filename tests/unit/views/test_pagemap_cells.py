from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from svmlab.views.pagemap_cells import put_into_cells


@pytest.mark.parametrize("dtype", [np.int8, np.int16, np.int64])
@pytest.mark.parametrize("npages", [1, 255, 256, 257, 3_000_000])
def test_wide_and_narrow_cells_know_their_smallest_and_largest_location(npages, dtype):
    places = np.random.default_rng(npages).integers(-2, 4, npages).astype(dtype)
    cells = put_into_cells(places)
    assert len(cells) <= 256
    assert cells.pages(len(cells) - 1, len(cells) - 1)[1] == npages
    for cell in (0, len(cells) // 2, len(cells) - 1):
        start, end = cells.pages(cell, cell)
        assert (cells.lowest[cell], cells.highest[cell]) == (places[start:end].min(), places[start:end].max())
        assert dict(cells.counts(cell)) == Counter(places[start:end].tolist())


@given(st.lists(st.integers(-2, 100), min_size=1, max_size=60), st.integers(1, 20))
def test_counts_are_exact_and_ascending(places, most):
    cells = put_into_cells(np.array(places), most)
    for cell in range(len(cells)):
        start, end = cells.pages(cell, cell)
        assert cells.counts(cell) == sorted(Counter(places[start:end]).items())
        assert cells.mixed(cell) == (len(set(places[start:end])) > 1)
