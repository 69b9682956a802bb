"""What munmap does to ranges: at once under the notifier, and later in the deferred worker."""

import pytest

from svmlab.mm import Span
from svmlab.svm import deferred
from svmlab.svm.behaviour_table import PRESETS
from svmlab.svm.ranges import DeferredOp

BASE = 0x1000
NULL, UNMAP, UPDATE, ADD = (DeferredOp(number).value for number in range(4))


def at(*spans):
    return [(BASE + start, BASE + last) for start, last in spans]


def hundred(lab, behaviour="upstream", xnack=False):
    """One range of a hundred pages, mapped to gpu0."""
    made = lab(behaviour, xnack)
    made.register((BASE, BASE + 99), access_in_place=["gpu0"], set_flags=["coherent"])
    return made


def unmap(made, start, last):
    """Return from munmap; what it left is still to be done."""
    made.process.munmap(Span.of_pages(BASE + start, BASE + last))


# what is unmapped of pages 0..99; what the range is then; its children and what is to be done with them; its own note
POSITIONS = [
    ("middle", (20, 39), (0, 19), [((20, 39), UNMAP), ((40, 99), ADD)], UPDATE),
    ("tail", (60, 99), (0, 59), [((60, 99), UNMAP)], UPDATE),
    ("head", (0, 39), (40, 99), [((0, 39), UNMAP)], UPDATE),
    ("whole", (0, 99), (0, 99), [], UNMAP),
    ("one page in the middle", (50, 50), (0, 49), [((50, 50), UNMAP), ((51, 99), ADD)], UPDATE),
    ("all but the first page", (1, 99), (0, 0), [((1, 99), UNMAP)], UPDATE),
    ("all but the last page", (0, 98), (99, 99), [((0, 98), UNMAP)], UPDATE),
]


@pytest.mark.parametrize("behaviour", PRESETS)
@pytest.mark.parametrize("xnack", [False, True])
@pytest.mark.parametrize("position", POSITIONS, ids=[row[0] for row in POSITIONS])
def test_munmap_cuts_at_once_and_registers_later(lab, behaviour, xnack, position):
    _, gone, kept, children, note = position
    made = hundred(lab, behaviour, xnack)
    range_ = made.at(BASE)
    unmap(made, *gone)
    assert (range_.start, range_.last) == at(kept)[0]
    assert [((each.start, each.last), each.op.value) for each in range_.children] == [
        (at(span)[0], op) for span, op in children
    ]
    assert (range_.queued, range_.op.value) == (True, note)
    assert made.pages("unmap_from_gpu") == at(gone), "the GPU lets go before munmap returns"
    assert [(each.node_start, each.node_last) for each in made.driver.svms.registered(0, 1 << 40)] == at((0, 99))
    assert (range_.notifier.start, range_.notifier.last) == at((0, 99))[0], "map and notifier lag behind"
    made.process.run()
    survivors = [span for span, op in children if op == ADD] + ([] if note == UNMAP else [kept])
    assert made.ranges == at(*sorted(survivors))
    assert [(each.notifier.start, each.notifier.last) for each in made.driver.svms] == made.ranges
    assert made.log("deferred_work") == [("deferred_work", *at(span)[0]) for span, _ in [*children, (kept, note)]]
    assert made.fields("deferred_work", "op") == [(op,) for op in [*(op for _, op in children), note]], "children first"
    assert made.sound() == []


def test_an_address_is_looked_up_in_the_range_and_then_in_its_children(lab):
    made = hundred(lab)
    unmap(made, 20, 39)
    svms = made.driver.svms
    head, removed, tail = svms.at(BASE + 5), svms.at(BASE + 30), svms.at(BASE + 70)
    assert [each.start - BASE for each in (head, removed, tail)] == [0, 20, 40]
    assert [svms.parent_of(each) for each in (head, removed, tail)] == [head] * 3
    assert [svms.at(BASE - 1), svms.at(BASE + 100)] == [None, None]
    assert [list(svms.overlapping(BASE + 30, BASE + 99)), svms.registered(BASE + 30, BASE + 99)] == [[], [head]]


def test_a_second_munmap_cuts_the_children_of_the_first(lab):
    made = hundred(lab)
    range_ = made.at(BASE)
    hold = made.process.start.munmap(Span.of_pages(BASE + 20, BASE + 29))
    more = [(50, 59), (10, 24), (90, 99)]
    handles = [made.process.start.munmap(Span.of_pages(BASE + start, BASE + last)) for start, last in more]
    made.process.wait(handles[-1])
    assert hold.done
    notes = [((each.start - BASE, each.last - BASE), each.op.value) for each in range_.children]
    assert notes == [
        ((20, 29), UNMAP),
        ((30, 49), ADD),
        ((50, 59), UNMAP),
        ((60, 89), ADD),
        ((10, 19), UNMAP),
        ((90, 99), UNMAP),
    ]
    made.process.run()
    assert made.ranges == at((0, 9), (30, 49), (60, 89))
    assert made.sound() == []


def test_a_child_that_is_unmapped_whole_is_marked_and_stays_a_child(lab):
    made = hundred(lab)
    range_ = made.at(BASE)
    spans = [(20, 29), (30, 99)]
    handles = [made.process.start.munmap(Span.of_pages(BASE + start, BASE + last)) for start, last in spans]
    made.process.wait(handles[-1])
    assert [((each.start - BASE, each.last - BASE), each.op.value) for each in range_.children] == [
        ((20, 29), UNMAP),
        ((30, 99), UNMAP),
    ]
    made.process.run()
    assert made.ranges == at((0, 19))


