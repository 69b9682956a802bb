import pytest
from hypothesis import given
from hypothesis import strategies as st

from svmlab.errors import InputError
from svmlab.hardware.vram import Vram
from svmlab.svm.process import Process
from svmlab.units import GIB, MIB, PAGE_SIZE
from svmlab.views.describe import describe
from svmlab.views.vram_map import vram_map
from svmlab.views.vram_state import Holder, Part, VramState, vram_state


def prefetched(machine="toy", vram=None, free=None, **sizes):
    """A process whose mappings of these sizes were all prefetched to gpu0."""
    p = Process(machine, vram=vram)
    if free:
        p.vram_layout(0, free)
    mappings = {name: p.mmap(size, name=name) for name, size in sizes.items()}
    for mapping in mappings.values():
        p.set_attr(mapping, access=["gpu0"], prefetch="gpu0")
        p.run()
    return p, mappings


def with_holes():
    """Four mappings; the second is gone, and the CPU brought two blocks of the last home."""
    p, maps = prefetched(vram="64 MiB", a="10 MiB", b="3 MiB", c="6 MiB", d="20 MiB")
    p.munmap(maps["b"])
    p.run()
    _ = maps["d"][0], maps["d"][5 * MIB]
    p.run()
    return p


def large():
    return prefetched("mi210-two-hives", weights="6 MiB", activations="64 MiB")[0]


def fragmented():
    return prefetched(vram="64 MiB", free=[(start, 700) for start in range(100, 16_000, 1000)], a="8 MiB")[0]


CASES = {
    "holes": (
        with_holes,
        "36 MiB of the 64 MiB of gpu0 are held: 20 MiB by d in 2 nodes (4 MiB without pages), 10 MiB by a in 2 nodes "
        "and 6 MiB by c in 2 nodes. 28 MiB are free in 3 gaps, the largest of 24 MiB; page 0 is reserved.",
    ),
    "large": (
        large,
        "70 MiB of the 64 GiB of gpu0 are held: 64 MiB by activations in 1 node and 6 MiB by weights in 2 nodes. "
        "63.93 GiB are free in 2 gaps, the largest of 63.93 GiB; page 0 is reserved.",
    ),
    "fragmented": (
        fragmented,
        "8 MiB of the 64 MiB of gpu0 are held: 8 MiB by a in 4 nodes. "
        "35.75 MiB are free in 20 gaps, the largest of 2.73 MiB.",
    ),
}


@pytest.fixture(scope="module")
def maps():
    return {name: vram_map(make()) for name, (make, _) in CASES.items()}


@pytest.mark.parametrize("name", CASES)
def test_a_known_vram_is_a_known_scene_and_told_in_these_words(name, maps, matches_golden):
    matches_golden(maps[name], f"vram-{name}")
    assert describe(maps[name]) == CASES[name][1]


def bars(scene, lane):
    return [bar for bar in scene.panels[0].bars if bar.lane == lane]


def test_the_lane_with_everything_covers_all_but_page_0_once(maps):
    for scene in maps.values():
        everything = bars(scene, "gpu0, all")
        assert everything[0].start in (0, PAGE_SIZE)
        assert [bar.start for bar in everything[1:]] == [bar.end for bar in everything[:-1]]
        assert everything[-1].end == scene.panels[0].axis.end


