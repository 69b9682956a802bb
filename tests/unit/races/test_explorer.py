"""The explorer on tasks of a few lines, where every order can be counted by hand."""

from math import comb

import pytest

from svmlab.errors import LockOrderError
from svmlab.hardware import exploring
from svmlab.mm.locks import LockClass, Mutex, RwLock
from svmlab.scenario.orders import stops_of

HERE, THERE, RETRY = "before reclaim", "after a walk", "before a GPU tries again"


def adders(world):
    """Two tasks that add 1 to a number, with a point between reading and writing."""
    number = [0]

    def add():
        seen = number[0]
        yield from world.point(HERE)
        number[0] = seen + 1

    def work():
        yield from world.point(THERE)
        yield from add()

    return [("one", work()), ("two", work())], lambda: number[0]


def test_without_a_preemption_no_update_is_lost(every):
    assert [result for result, _, _ in every(adders, 0)] == [2, 2]  # either goes first


def test_one_preemption_is_enough_to_lose_an_update(every):
    assert {result for result, _, _ in every(adders, 1)} == {1, 2}


def test_the_order_of_a_lost_update_can_be_read(every):
    lost = next(explorer for result, _, explorer in every(adders, 1) if result == 1)
    assert [stop.text for stop in stops_of(lost)] == [
        "one until before reclaim",
        "two until its end",
        "one until its end",
    ]


def walkers(points):
    def setup(world):
        trail = []

        def work(name):
            for _ in range(points):
                yield from world.point(THERE)
                trail.append(name)

        return [("one", work("1")), ("two", work("2"))], lambda: "".join(trail)

    return setup


@pytest.mark.parametrize("points", [1, 2, 3, 4])
def test_enough_preemptions_give_every_order_there_is_and_each_once(every, points):
    found = [result for result, _, _ in every(walkers(points), 2 * points)]
    assert len(found) == len(set(found)) == comb(2 * points, points)


def test_no_order_has_more_preemptions_than_the_bound_and_none_with_fewer_is_left_out(every):
    def preemptions(trail):
        switches = [at for at in range(1, 8) if trail[at] != trail[at - 1]]
        return sum(trail[at - 1] in trail[at:] for at in switches)

    everything = {result for result, _, _ in every(walkers(4), 8)}
    for bound in range(4):
        found = {result for result, _, _ in every(walkers(4), bound)}
        assert found == {trail for trail in everything if preemptions(trail) <= bound}


def test_a_task_before_a_lock_that_is_taken_cannot_be_picked(every):
    def setup(world):
        lock, inside = Mutex(world, LockClass.SVMS, "the lock"), []

        def work(name):
            with (yield from lock.held()):
                inside.append(f"{name} in")
                yield from world.point(HERE)
                inside.append(f"{name} out")

        return [("one", work("one")), ("two", work("two"))], lambda: tuple(inside)

    one_first = ("one in", "one out", "two in", "two out")
    assert {result for result, _, _ in every(setup, 3)} == {one_first, one_first[2:] + one_first[:2]}


def test_a_reader_passes_a_writer_that_waits(every):
    def setup(world):
        lock, trail = RwLock(world, LockClass.MMAP, "mmap_lock"), []

        def read(name):
            with (yield from lock.read()):
                trail.append(name)
                yield from world.point(HERE)

        def write():
            with (yield from lock.write()):
                trail.append("writer")
            yield from ()

        works = [("reader", read("reader")), ("writer", write()), ("other", read("other"))]
        return works, lambda: tuple(trail)

    assert ("reader", "other", "writer") in {result for result, _, _ in every(setup, 1)}


def test_locks_taken_in_the_wrong_order_are_reported_although_nobody_is_in_the_way(every):
    def setup(world):
        svms, mmap = Mutex(world, LockClass.SVMS, "svms lock"), RwLock(world, LockClass.MMAP, "mmap_lock")

        def work():
            with (yield from svms.held()), (yield from mmap.read()):
                pass

        return [("task", work())], lambda: None

    with pytest.raises(LockOrderError, match="takes mmap_lock"):
        every(setup, 0)


def test_tasks_that_wait_for_each_other_are_found(every):
    def setup(world):
        first, second = Mutex(world, LockClass.SVMS, "first"), Mutex(world, LockClass.SVMS, "second")

        def work(one, other):
            held = yield from one.held()
            world.log.task.held.clear()  # lockdep would not let them go this far
            with (yield from other.held()):
                pass
            world.log.task.held.append(one)
            held.release()

        return [("one", work(first, second)), ("two", work(second, first))], lambda: None

    stuck = [explorer.stuck() for _, _, explorer in every(setup, 1)]
    assert [[(task.name, at) for task, at in found] for found in stuck if found] == [
        [("one", "before second"), ("two", "before first")],
        [("one", "before second"), ("two", "before first")],
    ]


def test_who_gets_nowhere_alone_lets_others_go_on(every):
    def setup(world):
        done = []

        def wait():
            while not done:
                yield from world.point(RETRY)

        def finish():
            yield from world.point(HERE)
            yield from world.point(HERE)
            done.append(1)

        return [("waits", wait()), ("finishes", finish())], lambda: len(done)

    assert {result for result, _, _ in every(setup, 2)} == {1}


def test_a_sleep_that_is_no_point_is_no_place_to_switch(every):
    def setup(world):
        trail = []

        def work(name):
            yield from world.point(THERE)
            trail.append(name)
            yield from world.sleep(1_000_000)
            trail.append(name)

        return [("one", work("1")), ("two", work("2"))], lambda: "".join(trail)

    found = every(setup, 3)
    assert {result for result, _, _ in found} == {"1122", "2211"}
    assert {explorer.world.now for _, _, explorer in found} == {2 * exploring.TURN_NS}


def test_a_task_that_is_woken_is_picked_like_any_other(every):
    def setup(world):
        happened, trail = world.event(), []

        def wait():
            yield from world.point(THERE)
            yield happened
            trail.append("woken")

        def wake():
            yield from world.point(HERE)
            happened.succeed()
            yield from world.point(THERE)
            trail.append("waker")

        return [("waits", wait()), ("wakes", wake())], lambda: tuple(trail)

    assert {result for result, _, _ in every(setup, 1)} == {("woken", "waker"), ("waker", "woken")}
