"""What set_attr stores: types, flags, defaults, order, duplicates, and what counts as a change."""

import pytest

from svmlab.mm import Span
from svmlab.svm.attributes import new_range
from svmlab.svm.behaviour_table import PRESETS
from svmlab.uapi import DEFAULT_FLAGS, SYSMEM, UNDEFINED, Attribute, Flag

PAGE = 0x1000
ALL = 0b111


def stored(range_):
    return (
        range_.preferred_loc,
        range_.prefetch_loc,
        range_.access,
        range_.in_place,
        range_.flags,
        range_.granularity,
    )


@pytest.mark.parametrize(
    ("behaviour", "xnack", "access"),
    [
        ("as-posted", False, 0),
        ("as-posted", True, 0),
        ("as-intended", False, 0),
        ("as-intended", True, ALL),
        ("upstream", False, 0),
        ("upstream", True, ALL),
    ],
)
def test_a_range_begins_with_the_defaults_of_the_mode(lab, behaviour, xnack, access):
    made = lab(behaviour, xnack)
    made.map(PAGE, PAGE)
    made.set(PAGE, PAGE)
    assert stored(made.at(PAGE)) == (UNDEFINED, UNDEFINED, access, 0, DEFAULT_FLAGS, 9)
    assert made.at(PAGE).actual_loc == SYSMEM


def test_the_mode_at_creation_decides_and_a_switch_leaves_ranges_alone(lab):
    made = lab("upstream", xnack=True)
    made.map(PAGE, PAGE + 1)
    made.set(PAGE, PAGE)
    made.process.set_xnack("off")
    made.set(PAGE + 1, PAGE + 1)
    assert [made.at(PAGE).access, made.at(PAGE + 1).access] == [ALL, 0]


@pytest.mark.parametrize("behaviour", PRESETS)
@pytest.mark.parametrize("xnack", [False, True])
def test_what_is_set_can_be_asked_for(lab, behaviour, xnack):
    made = lab(behaviour, xnack)
    made.map(PAGE, PAGE + 3)
    gpu0, gpu1, gpu2 = made.gpu_ids
    made.set(
        PAGE,
        PAGE + 3,
        prefetch="cpu",
        preferred="gpu1",
        set_flags=["gpu_exec", "hive_local"],
        clear_flags=["coherent"],
        access=["gpu0"],
        access_in_place=["gpu1"],
        no_access=["gpu2"],
        granularity=4,
    )
    names = ["PREFETCH_LOC", "PREFERRED_LOC", "SET_FLAGS", "GRANULARITY"]
    answer = made.get(PAGE, PAGE + 3, *((name, 0) for name in names), *(("ACCESS", gpu) for gpu in made.gpu_ids))
    flags = Flag.HOST_ACCESS | Flag.GPU_EXEC | Flag.HIVE_LOCAL
    assert answer == [
        (Attribute.PREFETCH_LOC, SYSMEM),
        (Attribute.PREFERRED_LOC, gpu1),
        (Attribute.SET_FLAGS, flags),
        (Attribute.GRANULARITY, 4),
        (Attribute.ACCESS, gpu0),
        (Attribute.ACCESS_IN_PLACE, gpu1),
        (Attribute.NO_ACCESS, gpu2),
    ]


@pytest.mark.parametrize("flag", list(Flag))
def test_each_flag_is_set_and_cleared_alone(lab, flag):
    made = lab("upstream")
    made.map(PAGE, PAGE)
    made.set(PAGE, PAGE, set_flags=[flag.name.lower()])
    assert made.at(PAGE).flags == DEFAULT_FLAGS | flag
    made.set(PAGE, PAGE, clear_flags=[flag.name.lower()])
    assert made.at(PAGE).flags == DEFAULT_FLAGS & ~flag


def test_unknown_flag_bits_are_kept(lab):
    made = lab("upstream")
    made.map(PAGE, PAGE)
    made.set(PAGE, PAGE, raw=[("SET_FLAGS", 0xABCD0000)])
    assert made.get(PAGE, PAGE, ("SET_FLAGS", 0), ("CLR_FLAGS", 0)) == [
        (Attribute.SET_FLAGS, 0xABCD0003),
        (Attribute.CLR_FLAGS, 0x5432FFFC),
    ]


