"""Accesses that nobody serves: the memory exception, and what follows it."""

from __future__ import annotations

import pytest

import svmlab as sl
from svmlab.errors import MemoryExceptionError

BEHAVIOURS = ["as-posted", "as-intended", "upstream"]


def fatal(x, write=False):
    with pytest.raises(MemoryExceptionError, match="gpu0 cannot"):
        x.p.gpu(0).touch(x.pages(0, 1), write=write)


@pytest.mark.parametrize("behaviour", BEHAVIOURS)
def test_with_xnack_off_an_unmapped_page_is_fatal_and_the_driver_is_not_even_asked(lab, behaviour):
    x = lab(behaviour=behaviour, xnack=False)
    fatal(x)
    assert x.told() == ["memory_exception 0-0"]


def test_as_posted_nobody_serves_faults_with_xnack_on_either(lab):
    x = lab(behaviour="as-posted")
    fatal(x)
    assert x.told() == ["memory_exception 0-0"]


@pytest.mark.parametrize("xnack", [False, True])
@pytest.mark.parametrize("behaviour", ["as-intended", "upstream"])
def test_a_write_to_a_read_only_mapping_is_fatal_in_both_modes_and_changes_nothing(lab, behaviour, xnack):
    x = lab(behaviour=behaviour, xnack=xnack)
    x.a[:] = 7
    x.p.mprotect(x.a, "r")
    x.p.set_attr(x.a, access=["gpu0"])
    x.p.run()
    assert x.p.gpu(0).read(x.pages(0, 1))[0] == 7
    fatal(x, write=True)
    assert x.a[0] == 7


def test_afterwards_every_queue_is_dead_and_the_cpu_and_the_driver_go_on(lab):
    x = lab(xnack=False)
    x.p.create_queue(1)
    x.p.set_attr(x.pages(512, 512), access=["gpu1"])
    fatal(x)
    for gpu in (0, 1):
        with pytest.raises(MemoryExceptionError, match="killed by an earlier memory exception"):
            x.p.gpu(gpu).touch(x.pages(512, 1))
    x.p.set_attr(x.pages(512, 512), prefetch="gpu0", access=["gpu0"])
    x.p.run()
    x.a[:] = 3
    x.p.run()
    assert (x.p.look.queues(), int(x.a[0])) == ("dead", 3)
    assert x.p.broken_invariants() == []


def test_work_that_runs_on_another_gpu_dies_with_it(lab):
    x = lab(xnack=False, size="128 MiB", payload=False)
    x.p.set_attr(x.a, access=["gpu1"])
    x.p.run()
    other = x.p.start.gpu_touch(1, x.a)
    work = x.p.start.gpu_touch(0, x.pages(0, 1))
    x.p.run()
    assert [isinstance(each.error, MemoryExceptionError) for each in (work, other)] == [True, True]


def test_another_process_does_not_notice(lab):
    x = lab(xnack=False)
    other = x.p.spawn("other")
    b = other.mmap("64 KiB")
    other.set_attr(b, access=["gpu0"])
    fatal(x)
    other.gpu(0).write(b, 5)
    assert b[0] == 5


def test_a_process_that_ends_leaves_nothing_behind(lab):
    x = lab()
    x.p.gpu(0).touch(x.a)
    with pytest.raises(MemoryExceptionError):
        x.p.gpu(0).touch(sl.Span(0x1234000, 4096))
    x.p.exit()
    x.p.run()
    assert x.p.look.vram_used(0) == 0
