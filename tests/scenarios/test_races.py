"""The shipped races: what holds in every order of them, and what does not as posted."""

import pytest

from svmlab.resources import data_path
from svmlab.scenario.races import explore

RACES = data_path("scenarios") / "races"
EXPLORED = sorted(path.stem for path in RACES.glob("*.toml") if "while" not in path.stem)
KEPT = [name for name in EXPLORED if name != "two-ranges-reclaimed"]
BOUNDS = {"pressure-cpu-fault": 1}  # it has a thousand orders of two preemptions; the others are run up to those


def found(name: str, behaviour: str, preemptions: int):
    return explore(RACES / f"{name}.toml", behaviour=behaviour, preemptions=preemptions)


def test_at_least_eight_races_are_shipped():
    assert len(KEPT) >= 8


@pytest.mark.parametrize("name", EXPLORED)
def test_as_intended_nothing_is_wrong_in_any_order_not_even_for_a_moment(name):
    races = found(name, "as-intended", BOUNDS.get(name, 2))
    assert races.ok, str(races)


@pytest.mark.parametrize("name", KEPT)
def test_upstream_nothing_is_wrong_in_any_order_either(name):
    races = found(name, "upstream", BOUNDS.get(name, 2))
    assert races.ok, str(races)


@pytest.mark.parametrize("behaviour", ["as-posted", "upstream"])
def test_x50_a_second_invalidation_does_not_wait_for_the_queues_to_stop(behaviour):
    """A GPU can reach a page for a moment after reclaim has taken it; at the end all is well again."""
    races = found("two-ranges-reclaimed", behaviour, 1)
    wrong = [one for one in races.found if not one.outcome.good]
    assert [one.order[0].text for one in wrong] == [
        "main: swap_out until before the queues stop",
        "main: swap_out #2 until before the queues stop",
    ]
    assert [(one.outcome.wrong, one.preemptions, one.orders) for one in wrong] == [((), 1, 1)] * 2
    assert all("gpu0 maps 1 page to a frame that does not hold it" in one.outcome.meanwhile[0] for one in wrong)
