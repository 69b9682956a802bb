"""RestoreRace: the moment chosen, the log's verdict read."""

import pytest

from svmlab.widgets import RestoreRace


@pytest.fixture(scope="module")
def race():
    return RestoreRace()


@pytest.mark.parametrize(
    ("us", "met", "rounds", "because"),
    [
        (500, "evicted", "1 round of", "the worker had not started, so one round restores both"),
        (1110, "restoring", "2 rounds of", "a count changed while the worker was at work"),
        (1400, "running", "2 rounds of", "this one counts as a first"),
    ],
)
def test_what_the_second_page_meets_decides(race, read, us, met, rounds, because):
    race.reset.click()
    race.second.value = us
    reader = read(race)
    assert f"queues were {met}; {rounds}" in reader.headline
    assert because in reader.said


@pytest.mark.parametrize("us", [0, 300, 1100, 1110, 1130, 1150, 1200, 1600])
@pytest.mark.parametrize("where", ["the same buffer", "another buffer"])
def test_the_reason_agrees_with_the_log(race, us, where):
    run = race._run(us, where)
    given_up = [event for event in run.process.log.events("restore_end", since=run.since) if not event.fields["done"]]
    assert (run.restarts, "gives up" in run.because) == (len(given_up), bool(given_up))
    assert run.rounds == run.restarts + run.stops
    assert run.process.look.queues() == "running"


def test_the_counters_are_those_of_the_log(race, read):
    race.reset.click()
    assert "buffer a is invalid (1), evictions 1" in read(race).said
    assert "buffer a is invalid (2), evictions 2" in read(race).said
    race.where.value = "another buffer"
    assert "buffer b is invalid (1), evictions 2" in read(race).said


def test_the_slider_waits_until_it_is_let_go(race):
    assert race.second.continuous_update is False
    assert (race.second.min, race.second.max, race.second.step) == (0, 2000, 10)
