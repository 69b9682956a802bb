"""What a piece that is cut off a range takes along, what a clone takes along, and what the posting forgets."""

import numpy as np
import pytest

from svmlab.errors import DriverError
from svmlab.mm import Span
from svmlab.svm import buffers
from svmlab.svm.behaviour_table import PRESETS
from svmlab.svm.ranges import NEVER, DeferredOp
from svmlab.svm.split import clone, cut_back, cut_front

BASE = 0x2000
LAST = BASE + 99


def rich(lab, behaviour):
    """A range of a hundred pages in RAM in which every field differs from the default."""
    made = lab(behaviour)
    (range_,) = made.register(
        (BASE, LAST),
        access=["gpu0"],
        access_in_place=["gpu1"],
        preferred="gpu1",
        prefetch="cpu",
        set_flags=["gpu_exec"],
        granularity=5,
    )
    range_.invalid, range_.needs_unmap, range_.sequence, range_.op = 3, 0b1, 7, DeferredOp.UPDATE_RANGE_NOTIFIER
    return made, range_


CUTS = {
    "clone": clone,
    "front": lambda driver, range_: cut_front(driver, range_, BASE + 30),
    "back": lambda driver, range_: cut_back(driver, range_, BASE + 30),
}
INHERITED = {
    "flags": 0x13,
    "preferred_loc": 102,
    "prefetch_loc": 0,
    "actual_loc": 0,
    "granularity": 5,
    "access": 0b1,
    "in_place": 0b10,
    "mapped": 0b11,
    "mapping_done": True,
}
FRESH = {
    "needs_unmap": 0,
    "validated_ns": NEVER,
    "sequence": 0,
    "op": DeferredOp.NULL,
    "queued": False,
    "notifier": None,
    "node_start": -1,
    "node_last": -1,
    "buffer": None,
    "has_vram": False,
    "vram_pages": 0,
    "offset": 0,
}
PENDING = {"lost": 0, "survives": 3}


@pytest.mark.parametrize("behaviour", PRESETS)
@pytest.mark.parametrize("pending", PENDING)
@pytest.mark.parametrize("cut", CUTS)
def test_a_piece_takes_attributes_and_mapping_state_along_and_nothing_else(lab, behaviour, pending, cut):
    made, range_ = rich(lab, {"base": behaviour, "split_state": pending})
    piece = CUTS[cut](made.driver, range_)
    wanted = {**INHERITED, **FRESH, "invalid": PENDING[pending]}
    if behaviour == "as-posted":
        del wanted["mapping_done"], wanted["validated_ns"]
    assert {name: getattr(piece, name) for name in wanted} == wanted
    assert tuple(piece.children) == ()
    kept = {**INHERITED, "invalid": 3, "needs_unmap": 0b1}
    assert {name: getattr(range_, name) for name in kept} == kept, "the range that was cut is what it was"


@pytest.mark.parametrize(
    ("cut", "piece", "kept"),
    [
        ("clone", (BASE, LAST), (BASE, LAST)),
        ("front", (BASE, BASE + 29), (BASE + 30, LAST)),
        ("back", (BASE + 30, LAST), (BASE, BASE + 29)),
    ],
)
def test_a_cut_takes_one_piece_off_the_front_or_the_back(lab, cut, piece, kept):
    made, range_ = rich(lab, "upstream")
    made.forget()
    new = CUTS[cut](made.driver, range_)
    assert ((new.start, new.last), (range_.start, range_.last)) == (piece, kept)
    assert made.pages("range_split") == ([] if cut == "clone" else [piece])
    assert made.ranges == [kept], "the map still holds the old object alone"


@pytest.mark.parametrize("page", [BASE - 5, BASE, LAST + 1, LAST + 7])
def test_a_cut_that_leaves_nothing_or_takes_nothing_is_refused(lab, page):
    made, range_ = rich(lab, "upstream")
    for cut in (cut_front, cut_back):
        with pytest.raises(DriverError, match="EINVAL"):
            cut(made.driver, range_, page)
    assert (range_.start, range_.last) == (BASE, LAST)


def in_vram(lab, behaviour, npages=100, home=()):
    """A range in VRAM of gpu0; ``home`` is where the CPU touched it afterwards."""
    made = lab(behaviour)
    made.map(BASE, BASE + npages - 1)
    span = Span.of_pages(BASE, BASE + npages - 1)
    made.process.cpu_write(span, np.arange(npages).repeat(512))
    made.set(BASE, BASE + npages - 1, access=["gpu0"], prefetch="gpu0", granularity=3)
    made.process.run()
    for page in home:
        made.process.cpu_touch(Span.of_pages(BASE + page, BASE + page))
    made.process.run()
    made.forget()
    return made


def shares(range_):
    return range_.offset, range_.vram_pages, range_.has_vram, range_.actual_loc


