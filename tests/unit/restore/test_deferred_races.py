"""Deferred work beside other work: munmap and mremap while a restore, a migration, a fault or a call goes on."""

import pytest

from svmlab.svm.behaviour_table import PRESETS
from svmlab.svm.ranges import DeferredOp

BASE, ELSEWHERE = 0x1000, 0x3000

every_preset = pytest.mark.parametrize("behaviour", PRESETS)
since_children_count = pytest.mark.parametrize("behaviour", ["as-intended", "upstream"])

MIDDLE = ["deferred: UNMAP_RANGE a[8..15]", "deferred: ADD_RANGE a[16..63]", "deferred: UPDATE_RANGE_NOTIFIER a"]
DEFERRED = ["deferred worker waits for mmap_lock of main", "deferred worker gets mmap_lock of main"]
UNMAPPED = ["UNMAP a[8..15]", "gpu0 unmaps a[8..15] (UNMAP_FROM_CPU)"]
ENDS = ["queues run", "restore ends: done 1"]


def range_of_64(story, behaviour, **asked):
    made = story(behaviour)
    made.map("a", 64, at=BASE, **asked)
    return made


def ranges(made):
    return [(each.start - BASE, each.last - BASE) for each in made.driver.svms]


def gpu_maps(made, first, count):
    return bool(made.process.look.any_mapping(0, made.span("a", first, count)).any())


def hold_the_lock(made):
    """Somebody reads under mmap_lock for a tenth of a millisecond."""
    with (yield from made.driver.mm.mmap_lock.read()):
        yield from made.driver.world.sleep(100_000)


def test_deferred_work_has_four_operations():
    """Those that also map never did anything else (V21)."""
    assert [op.name for op in DeferredOp] == ["NULL", "UNMAP_RANGE", "UPDATE_RANGE_NOTIFIER", "ADD_RANGE"]


# beside a restore


@every_preset
def test_a_munmap_that_comes_while_the_worker_restores_waits_for_it(story, behaviour):
    made = range_of_64(story, behaviour)
    made.process.swap_out(made.span("a", 40, 4))
    made.until("restore_range")
    made.forget()
    made.process.start.munmap(made.span("a", 8, 8))
    made.process.run()
    assert made.told(locks=True) == [
        "munmap waits for mmap_lock of main",
        *ENDS,
        "munmap gets mmap_lock of main",
        *UNMAPPED,
        *DEFERRED,
        *MIDDLE,
    ]
    assert (ranges(made), made.process.broken_invariants()) == ([(0, 7), (16, 63)], [])
    assert not gpu_maps(made, 8, 8)


@since_children_count
def test_a_restore_that_comes_after_a_munmap_restores_each_piece_that_is_left(story, behaviour):
    made = range_of_64(story, behaviour)
    made.process.discard(made.span("a", 40, 4))
    made.forget()
    made.process.munmap(made.span("a", 8, 8))
    made.process.run()
    assert made.told() == [
        *UNMAPPED,
        *MIDDLE,
        "restore: evicted 1",
        "restore a: invalid 1",
        "restore a[16..63]: invalid 1",
        *ENDS,
    ]
    assert (ranges(made), made.process.broken_invariants()) == ([(0, 7), (16, 63)], [])


def test_x26_as_posted_the_piece_behind_the_hole_is_never_restored(story):
    made = range_of_64(story, "as-posted")
    made.process.discard(made.span("a", 40, 4))
    made.forget()
    made.process.munmap(made.span("a", 8, 8))
    made.process.run()
    assert made.told() == [*UNMAPPED, *MIDDLE, "restore: evicted 1", "restore a: invalid 1", *ENDS]
    assert "gpu0 maps 4 pages to frames that do not hold them" in made.process.broken_invariants()[0]


