"""Small worlds of a few tasks, and every order in which they can go on."""

from collections.abc import Callable
from typing import Any

import pytest

from svmlab.hardware.exploring import ExplorableEnvironment, Explorer
from svmlab.hardware.world import World
from svmlab.scenario.search import Picks, next_prefix

Setup = Callable[[World], tuple[list[Any], Callable[[], Any]]]


def go(setup: Setup, picks: Any) -> tuple[Any, Explorer]:
    """Run the tasks that a setup makes, in the order that is picked."""
    world = World(env=ExplorableEnvironment(initial_time=0))
    explorer = Explorer(world, picks)
    works, result = setup(world)
    explorer.begin()
    for name, work in works:
        world.begin(world.spawn(name, work, pid=1))
    while not explorer.idle:
        world.env.step()
    explorer.end()
    return result(), explorer


@pytest.fixture
def every():
    def run(setup: Setup, bound: int) -> list[tuple[Any, tuple[int, ...], Explorer]]:
        prefix, found = (), []
        while prefix is not None:
            picks = Picks(prefix)
            result, explorer = go(setup, picks)
            found.append((result, tuple(choice.picked for choice in picks.choices), explorer))
            prefix = next_prefix(picks.choices, bound)
        return found

    return run
