"""What each event of the MMU notifier does to queues and GPU page tables, in both xnack modes."""

import pytest

from svmlab.svm.behaviour_table import PRESETS
from svmlab.uapi import NotifierEvent

BOTH = ("off", "on")
STOPPED = ["queues stop (SVM)", "restore in 1 ms"]
EVICTS = ["a: invalid 1, evicted 1", *STOPPED]
CUT = [
    "gpu0 unmaps a[2..3] (UNMAP_FROM_CPU)",
    "deferred: UNMAP_RANGE a[2..3]",
    "deferred: ADD_RANGE a[4..7]",
    "deferred: UPDATE_RANGE_NOTIFIER a",
]

# what follows the notice, with xnack off and with xnack on
EVENTS = {
    "UNMAP": (CUT, CUT),
    "CLEAR": (EVICTS, ["gpu0 unmaps a[2..3] (MMU_NOTIFY)"]),
    "PROTECTION_VMA": (EVICTS, ["gpu0 unmaps a[2..3] (MMU_NOTIFY)"]),
    "PROTECTION_PAGE": (EVICTS, ["gpu0 unmaps a[2..3] (MMU_NOTIFY)"]),
    "SOFT_DIRTY": (EVICTS, ["gpu0 unmaps a[2..3] (MMU_NOTIFY)"]),
    "RELEASE": (None, None),
    "MIGRATE": (EVICTS, ["gpu0 unmaps a[2..3] (MMU_NOTIFY_MIGRATE)"]),
    "EXCLUSIVE": (EVICTS, ["gpu0 unmaps a[2..3] (MMU_NOTIFY)"]),
}


def eight_pages(story, behaviour="as-intended", xnack="off", **asked):
    """One range of eight pages that gpu0 maps, in both modes."""
    made = story(behaviour, xnack == "on")
    made.map("a", 8, at=0x100, **{"access": (), "access_in_place": ["gpu0"], **asked})
    return made


def test_the_table_has_every_event_of_the_kernel():
    assert list(EVENTS) == [event.name for event in NotifierEvent]
    assert [event.value for event in NotifierEvent] == list(range(8))


@pytest.mark.parametrize("xnack", BOTH)
@pytest.mark.parametrize("event", EVENTS)
def test_an_event_stops_queues_or_unmaps(story, event, xnack):
    made = eight_pages(story, xnack=xnack)
    made.announce(NotifierEvent[event], "a", 2, 2)
    follows = EVENTS[event][BOTH.index(xnack)]
    assert made.told() == ([] if follows is None else [f"{event} a[2..3]", *follows])
    assert made.range("a").sequence == (0 if follows is None else 1), "a walk that is under way has to start over"


@pytest.mark.parametrize("xnack", BOTH)
@pytest.mark.parametrize("event", EVENTS)
def test_as_posted_xnack_makes_no_difference(story, event, xnack):
    made = eight_pages(story, "as-posted", xnack)
    made.announce(NotifierEvent[event], "a", 2, 2)
    follows = EVENTS[event][0]
    assert made.told() == ([] if follows is None else [f"{event} a[2..3]", *follows])


@pytest.mark.parametrize("event", EVENTS)
def test_a_range_that_is_always_mapped_stops_the_queues_even_with_xnack_on(story, event):
    made = eight_pages(story, "upstream", "on", set_flags=["gpu_always_mapped"])
    made.announce(NotifierEvent[event], "a", 2, 2)
    follows = EVENTS[event][0]
    assert made.told() == ([] if follows is None else [f"{event} a[2..3]", *follows])


def test_with_xnack_off_the_page_tables_keep_their_entries_while_no_queue_runs(story):
    made = eight_pages(story)
    before = made.driver.devices[0].frames.get(0x100, 0x107).tolist()
    made.announce(NotifierEvent.CLEAR, "a", 0, 8)
    assert (made.driver.devices[0].frames.get(0x100, 0x107).tolist(), made.range("a").mapped) == (before, 1)


@pytest.mark.parametrize(("first", "count", "mapped"), [(0, 8, 0), (0, 7, 1), (3, 1, 1)])
def test_with_xnack_on_a_range_counts_as_unmapped_when_all_of_it_is(story, first, count, mapped):
    made = eight_pages(story, xnack="on")
    made.announce(NotifierEvent.CLEAR, "a", first, count)
    assert made.range("a").mapped == mapped
    assert made.driver.devices[0].flags.get(0x100, 0x107).astype(bool).tolist() == [
        not first <= page < first + count for page in range(8)
    ]


@pytest.mark.parametrize("behaviour", PRESETS)
def test_a_notice_over_two_ranges_and_a_gap_reaches_each_with_its_own_part(story, behaviour):
    made = story(behaviour)
    made.map("a", 8, at=0x100)
    made.map("b", 8, at=0x110)
    made.announce(NotifierEvent.CLEAR, "a", 4, 16)
    assert made.told() == [
        "CLEAR a[4..7]",
        "a: invalid 1, evicted 1",
        *STOPPED,
        "CLEAR b[0..3]",
        "b: invalid 1, evicted 2",
    ]


@pytest.mark.parametrize("behaviour", PRESETS)
def test_d13_a_range_that_no_gpu_maps_stops_the_queues_until_drivers_look(story, behaviour):
    made = eight_pages(story, behaviour, access_in_place=[])
    made.announce(NotifierEvent.CLEAR, "a")
    assert made.told() == ["CLEAR a[0]", *(EVICTS if behaviour != "upstream" else [])]


CAUSES = {
    "munmap": (lambda p, a: p.munmap(a), ["UNMAP a[2..3]"]),
    "mremap": (lambda p, a: p.mremap(a), ["UNMAP a[2..3]"]),
    "discard": (lambda p, a: p.discard(a), ["CLEAR a[2..3]"]),
    "swap_out": (lambda p, a: p.swap_out(a), ["CLEAR a[2..3]"]),
    "mprotect": (lambda p, a: p.mprotect(a, "r"), ["PROTECTION_VMA a[2..3]"]),
    "fork": (lambda p, a: p.fork(), ["PROTECTION_PAGE a"]),
    "store after fork": (lambda p, a: (p.fork(), p.cpu_write(a, 1)), ["PROTECTION_PAGE a", "CLEAR a[2..3]"]),
    "prefetch": (lambda p, a: p.set_attr(a, prefetch="gpu0"), ["MIGRATE a[2..3]"]),
    "exit": (lambda p, a: p.exit(), []),
}
"""What a program does, and what the notifier of its range hears."""


@pytest.mark.parametrize("xnack", BOTH)
@pytest.mark.parametrize(("act", "heard"), CAUSES.values(), ids=CAUSES)
def test_what_programs_do_reaches_the_notifier_as_the_event_of_the_kernel(story, act, heard, xnack):
    made = eight_pages(story, xnack=xnack)
    act(made.process, made.span("a", 2, 2))
    events = [line.split(":")[0] for line in made.told() if line.split()[0] in EVENTS]
    assert events == heard


@pytest.mark.parametrize("behaviour", PRESETS)
def test_the_driver_hears_of_its_own_migrations_and_stops_the_queues_for_them(story, behaviour):
    made = eight_pages(story, behaviour)
    made.process.set_attr(made.span("a", 0, 8), prefetch="gpu0")
    assert made.told() == ["MIGRATE a", *EVICTS]
