"""Locks: fair, without an event while they are free, and checked against the kernel's order."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any

import pytest

from svmlab.errors import LockOrderError
from svmlab.hardware.world import World
from svmlab.mm.locks import LockClass, Mutex, RwLock

Order = list[tuple[str, int]]


@pytest.fixture
def world() -> World:
    return World()


def task(world: World, name: str, take: Callable[[], Any], seen: Order, *, after: int = 0, hold: int = 10) -> None:
    """A task that takes a lock after a while, notes the time, holds it and lets it go."""

    def work() -> Generator[Any, Any, None]:
        yield from world.sleep(after)
        with (yield from take()):
            seen.append((name, world.now))
            yield from world.sleep(hold)

    world.spawn(name, work(), pid=1)


def names(seen: Order) -> list[str]:
    return [name for name, _ in seen]


def without_waiting(take: Any) -> Any:
    """What taking a lock returns, if it asks for no event at all."""
    with pytest.raises(StopIteration) as stop:
        next(take)
    return stop.value.value


@pytest.mark.parametrize("how", ["held", "read", "write"])
def test_a_free_lock_costs_no_event(world: World, how: str):
    lock = Mutex(world, LockClass.SVMS, "it") if how == "held" else RwLock(world, LockClass.MMAP, "it")
    held = without_waiting(getattr(lock, how)())
    assert (lock.locked, len(world.log), world.env._queue) == (True, 0, [])
    held.release()
    assert (lock.locked, world.env._queue) == (False, [])


def test_a_mutex_is_held_by_one_and_given_to_whoever_waits_longest(world: World):
    mutex, seen = Mutex(world, LockClass.SVMS, "it"), []
    for number, name in enumerate("abc"):
        task(world, name, mutex.held, seen, after=number)
    world.env.run()
    assert seen == [("a", 0), ("b", 10), ("c", 20)]


def test_a_lock_that_is_given_up_and_wanted_again_goes_to_who_waits(world: World):
    mutex, seen = Mutex(world, LockClass.SVMS, "it"), []

    def greedy() -> Generator[Any, Any, None]:
        for _ in range(3):
            with (yield from mutex.held()):
                seen.append(("greedy", world.now))
                yield from world.sleep(10)

    world.spawn("greedy", greedy(), pid=1)
    task(world, "b", mutex.held, seen, after=1)
    task(world, "c", mutex.held, seen, after=2)
    world.env.run()
    assert names(seen) == ["greedy", "b", "c", "greedy", "greedy"]


def test_readers_share_and_a_writer_does_not(world: World):
    lock, seen = RwLock(world, LockClass.MMAP, "it"), []
    task(world, "r1", lock.read, seen)
    task(world, "r2", lock.read, seen, after=5)
    task(world, "w", lock.write, seen, after=6)
    world.env.run()
    assert seen == [("r1", 0), ("r2", 5), ("w", 15)]


def test_a_waiting_writer_holds_back_later_readers(world: World):
    lock, seen = RwLock(world, LockClass.MMAP, "it"), []
    task(world, "r1", lock.read, seen)
    task(world, "w", lock.write, seen, after=1)
    task(world, "r2", lock.read, seen, after=2)
    task(world, "r3", lock.read, seen, after=3)
    world.env.run()
    assert seen == [("r1", 0), ("w", 10), ("r2", 20), ("r3", 20)]


def test_a_downgrade_lets_readers_in_but_no_writer(world: World):
    lock, seen = RwLock(world, LockClass.MMAP, "it"), []

    def owner() -> Generator[Any, Any, None]:
        with (yield from lock.write()) as held:
            yield from world.sleep(10)
            held.downgrade()
            seen.append(("down", world.now))
            yield from world.sleep(10)

    world.spawn("owner", owner(), pid=1)
    task(world, "r", lock.read, seen, after=1)
    task(world, "w", lock.write, seen, after=2)
    world.env.run()
    assert seen == [("down", 10), ("r", 10), ("w", 20)]


def test_a_downgraded_lock_still_keeps_writers_out(world: World):
    lock = RwLock(world, LockClass.MMAP, "it")
    held = without_waiting(lock.write())
    held.downgrade()
    assert (lock.locked, lock.writing) == (True, False)


def test_trying_never_waits_and_never_overtakes(world: World):
    mutex, lock, seen = Mutex(world, LockClass.SVMS, "m"), RwLock(world, LockClass.MMAP, "rw"), []

    def trier() -> Generator[Any, Any, None]:
        yield from world.sleep(5)
        seen.append(("mutex taken", mutex.try_held()))
        seen.append(("read beside a reader", lock.try_read() is not None))

    def late_trier() -> Generator[Any, Any, None]:
        yield from world.sleep(8)
        seen.append(("read behind a waiting writer", lock.try_read()))
        yield from world.sleep(100)
        with mutex.try_held() as held:
            seen.append(("mutex free", held is not None))

    task(world, "holder", mutex.held, [], hold=20)
    task(world, "reader", lock.read, [], hold=20)
    world.spawn("trier", trier(), pid=1)
    task(world, "writer", lock.write, [], after=6)
    world.spawn("late trier", late_trier(), pid=1)
    world.env.run()
    assert seen == [
        ("mutex taken", None),
        ("read beside a reader", True),
        ("read behind a waiting writer", None),
        ("mutex free", True),
    ]


def test_a_task_cannot_try_a_lock_it_holds(world: World):
    lock = RwLock(world, LockClass.MMAP, "rw")
    held = without_waiting(lock.read())
    assert lock.try_read() is None
    held.release()
    assert not lock.locked


def test_a_lock_is_given_up_when_its_block_fails(world: World):
    mutex = Mutex(world, LockClass.SVMS, "it")
    with pytest.raises(ValueError, match="x"), without_waiting(mutex.held()):
        raise ValueError("x")
    assert not mutex.locked


def test_waiting_stands_in_the_log_with_its_time(world: World):
    mutex = Mutex(world, LockClass.SVMS, "svms lock")
    task(world, "a", mutex.held, [])
    task(world, "b", mutex.held, [], after=4)
    world.env.run()
    assert [(event.name, event.task.name, event.text, event.fields, event.time_ns) for event in world.log] == [
        ("lock_wait", "b", "svms lock", {}, 4),
        ("lock_acquired", "b", "svms lock", {"waited_ns": 6}, 10),
    ]
    assert world.log[1].cause == 0


# the kernel's order


def take_both(world: World, outer: Any, inner: Any) -> None:
    def backwards() -> Generator[Any, Any, None]:
        with (yield from outer()):
            yield from world.sleep(1)
            with (yield from inner()):
                pass

    world.env.run(until=world.spawn("app", backwards(), pid=1))


def locks(world: World) -> dict[LockClass, Any]:
    return {
        kind: (RwLock(world, kind, "mmap_lock").write if kind is LockClass.MMAP else Mutex(world, kind, kind.name).held)
        for kind in LockClass
    }


@pytest.mark.parametrize("outer", LockClass, ids=lambda kind: kind.name)
@pytest.mark.parametrize("inner", LockClass, ids=lambda kind: kind.name)
def test_locks_are_taken_in_the_kernels_order_or_not_at_all(world: World, outer: LockClass, inner: LockClass):
    first, second = locks(world)[outer], locks(world)[inner]
    if outer < inner:
        take_both(world, first, second)
    else:
        with pytest.raises(LockOrderError):
            take_both(world, first, second)


def test_a_violation_names_both_locks_the_task_and_where_each_was_taken(world: World):
    svms, mmap = Mutex(world, LockClass.SVMS, "svms lock of main"), RwLock(world, LockClass.MMAP, "mmap_lock of main")
    with pytest.raises(LockOrderError) as error:
        take_both(world, svms.held, mmap.read)
    here = "test_locks.take_both.<locals>.backwards"
    assert error.value.given == (
        f"app takes mmap_lock of main in {here} while it holds svms lock of main, taken in {here}"
    )
    assert error.value.allowed == "MMAP before SVMS"


def test_a_violation_is_reported_even_if_nobody_is_in_the_way(world: World):
    inner, outer = Mutex(world, LockClass.RANGE, "range lock"), Mutex(world, LockClass.SVMS, "svms lock")
    with pytest.raises(LockOrderError, match="app takes svms lock in .* while it holds range lock"):
        take_both(world, inner.held, outer.held)


def test_two_locks_of_one_class_cannot_be_held_together(world: World):
    one, two = (Mutex(world, LockClass.MIGRATE_MUTEX, f"migrate_mutex {n}") for n in (1, 2))
    with pytest.raises(LockOrderError, match="allowed: one MIGRATE_MUTEX at a time"):
        take_both(world, one.held, two.held)


def test_trying_is_allowed_in_any_order_but_counts_for_what_is_taken_later(world: World):
    inner, outer, third = (Mutex(world, kind, kind.name) for kind in (LockClass.RANGE, LockClass.MMAP, LockClass.SVMS))
    with without_waiting(inner.held()), outer.try_held():
        with pytest.raises(LockOrderError):
            next(third.held())


def test_an_order_is_a_matter_of_one_task(world: World):
    inner, outer = Mutex(world, LockClass.RANGE, "range lock"), Mutex(world, LockClass.MMAP, "mmap_lock")
    seen: Order = []
    task(world, "a", inner.held, seen)
    task(world, "b", outer.held, seen, after=1)
    world.env.run()
    assert names(seen) == ["a", "b"]
