"""With xnack on a GPU may touch memory that nobody registered: which range the driver makes of it."""

from __future__ import annotations

import pytest

from svmlab.uapi import SYSMEM, UNDEFINED

ALL_GPUS = 0b111


def extents(x):
    return [(range_.start - x.base, range_.last - x.base) for range_ in x.p.ranges()]


@pytest.mark.parametrize("behaviour", ["as-intended", "upstream"])
def test_the_range_is_the_aligned_block_of_512_pages_clipped_to_the_vma(lab, behaviour):
    x = lab(behaviour=behaviour, size="1100 pages")
    for page in (600, 0, 1099):
        x.fault(page)
    assert extents(x) == [(0, 511), (512, 1023), (1024, 1099)]


def test_a_mapping_that_begins_inside_a_block_gives_a_range_that_begins_with_it(lab):
    x = lab()
    x.p.munmap(x.pages(0, 100))
    x.fault(100)
    assert extents(x) == [(100, 511)]


def test_neighbours_keep_their_pages(lab):
    x = lab()
    x.p.set_attr(x.pages(0, 10), granularity=3)
    x.p.set_attr(x.pages(300, 10), granularity=3)
    x.fault(100)
    x.fault(400)
    assert extents(x) == [(0, 9), (10, 299), (300, 309), (310, 511)]


def test_its_attributes_are_the_defaults_and_every_gpu_has_access(lab):
    x = lab()
    x.fault()
    (made,) = x.p.ranges()
    assert (made.preferred_loc, made.prefetch_loc, made.granularity, made.access) == (
        UNDEFINED,
        UNDEFINED,
        9,
        ALL_GPUS,
    )


@pytest.mark.parametrize("kind", ["heap", "stack"])
def test_heap_and_stack_prefer_ram_and_are_mapped_there(lab, kind):
    x = lab()
    x.base = int(x.p.mmap("64 KiB", kind=kind).span.start)
    x.mark()
    x.fault()
    (made,) = x.p.ranges()
    assert made.preferred_loc == SYSMEM
    assert x.told("migrate_start", "map_to_gpu") == ["map_to_gpu 0-15 gpu=0 vram_pages=0"]


def test_pages_of_a_file_are_mapped_in_ram(lab):
    x = lab()
    x.base = int(x.p.mmap("64 KiB", kind="file", file="data").span.start)
    x.mark()
    x.fault()
    assert x.told("map_to_gpu") == ["map_to_gpu 0-15 gpu=0 vram_pages=0"]


def test_a_block_without_any_vma_and_without_a_range_is_fatal_and_makes_none(lab):
    x = lab()
    x.fault(-600)
    assert extents(x) == []
    assert x.p.look.queues() == "dead"


def test_two_gpus_that_fault_on_the_same_new_block_at_once_make_one_range(lab):
    x = lab()
    first, second = x.begin(0, gpu=0), x.begin(1, gpu=1)
    x.p.run()
    assert (first.error, second.error) == (None, None)
    assert extents(x) == [(0, 511)]
    assert x.p.broken_invariants() == []
