"""PressureSweep: capacity and buffers chosen, moves and evictions read."""

import pytest

from svmlab.widgets import PressureSweep


@pytest.fixture(scope="module")
def sweep():
    return PressureSweep()


@pytest.fixture
def start(sweep, read):
    sweep.reset.click()
    return read(sweep)


def test_below_the_knee_each_pass_moves_everything(start):
    assert start.headline == "6 MiB of buffers, 5 MiB of VRAM: 12 MiB move to gpu0, 8 MiB come home again"
    assert "the oldest buffer makes room" in start.said


def test_where_all_fits_each_buffer_moves_once(sweep, start):
    sweep.vram.value = 7
    assert start.headline == "6 MiB of buffers, 7 MiB of VRAM: 6 MiB move to gpu0, nothing is evicted"
    assert "Evictions none" in start.said


def test_a_reserved_page_makes_the_knee_larger_than_the_working_set(sweep, start):
    assert [sweep._knee(count) for count in (3, 6)] == [4, 7]
    assert sweep.summary().title == "6 MiB in 2 passes: the knee is at 7 MiB"


@pytest.mark.parametrize("vram_mib", [2, 5, 6, 7])
def test_what_is_told_is_in_the_log_and_no_page_is_lost(sweep, vram_mib):
    run = sweep._run(vram_mib, 6)
    moved = [event.fields["npages"] << 12 for event in run.process.log.events("migrate_end")]
    assert run.moved_in + run.evicted == sum(moved)
    assert run.moved_in - run.evicted == run.process.look.vram_used(0)
    assert run.process.broken_invariants() == []


def test_the_chosen_capacity_is_lit_in_the_sweep(sweep, start):
    (panel,) = sweep._sweep(6, 9).tables
    assert [row.cells[0].text for row in panel.rows if row.style == "lit"] == ["9 MiB"]
