"""What set_attr does to the ranges it overlaps: which are cut, which are made, and in which order."""

import pytest

from svmlab.svm.behaviour_table import PRESETS

BASE = 0x1000
SAME_AS_POSTED = {"prefetch": "cpu", "set_flags": ["host_access", "coherent"], "granularity": 9}
"""A request that the posting takes for no change of a range with these attributes (X30)."""

# One range, pages 20 to 29. For each of Allen's 13 relations of the request to it: the request; the ranges that are
# registered, in that order; the ranges that take the attributes, in that order; the leftovers, which keep theirs.
ALLEN = [
    ("before", (5, 12), [(5, 12)], [(5, 12)], []),
    ("meets", (12, 19), [(12, 19)], [(12, 19)], []),
    ("overlaps", (15, 24), [(15, 19), (25, 29), (20, 24)], [(15, 19), (20, 24)], [(25, 29)]),
    ("starts", (20, 24), [(25, 29), (20, 24)], [(20, 24)], [(25, 29)]),
    ("during", (23, 26), [(27, 29), (20, 22), (23, 26)], [(23, 26)], [(20, 22), (27, 29)]),
    ("finishes", (25, 29), [(20, 24), (25, 29)], [(25, 29)], [(20, 24)]),
    ("equals", (20, 29), [], [(20, 29)], []),
    ("contains", (15, 34), [(30, 34), (15, 19)], [(30, 34), (15, 19), (20, 29)], []),
    ("is started by", (20, 34), [(30, 34)], [(30, 34), (20, 29)], []),
    ("is finished by", (15, 29), [(15, 19)], [(15, 19), (20, 29)], []),
    ("is overlapped by", (25, 34), [(30, 34), (20, 24), (25, 29)], [(30, 34), (25, 29)], [(20, 24)]),
    ("is met by", (30, 37), [(30, 37)], [(30, 37)], []),
    ("after", (32, 40), [(32, 40)], [(32, 40)], []),
]
NODE = (20, 29)
relations = pytest.mark.parametrize("relation", ALLEN, ids=[row[0] for row in ALLEN])


def at(*spans):
    return [(BASE + start, BASE + last) for start, last in spans]


def one_range(lab, behaviour, xnack=False, **asked):
    """Fifty mapped pages, of which 20 to 29 are registered and mapped to gpu0."""
    made = lab(behaviour, xnack)
    made.map(BASE, BASE + 49)
    made.set(*at(NODE)[0], **(asked or {"access": ["gpu0"]}))
    made.process.run()
    made.forget()
    return made


@pytest.mark.parametrize("behaviour", PRESETS)
@pytest.mark.parametrize("xnack", [False, True])
@relations
def test_a_request_that_changes_something(lab, behaviour, xnack, relation):
    _, span, inserted, updated, kept = relation
    made = one_range(lab, behaviour, xnack)
    made.set(*at(span)[0], set_flags=["gpu_exec"])
    untouched = NODE not in updated and not kept
    assert made.pages("range_add") == at(*inserted)
    assert made.pages("attributes") == at(*updated)
    assert made.pages("range_remove") == (at(NODE) if kept else [])
    assert made.ranges == at(*sorted({*updated, *kept, *([NODE] if untouched else [])}))
    assert {page for page in range(50) if flag_of(made, page)} == {
        page for start, last in updated for page in range(start, last + 1)
    }
    assert made.sound() == []


def flag_of(made, page):
    range_ = made.driver.svms.at(BASE + page)
    return range_ is not None and range_.flags & 0x10


@pytest.mark.parametrize("behaviour", ["as-intended", "upstream"])
@relations
def test_a_request_that_changes_nothing_of_a_mapped_range_leaves_it_whole(lab, behaviour, relation):
    _, span, _, updated, _ = relation
    made = one_range(lab, behaviour)
    made.set(*at(span)[0], access=["gpu0"])
    fresh = [each for each in updated if each[0] > NODE[1] or each[1] < NODE[0]]
    assert made.pages("range_add") == at(*fresh), "only where nothing was registered"
    assert made.pages("attributes") == at(*fresh)
    assert made.ranges == at(*sorted([NODE, *fresh]))


@pytest.mark.parametrize("behaviour", ["as-intended", "upstream"])
def test_an_unchanged_range_that_is_not_mapped_is_cut_all_the_same(lab, behaviour):
    made = one_range(lab, behaviour, granularity=9)
    made.set(*at((23, 26))[0], granularity=9)
    assert made.ranges == at((20, 22), (23, 26), (27, 29))