@every_preset
def test_the_restore_does_the_deferred_work_first_even_if_the_worker_had_no_turn(story, behaviour):
    """The deferred worker and the restore worker want mmap_lock; somebody else holds it until both wait."""
    made = range_of_64(story, behaviour)
    made.process.discard(made.span("a", 0, 4))
    made.process.run(for_ns="990 us")
    made.forget()
    made.process.start.munmap(made.span("a", 8, 8))
    made.driver.world.spawn("reader", hold_the_lock(made), pid=made.process.pid)
    made.process.run()
    story_of_it = made.told()
    assert story_of_it.index(MIDDLE[-1]) < story_of_it.index("restore a: invalid 1")
    assert ranges(made) == [(0, 7), (16, 63)]


@every_preset
def test_an_mremap_while_the_worker_restores_waits_and_leaves_the_ranges_behind(story, behaviour):
    made = range_of_64(story, behaviour)
    made.process.cpu_write(made.span("a", 0, 64), 5)
    made.process.swap_out(made.span("a", 40, 4))
    made.until("restore_range")
    made.forget()
    handle = made.process.start.mremap(made.span("a", 0, 32), ELSEWHERE << 12)
    made.process.run()
    assert made.told(locks=True) == [
        "mremap waits for mmap_lock of main",
        *ENDS,
        "mremap gets mmap_lock of main",
        "UNMAP a[0..31]",
        "gpu0 unmaps a[0..31] (UNMAP_FROM_CPU)",
        *DEFERRED,
        "deferred: UNMAP_RANGE a[0..31]",
        "deferred: UPDATE_RANGE_NOTIFIER a[32..63]",
    ]
    assert (ranges(made), made.process.broken_invariants()) == ([(32, 63)], [])
    assert made.process.cpu_read(handle.result()).tolist() == [5] * 32 * 4096
    assert made.driver.svms.at(ELSEWHERE) is None


@every_preset
def test_an_mremap_of_a_stopped_range_leaves_nothing_to_restore_at_its_new_place(story, behaviour):
    made = range_of_64(story, behaviour)
    made.process.discard(made.span("a"))
    made.process.mremap(made.span("a", 0, 64), ELSEWHERE << 12)
    made.forget()
    made.process.run()
    assert made.told() == ["deferred: UNMAP_RANGE a[0..63]", "restore: evicted 1", *ENDS]
    assert (ranges(made), made.process.look.queues()) == ([], "running")


# beside a migration


@since_children_count
def test_a_munmap_that_comes_while_set_attr_migrates_waits_and_cuts_what_was_moved(story, behaviour):
    made = range_of_64(story, behaviour)
    made.process.cpu_write(made.span("a", 0, 64), 5)
    call = made.process.start.set_attr(made.span("a", 0, 64), prefetch="gpu0")
    made.until("migrate_setup")
    made.process.start.munmap(made.span("a", 8, 8))
    made.process.run()
    assert call.error is None
    assert made.told(locks=True)[4:] == [
        "munmap waits for mmap_lock of main",
        "munmap gets mmap_lock of main",
        *UNMAPPED,
        *DEFERRED,
        *MIDDLE,
        "restore: evicted 1",
        "restore a: invalid 1",
        "restore a[16..63]: invalid 1",
        *ENDS,
    ]
    assert (ranges(made), made.process.broken_invariants()) == ([(0, 7), (16, 63)], [])
    assert made.process.cpu_read(made.span("a", 16, 48)).tolist() == [5] * 48 * 4096


def test_as_posted_too_but_the_piece_behind_the_hole_keeps_its_old_entries(story):
    made = range_of_64(story, "as-posted")
    made.process.start.set_attr(made.span("a", 0, 64), prefetch="gpu0")
    made.until("migrate_setup")
    made.process.start.munmap(made.span("a", 8, 8))
    made.process.run()
    assert made.told(locks=True)[4:] == [
        "munmap waits for mmap_lock of main",
        "munmap gets mmap_lock of main",
        *UNMAPPED,
        *DEFERRED,
        *MIDDLE,
        "restore: evicted 1",
        "restore a: invalid 1",
        *ENDS,
    ]
    assert ranges(made) == [(0, 7), (16, 63)]


