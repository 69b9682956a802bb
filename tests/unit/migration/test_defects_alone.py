"""Each defect of the posting, switched on alone over what was intended: the wrong thing happens; without it, not.

Where another behaviour hides a defect, that one is set in both runs (`also`).
"""

import re
from dataclasses import dataclass, field

import numpy as np
import pytest

import svmlab as sl
from svmlab.hardware.machine import Machine
from svmlab.svm.behaviour_table import SLOTS
from svmlab.svm.look import SWAPPED
from svmlab.svm.migrate_piece import Journey
from svmlab.svm.migration import ram_to_vram, vram_to_ram
from svmlab.svm.ranges import Range
from svmlab.uapi import MigrateTrigger

TOY = Machine.find("toy")
GPU0, GPU1, _ = (gpu.gpu_id for gpu in TOY.gpus)
STORIES = []


@dataclass
class Story:
    """What happens with a defect and with its cure; `tell` gets a process and returns what it saw."""

    slot: str
    wrong: tuple
    right: tuple
    also: dict = field(default_factory=dict)
    xnack: bool = False
    tell: object = None

    def __call__(self, tell):
        self.tell = tell
        STORIES.append(pytest.param(self, id=f"{self.slot}: {tell.__name__.replace('_', ' ')}"))
        return tell

    def run(self, option):
        behaviour = {"base": "as-intended", **self.also, self.slot: option}
        p = sl.Process(TOY, vram="256 KiB", behaviour=behaviour, xnack=self.xnack)
        return self.tell(p)


def defect_and_cure(slot):
    """The option that stands for a defect, and what as-intended does instead, or else the newest kernel."""
    posted, intended, upstream = SLOTS[slot].presets
    if slot == "prefetch_home":
        return "absent", intended
    return posted, intended if intended != posted else upstream


def answer(call, *given, **options):
    try:
        call(*given, **options)
    except sl.SvmError as error:
        return error.name
    return "ok"


def mapping(p, value=7, npages=8, **options):
    a = p.mmap(f"{npages} pages", **options)
    a[:] = value
    return a


def in_vram(p, **asked):
    a = mapping(p)
    p.set_attr(a, access=["gpu0"], prefetch="gpu0", **asked)
    p.run()
    return a


def two_vmas(p):
    """Two mappings side by side, of different kinds, that one range covers."""
    a = mapping(p, 1, 4)
    b = mapping(p, 2, 4, at=a.address + a.nbytes, kind="heap")
    return a, b, sl.Span(a.address, 8 * 4096)


def places(p, span):
    return sorted(set(p.look.locations(span).tolist()))


def values(p, span):
    return sorted(set(p.look.content(span).tolist()))


def move(p, mechanism, span, actual):
    """A mechanism for a range that no caller has checked."""
    range_ = Range(span.start, span.last, actual_loc=actual)
    target = GPU0 if mechanism is ram_to_vram else 0
    return answer(
        lambda: p.wait(p.begin("move", mechanism(p.driver, range_, Journey(target, MigrateTrigger.PREFETCH))))
    )


@Story("location_policy", ([GPU0],), ([0],), xnack=True)
def a_gpu_in_place_that_is_far_loses_its_mapping_with_xnack_on(p):
    a = mapping(p)
    p.set_attr(a, access_in_place=["gpu2"], prefetch="gpu0")
    return (places(p, a.span),)


@Story("host_access_gate", ([0],), ([GPU0],))
def a_range_without_the_flag_host_access_never_leaves_ram(p):
    a = mapping(p)
    p.set_attr(a, access=["gpu0"], clear_flags=["host_access"], prefetch="gpu0")
    return (places(p, a.span),)


@Story("prefetch_home", ("ok", [GPU0]), ("ok", [0]))
def a_prefetch_to_the_cpu_does_nothing(p):
    a = in_vram(p)
    return answer(p.set_attr, a, prefetch="cpu"), places(p, a.span)


@Story("validate_first", ("ENOMEM", [SWAPPED, 0]), ("ok", [GPU0]), also={"map_source": "buffer"})
def a_swapped_page_of_a_range_once_validated_can_never_be_collected(p):
    a = mapping(p)
    p.set_attr(a, access=["gpu0"])
    p.swap_out(a.pages(1))
    return answer(p.set_attr, a, prefetch="gpu0"), places(p, a.span)


