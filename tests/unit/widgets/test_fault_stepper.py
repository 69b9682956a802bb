"""FaultStepper: a preferred location chosen, the fault stepped through."""

import pytest

from svmlab.widgets import FaultStepper


@pytest.fixture(scope="module")
def stepper():
    return FaultStepper()


@pytest.fixture
def start(stepper, read):
    stepper.reset.click()
    return read(stepper)


def test_it_starts_where_gpu0_faults(start):
    assert "gpu0 faults on a write of [0]" in start.said
    assert "best location of [0, 1023]: gpu0, because the preferred location is gpu0 itself" in start.said


def test_a_touch_of_what_is_not_mapped_is_a_fault_and_not_fatal(start):
    assert "gpu0: its page table has no entry, a touch is a fault that the driver serves" in start.said


def test_the_fault_moves_its_block_and_maps_it(stepper, start):
    stepper.moment.value = stepper._run("gpu0").recording.ends["gpu0 touches"]
    assert "gpu0: loads and stores in the VRAM of gpu0; where its page table has no entry" in start.said
    assert "gpu0 table: 512 pages on gpu0 and 512 absent" in start.pictures[0]


@pytest.mark.parametrize(
    ("preferred", "because"),
    [
        ("gpu1", "in the VRAM of gpu1, because the preferred location, gpu1, is in the hive of gpu0"),
        ("gpu4", "in the VRAM of gpu0, because gpu0 has ACCESS: pages come to it"),
        ("cpu", "in RAM, because the preferred location is RAM"),
        ("", "in the VRAM of gpu0, because gpu0 has ACCESS: pages come to it"),
    ],
)
def test_a_preferred_location_leads_to_its_place_and_reason(stepper, start, preferred, because):
    stepper.preferred.value = preferred
    assert f"Where the pages shall be: {because}" in start.said


def test_stepping_back_shows_what_was_shown_before(stepper, start):
    seen = [(setattr(stepper.moment, "value", at), stepper.view.value)[1] for at in range(stepper.moment.max + 1)]
    again = [(setattr(stepper.moment, "value", at), stepper.view.value)[1] for at in reversed(range(len(seen)))]
    assert seen == again[::-1]
    assert len(set(seen)) == len(seen)


def test_the_twin_says_that_only_ram_keeps_the_pages(stepper):
    assert stepper.summary().title == "A fault of gpu0 moves a block, unless RAM is preferred"