def test_the_nodes_of_a_holder_are_those_of_the_allocator(maps):
    p = with_holes()
    (buffer,) = (buffer for buffer in p.driver.system.buffers.values() if buffer.npages == 1536)
    drawn = [(bar.start // PAGE_SIZE, (bar.end - bar.start) // PAGE_SIZE) for bar in bars(maps["holes"], "c")]
    assert drawn == buffer.nodes
    assert [bar.label for bar in bars(maps["holes"], "c")] == ["4 MiB: pages 0-1023", "2 MiB: pages 1024-1535"]


def test_what_came_home_leaves_an_empty_part_in_its_node(maps):
    empty = [bar for bar in bars(maps["holes"], "d") if bar.style == "empty"]
    assert [bar.label for bar in empty] == ["2 MiB: pages 0-511", "2 MiB: pages 1024-1535"]


def test_of_64_gib_what_is_held_can_be_read_since_free_vram_is_cut_out(maps):
    (chart,) = maps["large"].panels
    assert chart.axis.end == 64 * GIB
    assert chart.axis.kept < 100 * MIB
    (piece,) = chart.axis.breaks
    assert all(bar.end <= piece[0] for bar in chart.bars if bar.style == "gpu0")


def test_an_idle_gpu_is_free_in_one_piece():
    scene = vram_map(Process("mi210-two-hives"), "gpu7")
    assert describe(scene) == "Nothing is held of the 64 GiB of gpu7. 64 GiB are free in one piece; page 0 is reserved."


def test_mappings_of_one_name_are_told_apart_by_their_pages_and_processes_by_their_names():
    p, _ = prefetched(a="1 MiB")
    b = p.mmap("2 MiB", name="b")
    for pages in (b.pages(0, 256), b.pages(256, 256)):
        p.set_attr(pages, access=["gpu0"], prefetch="gpu0")
    other = p.spawn("other")
    other.set_attr(other.mmap("1 MiB", name="c"), access=["gpu0"], prefetch="gpu0")
    assert [holder.name for holder in vram_state(p).holders] == ["a", "b 0-255", "b 256-511", "other: c"]


def test_who_holds_least_shares_a_lane_where_many_hold_something():
    p, _ = prefetched(vram="64 MiB", **{f"m{number:02}": f"{64 + number} KiB" for number in range(0, 64, 4)})
    scene = vram_map(p)
    names = [lane.name for lane in scene.panels[0].lanes]
    assert len(names) == 11
    assert names[-1] == "7 others"
    assert describe(scene).startswith(
        "1.47 MiB of the 64 MiB of gpu0 are held: 124 KiB by m60 in 1 node, 120 KiB by m56 in 1 node, "
        "116 KiB by m52 in 1 node and 1.12 MiB by others."
    )


def test_pieces_that_crowd_are_drawn_as_one_bar_that_counts_them():
    p, _ = prefetched(vram="64 MiB", free=[(start, 40) for start in range(100, 16_000, 100)], a="8 MiB")
    crowd, *rest = bars(vram_map(p), "gpu0, all")
    assert (crowd.style, crowd.get("held"), crowd.get("gaps")) == ("small", 2048, 108)
    assert len(rest) == 1
    assert describe(vram_map(p)).startswith("8 MiB of the 64 MiB of gpu0 are held: 8 MiB by a in 52 nodes.")


@given(st.lists(st.integers(1, 3000), max_size=12), st.sets(st.integers(0, 11)))
def test_what_is_drawn_adds_up_whatever_was_allocated_and_freed(sizes, freed):
    vram = Vram(16_384)
    nodes = [vram.alloc(size) for size in sizes if size <= vram.free_pages]
    kept = [held for number, held in enumerate(nodes) if number not in freed]
    for number in freed & set(range(len(nodes))):
        vram.free(nodes[number])
    holders = tuple(Holder(f"m{number}", tuple(held)) for number, held in enumerate(kept))
    scene = vram_map(VramState(0, vram.npages, holders, tuple(vram.free_nodes)))
    everything = bars(scene, "gpu0, all")
    assert sum(bar.get("held") for bar in everything) == sum(holder.npages for holder in holders)
    assert sum(bar.get("free") for bar in everything) == vram.free_pages
    assert sum(bar.get("gaps") for bar in everything) == len(vram.free_nodes)
    lanes = [bar for bar in scene.panels[0].bars if bar.lane != everything[0].lane]
    assert sum(bar.get("nodes") for bar in lanes) == sum(len(held) for held in kept)


def test_a_node_is_cut_where_it_begins_or_ceases_to_be_empty():
    holder = Holder("a", ((512, 512), (1, 8)), empty=((600, 100), (1, 8)))
    assert list(holder.parts()) == [
        Part(512, 88, 0),
        Part(600, 100, 88, empty=True),
        Part(700, 324, 188),
        Part(1, 8, 512, empty=True),
    ]


def test_what_is_no_vram_is_refused():
    for free in (((5, 10), (8, 2)), ((0, 101),), ((3, 0),)):
        with pytest.raises(InputError, match="do not overlap"):
            vram_map(VramState(0, 100, free=free))
    with pytest.raises(InputError, match="gpu9"):
        vram_map(Process("toy"), "gpu9")
    with pytest.raises(InputError, match="a Process or a VramState"):
        vram_map("toy")
