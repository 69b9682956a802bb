"""VRAM pressure: who has to go, how often it is tried, and what happens where nobody can."""

from __future__ import annotations

import pytest

import svmlab as sl
from svmlab.errors import DriverError

BEHAVIOURS = ["as-posted", "as-intended", "upstream"]
EVICTING = ["as-intended", "upstream"]
FENCE = {"base": "upstream", "vram_pressure": "fence"}
TOLD = ("migrate_start", "migrate_end", "vram_alloc", "vram_free", "driver_fallback", "map_to_gpu")


def two_buffers(lab, behaviour, **options):
    """VRAM of 3 MiB, of which ``a`` takes 2; ``b`` wants as much."""
    x = lab(behaviour=behaviour, size="2 MiB", **({"xnack": False, "vram": "3 MiB"} | options))
    x.a[:] = 1
    x.p.set_attr(x.a, access=["gpu0"], prefetch="gpu0")
    x.p.run()
    x.b = x.p.mmap("2 MiB", name="b")
    x.b[:] = 2
    x.mark()
    return x


def gpu0(x):
    return x.p.machine.gpus[0].gpu_id


def locations(x, *buffers):
    return [set(x.p.look.locations(buffer.span).tolist()) for buffer in buffers]


@pytest.mark.parametrize("behaviour", EVICTING)
def test_the_buffer_used_longest_ago_goes_home_so_that_the_new_one_fits(lab, behaviour):
    x = two_buffers(lab, behaviour)
    x.p.set_attr(x.b, access=["gpu0"], prefetch="gpu0")
    lines = [line.partition(" ")[0] + " " + line.partition(" ")[2].partition(" ")[2] for line in x.told(*TOLD[:4])]
    leaves = ["migrate_start gpu0->cpu trigger=3", "migrate_end npages=512 error=0 gpu0->cpu trigger=3", "vram_free "]
    comes = ["migrate_start cpu->gpu0 trigger=0", "migrate_end npages=512 error=0 cpu->gpu0 trigger=0"]
    assert (
        lines
        == {
            "as-intended": [comes[0], *leaves, "vram_alloc error=0", comes[1]],
            "upstream": [*leaves, "vram_alloc error=0", *comes],
        }[behaviour]
    )
    x.p.run()
    assert locations(x, x.a, x.b) == [{0}, {gpu0(x)}]
    assert (set(x.a[:].tolist()), set(x.b[:].tolist())) == ({1}, {2})


def test_as_posted_a_full_vram_is_an_error_and_nobody_has_to_go(lab):
    x = two_buffers(lab, "as-posted")
    x.p.set_attr(x.b, access=["gpu0"], prefetch="gpu0")
    assert x.told("vram_alloc") == [f"vram_alloc {x.b.span.start - x.base}-{x.b.span.last - x.base} error=12"]
    assert locations(x, x.a, x.b) == [{gpu0(x)}, {0}]


@pytest.mark.parametrize(
    ("behaviour", "error", "events"),
    [
        ("as-intended", "ENOMEM", {"vram_alloc", "migrate_start", "migrate_end"}),
        ("upstream", None, {"driver_fallback", "map_to_gpu"}),
    ],
)
def test_a_range_larger_than_the_vram_stays_in_ram(lab, behaviour, error, events):
    slots = {"base": behaviour, "range_limit": "unlimited"}
    x = lab(behaviour=slots, size="6 MiB", xnack=False, vram="4 MiB")
    x.a[:] = 5
    x.mark()
    call = x.p.start.set_attr(x.a, access=["gpu0"], prefetch="gpu0")
    x.p.run()
    assert (call.error.name if call.error else None) == error
    assert set(x.a[:].tolist()) == {5}
    assert locations(x, x.a) == [{0}]
    assert {line.split()[0] for line in x.told(*TOLD)} >= events


@pytest.mark.parametrize("behaviour", EVICTING)
def test_an_eviction_crosses_the_border_of_processes_and_stops_only_the_victims_queues(lab, behaviour):
    x = two_buffers(lab, behaviour)
    other = x.p.spawn("other")
    c = other.mmap("2 MiB", name="c")
    c[:] = 3
    other.set_attr(c, access=["gpu0"], prefetch="gpu0")
    other.run()
    victims = {event.pid for event in x.p.log.events("queue_eviction", since=x.seen) if event.fields["trigger"] == 0}
    moved = [(event.pid, event.fields["trigger"]) for event in x.p.log.events("migrate_end", since=x.seen)]
    assert (x.p.pid, 3) in moved
    assert (other.pid, 0) in moved
    assert x.p.pid in victims
    assert set(x.a[:].tolist()) == {1}
    assert set(c[:].tolist()) == {3}


