"""Histories in which the byte oracle once found a byte lost or a call without end, cut down to what matters."""

import pytest

import svmlab as sl


@pytest.mark.parametrize("behaviour", ["as-intended", "upstream"])
def test_relatives_whose_gpus_write_one_page_at_the_same_time_get_a_page_each(behaviour):
    """The child's walk waits for the parent's migration, behind which the shared pages are in VRAM."""
    p = sl.Process("toy", xnack=True, behaviour=behaviour)
    a = p.mmap("46 pages", name="a")
    a[:] = 5
    child = p.fork("child")
    p.start.gpu_write(0, a.span, 1)
    child.start.gpu_write(0, a.span, 2)
    p.run()
    assert set(p.look.content(a.span).tolist()) == {1}
    assert set(child.look.content(a.span).tolist()) == {2}
    assert p.broken_invariants() + child.broken_invariants() == []


def far_from_most(partly_out_of_reach):
    """A range on gpu2 that should be in RAM, and a load by gpu0, which does not reach gpu2."""
    p = sl.Process("toy", xnack=True, behaviour={"base": "as-intended", "partly_out_of_reach": partly_out_of_reach})
    a = p.mmap("8 pages", name="a")
    a[:] = 7
    p.set_attr(a, prefetch="gpu2", preferred="cpu", access=["gpu0", "gpu2"], granularity=1)
    p.run()
    load = p.start.gpu_read(0, p.mmap_part(a, 2, 2) if False else a.part(2, 2))
    p.advance("10 ms")
    return p, a, load
