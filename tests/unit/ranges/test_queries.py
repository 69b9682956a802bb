"""What get_attr makes of several ranges."""

import pytest

from svmlab.mm import Span
from svmlab.svm.behaviour_table import PRESETS
from svmlab.svm.process import Process
from svmlab.uapi import SYSMEM, UNDEFINED, Attribute

A, B, C = 0x1000, 0x1004, 0x1008
"""Three ranges of four pages in a row."""
NEWER = PRESETS[1:]


def three(lab, behaviour="upstream", xnack=False, **asked):
    """Ranges A, B, C over twelve pages; ``asked`` gives each its attributes."""
    made = lab(behaviour, xnack)
    made.map(A, C + 3)
    for name, start in (("a", A), ("b", B), ("c", C)):
        if name in asked:
            made.set(start, start + 3, **asked[name])
    return made


LOCATIONS = [
    ("one range", {"a": {"preferred": "gpu0"}}, "gpu0"),
    ("all agree", {name: {"preferred": "gpu1"} for name in "abc"}, "gpu1"),
    ("the CPU is a location", {name: {"preferred": "cpu"} for name in "abc"}, "cpu"),
    ("one differs", {"a": {"preferred": "gpu1"}, "b": {"preferred": "gpu1"}, "c": {"preferred": "gpu0"}}, "undefined"),
    ("one differs and comes first", {"a": {"preferred": "cpu"}, "b": {"preferred": "gpu1"}}, "undefined"),
    ("one is undefined", {"a": {"preferred": "gpu1"}, "b": {}, "c": {"preferred": "gpu1"}}, "undefined"),
    ("the first is undefined", {"a": {}, "b": {"preferred": "gpu1"}}, "undefined"),
    ("two agree around a gap", {"a": {"preferred": "gpu1"}, "c": {"preferred": "gpu1"}}, "gpu1"),
]


@pytest.mark.parametrize("behaviour", PRESETS)
@pytest.mark.parametrize(("asked", "wanted"), [row[1:] for row in LOCATIONS], ids=[row[0] for row in LOCATIONS])
def test_a_location_is_the_common_one_or_undefined(lab, behaviour, asked, wanted):
    made = three(lab, behaviour, **asked)
    location = made.process.machine.location(wanted)
    assert made.get(A, C + 3, ("PREFERRED_LOC", 0)) == [(Attribute.PREFERRED_LOC, location)]


def test_a_prefetch_location_is_what_was_asked_for_not_where_the_data_is(lab):
    made = three(lab, a={"access": ["gpu0", "gpu2"], "prefetch": "gpu0"}, b={"prefetch": "gpu1"})
    assert made.get(A, A + 3, ("PREFETCH_LOC", 0)) == [(Attribute.PREFETCH_LOC, made.gpu_ids[0])]
    assert made.at(A).actual_loc == SYSMEM, "an accessor is outside the hive"
    assert made.get(A, B, ("PREFETCH_LOC", 0)) == [(Attribute.PREFETCH_LOC, UNDEFINED)]


@pytest.mark.parametrize("behaviour", NEWER)
def test_flags_are_those_all_have_and_those_none_has(lab, behaviour):
    made = three(
        lab, behaviour, a={"set_flags": ["gpu_ro"]}, b={"clear_flags": ["coherent"]}, c={"set_flags": ["gpu_exec"]}
    )
    assert made.get(A, C + 3, ("SET_FLAGS", 0), ("CLR_FLAGS", 0)) == [
        (Attribute.SET_FLAGS, 0x1),
        (Attribute.CLR_FLAGS, 0xFFFFFFFF & ~0x1B),
    ]


@pytest.mark.parametrize("behaviour", PRESETS)
def test_granularity_is_the_least(lab, behaviour):
    made = three(lab, behaviour, a={"granularity": 12}, b={"granularity": 3}, c={"granularity": 5})
    assert made.get(A, C + 3, ("GRANULARITY", 0)) == [(Attribute.GRANULARITY, 3)]
    assert made.get(C, C + 3, ("GRANULARITY", 0)) == [(Attribute.GRANULARITY, 5)]


ACCESS = [
    ("all ACCESS", ["access"] * 3, Attribute.ACCESS),
    ("all in place", ["access_in_place"] * 3, Attribute.ACCESS_IN_PLACE),
    ("none", ["no_access"] * 3, Attribute.NO_ACCESS),
    ("one lacks it", ["access", "no_access", "access"], Attribute.NO_ACCESS),
    ("a mix of ACCESS and in place is no access", ["access", "access_in_place", "access"], Attribute.NO_ACCESS),
]


@pytest.mark.parametrize("behaviour", PRESETS)
@pytest.mark.parametrize("xnack", [False, True])
@pytest.mark.parametrize(("kinds", "wanted"), [row[1:] for row in ACCESS], ids=[row[0] for row in ACCESS])
def test_access_is_what_all_ranges_grant_and_the_type_tells_it(lab, behaviour, xnack, kinds, wanted):
    made = three(lab, behaviour, xnack, **{name: {kind: ["gpu1"]} for name, kind in zip("abc", kinds, strict=True)})
    assert made.get(A, C + 3, ("ACCESS", "gpu1")) == [(wanted, made.gpu_ids[1])]