@relations
def test_the_posting_cuts_even_what_it_takes_for_unchanged(lab, relation):
    _, span, inserted, updated, _ = relation
    made = one_range(lab, "as-posted", **SAME_AS_POSTED)
    made.set(*at(span)[0], **SAME_AS_POSTED)
    fresh = [each for each in updated if each[0] > NODE[1] or each[1] < NODE[0]]
    assert made.pages("range_add") == at(*inserted)
    assert made.pages("attributes") == at(*fresh)


@pytest.mark.parametrize("behaviour", PRESETS)
@pytest.mark.parametrize("xnack", [False, True])
def test_the_worked_example_of_the_posting(lab, behaviour, xnack):
    """Two ranges, A = 100..199 and B = 300..399; a request on 150..349."""
    made = lab(behaviour, xnack)
    made.register((BASE + 100, BASE + 199), (BASE + 300, BASE + 399), access_in_place=["gpu0"])
    made.map(BASE + 200, BASE + 299)
    made.set(BASE + 150, BASE + 349, set_flags=["gpu_exec"])
    g, t, b, h, a = at((200, 299), (350, 399), (300, 349), (100, 149), (150, 199))
    assert made.pages("range_add") == [g, t, b, h, a]
    assert made.pages("range_remove") == at((300, 399), (100, 199))
    assert made.pages("attributes") == [g, b, a]
    assert made.pages("map_to_gpu") == [b, a], (
        "nobody has access to the new range; what was cut off is not mapped again"
    )
    assert made.order == [g, t, b, h, a]
    assert made.sound() == []


def test_a_new_range_between_two_is_mapped_after_those_behind_it(lab):
    """The example of spec/ranges.md: a request around a range."""
    made = lab("upstream")
    made.map(BASE, BASE + 49)
    made.set(*at((10, 19))[0], access=["gpu0"])
    made.process.run()
    made.forget()
    made.set(*at((0, 29))[0], access=["gpu0"], set_flags=["gpu_exec"])
    assert made.pages("map_to_gpu") == at((20, 29), (0, 9), (10, 19))


@pytest.mark.parametrize(
    ("behaviour", "order"),
    [
        ("as-posted", [(30, 39), (45, 49), (40, 44), (15, 19)]),
        ("as-intended", [(30, 39), (45, 49), (40, 44), (15, 19)]),
        ("upstream", [(30, 39), (15, 19), (45, 49), (40, 44)]),
    ],
)
def test_later_drivers_register_new_ranges_before_the_pieces_of_old_ones(lab, behaviour, order):
    made = lab(behaviour)
    made.map(BASE, BASE + 49)
    for span in ((20, 29), (40, 49)):
        made.set(*at(span)[0], access=["gpu0"])
    made.process.run()
    made.forget()
    made.set(*at((15, 44))[0], access=["gpu0", "gpu1"])
    assert made.pages("range_add") == at(*order)
    assert made.order == at((20, 29), *order), "which is the order of a restore"


@pytest.mark.parametrize("behaviour", PRESETS)
def test_ranges_are_never_merged(lab, behaviour):
    made = lab(behaviour)
    made.map(BASE, BASE + 49)
    for span in ((0, 9), (10, 19), (20, 29)):
        made.set(*at(span)[0], access=["gpu0"])
    made.set(*at((0, 29))[0], access=["gpu0"], granularity=3)
    made.set(*at((5, 24))[0], prefetch="cpu")
    made.set(*at((0, 29))[0], prefetch="cpu")
    made.process.run()
    assert made.ranges == at((0, 4), (5, 9), (10, 19), (20, 24), (25, 29))


@pytest.mark.parametrize("behaviour", PRESETS)
def test_a_request_without_attributes_registers_the_gaps_and_changes_nothing_else(lab, behaviour):
    made = lab(behaviour)
    made.register((BASE + 20, BASE + 29), access_in_place=["gpu1"], granularity=4, prefetch="cpu")
    made.map(BASE, BASE + 19)
    made.set(BASE, BASE + 29)
    assert made.ranges == at((0, 19), (20, 29))
    assert [(each.granularity, each.in_place) for each in made.driver.svms] == [(9, 0), (4, 0b10)]


LARGEST = 512  # pages: 1/32 of 64 MiB is 2 MiB