@pytest.mark.parametrize("behaviour", PRESETS)
def test_pieces_of_a_range_in_vram_share_its_buffer_at_their_own_places(lab, behaviour):
    made = in_vram(lab, behaviour)
    buffer, gpu0 = made.at(BASE).buffer, made.gpu_ids[0]
    before = buffer.references
    made.set(BASE + 20, BASE + 49, preferred="cpu")
    assert made.ranges == [(BASE, BASE + 19), (BASE + 20, BASE + 49), (BASE + 50, LAST)]
    assert [shares(each) for each in made.driver.svms] == [
        (0, 20, True, gpu0),
        (20, 30, True, gpu0),
        (50, 50, True, gpu0),
    ]
    assert [each.buffer for each in made.driver.svms] == [buffer] * 3
    assert buffer.references == before + 2, "three ranges hold it where there was one; the clone took over"
    assert sorted(each.start for each in buffer.ranges) == [BASE, BASE + 20, BASE + 50]
    # a cut of a piece counts from the piece's own place
    made.set(BASE + 60, LAST, preferred="gpu1")
    assert [each.offset for each in made.driver.svms] == [0, 20, 50, 60]
    assert buffer.references == before + 3
    # X23: the posting takes the offset, in pages, for bytes, and maps the start of the buffer to every piece
    assert bool(made.sound()) == (behaviour == "as-posted")


def test_the_pages_in_vram_are_counted_anew_for_each_piece(lab):
    made = in_vram(lab, "upstream", home=[0, 40, 96])
    range_ = made.at(BASE)
    assert range_.vram_pages == 100 - 8 - 8 - 4
    tail = cut_back(made.driver, range_, BASE + 96)
    head = cut_front(made.driver, range_, BASE + 44)
    parts = (head, range_, tail)
    assert [(each.npages, each.vram_pages) for each in parts] == [(44, 44 - 8 - 4), (52, 52 - 4), (4, 0)]
    assert [each.actual_loc for each in parts] == [made.gpu_ids[0]] * 3, "the record is taken along, true or not"


@pytest.mark.parametrize("behaviour", ["as-intended", "upstream"])
@pytest.mark.parametrize("home", [[], [0], range(0, 100, 8)], ids=["all in VRAM", "one block home", "all home"])
def test_no_vram_is_left_behind_when_clones_replace_originals(lab, behaviour, home):
    made = in_vram(lab, behaviour, home=home)
    for start, last, asked in ((20, 49, "cpu"), (10, 59, "gpu1"), (0, 99, "cpu"), (70, 70, "gpu0")):
        made.set(BASE + start, BASE + last, preferred=asked)
        made.process.run()
        assert made.sound() == []
    made.process.munmap(Span.of_pages(BASE, LAST))
    made.process.run()
    assert (made.ranges, made.driver.system.buffers, made.process.look.vram_used(0)) == ([], {}, 0)


@pytest.mark.parametrize("behaviour", ["as-intended", "upstream"])
def test_a_request_that_fails_gives_back_what_its_clones_held(lab, behaviour):
    made = in_vram(lab, {"base": behaviour, "ram_limit": "reserve"})
    made.map(BASE + 200, BASE + 299)
    buffer, before = made.at(BASE).buffer, made.at(BASE).buffer.references
    made.driver.system.reserved_pages = made.driver.system.ram_limit_pages
    made.map(LAST + 1, BASE + 199)
    assert made.error(made.set, BASE + 50, BASE + 299, preferred="cpu") == "ENOMEM"
    assert (made.ranges, buffer.references, len(buffer.ranges)) == ([(BASE, LAST)], before, 1)


@pytest.mark.parametrize("behaviour", PRESETS)
def test_contents_survive_splits_in_vram(lab, behaviour):
    made = in_vram(lab, behaviour)
    made.set(BASE + 20, BASE + 49, set_flags=["gpu_exec"])
    made.set(BASE + 30, BASE + 79, set_flags=["hive_local"])
    made.process.run()
    content = made.process.look.content(Span.of_pages(BASE, LAST)).view(np.uint64).reshape(100, 512)
    assert np.array_equal(content[:, 0], np.arange(100))
    assert np.array_equal(content[:, 511], np.arange(100))


@pytest.mark.parametrize("behaviour", PRESETS)
@pytest.mark.parametrize("pending", PENDING)
def test_x26_a_piece_that_forgets_its_invalidation_is_never_restored(lab, behaviour, pending):
    """A page is discarded; before the restore, set_attr on another part cuts the range."""
    made = lab({"base": behaviour, "split_state": pending})
    made.register((BASE, LAST))
    made.process.cpu_write(Span.of_pages(BASE, LAST), 1)
    made.process.run()
    made.process.discard(Span.of_pages(BASE + 5, BASE + 5))
    assert made.at(BASE).invalid == 1
    made.set(BASE + 50, LAST, preferred="cpu")
    assert made.at(BASE).invalid == (pending == "survives")
    made.process.run()
    assert made.process.look.queues() == "running"
    mapped = made.process.look.mapped(Span.of_pages(BASE + 5, BASE + 5))[0][0]
    assert mapped == (pending == "survives"), "the GPU runs on, on an entry of a page that is gone"