def test_several_gpus_are_asked_about_in_one_call(lab):
    made = three(lab, a={"access": ["gpu0", "gpu1"]}, b={"access": ["gpu0"], "access_in_place": ["gpu1"]})
    answer = made.get(A, B + 3, ("ACCESS", "gpu2"), ("ACCESS", "gpu0"), ("ACCESS", "gpu1"), ("ACCESS", "gpu0"))
    gpu0, gpu1, gpu2 = made.gpu_ids
    assert answer == [
        (Attribute.NO_ACCESS, gpu2),
        (Attribute.ACCESS, gpu0),
        (Attribute.NO_ACCESS, gpu1),
        (Attribute.ACCESS, gpu0),
    ]


DEFAULTS = [
    ("as-posted", False, Attribute.NO_ACCESS),
    ("as-posted", True, Attribute.NO_ACCESS),
    ("as-intended", False, Attribute.NO_ACCESS),
    ("as-intended", True, Attribute.ACCESS),
    ("upstream", False, Attribute.NO_ACCESS),
    ("upstream", True, Attribute.ACCESS),
]


@pytest.mark.parametrize(("behaviour", "xnack", "access"), DEFAULTS)
def test_where_nothing_is_registered_the_answer_is_the_defaults(lab, behaviour, xnack, access):
    made = three(lab, behaviour, xnack)
    asked = [("PREFERRED_LOC", 0), ("PREFETCH_LOC", 0), ("SET_FLAGS", 0), ("GRANULARITY", 0), ("ACCESS", "gpu2")]
    assert made.get(A, C + 3, *asked) == [
        (Attribute.PREFERRED_LOC, UNDEFINED),
        (Attribute.PREFETCH_LOC, UNDEFINED),
        (Attribute.SET_FLAGS, 0x3),
        (Attribute.GRANULARITY, 9),
        (access, made.gpu_ids[2]),
    ]
    assert made.ranges == [], "asking registers nothing"


@pytest.mark.parametrize("behaviour", NEWER)
def test_flags_that_no_default_has_read_as_clear(lab, behaviour):
    made = three(lab, behaviour)
    assert made.get(A, C, ("CLR_FLAGS", 0)) == [(Attribute.CLR_FLAGS, 0xFFFFFFFC)]


@pytest.mark.parametrize("behaviour", PRESETS)
def test_gaps_do_not_count_once_a_range_overlaps(lab, behaviour):
    made = three(lab, behaviour, xnack=True, b={"no_access": ["gpu0"], "granularity": 12, "set_flags": ["gpu_ro"]})
    answer = made.get(A, C + 3, ("GRANULARITY", 0), ("SET_FLAGS", 0), ("ACCESS", "gpu0"))
    assert answer == [(Attribute.GRANULARITY, 12), (Attribute.SET_FLAGS, 0xB), (Attribute.NO_ACCESS, made.gpu_ids[0])]


@pytest.mark.parametrize("behaviour", PRESETS)
def test_the_answers_keep_the_order_of_the_question(lab, behaviour):
    made = three(lab, behaviour, a={"granularity": 2})
    kinds = ["GRANULARITY", "SET_FLAGS", "GRANULARITY", "PREFETCH_LOC"]
    assert [kind for kind, _ in made.get(A, A, *((kind, 99) for kind in kinds))] == [Attribute[kind] for kind in kinds]


def test_only_later_drivers_wait_for_pending_work(lab):
    """The posting looks at once, and may find a range whose memory was unmapped already."""
    found = {}
    for behaviour in PRESETS:
        made = lab(behaviour)
        made.map(A, A + 3)
        world, pending = made.driver.world, made.driver.world.event()

        def work(pending=pending):
            yield pending

        made.driver.deferred_worker = world.spawn("deferred worker", work(), pid=made.driver.pid)
        call = made.process.start.get_attr(Span.of_pages(A, A), [("GRANULARITY", 0)])
        made.process.advance("1 ms")
        early = call.done
        pending.succeed()
        made.process.run()
        found[behaviour] = (early, call.done)
    assert found == {"as-posted": (True, True), "as-intended": (False, True), "upstream": (False, True)}


def test_all_attributes_are_asked_for_by_name_in_one_call():
    p = Process("toy")
    a = p.mmap("8 KiB")
    p.set_attr(a, preferred="gpu1", access=["gpu0"], access_in_place=["gpu1"], set_flags=["gpu_ro"], granularity=4)
    assert p.attributes(a) == {
        "prefetch": "undefined",
        "preferred": "gpu1",
        "set_flags": ["host_access", "coherent", "gpu_ro"],
        "granularity": 4,
        "access": ["gpu0"],
        "access_in_place": ["gpu1"],
    }


def test_attributes_of_several_ranges_are_what_they_have_in_common():
    p = Process("toy")
    a = p.mmap("8 KiB")
    p.set_attr(a.pages(0), preferred="gpu0", access=["gpu0", "gpu1"], granularity=3)
    p.set_attr(a.pages(1), preferred="gpu1", access=["gpu1"])
    found = p.attributes(a)
    assert (found["preferred"], found["access"], found["granularity"]) == ("undefined", ["gpu1"], 3)
