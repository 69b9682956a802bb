"""Sleeping: a task that would be the next to wake lets the time pass itself, and nobody can tell the difference."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from svmlab.hardware.world import Sleep, World
from svmlab.svm.progress import run_until

Program = list[tuple[str, int]]
Seen = list[tuple[str, int, str]]

SLEEP = st.tuples(st.just("sleep"), st.sampled_from([0, 1, 2, 3, 20]))
STEPS = st.one_of(
    SLEEP,
    SLEEP,
    st.tuples(st.just("wait"), st.just(0)),
    st.tuples(st.just("wake"), st.just(0)),
    st.tuples(st.just("spawn"), st.integers(1, 3)),
)
WAKES_OTHERS: Program = [("sleep", 3), ("wake", 0), ("sleep", 9)]


def story(world: World, programs: list[Program]) -> Seen:
    """Tasks that sleep, wait for each other, wake each other and start others; what they note as they go."""
    seen: Seen = []
    bells = [world.event()]

    def task(name: str, program: Program) -> Generator[Any, Any, None]:
        for number, (verb, value) in enumerate(program):
            seen.append((name, world.now, f"{number} {verb}"))
            if verb == "sleep":
                yield from world.sleep(value)
            elif verb == "wait":
                yield bells[value]
            elif verb == "wake":
                bell, bells[value] = bells[value], world.event()
                bell.succeed()
            else:
                world.spawn(f"{name}.{number}", task(f"{name}.{number}", [("sleep", value)] * 2), pid=1)
        seen.append((name, world.now, "end"))

    for number, program in enumerate(programs):
        world.spawn(str(number), task(str(number), program), pid=1)
    return seen


def one_by_one(world: World) -> None:
    """The engine wakes every task; nobody lets time pass by itself."""
    world.env.run()


def in_stretches(world: World) -> None:
    for ns in (1, 2, 5, 100):
        world.run_for(ns)


WAYS: dict[str, Callable[[World], None]] = {
    "until idle": lambda world: run_until(world, lambda: False),
    "in stretches": in_stretches,
}


@pytest.mark.parametrize("way", WAYS)
@settings(max_examples=300, deadline=None)
@given(programs=st.lists(st.lists(STEPS, max_size=6), min_size=1, max_size=5))
def test_what_happens_and_when_is_what_the_engine_alone_would_do(way: str, programs: list[Program]):
    worlds = World(), World()
    expected, found = (story(world, [*programs, WAKES_OTHERS]) for world in worlds)
    one_by_one(worlds[0])
    WAYS[way](worlds[1])
    assert found == expected


def sleeps_made(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    made: list[int] = []
    plain = Sleep.__init__

    def counted(self: Sleep, env: Any, delay: int) -> None:
        made.append(delay)
        plain(self, env, delay)

    monkeypatch.setattr(Sleep, "__init__", counted)
    return made


def test_who_is_alone_is_put_to_sleep_once_and_then_lets_the_time_pass(monkeypatch: pytest.MonkeyPatch):
    world, made = World(), sleeps_made(monkeypatch)
    seen = story(world, [[("sleep", 5), ("sleep", 7), ("sleep", 9)]])
    run_until(world, lambda: False)
    assert (made, seen[-1]) == ([5], ("0", 21, "end"))


def test_who_would_pass_somebody_elses_time_is_put_to_sleep(monkeypatch: pytest.MonkeyPatch):
    world, made = World(), sleeps_made(monkeypatch)
    story(world, [[("sleep", 1), ("sleep", 3), ("sleep", 3)], [("sleep", 6)]])
    run_until(world, lambda: False)
    assert made == [1, 6, 3], "the first sleep of both, and the one that ends after the other's"


def test_two_who_wait_for_one_event_go_on_at_the_same_time():
    world = World()
    seen = story(world, [[("wait", 0), ("sleep", 4)], [("wait", 0), ("sleep", 2)], WAKES_OTHERS])
    run_until(world, lambda: False)
    assert [(name, now) for name, now, what in seen if what == "end"] == [("1", 5), ("0", 7), ("2", 12)]


def test_nobody_sleeps_past_the_end_of_a_stretch():
    world = World()
    seen = story(world, [[("sleep", 3), ("sleep", 3), ("sleep", 3)]])
    world.run_for(7)
    assert (world.now, seen[-1]) == (7, ("0", 6, "2 sleep"))


def test_a_call_that_only_begins_stops_at_its_first_sleep():
    world = World()
    seen: list[int] = []

    def work() -> Generator[Any, Any, None]:
        for _ in range(3):
            yield from world.sleep(2)
            seen.append(world.now)

    world.begin(world.spawn("app", work(), pid=1))
    assert (world.now, seen) == (0, [])
