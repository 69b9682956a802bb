"""The phase of set_attr behind the commit: what is unmapped, moved and mapped, by whom, and what an error does."""

import pytest

from svmlab.mm import Span
from svmlab.svm.behaviour_table import PRESETS

BASE = 0x1000
NEWER = PRESETS[1:]


def at(*spans):
    return [(BASE + start, BASE + last) for start, last in spans]


def mapped_range(lab, behaviour, xnack=False, **asked):
    """A hundred pages in RAM, written and mapped."""
    made = lab(behaviour, xnack)
    made.map(BASE, BASE + 99)
    made.process.cpu_write(Span.of_pages(BASE, BASE + 99), 1)
    made.set(BASE, BASE + 99, set_flags=["coherent"], **(asked or {"access_in_place": ["gpu0"]}))
    made.process.run()
    made.forget()
    return made


# whether set_attr maps a range that it does not move: as posted and intended always; upstream with xnack off, on
MAPS = [
    ("flags set", {"set_flags": ["gpu_exec"]}, True, True),
    ("flags cleared", {"clear_flags": ["coherent"]}, True, True),
    ("access", {"access": ["gpu0"]}, True, False),
    ("access in place for one more", {"access_in_place": ["gpu1"]}, True, False),
    ("no access for somebody else", {"no_access": ["gpu2"], "granularity": 2}, True, False),
    ("preferred location", {"preferred": "cpu"}, False, False),
    ("granularity", {"granularity": 3}, False, False),
    ("prefetch to where it is", {"prefetch": "cpu"}, False, False),
    ("flags of value 0", {"raw": [("SET_FLAGS", 0)], "granularity": 2}, True, True),
]


@pytest.mark.parametrize("behaviour", PRESETS)
@pytest.mark.parametrize("xnack", [False, True])
@pytest.mark.parametrize("row", MAPS, ids=[row[0] for row in MAPS])
def test_what_makes_set_attr_map_a_range_that_does_not_move(lab, behaviour, xnack, row):
    _, asked, off, on = row
    made = mapped_range(lab, behaviour, xnack)
    made.set(BASE, BASE + 99, **asked)
    wanted = (on if xnack else off) if behaviour == "upstream" else True
    assert bool(made.pages("map_to_gpu")) == wanted


def test_the_posting_validates_before_it_asks_who_maps(lab):
    """Even a range that nobody has access to gets its pages."""
    populated = {}
    for behaviour in PRESETS:
        made = lab(behaviour)
        made.map(BASE, BASE + 9)
        made.set(BASE, BASE + 9)
        populated[behaviour] = int((made.process.look.locations(Span.of_pages(BASE, BASE + 9)) == 0).sum())
    assert populated == {"as-posted": 10, "as-intended": 0, "upstream": 0}


@pytest.mark.parametrize(
    ("behaviour", "xnack", "who"),
    [
        ("as-posted", False, "restore worker"),
        ("as-posted", True, "restore worker"),
        ("as-intended", False, "restore worker"),
        ("as-intended", True, "set_attr"),
        ("upstream", False, "restore worker"),
        ("upstream", True, "set_attr"),
    ],
)
def test_who_maps_a_range_that_was_mapped_and_moved(lab, behaviour, xnack, who):
    made = mapped_range(lab, behaviour, xnack, access=["gpu0"])
    made.set(BASE, BASE + 99, prefetch="gpu0")
    made.process.run()
    tasks = {event.task.name for event in made.process.log.events("map_to_gpu", since=made.mark)}
    assert {name.removeprefix("main: ") for name in tasks} == {who}


def test_what_was_never_mapped_is_mapped_by_later_drivers_at_once(lab):
    who = {}
    for behaviour in PRESETS:
        made = lab(behaviour)
        made.map(BASE, BASE + 9)
        made.set(BASE, BASE + 9, access=["gpu0"], prefetch="gpu0")
        made.process.run()
        who[behaviour] = [event.task.name.removeprefix("main: ") for event in made.process.log.events("map_to_gpu")]
    assert who == {"as-posted": ["restore worker"], "as-intended": ["restore worker"], "upstream": ["set_attr"]}


LOST = [
    # what is asked; upstream: unmapped GPUs, then mapped ones; as intended the same unless told
    ("one of two", {"no_access": ["gpu1"]}, [1], [0], None),
    ("all", {"no_access": ["gpu0", "gpu1"]}, [0, 1], [], None),
    ("one that had none", {"no_access": ["gpu2"], "set_flags": ["gpu_ro"]}, [], [0, 1], None),
    (
        "lost and given back",
        {"raw": [("NO_ACCESS", "gpu1"), ("ACCESS", "gpu1")], "granularity": 2},
        [1],
        [0, 1],
        ([], [0, 1]),
    ),
    (
        "all lost and given back",
        {"raw": [("NO_ACCESS", "gpu0"), ("NO_ACCESS", "gpu1"), ("ACCESS", "gpu0")]},
        [0, 1],
        [],
        ([1], [0]),
    ),
]