@pytest.mark.parametrize("behaviour", EVICTING)
def test_with_xnack_on_an_eviction_unmaps_and_the_victim_faults_its_way_back(lab, behaviour):
    x = two_buffers(lab, behaviour, xnack=True)
    x.p.gpu(0).touch(x.a)
    x.p.run()
    x.mark()
    x.p.gpu(0).touch(x.b)
    x.p.gpu(0).touch(x.a)
    x.p.run()
    triggers = [event.fields["trigger"] for event in x.p.log.events("migrate_start", since=x.seen)]
    assert triggers.count(3) >= 2, "a goes for b, and b for a"
    assert x.p.log.count("queue_eviction", since=x.seen) == 0
    assert x.p.broken_invariants() == []


@pytest.mark.parametrize(("missed", "passes", "left"), [(0, 1, 0), (1, 2, 0), (2, 3, 0), (3, 3, 1)])
def test_an_eviction_tries_three_times_to_collect_what_somebody_holds(lab, missed, passes, left):
    x = lab(behaviour="upstream", size="64 KiB", xnack=False)
    x.a[:] = 1
    x.p.set_attr(x.a, access=["gpu0"], prefetch="gpu0")
    x.p.run()
    x.mark()
    # the first pass looks at 16 pages, the others at the one that is left
    for looked_at in (1, 17, 18)[:missed]:
        x.p.inject("page_lock", nth=looked_at)
    x.p.evict_vram("gpu0")
    assert len(x.told("migrate_start")) == passes
    assert x.told("driver_fallback") == ["driver_fallback 0-15 error=0 pages stay in VRAM after 3 passes"] * bool(left)
    assert int((x.p.look.locations(x.a.span) == gpu0(x)).sum()) == left
    assert set(x.a[:].tolist()) == {1}


@pytest.mark.parametrize("behaviour", [*EVICTING, FENCE], ids=str)
def test_one_call_evicts_what_it_brought_in_itself(lab, behaviour):
    """The ranges of one call take turns: the later ones push out the earlier ones, and the call succeeds."""
    x = lab(behaviour=behaviour, size="8 MiB", xnack=False, vram="4 MiB")
    x.a[:] = 1
    for first in range(0, 2048, 256):
        x.p.set_attr(x.pages(first, 256), granularity=8)
    x.p.set_attr(x.a, access=["gpu0"], prefetch="gpu0")
    assert x.p.look.vram_used(0) <= 4 << 20
    there = x.p.look.locations(x.a.span) == gpu0(x)
    assert there.any()
    assert not there.all()
    x.p.run()
    assert set(x.a[:].tolist()) == {1}
    assert x.p.broken_invariants() == []


@pytest.mark.parametrize("behaviour", EVICTING)
def test_a_buffer_whose_range_is_busy_is_passed_over(lab, behaviour):
    """L gives up with EBUSY where a lock is taken; the next buffer goes instead."""
    x = lab(behaviour=behaviour, size="1 MiB", xnack=False, vram="4 MiB")
    c = x.p.mmap("1 MiB", name="c")
    for buffer in (x.a, c):
        x.p.set_attr(buffer, access=["gpu0"], prefetch="gpu0")
    x.p.run()
    (busy,) = x.p.ranges(x.a)
    released = x.p.driver.world.event()

    def hold():
        with (yield from busy.migrate_mutex(x.p.driver.world).held()):
            yield released

    x.p.driver.world.spawn("holder", hold(), pid=x.p.pid)
    x.p.advance(1)
    b = x.p.mmap("2 MiB", name="b")
    x.p.set_attr(b, access=["gpu0"], prefetch="gpu0")
    assert locations(x, x.a, c, b) == [{gpu0(x)}, {0}, {gpu0(x)}]
    released.succeed()
    x.p.run()


def test_an_eviction_fence_signals_when_a_worker_has_brought_the_buffer_home(lab):
    x = two_buffers(lab, FENCE)
    x.p.set_attr(x.b, access=["gpu0"], prefetch="gpu0")
    told = [(event.name, event.task.name) for event in x.p.log.events("migrate_end", "vram_alloc", since=x.seen)]
    (home, worker), (allocated, asking), _ = told
    assert (home, worker, allocated) == ("migrate_end", "svm_bo eviction worker", "vram_alloc")
    assert asking != worker
    x.p.run()
    assert locations(x, x.a, x.b) == [{0}, {gpu0(x)}]
    assert (set(x.a[:].tolist()), set(x.b[:].tolist())) == ({1}, {2})
    assert x.p.broken_invariants() == []