@pytest.mark.parametrize(
    ("behaviour", "pieces"),
    [
        ("as-posted", [(3, 1029)]),
        ("as-intended", [(3, 1029)]),
        ("upstream", [(1024, 1029), (512, 1023), (3, 511)]),
    ],
)
def test_a_new_range_is_cut_at_multiples_of_the_largest_range(lab, behaviour, pieces):
    made = lab(behaviour, vram="64 MiB")
    assert made.process.machine.max_range_pages == LARGEST
    start = 0x10000
    made.map(start, start + 1029)
    made.set(start + 3, start + 1029, access=["gpu0"])
    assert [(first - start, last - start) for first, last in made.pages("range_add")] == pieces
    assert made.pages("attributes") == made.pages("range_add")


def test_the_gaps_beside_a_range_are_cut_too(lab):
    made = lab("upstream", vram="64 MiB")
    start = 0x10000
    made.map(start, start + 2047)
    made.set(start + 700, start + 800, access=["gpu0"])
    made.process.run()
    made.set(start + 400, start + 1100, set_flags=["gpu_exec"])
    assert [(first - start, last - start) for first, last in made.ranges] == [
        (400, 511),
        (512, 699),
        (700, 800),
        (801, 1023),
        (1024, 1100),
    ]


def test_an_existing_range_is_not_cut_when_the_limit_would_have(lab):
    made = lab({"base": "upstream", "range_limit": "unlimited"}, vram="64 MiB")
    made.map(0x10000, 0x10000 + 2047)
    made.set(0x10000, 0x10000 + 2047, access=["gpu0"])
    made.set(0x10000, 0x10000 + 2047, set_flags=["gpu_exec"])
    assert made.ranges == [(0x10000, 0x10000 + 2047)]


# cuts through a range of 2048 pages from a multiple of 512 on, granularity 9 but where told: is a leftover mapped again
REMAP = [
    ("between two blocks", (512, 1023), 9, {"huge-pages": [], "unaligned": []}),
    ("inside blocks", (600, 1100), 9, {"huge-pages": [(1101, 2047), (0, 599)], "unaligned": [(1101, 2047), (0, 599)]}),
    ("front inside a block", (600, 1023), 9, {"huge-pages": [(0, 599)], "unaligned": [(0, 599)]}),
    ("back inside a block", (512, 1100), 9, {"huge-pages": [(1101, 2047)], "unaligned": [(1101, 2047)]}),
    ("small granularity", (600, 1103), 3, {"huge-pages": [(1104, 2047), (0, 599)], "unaligned": []}),
    ("large granularity", (512, 1023), 11, {"huge-pages": [], "unaligned": [(1024, 2047), (0, 511)]}),
]


@pytest.mark.parametrize("xnack", [False, True])
@pytest.mark.parametrize(("span", "granularity", "again"), [row[1:] for row in REMAP], ids=[row[0] for row in REMAP])
def test_what_a_cut_leaves_is_mapped_again_where_a_huge_page_may_be_cut(lab, span, granularity, again, xnack):
    for option, wanted in {**again, "no": []}.items():
        made = lab({"base": "upstream", "remap_leftovers": option}, xnack)
        made.map(BASE, BASE + 2047)
        made.set(BASE, BASE + 2047, access_in_place=["gpu0"], granularity=granularity)
        made.process.run()
        made.forget()
        made.set(*at(span)[0], set_flags=["gpu_exec"])
        assert made.pages("map_to_gpu") == at(span, *wanted), option


def test_a_range_without_a_whole_block_has_no_huge_page_to_cut(lab):
    made = lab("upstream")
    made.map(BASE + 1, BASE + 1022)
    made.set(BASE + 1, BASE + 1022, access=["gpu0"])
    made.process.run()
    made.forget()
    made.set(BASE + 100, BASE + 200, set_flags=["gpu_exec"])
    made.set(BASE + 600, BASE + 700, set_flags=["gpu_exec"])
    assert made.pages("map_to_gpu") == at((100, 200), (600, 700))


def test_with_xnack_off_a_remap_makes_the_call_map_what_did_not_move(lab):
    """The granularity alone needs no mapping; that a leftover is mapped again makes the whole call map."""
    mapped = {}
    for xnack in (False, True):
        made = lab("upstream", xnack)
        made.map(BASE, BASE + 2047)
        made.set(BASE, BASE + 2047, access_in_place=["gpu0"])
        made.process.run()
        made.forget()
        made.set(BASE + 600, BASE + 1023, granularity=4)
        mapped[xnack] = made.pages("map_to_gpu")
    assert mapped == {False: at((600, 1023), (0, 599)), True: at((0, 599))}