ORDER = [
    ("the last value of a type wins", [("GRANULARITY", 3), ("GRANULARITY", 5)], {"granularity": 5}),
    ("set, then clear", [("SET_FLAGS", 0x10), ("CLR_FLAGS", 0x10)], {"flags": 0x3}),
    ("clear, then set", [("CLR_FLAGS", 0x3), ("SET_FLAGS", 0x1)], {"flags": 0x1}),
    ("set twice adds up", [("SET_FLAGS", 0x10), ("SET_FLAGS", 0x20)], {"flags": 0x33}),
    ("access, then none", [("ACCESS", "gpu0"), ("NO_ACCESS", "gpu0")], {"access": 0, "in_place": 0}),
    ("none, then access", [("NO_ACCESS", "gpu0"), ("ACCESS", "gpu0")], {"access": 0b1, "in_place": 0}),
    (
        "in place takes over from access",
        [("ACCESS", "gpu1"), ("ACCESS_IN_PLACE", "gpu1")],
        {"access": 0, "in_place": 2},
    ),
    (
        "access takes over from in place",
        [("ACCESS_IN_PLACE", "gpu1"), ("ACCESS", "gpu1")],
        {"access": 2, "in_place": 0},
    ),
    ("GPUs do not disturb each other", [("ACCESS", "gpu0"), ("ACCESS_IN_PLACE", "gpu2")], {"access": 1, "in_place": 4}),
    ("nothing set", [("SET_FLAGS", 0), ("CLR_FLAGS", 0)], {"flags": 0x3}),
]


@pytest.mark.parametrize("behaviour", PRESETS)
@pytest.mark.parametrize(("raw", "wanted"), [row[1:] for row in ORDER], ids=[row[0] for row in ORDER])
def test_attributes_are_applied_in_the_order_sent(lab, behaviour, raw, wanted):
    made = lab(behaviour)
    made.map(PAGE, PAGE)
    made.set(PAGE, PAGE, raw=raw)
    assert {name: getattr(made.at(PAGE), name) for name in wanted} == wanted


def test_one_request_sends_by_name_in_a_fixed_order(lab):
    made = lab()
    asked = {
        "granularity": 1,
        "access": ["gpu0"],
        "clear_flags": [],
        "preferred": "cpu",
        "prefetch": "cpu",
        "raw": [(6, 4)],
    }
    kinds = [Attribute(kind).name for kind, _ in made.raw(**asked)]
    assert kinds == ["PREFETCH_LOC", "PREFERRED_LOC", "CLR_FLAGS", "ACCESS", "GRANULARITY", "CLR_FLAGS"]


@pytest.mark.parametrize(
    ("behaviour", "given", "kept"),
    [
        ("as-posted", 63, 63),
        ("as-posted", 255, 255),
        ("as-posted", 0x109, 9),
        ("as-intended", 0x109, 63),
        ("upstream", 63, 63),
        ("upstream", 64, 63),
        ("upstream", 0xFFFFFFFF, 63),
    ],
)
def test_a_large_granularity_is_stored_as_the_driver_stores_it(lab, behaviour, given, kept):
    made = lab(behaviour)
    made.map(PAGE, PAGE)
    made.set(PAGE, PAGE, granularity=given)
    assert made.get(PAGE, PAGE, ("GRANULARITY", 0)) == [(Attribute.GRANULARITY, kept)]


@pytest.mark.parametrize("behaviour", PRESETS)
def test_a_prefetch_location_is_remembered_and_acts_again(lab, behaviour):
    made = lab(behaviour)
    made.map(PAGE, PAGE + 3)
    made.process.cpu_write(Span.of_pages(PAGE, PAGE + 3), 7)
    made.set(PAGE, PAGE + 3, access=["gpu0"], prefetch="gpu0")
    made.process.run()
    made.process.cpu_touch(Span.of_pages(PAGE, PAGE + 3))
    made.process.run()
    assert made.at(PAGE).actual_loc == SYSMEM
    made.forget()
    made.set(PAGE, PAGE + 3, granularity=2)
    assert made.fields("migrate_end", "target", "npages") == [(made.gpu_ids[0], 4)], "granularity alone brings it back"
    assert made.at(PAGE).prefetch_loc == made.gpu_ids[0], "a request without a prefetch keeps it"


