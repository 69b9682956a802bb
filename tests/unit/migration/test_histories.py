"""Histories in which the byte oracle once found a byte lost or a call without end, cut down to what matters."""

import pytest

import svmlab as sl


@pytest.mark.parametrize("behaviour", ["as-intended", "upstream"])
def test_relatives_whose_gpus_write_one_page_at_the_same_time_get_a_page_each(behaviour):
    """A walk waits for a relative's migration, behind which the page they share with a third one is in VRAM."""
    p = sl.Process("toy", xnack=True, behaviour=behaviour)
    a = p.mmap("46 pages", name="a")
    a[:] = 5
    writer, reader = p.fork("writer"), p.fork("reader")
    page = a.pages(0, 1)
    p.start.gpu_write(0, page, 1)
    writer.gpu_write(0, page, 2)
    p.run()
    assert [int(each.look.content(page).max()) for each in (p, writer, reader)] == [1, 2, 5]
    assert p.broken_invariants() + writer.broken_invariants() + reader.broken_invariants() == []


def test_a_gpu_gets_a_page_that_a_relative_moved_to_yet_another_gpu():
    """The parent's range, most of it on gpu1, knows nothing of the page that its child took to gpu0."""
    p = sl.Process("toy", xnack=True)
    a = p.mmap("2 pages", name="a")
    a[:] = 7
    p.set_attr(a, access=["gpu0", "gpu1", "gpu2"], prefetch="gpu1", granularity=0)
    child = p.fork("child")
    page = a.pages(0, 1)
    child.mprotect(a.span, "r")  # so that mapping the page does not make it the child's own
    child.cpu_read(page)
    child.set_attr(page, access=["gpu0"], prefetch="gpu0")
    p.run()
    gpu0, gpu1 = (gpu.gpu_id for gpu in p.machine.gpus[:2])
    assert (p.look.actual(page), p.look.locations(a.span).tolist()) == ([gpu1], [gpu0, gpu1])
    assert set(p.gpu(2).read(a).tolist()) == {7}
    assert p.broken_invariants() + child.broken_invariants() == []


def far_away(partly_out_of_reach):
    """Part of a range on gpu2 is wanted in RAM by gpu0, which does not reach gpu2."""
    p = sl.Process("toy", xnack=True, behaviour={"base": "as-intended", "partly_out_of_reach": partly_out_of_reach})
    a = p.mmap("8 pages", name="a")
    a[:] = 7
    p.set_attr(a, prefetch="gpu2", preferred="cpu", access=["gpu0", "gpu2"], granularity=1)
    p.run()
    load = p.start.gpu_read(0, a.pages(2, 2))
    p.advance("10 ms")
    return p, a, load


def test_a_gpu_maps_the_block_that_came_home_for_it_though_the_range_is_still_out_of_its_reach():
    p, a, load = far_away("mapped")
    assert set(load.result().tolist()) == {7}
    assert p.look.mapped(a.span)[0].tolist() == [False, False, True, True, False, False, False, False]
    assert p.look.mapped(a.span)[2].tolist() == [True, True, False, False, True, True, True, True]


def test_a_gpu_that_skips_the_whole_range_faults_for_ever():
    p, a, load = far_away("skipped")
    assert not load.done
    assert not p.look.mapped(a.span)[0].any()
    assert p.log.count("page_fault_end") > 10


def test_a_gpu_that_lost_access_is_unmapped_from_the_ranges_behind_one_that_failed():
    p = sl.Process("toy")
    a = p.mmap("8 pages", name="a")
    a[:] = 7
    p.set_attr(a.pages(0, 4), access=["gpu0"], granularity=1)
    p.set_attr(a.pages(4, 4), access=["gpu0"], prefetch="gpu0")
    p.run()
    p.inject("copy")
    with pytest.raises(sl.DriverError, match="EIO"):
        p.set_attr(a, no_access=["gpu0"], prefetch="cpu")
    p.discard(a.span)
    p.run()
    assert not p.look.any_mapping(0, a.span).any()
    assert p.broken_invariants() == []
