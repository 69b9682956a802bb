"""The VRAM allocator under random requests: nothing overlaps, nothing is lost, neighbours are one piece."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from svmlab.errors import DriverError
from svmlab.hardware.vram import ALIGNMENT_PAGES, Node, Vram

SIZE = 6000
COUNT = st.one_of(st.integers(1, 40), st.integers(500, 530), st.integers(1, SIZE))


class Allocations(RuleBasedStateMachine):
    """Buffers come and go; the allocator must always agree with who holds what."""

    @initialize(fragments=st.lists(st.tuples(st.integers(1, 900), st.integers(1, 700)), max_size=8))
    def begin(self, fragments: list[tuple[int, int]]) -> None:
        self.vram = Vram(SIZE)
        self.buffers: list[list[Node]] = []
        self.total = SIZE - 1
        free, at = [], 1
        for gap, count in fragments:
            if at + gap + count <= SIZE:
                free.append((at + gap, count))
                at += gap + count + 1
        if free:
            self.vram.force_layout(free)
            self.total = sum(count for _, count in free)

    @rule(npages=COUNT)
    def alloc(self, npages: int) -> None:
        free, before = self.vram.free_pages, self.vram.free_nodes
        try:
            nodes = self.vram.alloc(npages)
        except DriverError:
            assert npages > free
            assert self.vram.free_nodes == before
            return
        assert npages <= free
        assert sum(count for _, count in nodes) == npages
        for start, count in nodes:
            assert any(at <= start and start + count <= at + size for at, size in before), "not from a free piece"
            if count >= ALIGNMENT_PAGES:
                assert (count & (count - 1), start % ALIGNMENT_PAGES) == (0, 0), (
                    "large pieces are aligned powers of two"
                )
        self.buffers.append(nodes)

    @precondition(lambda self: self.buffers)
    @rule(which=st.integers(0, 100))
    def free(self, which: int) -> None:
        self.vram.free(self.buffers.pop(which % len(self.buffers)))

    @invariant()
    def nothing_overlaps_and_nothing_is_lost(self) -> None:
        used = sorted(node for nodes in self.buffers for node in nodes)
        assert self.vram.used_nodes == used
        everything = sorted([*used, *self.vram.free_nodes])
        assert all(start + count <= after for (start, count), (after, _) in pairwise(everything))
        assert self.vram.used_pages == sum(count for _, count in used)
        assert self.vram.used_pages + self.vram.free_pages == self.total

    @invariant()
    def free_neighbours_are_one_piece(self) -> None:
        assert all(start + count < after for (start, count), (after, _) in pairwise(self.vram.free_nodes))

    def teardown(self) -> None:
        for nodes in self.buffers:
            self.vram.free(nodes)
        self.buffers = []
        self.nothing_overlaps_and_nothing_is_lost()


def test_the_allocator_agrees_with_who_holds_what():
    run_state_machine_as_test(Allocations, settings=settings(max_examples=60, stateful_step_count=40))