def test_the_rest_of_a_range_may_go_while_its_children_wait(lab):
    made = hundred(lab)
    handles = [
        made.process.start.munmap(Span.of_pages(BASE + start, BASE + last)) for start, last in ((20, 29), (0, 19))
    ]
    made.process.wait(handles[-1])
    made.process.run()
    assert made.ranges == at((30, 99)), "the range is freed, the child it carried is registered"
    assert made.fields("deferred_work", "op") == [(UNMAP,), (ADD,), (UNMAP,)]


QUEUE = [
    ("a note is put on an idle range", None, UPDATE, UPDATE),
    ("even one that says nothing", None, NULL, NULL),
    ("a newer note replaces an older one", UPDATE, ADD, ADD),
    ("unmapping replaces everything", UPDATE, UNMAP, UNMAP),
    ("nothing replaces unmapping", UNMAP, UPDATE, UNMAP),
    ("a note that says nothing replaces nothing", UPDATE, NULL, UPDATE),
]


@pytest.mark.parametrize(("first", "second", "kept"), [row[1:] for row in QUEUE], ids=[row[0] for row in QUEUE])
def test_which_note_stays_on_a_queued_range(lab, first, second, kept):
    made = hundred(lab)
    range_ = made.at(BASE)
    for note in (first, second):
        if note is not None:
            deferred.queue(made.driver, range_, DeferredOp(note))
    assert (range_.op.value, list(made.driver.svms.deferred)) == (kept, [range_])


def test_several_ranges_are_done_in_the_order_they_were_queued(lab):
    made = lab("upstream")
    spans = at((0, 9), (10, 19), (20, 29))
    made.register(*spans)
    unmap(made, 5, 24)
    made.process.run()
    assert made.ranges == at((0, 4), (25, 29))
    assert made.pages("deferred_work") == at((5, 9), (0, 4), (10, 19), (20, 24), (25, 29))


@pytest.mark.parametrize("behaviour", ["as-intended", "upstream"])
def test_set_attr_and_get_attr_wait_for_the_worker(lab, behaviour):
    made = hundred(lab, behaviour)
    unmap(made, 20, 39)
    assert made.error(made.get, BASE, BASE + 99, ("GRANULARITY", 0)) == "EFAULT", "there is a hole now"
    made.get(BASE + 40, BASE + 99, ("GRANULARITY", 0))
    assert made.ranges == at((0, 19), (40, 99))
    unmap(made, 60, 69)
    made.set(BASE + 70, BASE + 99, granularity=4)
    assert made.ranges == at((0, 19), (40, 59), (70, 99))


@pytest.mark.parametrize("behaviour", PRESETS)
def test_x31_as_posted_a_gpu_that_lost_access_keeps_its_entries_even_after_munmap(lab, behaviour):
    made = lab(behaviour)
    made.register((BASE, BASE + 99), access=["gpu0", "gpu1"])
    made.set(BASE, BASE + 99, no_access=["gpu1"])
    made.process.run()
    made.forget()
    unmap(made, 0, 99)
    made.process.run()
    left = [bool(made.process.look.any_mapping(gpu, Span.of_pages(BASE, BASE + 99)).any()) for gpu in (0, 1)]
    assert left == [False, behaviour == "as-posted"]
    assert made.fields("unmap_from_gpu", "gpu") == [(0,)], "the others unmapped gpu1 when it lost access"


def test_the_posting_unmaps_the_interval_once_and_later_drivers_part_by_part(lab):
    parts = {}
    for behaviour in PRESETS:
        made = hundred(lab, behaviour)
        handles = [
            made.process.start.munmap(Span.of_pages(BASE + start, BASE + last)) for start, last in ((20, 29), (10, 49))
        ]
        made.process.wait(handles[-1])
        parts[behaviour] = made.pages("unmap_from_gpu")
    first = at((20, 29))
    assert parts == {
        "as-posted": [*first, *at((10, 49))],
        "as-intended": [*first, *at((20, 29), (30, 49), (10, 19))],
        "upstream": [*first, *at((20, 29), (30, 49), (10, 19))],
    }


@pytest.mark.parametrize("behaviour", ["as-intended", "upstream"])
def test_memory_that_was_reserved_comes_back_with_munmap_and_exit(lab, behaviour):
    made = hundred(lab, behaviour)
    system = made.driver.system
    assert (system.reserved_pages, made.driver.svms.reserved_pages) == (100, 100)
    unmap(made, 20, 39)
    made.process.run()
    assert (system.reserved_pages, made.driver.svms.reserved_pages) == (80, 80)
    made.process.exit()
    assert (system.reserved_pages, made.driver.svms.reserved_pages, made.ranges) == (0, 0, [])


@pytest.mark.parametrize("behaviour", PRESETS)
def test_mremap_leaves_the_attributes_behind(lab, behaviour):
    made = hundred(lab, behaviour)
    moved = made.process.mremap(Span.of_pages(BASE, BASE + 99), (BASE + 500) << 12)
    made.process.run()
    assert (made.ranges, moved.span.start) == ([], BASE + 500)


@pytest.mark.parametrize("behaviour", PRESETS)
def test_a_child_process_has_no_ranges(lab, behaviour):
    made = hundred(lab, behaviour)
    child = made.process.fork()
    made.process.run()
    assert (len(child.ranges()), made.ranges) == (0, at((0, 99)))