# beside a CPU fault, which may cut the range itself


def in_vram(story, behaviour):
    made = range_of_64(story, behaviour)
    made.process.set_attr(made.span("a", 0, 64), prefetch="gpu0", granularity=4)
    made.process.run()
    made.forget()
    return made


FAULTED = {
    "as-intended": (
        [
            "MIGRATE a[16..31]",
            "a[16..31]: invalid 1, evicted 1",
            "gpu0 unmaps a[12..15] (UNMAP_FROM_CPU)",
            "gpu0 unmaps a[16..23] (UNMAP_FROM_CPU)",
            "deferred: ADD_RANGE a",
            "deferred: ADD_RANGE a[32..63]",
            "deferred: UNMAP_RANGE a[12..15]",
            "deferred: UNMAP_RANGE a[16..23]",
            "deferred: UPDATE_RANGE_NOTIFIER a[24..31]",
            "restore a[24..31]: invalid 1",
        ],
        [(0, 11), (24, 31), (32, 63)],
    ),
    "upstream": (
        [
            "MIGRATE a[16..31]",
            "a[0..63]: invalid 1, evicted 1",
            "gpu0 unmaps a[12..23] (UNMAP_FROM_CPU)",
            "deferred: UNMAP_RANGE a[12..23]",
            "deferred: ADD_RANGE a[24..63]",
            "deferred: UPDATE_RANGE_NOTIFIER a",
            "restore a: invalid 1",
            "restore a[24..63]: invalid 1",
        ],
        [(0, 11), (24, 63)],
    ),
}


@pytest.mark.parametrize("behaviour", FAULTED)
def test_a_munmap_behind_a_cpu_fault_cuts_the_pieces_that_the_fault_left(story, behaviour):
    made = in_vram(story, behaviour)
    fault = made.process.start.cpu_write(made.span("a", 20), 3)
    made.until("migrate_start")
    made.process.start.munmap(made.span("a", 12, 12))
    made.process.run()
    told, left = FAULTED[behaviour]
    assert fault.error is None
    assert [line for line in made.told() if line in told] == told
    assert (ranges(made), made.process.broken_invariants()) == (left, [])


def test_x28_as_posted_that_munmap_is_an_oops(story):
    """The block that came home has neither pages nor VRAM, and such a range cannot be cut."""
    made = in_vram(story, "as-posted")
    made.process.start.cpu_write(made.span("a", 20), 3)
    made.until("migrate_start")
    call = made.process.start.munmap(made.span("a", 12, 12))
    made.process.run()
    assert (call.error.name, "the kernel oopses" in str(call.error)) == ("SIGSEGV", True)


CHILD = {
    "as-posted": (
        ["ADD_RANGE a[24..31]", "ADD_RANGE a[32..47]", "ADD_RANGE a[48..63]"],
        ["restore a: invalid 1"],
        [(0, 11), (24, 31), (32, 47), (48, 63)],
    ),
    "as-intended": (
        ["ADD_RANGE a[32..47]", "ADD_RANGE a[24..31]", "ADD_RANGE a[48..63]"],
        ["restore a[32..47]: invalid 1"],
        [(0, 11), (24, 31), (32, 47), (48, 63)],
    ),
    "upstream": (["ADD_RANGE a[24..63]"], ["restore a[24..63]: invalid 1"], [(0, 11), (24, 63)]),
}


