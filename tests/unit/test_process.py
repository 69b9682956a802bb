"""The process: what a learner holds."""

import numpy as np
import pytest

import svmlab as sl
from svmlab.errors import SvmError, SvmTimeoutError


@pytest.fixture
def p():
    return sl.Process("toy", vram="64 MiB")


def migrated(p, size="64 KiB"):
    a = p.mmap(size, name="a")
    a[:] = 7
    p.set_attr(a, access=["gpu0"], prefetch="gpu0")
    return a


@pytest.mark.parametrize("behaviour", ["as-posted", "as-intended", "upstream"])
@pytest.mark.parametrize("xnack", [False, True])
def test_a_patterned_buffer_reads_the_same_after_vram_and_home_and_the_gpu_reads_it_in_between(behaviour, xnack):
    p = sl.Process("toy", behaviour=behaviour, xnack=xnack)
    a = p.mmap("3 MiB", name="a")
    pattern = np.arange(a.nbytes // 4, dtype=np.uint32)
    a[:] = pattern
    p.set_attr(a, access=["gpu0"], prefetch="gpu0")
    p.run()
    gpu0 = p.machine.gpus[0].gpu_id
    assert set(p.look.locations(a.span).tolist()) == {gpu0}
    assert np.array_equal(p.gpu(0).read(a).view(np.uint32), pattern)
    assert set(p.look.locations(a.span).tolist()) == {gpu0}
    assert np.array_equal(a[:].view(np.uint32), pattern)
    p.run()
    assert set(p.look.locations(a.span).tolist()) == {0}
    assert p.broken_invariants() == []


def test_a_prefetch_to_the_cpu_brings_it_home_and_gives_the_vram_back(p):
    a = migrated(p)
    p.set_attr(a, prefetch="cpu")
    p.run()
    assert set(p.look.locations(a.span).tolist()) == {0}
    assert p.look.vram_used(0) == 0
    assert a[0] == 7


def test_a_gpu_without_access_gets_a_memory_exception_and_its_process_no_more_gpu_work(p):
    a = p.mmap("4 KiB")
    a[:] = 1
    with pytest.raises(SvmError, match="gpu0 cannot read page"):
        p.gpu(0).read(a)
    assert p.look.queues() == "dead"
    with pytest.raises(SvmError, match="killed by an earlier memory exception"):
        p.gpu(1).read(a)
    assert a[0] == 1


def test_started_calls_begin_in_the_order_they_are_started_and_end_when_they_end(p):
    a, b = p.mmap("64 KiB", name="a"), p.mmap("64 KiB", name="b")
    first, second = p.start.set_attr(a, access=["gpu0"]), p.start.set_attr(b, access=["gpu0"])
    assert (first.done, second.done) == (False, False)
    with pytest.raises(SvmError, match="has not ended yet"):
        first.result()
    p.run()
    assert first.done
    assert second.done
    assert [event.text for event in p.log.events("call_start")][-2:] == ["set_attr(a)", "set_attr(b)"]


def test_a_started_call_has_begun_before_the_next_line(p):
    a = p.mmap("64 KiB", name="a")
    p.start.set_attr(a, access=["gpu0"])
    assert p.log[-1].name == "call_start"


def test_a_call_that_fails_keeps_its_error_until_it_is_asked_for(p):
    handle = p.start.munmap(sl.Span(0x1001, 4096))
    p.run()
    assert handle.error.name == "EINVAL"
    with pytest.raises(sl.DriverError, match="EINVAL"):
        handle.result()


def test_a_blocking_call_from_inside_the_simulation_is_refused(p):
    def task():
        yield from p.driver.world.sleep(1)
        p.mmap("4 KiB")

    p.driver.world.spawn("inside", task(), pid=p.pid)
    with pytest.raises(SvmError, match="from inside the simulation"):
        p.run()


def test_waiting_for_what_never_happens_is_a_timeout_not_a_hang(p):
    never = p.driver.world.event()

    def hold():
        with (yield from p.driver.mm.mmap_lock.write()):
            yield never

    p.driver.world.spawn("holder", hold(), pid=p.pid)
    p.run()
    with pytest.raises(SvmTimeoutError, match="never happen"):
        p.mmap("4 KiB")


SEEDED = """
import sys, svmlab as sl
p = sl.Process("toy", seed=int(sys.argv[1]))
a = p.mmap("4 MiB", name="a")
a[:] = 7
calls = [p.start.set_attr(a, access=["gpu0"], prefetch="gpu0"), p.start.cpu_read(a), p.start.gpu_read(1, a)]
p.run()
print([(e.time_ns, e.name, e.task.name) for e in p.log])
"""


def test_the_same_seed_gives_the_same_log_in_a_fresh_process():
    import subprocess
    import sys

    def log(seed):
        return subprocess.run(
            [sys.executable, "-c", SEEDED, str(seed)], capture_output=True, text=True, check=True
        ).stdout

    assert log(3) == log(3)
    assert log(0) == log(0)


def test_seeds_differ_in_what_happens_first_at_one_instant():
    def order(seed):
        p = sl.Process("toy", seed=seed)
        went = []

        def task(name):
            yield from p.driver.world.sleep(5)
            went.append(name)

        for name in "abcd":
            p.driver.world.spawn(name, task(name), pid=p.pid)
        p.run()
        return "".join(went)

    assert order(0) == "abcd"
    assert len({order(seed) for seed in range(1, 9)}) > 1


BAD = [
    (lambda p, a: p.mmap("4 MB"), "2 MiB"),
    (lambda p, a: p.mmap("4 KiB", colour="red"), "name, at, protection"),
    (lambda p, a: p.mmap("4 KiB", kind="file"), "a file's name"),
    (lambda p, a: p.mmap("4 KiB", protection="x"), '"rw", "r", "none"'),
    (lambda p, a: p.set_attr(a, acess=["gpu0"]), "access_in_place"),
    (lambda p, a: p.set_attr(a, prefetch="gpu9"), "gpu0 to gpu2"),
    (lambda p, a: p.set_attr(a, access=["cpu"]), "gpu0, gpu1"),
    (lambda p, a: p.set_attr(a, set_flags=["fast"]), "host_access"),
    (lambda p, a: p.set_attr(a, raw=[("ACESS", 1)]), "ACCESS"),
    (lambda p, a: p.set_attr(a, raw=[1]), "(type, value)"),
    (lambda p, a: p.set_attr("a", access=["gpu0"]), "a mapping"),
    (lambda p, a: a.pages(16), "pages 0 to 15"),
    (lambda p, a: a[a.nbytes], "0 to 65535"),
    (lambda p, a: a.__setitem__(slice(0, 10), b"abc"), "10 bytes"),
    (lambda p, a: a.__setitem__(0, 256), "0 to 255"),
    (lambda p, a: p.gpu("gpu7").read(a), "gpu0 to gpu2"),
    (lambda p, a: p.set_xnack("maybe"), '"on", "off", "query"'),
    (lambda p, a: p.inject("coffee"), "vram_alloc"),
    (lambda p, a: p.destroy_queue(0), "create_queue"),
    (lambda p, a: sl.Process("tyo"), "toy"),
    (lambda p, a: sl.Process("toy", vram="5 bytes"), "4096"),
    (lambda p, a: sl.Process("pcie-pair", xnack=True), "xnack=False"),
]


@pytest.mark.parametrize(("act", "helps"), BAD)
def test_bad_input_is_refused_with_what_is_allowed_and_nothing_is_lost(p, act, helps):
    a = p.mmap("64 KiB", name="a")
    a[:] = 5
    with pytest.raises(sl.InputError) as caught:
        act(p, a)
    assert helps in str(caught.value)
    assert a[0] == 5
    assert p.broken_invariants() == []


def test_long_work_without_an_event_is_no_standstill():
    p = sl.Process("toy", ram="64 GiB", payload=False)
    a = p.mmap("48 GiB")
    p.cpu_touch(a, write=True)
    before = p.now
    p.cpu_touch(a)
    assert p.now - before > 1_000_000_000


def test_a_restore_that_can_never_succeed_is_a_timeout_that_says_so():
    p = sl.Process("toy", behaviour="as-posted")
    a = p.mmap("4 KiB", name="a")
    p.set_attr(a, access=["gpu0"])
    p.mprotect(a, "r")
    with pytest.raises(SvmTimeoutError, match="nothing but re-scheduling"):
        p.run()
    assert p.look.queues() == "evicted"
