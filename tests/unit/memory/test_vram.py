"""The VRAM allocator: the pieces it cuts, where it puts them, and what comes back."""

from __future__ import annotations

import pytest

from svmlab.errors import DriverError, InputError
from svmlab.hardware.vram import Vram

# free pieces, pages wanted -> nodes
PLACED = [
    ("the largest powers of two first, each aligned to 2 MiB", [(1, 8191)], 2560, [(512, 2048), (2560, 512)]),
    ("then one piece of the rest", [(1, 8191)], 1300, [(512, 1024), (1, 276)]),
    ("a rest is not aligned and not rounded", [(3, 1000)], 511, [(3, 511)]),
    ("512 pages are a large piece", [(3, 2000)], 512, [(512, 512)]),
    ("best fit", [(1, 300), (1000, 100), (2000, 120)], 100, [(1000, 100)]),
    ("the lowest address on ties", [(700, 90), (100, 90), (400, 90)], 50, [(100, 50)]),
    ("best fit counts alignment in", [(100, 600), (1024, 900)], 512, [(1024, 512)]),
    (
        "smaller large pieces where the largest does not fit",
        [(512, 1024), (2048, 1024)],
        2048,
        [(512, 1024), (2048, 1024)],
    ),
    ("small pieces where no large one fits", [(1, 300), (400, 250)], 512, [(1, 300), (400, 212)]),
    ("and where none can be aligned", [(100, 600)], 512, [(100, 256), (356, 256)]),
    ("the largest left for a rest that fits nowhere", [(1, 30), (100, 50)], 70, [(100, 50), (1, 20)]),
    ("everything there is", [(1, 3), (7, 2)], 5, [(1, 3), (7, 2)]),
    ("nothing", [(1, 3)], 0, []),
]


@pytest.mark.parametrize(("free", "npages", "nodes"), [row[1:] for row in PLACED], ids=[row[0] for row in PLACED])
def test_pages_are_placed_by_the_rule(free: list, npages: int, nodes: list):
    vram = Vram(8192)
    vram.force_layout(free)
    assert vram.alloc(npages) == nodes
    assert (vram.used_pages, vram.free_pages) == (npages, sum(count for _, count in free) - npages)


def test_page_zero_is_reserved():
    vram = Vram(4)
    assert (vram.free_nodes, vram.alloc(3)) == ([(1, 3)], [(1, 3)])
    assert Vram(1).free_nodes == Vram(0).free_nodes == []


def test_too_many_pages_are_refused_and_none_is_taken():
    vram = Vram(100)
    vram.alloc(40)
    with pytest.raises(DriverError, match="ENOMEM: 60 pages of VRAM are wanted, 59 are free"):
        vram.alloc(60)
    assert (vram.used_pages, vram.free_nodes) == (40, [(41, 59)])


def test_what_comes_back_becomes_one_piece_with_its_neighbours():
    vram = Vram(100)
    nodes = [vram.alloc(10)[0] for _ in range(4)]
    vram.free([nodes[0]])
    vram.free([nodes[2]])
    apart = vram.free_nodes
    vram.free([nodes[1]])
    together = vram.free_nodes
    vram.free([nodes[3]])
    assert (apart, together, vram.free_nodes) == ([(1, 10), (21, 10), (41, 59)], [(1, 30), (41, 59)], [(1, 99)])
    assert (vram.used_pages, vram.used_nodes) == (0, [])


@pytest.mark.parametrize("node", [(1, 10), (5, 5), (11, 10), (50, 1)])
def test_what_was_not_handed_out_cannot_come_back(node: tuple[int, int]):
    vram = Vram(100)
    vram.free([vram.alloc(10)[0]])
    vram.alloc(5)
    with pytest.raises(InputError, match="is not in use; allowed: nodes that alloc returned"):
        vram.free([node])


@pytest.mark.parametrize(
    ("free", "message"),
    [
        ([(0, 0)], "does not fit"),
        ([(90, 11)], "does not fit"),
        ([(-1, 5)], "does not fit"),
        ([(30, 10), (39, 2)], "reaches page 39, which is in another piece"),
        ([(5, 10)], r"piece \[5, 10\] reaches page 10, which is in another piece"),
        ([(12, 3)], "is in another piece"),
    ],
)
def test_a_layout_that_cannot_be_is_refused(free: list, message: str):
    vram = Vram(100)
    vram.force_layout([(10, 5)])
    vram.alloc(5)
    with pytest.raises(InputError, match=message):
        vram.force_layout(free)
    assert (vram.used_nodes, vram.free_nodes) == ([(10, 5)], [])


def test_a_forced_layout_holds_until_pages_are_given_back():
    vram = Vram(100)
    held = vram.alloc(10)
    vram.force_layout([(50, 4), (60, 8)])
    assert vram.alloc(10) == [(60, 8), (50, 2)]
    vram.free(held)
    assert vram.free_nodes == [(1, 10), (52, 2)]


def test_page_zero_can_be_forced_to_be_free():
    vram = Vram(100)
    vram.force_layout([(0, 4)])
    assert vram.alloc(4) == [(0, 4)]


def test_recorded_nodes_can_be_free_or_taken():
    nodes = [(24, 512), (537, 2), (546, 1), (647, 64), (712, 600)]
    vram = Vram.from_nodes(nodes)
    assert (vram.free_nodes, vram.npages) == (nodes, 1313)
    vram.claim(nodes[:2])
    assert (vram.used_nodes, vram.free_nodes, vram.used_pages) == (nodes[:2], nodes[2:], 514)
    vram.free([(24, 512)])
    assert vram.free_nodes == [nodes[0], *nodes[2:]]


@pytest.mark.parametrize("node", [(24, 513), (23, 2), (536, 1), (600, 1), (30, 0)])
def test_only_what_is_free_can_be_claimed(node: tuple[int, int]):
    vram = Vram.from_nodes([(24, 512), (537, 2)])
    with pytest.raises(InputError, match="is not free"):
        vram.claim([node])
    assert vram.used_nodes == []
