"""The driver's locks: in the kernel's order, by name; who waits for one is seen on the timeline."""

import re
from pathlib import Path

import pytest

import svmlab
from svmlab.errors import LockOrderError
from svmlab.mm.locks import LockClass
from svmlab.resources import data_path
from svmlab.scenario.runner import load_scenario, run
from svmlab.svm.set_attr import set_attr
from svmlab.views.timeline import timeline

BASE = 0x100
RACES = data_path("scenarios") / "races"


def test_the_classes_stand_in_the_kernels_order():
    assert [kind.name for kind in sorted(LockClass)] == [
        "PROCESS_INFO",
        "MMAP",
        "SVMS",
        "MIGRATE_MUTEX",
        "MIGRATE_MUTEX_CHILD",
        "RESERVATION",
        "GTT_WINDOW",
        "RANGE",
        "RANGE_CHILD",
    ]


def test_the_locks_that_tasks_take_are_five():
    """The others have a place in the order, and no task that takes them (V20)."""
    package = Path(svmlab.__file__).parent
    sources = [path for path in package.rglob("*.py") if path.name != "locks.py"]
    named = re.compile(r"\bLockClass\.(\w+)")
    found = {kind for path in sources for kind in named.findall(path.read_text(encoding="utf-8"))}
    assert found == {"PROCESS_INFO", "MMAP", "SVMS", "MIGRATE_MUTEX", "RANGE"}


def test_every_lock_of_a_process_and_a_range_has_a_name_of_its_own(story):
    made = story()
    range_ = made.map("a", 4, at=BASE)
    driver, world = made.driver, made.driver.world
    locks = [driver.process_info_lock, driver.mm.mmap_lock, driver.svms.lock]
    locks += [range_.migrate_mutex(world), range_.lock(world)]
    assert [(lock.name, lock.kind.name) for lock in locks] == [
        ("process_info lock of main", "PROCESS_INFO"),
        ("mmap_lock of main", "MMAP"),
        ("svms lock of main", "SVMS"),
        ("migrate_mutex of range 0x100", "MIGRATE_MUTEX"),
        ("lock of range 0x100", "RANGE"),
    ]


def test_a_mechanism_that_is_called_with_an_inner_lock_held_is_reported_as_lockdep_would(story):
    """Nobody is in the way; the report tells who took what where, and the order."""
    made = story()
    range_ = made.map("a", 4, at=BASE)

    def backwards():
        with (yield from range_.migrate_mutex(made.driver.world).held()):
            yield from set_attr(made.driver, made.span("a"), [])

    with pytest.raises(LockOrderError) as error:
        made.do(backwards())
    here = f"test_lock_order.{backwards.__qualname__}"
    assert error.value.given == (
        "test takes process_info lock of main in svm.set_attr.set_attr while it holds migrate_mutex of range 0x100, "
        f"taken in {here}"
    )
    assert error.value.allowed == "PROCESS_INFO before MIGRATE_MUTEX"


def test_after_a_report_the_lock_that_was_held_is_free(story):
    made = story()
    range_ = made.map("a", 4, at=BASE)

    def backwards():
        with (yield from range_.migrate_mutex(made.driver.world).held()):
            yield from set_attr(made.driver, made.span("a"), [])

    with pytest.raises(LockOrderError):
        made.do(backwards())
    assert not range_.migrate_mutex(made.driver.world).locked
    made.process.set_attr(made.span("a"), granularity=3)


@pytest.mark.parametrize("xnack", [False, True])
def test_no_lock_is_left_behind_by_calls_that_fail(story, xnack):
    made = story(xnack=xnack)
    range_ = made.map("a", 8, at=BASE)
    for fault in ("vram_alloc", "dma_map", "copy", "fence", "setup"):
        made.process.inject(fault)
        made.error(made.process.set_attr, made.span("a", 0, 8), prefetch="gpu0")
        made.process.run()
    driver, world = made.driver, made.driver.world
    locks = [driver.process_info_lock, driver.mm.mmap_lock, driver.svms.lock]
    locks += [range_.migrate_mutex(world), range_.lock(world)]
    assert [lock.name for lock in locks if lock.locked] == []
    assert [task.name for task in made.process.log.tasks if task.held] == []


# on the timeline


def chart_of(file, call, number):
    """The timeline from a call (the ``number``-th of its name) to the end of the restore."""
    process = run(load_scenario(RACES / f"{file}.toml")).process
    log = process.log
    begun = [event.id for event in log.events("call_start") if event.text.startswith(call)][number]
    ended = log.events("restore_end", since=begun)[0].id + 1
    (chart,) = timeline(process, since=begun, until=ended).panels
    return chart


def test_whoever_waits_for_a_lock_is_seen_in_the_lane_of_its_own():
    chart = chart_of("faulting-while-restoring", "cpu_read", 0)
    waits = {bar.lane: (bar.label.partition(" for ")[2], bar.get("lock")) for bar in chart.styled("lock")}
    assert waits == dict.fromkeys(("application", "driver", "restore worker"), ("mmap_lock of main",) * 2)


def test_waits_for_one_lock_end_when_it_is_given_up():
    """The handler of the fault has it; the restore worker waited first, then the reader, then the deferred worker."""
    chart = chart_of("faulting-while-restoring", "cpu_read", 0)
    waits = {bar.lane: bar for bar in chart.styled("lock")}
    reader, restore = waits["application"], waits["restore worker"]
    (move,) = chart.styled("move")
    assert restore.start < reader.start < move.end <= reader.end == restore.end


def test_a_wait_is_drawn_as_long_as_it_lasts():
    chart = chart_of("migrating-while-restoring", "set_attr", -1)
    (bar,) = chart.styled("lock")
    assert (bar.lane, bar.get("lock")) == ("restore worker", "process_info lock of main")
    (restore,) = chart.styled("restore")
    (call,) = chart.styled("call")
    assert (bar.start, bar.end) == (restore.start, call.end), "from the timer to the end of the call"
