"""PingPong: granularity and pages chosen, the bytes that move read."""

import pytest

from svmlab.widgets import PingPong


@pytest.fixture(scope="module")
def game():
    return PingPong()


@pytest.fixture
def start(game, read):
    game.reset.click()
    return read(game)


@pytest.mark.parametrize(
    ("granularity", "moved", "share"), [(9, "10 MiB", "512"), (4, "320 KiB", "16"), (0, "20 KiB", "1")]
)
def test_a_turn_moves_the_block_of_the_page_it_touches(game, start, granularity, moved, share):
    game.granularity.value = granularity
    assert f"5 turns touch 20 KiB in all and move {moved}: {share} for each byte touched, 5 faults" in start.headline


def test_small_blocks_take_a_fault_for_each_page(game, start):
    game.granularity.value, game.touched.value = 0, 4
    assert "1 for each byte touched, 20 faults" in start.headline


def test_pages_that_nothing_moves_stay_in_ram(game, start):
    game.by.value = "nothing"
    assert start.headline == "5 turns touch 20 KiB in all, and nothing moves"
    assert "Why: nobody asks for a move: gpu0 maps the pages in RAM" in start.said


def test_a_prefetch_takes_no_gpu_fault(game, start):
    game.by.value = "prefetch"
    assert "2 faults" in start.headline
    assert "the first prefetch moves all" in start.said


def test_the_bytes_moved_are_those_of_the_log(game):
    process, _, turns = game._play(4, 2, "GPU faults")
    ends = process.log.events("migrate_end")
    assert sum(turn.moved_pages for turn in turns) == sum(event.fields["npages"] for event in ends) > 0
    assert process.broken_invariants() == []
