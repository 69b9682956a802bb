"""Migrations that fail: what is left behind."""

import pytest

import svmlab as sl


def two_fragments(behaviour="as-intended"):
    """A buffer of 8 pages in two VRAM fragments."""
    p = sl.Process("toy", vram="4 MiB", behaviour=behaviour)
    p.vram_layout(0, [[16, 4], [32, 4]])
    a = p.mmap("8 pages", name="a")
    a[:] = 7
    p.set_attr(a, access=["gpu0"], prefetch="gpu0")
    p.run()
    return p, a


def test_copies_in_flight_never_land_in_ram_pages_that_were_given_back():
    p, a = two_fragments()
    p.inject("copy", nth=2)
    home = p.start.set_attr(a, prefetch="cpu")
    while not p.log.count("put_ram_pages"):
        p.advance(50)
    other = p.mmap("8 pages", name="other")
    other[:] = 9
    p.run()
    assert home.error.name == "EIO"
    assert set(other[:].tolist()) == {9}
    assert set(a[:].tolist()) == {7}


def test_a_failed_migration_to_vram_is_returned_and_every_page_stays_readable():
    p = sl.Process("toy", vram="4 MiB")
    p.vram_layout(0, [[16, 4], [32, 4]])
    a = p.mmap("8 pages", name="a")
    a[:] = 7
    p.inject("copy", nth=2)
    with pytest.raises(sl.DriverError, match="EIO"):
        p.set_attr(a, access=["gpu0"], prefetch="gpu0")
    p.run()
    assert p.look.actual(a.span) == [0]
    assert set(p.look.locations(a.span).tolist()) == {0}
    assert set(a[:].tolist()) == {7}
    assert p.broken_invariants() == []


def test_a_failed_copy_is_no_error_as_posted_and_the_gpu_is_believed_to_have_the_range():
    """D1, and D6: the page at the node border is lost."""
    p = sl.Process("toy", vram="4 MiB", behaviour="as-posted")
    p.vram_layout(0, [[16, 4], [32, 4]])
    a = p.mmap("8 pages", name="a")
    a[:] = 7
    p.inject("copy", nth=1)
    p.set_attr(a, access=["gpu0"], prefetch="gpu0")
    gpu0 = p.machine.gpus[0].gpu_id
    assert p.look.actual(a.span) == [gpu0]
    assert p.look.locations(a.span).tolist() == [0, 0, 0, gpu0, 0, 0, 0, 0]


@pytest.mark.parametrize("xnack", [False, True])
def test_a_write_that_an_entry_forbids_is_fatal_in_both_modes(xnack):
    p = sl.Process("toy", xnack=xnack)
    a = p.mmap("4 KiB", name="a")
    a[:] = 1
    p.set_attr(a, access=["gpu0"], set_flags=["gpu_ro"])
    p.run()
    assert p.gpu(0).read(a)[0] == 1
    with pytest.raises(sl.SvmError, match="cannot write to page"):
        p.gpu(0).write(a, 2)
    assert a[0] == 1


def test_a_forked_child_may_move_a_shared_page_to_vram_and_its_parent_still_finds_it():
    """The parent's restore walks over a page that the child's range owns: relatives do not wait for each other."""
    p = sl.Process("toy")
    a = p.mmap("4 KiB", name="a")
    a[:] = 5
    p.set_attr(a, access=["gpu2"])
    p.run()
    child = p.fork("child")
    child.set_attr(a.span, prefetch="gpu0")
    p.run()
    assert (p.look.queues(), child.look.queues()) == ("running", "running")
    assert (p.gpu(2).read(a)[0], child.cpu_read(a.span)[0]) == (5, 5)
    assert p.broken_invariants() + child.broken_invariants() == []