@Story("collect_policy", ("ENOMEM", 4, [0]), ("ok", 1, [0, GPU0]))
def one_pinned_page_keeps_all_the_others_in_ram(p):
    a = mapping(p)
    p.pin(a.pages(3))
    return answer(p.set_attr, a, access=["gpu0"], prefetch="gpu0"), p.log.count("migrate_setup"), places(p, a.span)


@Story("hole_in_vmas", ("ok", [0, GPU0]), ("EFAULT", [0]))
def a_hole_ends_the_way_to_vram_as_a_success(p):
    a = mapping(p)
    p.munmap(a.pages(4))
    return move(p, ram_to_vram, a.span, 0), sorted({*places(p, a.pages(0, 4)), *places(p, a.pages(5, 3))})


@Story("hole_on_the_way_home", ("ok",), ("EFAULT",))
def a_hole_ends_the_way_home_as_a_success(p):
    a = mapping(p)
    p.munmap(a.pages(4))
    return (move(p, vram_to_ram, a.span, GPU0),)


@Story("vram_limit", ("ENOMEM",), ("ENOSPC",))
def a_range_too_large_for_the_gpu_is_told_only_by_the_allocator(p):
    return (answer(p.set_attr, mapping(p, npages=100), access=["gpu0"], prefetch="gpu0"),)


@Story("vram_pressure", ("ENOMEM",), ("ok",))
def a_full_gpu_takes_nobody_else(p):
    full, late = mapping(p, npages=60), mapping(p)
    p.set_attr(full, access=["gpu0"], prefetch="gpu0")
    p.run()
    return (answer(p.set_attr, late, access=["gpu0"], prefetch="gpu0"),)


@Story("vram_contents", ([9],), ([0],))
def untouched_pages_show_what_was_in_vram_before(p):
    old, fresh = mapping(p, 9, 63), p.mmap("8 pages")
    p.set_attr(old, access=["gpu0"], prefetch="gpu0")
    p.run()
    p.munmap(old.span)
    p.set_attr(fresh, access=["gpu0"], prefetch="gpu0")
    return (values(p, fresh.span),)


@Story("vram_page_zero", ("ENOMEM",), ("ok",))
def a_buffer_at_vram_address_0_looks_like_a_failure(p):
    p.vram_layout(0, [[0, 16]])
    return (answer(p.set_attr, mapping(p), access=["gpu0"], prefetch="gpu0"),)


@Story("piece_place", ([2], [2]), ([1], [2]), also={"buffer_reuse": "always"})
def the_second_vma_of_a_range_is_copied_over_the_first(p):
    a, b, both = two_vmas(p)
    p.set_attr(both, access=["gpu0"], prefetch="gpu0")
    return values(p, a.span), values(p, b.span)


@Story("holes", (8,), (0,))
def pages_nobody_touched_are_copied_from_nowhere(p):
    a = p.mmap("8 pages")
    p.set_attr(a, access=["gpu0"], prefetch="gpu0")
    return (int(p.log.field("copy", "npages", p.log.select("copy")).sum()),)


@Story("copy_cleanup", ("EIO", [3]), ("EIO", []))
def the_page_at_a_node_border_is_lost_when_a_copy_fails(p):
    p.vram_layout(0, [[16, 4], [32, 4]])
    a = mapping(p)
    p.inject("copy")
    error = answer(p.set_attr, a, access=["gpu0"], prefetch="gpu0")
    return error, np.flatnonzero((p.look.content(a.span) != 7).reshape(8, -1).any(axis=1)).tolist()


@Story("copy_undo", (["put_ram_pages", "fence_wait"],), (["fence_wait", "put_ram_pages"],))
def ram_pages_are_given_back_while_the_engine_may_write_them(p):
    p.vram_layout(0, [[16, 4], [32, 4]])
    a = in_vram(p)
    p.inject("copy", nth=2)
    mark = len(p.log)
    answer(p.set_attr, a, prefetch="cpu")
    names = [event.name for event in list(p.log)[mark:] if event.name in ("put_ram_pages", "fence_wait")]
    return (names[:2],)