@pytest.mark.parametrize(
    ("asked", "unmapped", "mapped", "intended"), [row[1:] for row in LOST], ids=[row[0] for row in LOST]
)
def test_gpus_that_lose_access_are_unmapped_first(lab, asked, unmapped, mapped, intended):
    for behaviour in PRESETS:
        made = mapped_range(lab, behaviour, access=["gpu0", "gpu1"])
        made.set(BASE, BASE + 99, **asked)
        found = [[gpu for (gpu,) in made.fields(name, "gpu")] for name in ("unmap_from_gpu", "map_to_gpu")]
        wanted = {
            "as-posted": ([], found[1]),
            "as-intended": intended or (unmapped, mapped),
            "upstream": (unmapped, mapped),
        }
        assert tuple(found) == wanted[behaviour], behaviour


def test_upstream_drops_the_prefetch_of_a_call_that_takes_the_last_gpu_its_access(lab):
    where = {}
    for behaviour in NEWER:
        made = mapped_range(lab, behaviour, access=["gpu0"])
        made.set(BASE, BASE + 99, prefetch="gpu0", no_access=["gpu0"])
        where[behaviour] = (made.at(BASE).prefetch_loc, made.at(BASE).actual_loc)
    gpu0 = 101
    assert where == {"as-intended": (gpu0, gpu0), "upstream": (gpu0, 0)}


def test_x31_as_posted_a_gpu_without_access_still_reaches_the_memory(lab):
    reaches = {}
    for behaviour in PRESETS:
        made = mapped_range(lab, behaviour, access=["gpu0"])
        made.set(BASE, BASE + 99, no_access=["gpu0"])
        made.process.run()
        reaches[behaviour] = made.error(made.process.gpu_read, 0, Span.of_pages(BASE, BASE)) is None
    assert reaches == {"as-posted": True, "as-intended": False, "upstream": False}


def three(lab, behaviour):
    """Three ranges that are visited in the order third, second, first."""
    made = lab(behaviour)
    for start in (0, 10, 20):
        made.map(BASE + start, BASE + start + 9)
        made.set(BASE + start, BASE + start + 9, access=["gpu0"])
    made.process.run()
    made.forget()
    return made


@pytest.mark.parametrize(
    ("behaviour", "mapped"),
    [("as-posted", [(20, 29)]), ("as-intended", [(20, 29)]), ("upstream", [(20, 29), (0, 9)])],
)
def test_after_a_range_failed_upstream_goes_on_and_the_others_stop(lab, behaviour, mapped):
    made = three(lab, behaviour)
    made.process.inject("hmm_fault", nth=2)
    assert made.error(made.set, BASE, BASE + 29, set_flags=["gpu_exec"]) == "EFAULT"
    assert made.pages("attributes") == at((20, 29), (10, 19), (0, 9))
    assert made.pages("map_to_gpu") == at(*mapped)
    assert [each.flags for each in made.driver.svms] == [0x13] * 3, "attributes stay changed whatever fails"


def test_upstream_returns_the_last_error_even_if_later_ranges_are_fine(lab):
    made = three(lab, "upstream")
    made.process.inject("hmm_fault", nth=1, error="EBUSY")
    made.process.inject("hmm_fault", nth=2, error="ENOMEM")
    assert made.error(made.set, BASE, BASE + 29, set_flags=["gpu_exec"]) == "ENOMEM"
    assert made.pages("map_to_gpu") == at((0, 9))


@pytest.mark.parametrize("behaviour", NEWER)
def test_the_same_request_after_a_failed_mapping_tries_again(lab, behaviour):
    made = mapped_range(lab, behaviour, access=["gpu0"])
    made.process.inject("hmm_fault")
    assert made.error(made.set, BASE, BASE + 99, set_flags=["gpu_exec"]) == "EFAULT"
    made.forget()
    made.set(BASE, BASE + 99, set_flags=["gpu_exec"])
    assert made.pages("map_to_gpu") == at((0, 99))
    made.forget()
    made.set(BASE, BASE + 99, set_flags=["gpu_exec"])
    assert made.log("attributes", "map_to_gpu") == [], "now there is nothing to do"


def test_a_prefetch_is_never_taken_for_done(lab):
    made = mapped_range(lab, "upstream", access=["gpu0"])
    made.set(BASE, BASE + 99, prefetch="gpu0")
    made.process.run()
    made.process.cpu_touch(Span.of_pages(BASE + 3, BASE + 3))
    made.process.run()
    made.forget()
    made.set(BASE, BASE + 99, prefetch="gpu0")
    assert made.fields("migrate_end", "npages") == [(100,)], "the block that the CPU pulled home goes back"


@pytest.mark.parametrize("behaviour", PRESETS)
def test_two_requests_at_once_are_served_one_after_the_other(lab, behaviour):
    made = three(lab, behaviour)
    first = made.process.start.set_attr(Span.of_pages(BASE, BASE + 29), set_flags=["gpu_exec"])
    second = made.process.start.set_attr(Span.of_pages(BASE + 5, BASE + 14), set_flags=["gpu_ro"])
    made.process.wait(first)
    made.process.wait(second)
    flags = [(each.start - BASE, each.last - BASE, each.flags) for each in made.driver.svms]
    assert flags == [(0, 4, 0x13), (5, 9, 0x1B), (10, 14, 0x1B), (15, 19, 0x13), (20, 29, 0x13)]
    assert made.sound() == []
