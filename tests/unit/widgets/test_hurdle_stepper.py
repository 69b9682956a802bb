"""HurdleStepper: what is in the way chosen, the prefetch stepped through."""

import pytest

from svmlab.widgets import HurdleStepper


@pytest.fixture(scope="module")
def stepper():
    return HurdleStepper()


def rows(stepper) -> dict[str, tuple[str, ...]]:
    (table,) = stepper.summary().tables
    return {row.cells[0].text: tuple(cell.text for cell in row.cells[1:]) for row in table.rows}


def test_it_starts_where_the_copies_begin(stepper):
    stepper.reset.click()
    assert "step 3 of 6, copy with SDMA" in stepper.view.value


def test_each_hurdle_has_its_attempts_copies_windows_moved_pages_and_outcome(stepper):
    assert rows(stepper) == {
        "none": ("1", "1", "2", "1024", "success"),
        "VRAM in pieces": ("1", "3", "3", "1024", "success"),
        "a lock for a moment": ("2", "1", "2", "1024", "success"),
        "a pinned page": ("4", "0", "0", "0", "ENOMEM"),
        "a copy that fails": ("1", "0", "0", "0", "EIO"),
        "pages of a file": ("1", "1", "2", "0", "success"),
    }


def test_a_failed_prefetch_leaves_every_page_in_ram_and_gpu0_maps_it_there(stepper):
    stepper.hurdle.value = "pin"
    stepper.moment.value = stepper.moment.max
    assert "gpu0 table: 1024 pages in RAM" in stepper.view.value