# what the range has, what is asked for, whether that counts as the same: as posted, later
SAME = [
    ("prefetch to where it is", {"prefetch": "cpu"}, {"prefetch": "cpu"}, "no no"),
    ("a flag it has", {}, {"set_flags": ["coherent"]}, "no yes"),
    ("a flag it lacks", {}, {"set_flags": ["gpu_ro"]}, "no no"),
    ("one flag it has and one it lacks", {}, {"set_flags": ["coherent", "gpu_ro"]}, "no no"),
    ("clearing a flag it lacks", {}, {"clear_flags": ["gpu_ro"]}, "no yes"),
    ("clearing a flag it has", {}, {"clear_flags": ["coherent"]}, "no no"),
    ("its preferred location", {"preferred": "gpu1"}, {"preferred": "gpu1"}, "no yes"),
    ("another preferred location", {"preferred": "gpu1"}, {"preferred": "cpu"}, "no no"),
    ("its granularity", {}, {"granularity": 9}, "no yes"),
    ("another granularity", {}, {"granularity": 8}, "no no"),
    ("a granularity that is stored as 63", {"granularity": 63}, {"granularity": 200}, "no no"),
    ("access it has", {"access": ["gpu0"]}, {"access": ["gpu0"]}, "no yes"),
    ("access it has in place", {"access_in_place": ["gpu0"]}, {"access": ["gpu0"]}, "no no"),
    ("in place what it has in place", {"access_in_place": ["gpu0"]}, {"access_in_place": ["gpu0"]}, "no yes"),
    ("in place what it has as access", {"access": ["gpu0"]}, {"access_in_place": ["gpu0"]}, "no no"),
    ("no access where there is none", {}, {"no_access": ["gpu0"]}, "no yes"),
    ("no access where there is some", {"access_in_place": ["gpu0"]}, {"no_access": ["gpu0"]}, "no no"),
    ("nothing at all", {}, {}, "no yes"),
    # X30: the posting compares prefetch, flags and granularity with those of a zero-filled range
    (
        "X30: access changes, and all else is named and equal",
        {"prefetch": "cpu", "granularity": 9},
        {"prefetch": "cpu", "set_flags": ["host_access", "coherent"], "granularity": 9, "access": ["gpu0"]},
        "yes no",
    ),
    (
        "X30: an equal request that names one thing less",
        {"prefetch": "cpu", "granularity": 9},
        {"prefetch": "cpu", "set_flags": ["host_access", "coherent"]},
        "no no",
    ),
]


@pytest.mark.parametrize(("given", "asked", "answers"), [row[1:] for row in SAME], ids=[row[0] for row in SAME])
def test_what_counts_as_unchanged(lab, given, asked, answers):
    for behaviour, wanted in zip(PRESETS, (answers.split()[0], *answers.split()[1:] * 2), strict=True):
        made = lab(behaviour)
        range_ = new_range(made.driver, PAGE, PAGE)
        made.give(range_, **given)
        same = made.driver.behaviour.compare_attributes(made.driver, range_, made.raw(**asked))
        assert same == (wanted == "yes"), behaviour


def test_x30_as_posted_a_change_of_access_is_dropped_without_an_error(lab):
    asked = {"prefetch": "cpu", "set_flags": ["host_access", "coherent"], "granularity": 9}
    kept = {}
    for behaviour in PRESETS:
        made = lab(behaviour)
        made.map(PAGE, PAGE)
        made.set(PAGE, PAGE, **asked)
        made.set(PAGE, PAGE, **asked, access=["gpu0"])
        kept[behaviour] = made.at(PAGE).access
    assert kept == {"as-posted": 0, "as-intended": 1, "upstream": 1}