def test_an_eviction_fence_waits_for_locks_that_a_later_kernel_would_only_try(lab):
    x = two_buffers(lab, FENCE)
    (busy,) = x.p.ranges(x.a)
    released = x.p.driver.world.event()

    def hold():
        with (yield from busy.migrate_mutex(x.p.driver.world).held()):
            yield released

    x.p.driver.world.spawn("holder", hold(), pid=x.p.pid)
    x.p.advance(1)
    call = x.p.start.set_attr(x.b, access=["gpu0"], prefetch="gpu0")
    x.p.advance("50 ms")
    assert not call.done
    assert locations(x, x.a, x.b) == [{gpu0(x)}, {0}]
    released.succeed()
    x.p.run()
    assert (call.done, call.error) == (True, None)
    assert locations(x, x.a, x.b) == [{0}, {gpu0(x)}]


def test_an_eviction_fence_signals_although_pages_stay(lab):
    x = two_buffers(lab, FENCE)
    for looked_at in (1, 513, 514):  # one page in the first pass, and the same one in the other two
        x.p.inject("page_lock", nth=looked_at)
    x.p.start.set_attr(x.b, access=["gpu0"], prefetch="gpu0")
    x.p.run()
    assert "pages stay in VRAM after 3 passes" in [event.text for event in x.p.log.events("driver_fallback")]
    assert x.told("vram_alloc")[0].endswith("error=12")
    assert locations(x, x.a, x.b) == [{0, gpu0(x)}, {0}]
    assert (set(x.a[:].tolist()), set(x.b[:].tolist())) == ({1}, {2})


def test_who_migrated_last_is_evicted_last(lab):
    x = lab(size="64 KiB", xnack=True, vram="4 MiB")
    first = [x.p.mmap("1 MiB", name=name) for name in "cde"]
    for buffer in first:
        x.p.gpu(0).touch(buffer)
    x.p.run()
    x.p.cpu_touch(sl.Span.of_pages(first[0].span.start, first[0].span.start))
    x.p.advance("3 ms")
    x.p.gpu(0).touch(first[0])
    x.p.gpu(0).touch(x.p.mmap("1 MiB", name="f"))
    x.p.run()
    assert locations(x, *first) == [{gpu0(x)}, {0}, {gpu0(x)}]


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("xnack", [False, True])
@pytest.mark.parametrize("behaviour", [*EVICTING, FENCE], ids=str)
def test_processes_that_thrash_get_on_and_lose_nothing(lab, behaviour, xnack, seed):
    """Three processes ask for 3/4 of the VRAM each, again and again, at the same time."""
    first = lab(behaviour=behaviour, size="3 MiB", xnack=xnack, vram="4 MiB", seed=seed)
    everybody = [first.p, first.p.spawn("second"), first.p.spawn("third")]
    buffers = [first.a, *(process.mmap("3 MiB", name="own") for process in everybody[1:])]
    for number, buffer in enumerate(buffers):
        buffer[:] = number + 1
    for _ in range(3):
        pairs = zip(everybody, buffers, strict=True)
        calls = [process.start.set_attr(own, access=["gpu0"], prefetch="gpu0") for process, own in pairs]
        first.p.run()
        assert all(call.done for call in calls)
        assert {call.error.name for call in calls if call.error} <= {"ENOMEM"}
        assert first.p.look.vram_used(0) <= 4 << 20
    assert [set(buffer[:].tolist()) for buffer in buffers] == [{1}, {2}, {3}]
    assert [process.broken_invariants() for process in everybody] == [[], [], []]


@pytest.mark.parametrize("behaviour", [*EVICTING, FENCE], ids=str)
def test_gpu_work_over_more_memory_than_vram_ends_and_reads_what_was_written(lab, behaviour):
    x = lab(behaviour=behaviour, size="12 MiB", vram="4 MiB")
    x.a[:] = 9
    for _ in range(2):
        assert set(x.p.gpu(0).read(x.a).tolist()) == {9}
    x.p.run()
    assert x.p.look.vram_used(0) <= 4 << 20
    assert x.p.broken_invariants() == []


def test_evict_vram_waits_for_the_range_it_takes_home(lab):
    x = two_buffers(lab, "upstream")
    evicting = x.p.start.evict_vram("gpu0")
    again = x.p.start.set_attr(x.a, prefetch="gpu0")
    x.p.run()
    assert (evicting.error, again.error) == (None, None)
    assert set(x.a[:].tolist()) == {1}
    with pytest.raises(DriverError):
        x.p.set_attr(sl.Span(0x1000, 4096), granularity=1)
