"""PressureSweep: capacity and buffers chosen, moves and evictions read."""

import pytest

from svmlab.views import describe
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


def test_to_and_fro_moves_less_and_less_as_vram_grows_and_each_twice_at_once_moves_it_once(sweep, start):
    moved = {
        order: [sweep._run(mib, 6, order).moved_in >> 20 for mib in range(2, 9)] for order, _ in sweep.order.options
    }
    assert moved == {
        "in order, twice": [12, 12, 12, 12, 12, 6, 6],
        "to and fro": [11, 10, 9, 8, 7, 6, 6],
        "each twice at once": [6, 6, 6, 6, 6, 6, 6],
    }


def test_a_reserved_page_makes_the_knee_larger_than_the_working_set(sweep, start):
    assert not sweep._run(7, 6, sweep.order.value).evicted
    assert sweep._run(6, 6, sweep.order.value).evicted
    assert "from 7 MiB of VRAM on 6 MiB, and nothing comes home" in describe(sweep.summary())


@pytest.mark.parametrize("order", ["in order, twice", "to and fro", "each twice at once"])
@pytest.mark.parametrize("vram_mib", [2, 5, 7])
def test_what_is_told_is_in_the_log_and_no_page_is_lost(sweep, vram_mib, order):
    run = sweep._run(vram_mib, 6, order)
    moved = [event.fields["npages"] << 12 for event in run.process.log.events("migrate_end")]
    assert run.moved_in + run.evicted == sum(moved)
    assert run.moved_in - run.evicted == run.process.look.vram_used(0)
    assert run.process.broken_invariants() == []


def test_the_chosen_capacity_is_marked_in_the_sweep(sweep, start):
    chart = sweep._sweep(6, "to and fro", 9)
    assert [(mark.lane, mark.label) for mark in chart.marks] == [("9 MiB of VRAM", "chosen")]


def test_the_twin_has_a_row_for_each_capacity(sweep, start):
    _, *rows = sweep.words(sweep.summary()).splitlines()
    assert [row.split("  ")[0] for row in rows] == [f"{mib} MiB of VRAM" for mib in range(2, 9)]