@Story("after_copy", ("ok", [0]), ("EIO", [0]))
def nobody_hears_that_a_copy_failed(p):
    a = mapping(p)
    p.inject("copy")
    return answer(p.set_attr, a, access=["gpu0"], prefetch="gpu0"), places(p, a.span)


@Story("fence_error", ("ok", [0]), ("EIO", [7]))
def pages_switch_to_copies_that_never_finished(p):
    a = mapping(p)
    p.inject("fence")
    return answer(p.set_attr, a, access=["gpu0"], prefetch="gpu0"), values(p, a.span)


@Story("record_location", ([GPU0], [0]), ([0], [0]))
def a_range_whose_pages_were_refused_counts_as_moved(p):
    a = mapping(p, kind="shared")
    p.set_attr(a, access=["gpu0"], prefetch="gpu0")
    return p.look.actual(a.span), places(p, a.span)


@Story("later_piece_fails", ("EINVAL", [0], [GPU0]), ("EINVAL", [0], [0]))
def the_first_vma_stays_in_vram_though_the_range_says_ram(p):
    a, _, both = two_vmas(p)
    p.inject("setup", nth=2)
    return answer(p.set_attr, both, access=["gpu0"], prefetch="gpu0"), p.look.actual(both), places(p, a.span)


@Story("home_walk", ("ENOMEM", [0, GPU0]), ("ok", [0]))
def a_first_page_that_is_home_keeps_all_others_away(p):
    a = in_vram(p)
    p.discard(a.pages(0))
    p.cpu_write(a.pages(0), 1)
    p.run()
    return answer(p.set_attr, a, prefetch="cpu"), places(p, a.span)


@Story("location_home", ([0], [0, GPU0]), ([GPU0], [0, GPU0]))
def a_range_counts_as_home_though_a_page_was_missed(p):
    a = in_vram(p)
    p.inject("page_lock")
    p.set_attr(a, prefetch="cpu")
    return p.look.actual(a.span), places(p, a.span)


@Story("buffer_life", (0, False), (8, True))
def vram_is_freed_under_the_pages_of_a_child(p):
    a = in_vram(p)
    child = p.fork("child")
    p.munmap(a.span)
    p.run()
    return p.look.vram_used(0) // 4096, child.broken_invariants() == []