@pytest.mark.parametrize("behaviour", CHILD)
def test_a_cpu_fault_on_a_child_before_the_worker_had_its_turn(story, behaviour):
    """The fault gets mmap_lock before the deferred worker does, and finds the page in a child of its range."""
    made = in_vram(story, behaviour)
    made.process.start.munmap(made.span("a", 12, 12))
    fault = made.process.start.cpu_write(made.span("a", 40), 3)
    made.process.run()
    added, restored, left = CHILD[behaviour]
    assert fault.error is None
    notes = [line.removeprefix("deferred: ") for line in made.told() if line.startswith("deferred")]
    assert notes == ["UNMAP_RANGE a[12..23]", *added, "UPDATE_RANGE_NOTIFIER a"]
    assert [line for line in made.told() if line.startswith("restore a")] == restored
    assert ranges(made) == left
    if behaviour != "as-posted":
        assert made.process.broken_invariants() == []


# beside calls


@every_preset
def test_set_attr_does_deferred_work_before_it_looks_at_ranges(story, behaviour):
    made = range_of_64(story, behaviour)
    made.process.start.munmap(made.span("a", 8, 8))
    call = made.process.start.set_attr(made.span("a", 16, 4), granularity=2)
    made.process.run()
    order = made.process.log.events("deferred_work", "attributes", since=made.mark)
    assert [event.name for event in order] == ["deferred_work"] * 3 + ["attributes"]
    assert call.error is None
    assert ranges(made) == [(0, 7), (16, 19), (20, 63)]


@every_preset
def test_get_attr_flushes_once_and_may_miss_a_munmap_that_is_under_way(story, behaviour):
    """It finds nothing to wait for, then waits for mmap_lock, and has it before the deferred worker."""
    made = range_of_64(story, behaviour, granularity=5)
    made.process.start.munmap(made.span("a", 8, 8))
    call = made.process.start.get_attr(made.span("a", 20, 4), [("GRANULARITY", 0)])
    made.process.run()
    order = made.process.log.events("deferred_work", "call_end", since=made.mark)
    assert [event.text or event.name for event in order] == ["munmap", "get_attr", *["deferred_work"] * 3]
    assert call.result()[0][1] == 5


WAITS = {"as-posted": ["get_attr waits for mmap_lock of main"], "as-intended": [], "upstream": []}


@pytest.mark.parametrize(("behaviour", "waits"), WAITS.items(), ids=WAITS)
def test_get_attr_behind_a_munmap_answers_after_the_deferred_work(story, behaviour, waits):
    """Later drivers wait for the deferred worker itself; as posted the lock that the worker waits for is in the way."""
    made = range_of_64(story, behaviour, granularity=5)
    made.process.start.munmap(made.span("a", 8, 8))
    made.driver.world.spawn("reader", hold_the_lock(made), pid=made.process.pid)
    made.until("call_end")
    made.process.start.get_attr(made.span("a", 20, 4), [("GRANULARITY", 0)])
    made.process.run()
    order = made.process.log.events("deferred_work", "call_end", since=made.mark)
    assert [event.text or event.name for event in order] == ["munmap", *["deferred_work"] * 3, "get_attr"]
    assert [line for line in made.told(locks=True) if line.startswith("get_attr waits")] == waits


@every_preset
def test_two_munmaps_and_a_call_at_one_instant_end_in_the_right_ranges(story, behaviour):
    made = range_of_64(story, behaviour)
    for first in (8, 32):
        made.process.start.munmap(made.span("a", first, 8))
    made.process.start.set_attr(made.span("a", 48, 8), granularity=3)
    made.process.run()
    assert ranges(made) == [(0, 7), (16, 31), (40, 47), (48, 55), (56, 63)]
    assert made.process.broken_invariants() == []


@every_preset
def test_what_is_mapped_anew_at_once_does_not_inherit_the_old_range(story, behaviour):
    """munmap and mmap at the same place before the deferred worker had its turn."""
    made = range_of_64(story, behaviour)
    made.process.start.munmap(made.span("a", 0, 64))
    made.process.start.mmap(64 << 12, at=BASE << 12, populate=True)
    made.process.run()
    assert (ranges(made), gpu_maps(made, 0, 64)) == ([], False)
    assert made.process.broken_invariants() == []