def test_x25_as_posted_a_part_that_came_home_gives_back_a_reference_it_no_longer_holds(lab):
    used = {}
    for behaviour in PRESETS:
        made = in_vram(lab, behaviour)
        made.set(BASE + 50, LAST, preferred="cpu")
        made.process.run()
        made.set(BASE, BASE + 49, prefetch="cpu")
        made.process.run()
        assert made.at(BASE).actual_loc == 0
        made.process.munmap(Span.of_pages(BASE, BASE + 49))
        made.process.run()
        assert made.at(BASE + 50).actual_loc == made.gpu_ids[0]
        used[behaviour] = (made.process.look.vram_used(0) > 0, [each for each in made.sound() if "freed" in each] == [])
    assert used == {"as-posted": (False, False), "as-intended": (True, True), "upstream": (True, True)}


def test_x27_as_posted_dma_mappings_go_with_the_original(lab):
    made = lab("as-posted")
    made.register((BASE, LAST), access=["gpu0", "gpu1"])
    made.set(BASE + 50, LAST, set_flags=["gpu_exec"])
    assert made.log("attributes", "dma_unmap", "range_remove", "map_to_gpu") == [
        ("attributes", BASE + 50, LAST),
        ("dma_unmap", BASE, LAST),
        ("range_remove", BASE, LAST),
        ("map_to_gpu", BASE + 50, LAST),
        ("map_to_gpu", BASE + 50, LAST),
    ]
    assert made.at(BASE).mapped == 0b11, "the head is mapped through what is gone"
    assert made.at(BASE).dma == {}


class TestX28:
    """A range that has neither pages nor VRAM, because its first validation failed."""

    def register(self, lab, behaviour):
        made = lab(behaviour)
        made.map(BASE, LAST)
        made.process.inject("hmm_fault")
        assert made.error(made.set, BASE, LAST, access=["gpu0"]) == "EFAULT"
        assert made.ranges == [(BASE, LAST)], "attributes and range stay although the call failed"
        made.forget()
        return made

    @pytest.mark.parametrize(
        ("behaviour", "answer"), [("as-posted", "EINVAL"), ("as-intended", None), ("upstream", None)]
    )
    def test_set_attr_on_a_part_of_it(self, lab, behaviour, answer):
        made = self.register(lab, behaviour)
        before = made.at(BASE)
        assert made.error(made.set, BASE + 50, LAST, granularity=3) == answer
        if answer:
            assert (made.ranges, made.at(BASE) is before, before.granularity) == ([(BASE, LAST)], True, 9)
            assert made.log("range_add", "attributes", "range_remove") == []
        else:
            assert made.ranges == [(BASE, BASE + 49), (BASE + 50, LAST)]

    @pytest.mark.parametrize(
        ("behaviour", "answer"), [("as-posted", "SIGSEGV"), ("as-intended", None), ("upstream", None)]
    )
    def test_munmap_of_a_part_of_it(self, lab, behaviour, answer):
        made = self.register(lab, behaviour)
        assert made.error(made.process.munmap, Span.of_pages(BASE + 50, LAST)) == answer, "the posting oopses"
        if not answer:
            made.process.run()
            assert made.ranges == [(BASE, BASE + 49)]


def test_as_posted_the_page_array_is_divided(lab):
    made = lab("as-posted")
    (range_,) = made.register((BASE, LAST), access=["gpu0"])
    frames = range_.page_array.copy()
    tail = cut_back(made.driver, range_, BASE + 60)
    head = cut_front(made.driver, range_, BASE + 10)
    assert np.array_equal(np.concatenate([head.page_array, range_.page_array, tail.page_array]), frames)
    assert np.array_equal(np.concatenate([head.dma[0], range_.dma[0], tail.dma[0]]), frames)
    assert [len(each.page_array) for each in (head, range_, tail)] == [10, 50, 40]


def test_a_range_that_counts_as_in_ram_shares_no_buffer(lab):
    """Allocated and not used yet: the kernel divides buffers of ranges in VRAM only."""
    made = lab("upstream")
    (range_,) = made.register((BASE, LAST))
    for _ in buffers.attach(made.driver, range_, 0):
        pass
    piece = cut_back(made.driver, range_, BASE + 50)
    assert (range_.has_vram, range_.offset, piece.buffer, piece.has_vram) == (True, 0, None, False)