@Story("buffer_reference", (0,), (8,), also={"buffer_life": "ranges"})
def a_range_that_came_home_gives_its_vram_back_twice(p):
    a = in_vram(p)
    p.set_attr(a.pages(0, 4), prefetch="cpu")
    p.run()
    p.munmap(a.pages(0, 4))
    p.run()
    return (p.look.vram_used(0) // 4096,)


@Story("gpu_to_gpu", ("ENOMEM", [GPU0]), ("ok", [GPU1]))
def nothing_moves_from_one_gpu_to_another(p):
    a = in_vram(p)
    return answer(p.set_attr, a, access=["gpu1"], prefetch="gpu1"), places(p, a.span)


@Story("cpu_fault_block", (False,), (True,), also={"invalid_count": "owner"})
def the_block_that_came_home_is_never_mapped_again(p):
    a = in_vram(p, granularity=2)
    p.cpu_read(a.pages(4))
    p.run()
    return (bool(p.look.mapped(a.pages(4, 4))[0].all()),)


@Story("inherited_page", ("SIGBUS",), ("ok",))
def a_forked_child_dies_of_an_inherited_page(p):
    a = in_vram(p)
    return (answer(p.fork("child").cpu_read, a.span),)


@Story("map_source", (False,), (True,), also={"validate_first": "never-validated"})
def a_gpu_keeps_entries_of_freed_ram_after_a_prefetch(p):
    a = mapping(p)
    p.set_attr(a, access=["gpu0"])
    p.set_attr(a, prefetch="gpu0")
    p.run()
    return (bool(p.look.mapped(a.span)[0].all()),)


@Story("eviction_filter", (True,), (False,))
def queues_stop_for_a_range_that_no_gpu_maps(p):
    a = mapping(p)
    p.set_attr(a, granularity=3)
    p.discard(a.span)
    return (p.log.count("queue_eviction") > 0,)


@Story("xnack_on_notifier", (True,), (False,), xnack=True)
def queues_stop_though_their_gpus_can_fault(p):
    a = in_vram(p)
    p.discard(a.span)
    return (p.log.count("queue_eviction") > 0,)


@Story("map_after_migration", (False,), (True,), also={"xnack_on_notifier": "evict"}, xnack=True)
def set_attr_leaves_the_mapping_to_the_restore_worker(p):
    a = mapping(p)
    p.set_attr(a, access_in_place=["gpu0"], prefetch="gpu0")
    return (bool(p.look.mapped(a.span)[0].all()),)


@Story("set_attr_errors", ("EIO", [0]), ("EIO", [GPU0]))
def what_lies_behind_a_range_that_failed_is_left_alone(p):
    a = mapping(p)
    p.set_attr(a.pages(0, 4), access=["gpu0"])
    p.set_attr(a.pages(4, 4), access=["gpu0"], granularity=1)
    p.inject("copy")
    return answer(p.set_attr, a, prefetch="gpu0"), places(p, a.pages(0, 4))  # the last range comes first


@Story("lost_access", (True,), (False,))
def a_gpu_keeps_what_it_mapped_before_it_lost_access(p):
    a = mapping(p)
    p.set_attr(a, access=["gpu0"])
    p.set_attr(a, no_access=["gpu0"])
    return (bool(p.look.any_mapping(0, a.span).any()),)


@Story("invalid_count", (False,), (True,), also={"cpu_fault_block": "split-child"})
def an_invalidation_of_a_child_counts_for_its_parent_alone(p):
    return the_block_that_came_home_is_never_mapped_again(p)


@Story("split_requires", ("EINVAL",), ("ok",))
def a_range_without_pages_cannot_be_cut(p):
    a = mapping(p)
    p.set_attr(a, granularity=3)
    return (answer(p.set_attr, a.pages(0, 4), granularity=4),)


@Story("split_state", (False,), (True,))
def a_piece_cut_off_an_invalid_range_is_never_restored(p):
    a = mapping(p)
    p.set_attr(a, access=["gpu0"])
    p.discard(a.span)
    p.set_attr(a.pages(0, 4), granularity=3)
    p.run()
    return (bool(p.look.mapped(a.span)[0].all()),)


@Story("granularity_limit", (44,), (63,))
def a_large_granularity_loses_its_high_bits(p):
    a = mapping(p)
    p.set_attr(a, granularity=300)
    return (p.look.ranges(a.span)[0].granularity,)


@Story("unmap_scope", (True,), (False,), also={"lost_access": "kept"})
def a_gpu_without_access_keeps_entries_of_unmapped_memory(p):
    a = mapping(p)
    p.set_attr(a, access=["gpu0"])
    p.set_attr(a, no_access=["gpu0"])
    p.munmap(a.span)
    p.run()
    return (bool(p.look.any_mapping(0, a.span).any()),)


@Story("restore_count", (True,), (False,))
def the_restore_worker_takes_what_it_waited_for_as_a_reason_to_start_over(p):
    """At one of these moments the second invalidation has the locks when the worker wants them."""

    def starts_over(after_ns):
        own = sl.Process(TOY, behaviour=p.driver.behaviour)
        a = mapping(own, npages=32)
        own.set_attr(a, access=["gpu0"])
        own.discard(a.pages(0))
        own.advance(after_ns)
        own.start.discard(a.pages(1, 30))
        own.run()
        return own.log.count("queue_restore_rescheduled") > 0

    return (any(starts_over(after_ns) for after_ns in range(994_000, 1_001_000, 500)),)


@pytest.mark.parametrize("story", STORIES)
def test_with_the_defect_alone_it_goes_wrong(story):
    assert story.run(defect_and_cure(story.slot)[0]) == story.wrong


@pytest.mark.parametrize("story", STORIES)
def test_without_the_defect_it_does_not(story):
    assert story.run(defect_and_cure(story.slot)[1]) == story.right


def test_every_defect_of_a_migration_has_a_story():
    """The others are told by tests/unit/ranges/test_attributes.py and test_checks.py, and a race by a scenario."""
    told = {param.values[0].slot for param in STORIES}
    assert told | {"compare_attributes", "unknown_operation", "later_invalidation"} == {
        slot.name for slot in SLOTS.values() for option in slot.options.values() if re.search(r"\b[DX]\d", option.tag)
    }
