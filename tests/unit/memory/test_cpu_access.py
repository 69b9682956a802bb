"""Loads and stores: faults where entries forbid, copy-on-write, files, bytes over page borders."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from svmlab.errors import BusError, SegmentationFault
from svmlab.mm import access, migrate_vma, syscalls
from svmlab.mm.span import Span
from svmlab.mm.vma import Protection
from svmlab.units import PAGE_SIZE

Lab = Any


def test_pages_nobody_touched_read_as_zeros_from_one_page_for_all(lab: Lab):
    mapped = lab.map(3)
    assert (lab.load(mapped), mapped.entries(), lab.memory.ram_used) == ([0, 0, 0], "000", 0)


def test_a_store_gives_each_page_a_frame_of_its_own(lab: Lab):
    mapped = lab.store(lab.map(3), first=1, count=2)
    assert (mapped.entries(), mapped.first_bytes(), lab.memory.ram_used) == (".ww", [0, 8, 9], 2)


def test_a_store_to_the_zero_page_copies_it(lab: Lab):
    mapped = lab.map(3)
    lab.load(mapped)
    lab.store(mapped, first=1, count=1)
    assert (mapped.entries(), mapped.first_bytes(), lab.broken()) == ("0w0", [0, 8, 0], [])


BYTES = [
    (0, 1),
    (4095, 1),
    (4095, 2),
    (1, 4095),
    (100, 3 * 4096),
    (4096, 4096),
    (4000, 200),
    (0, 4 * 4096),
    (8191, 4098),
    (5, 0),
]


@pytest.mark.parametrize("scattered", [False, True])
@pytest.mark.parametrize(("first", "nbytes"), BYTES)
def test_bytes_arrive_exactly_and_nothing_else_changes(lab: Lab, first: int, nbytes: int, scattered: bool):
    mapped = lab.map(4)
    for page in (2, 0, 3, 1) if scattered else ():
        lab.store(mapped, first=page, count=1)
    expected = access.peek(lab.mm, mapped.span)
    data = np.arange(1, nbytes + 1).astype(np.uint8)
    lab.run(access.store(lab.mm, mapped.bytes(first, nbytes), data))
    expected[first : first + nbytes] = data
    assert np.array_equal(access.peek(lab.mm, mapped.span), expected)
    assert np.array_equal(lab.run(access.load(lab.mm, mapped.bytes(first, nbytes))), data)
    assert np.array_equal(access.peek(lab.mm, mapped.bytes(first, nbytes)), data)


def test_only_the_pages_reached_are_touched(lab: Lab):
    mapped = lab.map(4)
    lab.run(access.store(lab.mm, mapped.bytes(4095, 2), np.ones(2, np.uint8)))
    lab.run(access.load(lab.mm, mapped.bytes(3 * 4096, 1)))
    assert mapped.entries() == "ww.0"


def test_an_access_crosses_from_one_mapping_into_the_next(lab: Lab):
    first = lab.store(lab.map(2, at=0x10000))
    second = lab.store(lab.map(2, at=0x12000), 50)
    data = lab.run(access.load(lab.mm, Span(0x11FFF, 2)))
    assert (data.tolist(), first.entries(), second.entries()) == ([8, 50], "ww", "ww")


def test_what_lies_before_a_fatal_page_is_done(lab: Lab):
    mapped = lab.map(4)
    lab.run(syscalls.munmap(lab.mm, mapped.pages(2, 1)))
    with pytest.raises(SegmentationFault, match=r"main: store to page 0x\w+2, where nothing is mapped"):
        lab.store(mapped)
    assert (mapped.entries(), mapped.first_bytes()) == ("ww..", [7, 8, 0, 0])


@pytest.mark.parametrize(
    ("protection", "write", "verb"),
    [("r", True, "store to"), ("none", True, "store to"), ("none", False, "load from")],
)
def test_a_mapping_that_forbids_the_access_is_a_segmentation_fault(lab: Lab, protection: str, write: bool, verb: str):
    mapped = lab.map(1, protection=protection)
    with pytest.raises(SegmentationFault, match=f"{verb} page .*, which a forbids"):
        lab.run(access.touch(lab.mm, mapped.span, write=write))
    assert mapped.entries() == "."


def test_protection_holds_for_pages_that_are_there(lab: Lab):
    mapped = lab.store(lab.map(2))
    lab.run(syscalls.mprotect(lab.mm, mapped.span, Protection.NONE))
    with pytest.raises(SegmentationFault):
        lab.load(mapped)
    lab.run(syscalls.mprotect(lab.mm, mapped.span, Protection.READ | Protection.WRITE))
    assert (lab.load(mapped), mapped.entries()) == ([7, 8], "rr")
    lab.store(mapped, 20)
    assert (lab.load(mapped), mapped.entries(), lab.memory.ram_used) == ([20, 21], "ww", 2)


def test_memory_of_a_device_cannot_be_touched(lab: Lab):
    with pytest.raises(BusError, match="belongs to a device"):
        lab.load(lab.map(1, "device"))


def test_a_page_in_vram_that_nobody_brings_home_is_a_bus_error(lab: Lab):
    mapped = lab.store(lab.map(1))
    lab.move(mapped)
    with pytest.raises(BusError, match="main: page .* is in VRAM and no driver brings it home"):
        lab.load(mapped)


def test_a_page_in_vram_is_brought_home_by_the_driver_and_the_access_goes_on(lab: Lab):
    mapped = lab.store(lab.map(3))
    lab.move(mapped)

    def bring_home(mm: Any, page: int) -> Any:
        yield from lab.world.sleep(5)
        args = lab.migration(mapped, page - mapped.start, 1, to_vram=False)
        yield from migrate_vma.setup(args, lab.faults)
        lab.give_targets(args)
        yield from migrate_vma.pages(args)
        migrate_vma.finalize(args)

    lab.mm.migrate_to_ram = bring_home
    assert (lab.load(mapped, 1, 1), mapped.entries(), lab.broken()) == ([8], "dwd", [])


def test_out_of_memory_is_a_bus_error_at_the_page_that_has_no_frame(make_lab: Any):
    lab = make_lab(ram="3 pages")
    mapped = lab.map(4)
    for page in range(3):
        lab.store(mapped, first=page, count=1)
    with pytest.raises(BusError, match="main: out of memory"):
        lab.store(mapped, first=3)
    assert (mapped.entries(), lab.load(mapped), lab.broken()) == ("www.", [7, 8, 9, 0], [])


def test_hugetlb_pages_are_never_the_zero_page(lab: Lab):
    mapped = lab.map(2, "hugetlb")
    assert (lab.load(mapped), mapped.entries()) == ([0, 0], "ww")


@pytest.mark.parametrize("kind", ["heap", "stack"])
def test_heap_and_stack_are_anonymous_memory(lab: Lab, kind: str):
    mapped = lab.map(2, kind)
    lab.load(mapped, 0, 1)
    lab.store(mapped, first=1)
    assert mapped.entries() == "0w"


def test_populating_faults_everything_in_at_once(lab: Lab):
    assert lab.map(3, populate=True).entries() == "www"
    assert lab.map(3, protection="r", populate=True).entries() == "000"
    assert lab.map(3, protection="none", populate=True).entries() == "..."
    assert lab.map(3, "device", populate=True).entries() == "..."


def test_populating_does_what_it_can_and_says_what_it_could_not(make_lab: Any):
    lab = make_lab(ram="2 pages")
    lab.store(lab.map(1))
    mapped = lab.map(4, populate=True)
    assert (mapped.entries(), lab.world.log[-1].name) == ("....", "driver_fallback")


# copy-on-write


def test_parent_and_child_share_pages_until_one_writes(lab: Lab):
    mapped = lab.store(lab.map(3))
    theirs = mapped.of(lab.fork())
    shared = (mapped.frames() == theirs.frames(), mapped.entries(), theirs.entries(), lab.memory.ram_used)
    lab.store(theirs, 50, first=1, count=1)
    assert shared == (True, "rrr", "rrr", 3)
    assert (lab.load(mapped), lab.load(theirs)) == ([7, 8, 9], [7, 51, 9])
    assert (theirs.entries(), lab.memory.ram_used, lab.broken()) == ("rwr", 4, [])


def test_the_last_one_uses_the_page_without_a_copy(lab: Lab):
    mapped = lab.store(lab.map(3))
    frames = mapped.frames()
    lab.run(syscalls.release(lab.fork()))
    lab.store(mapped, 20)
    assert (mapped.frames(), mapped.entries(), lab.memory.ram_used) == (frames, "www", 3)


def test_grandchildren_share_too(lab: Lab):
    mapped = lab.store(lab.map(2))
    child = lab.fork("child")
    grandchild = lab.fork("grandchild", child)
    lab.store(mapped.of(child), 20)
    lab.run(syscalls.release(child))
    assert (lab.load(mapped), lab.load(mapped.of(grandchild))) == ([7, 8], [7, 8])
    assert (lab.memory.ram_used, lab.broken()) == (2, [])


def test_a_child_that_was_never_touched_costs_no_frame(lab: Lab):
    mapped = lab.map(4)
    lab.load(mapped, 0, 2)
    child = mapped.of(lab.fork())
    lab.store(child, 40, first=1, count=3)
    assert (mapped.entries(), child.entries(), lab.load(mapped), lab.load(child)) == (
        "00..",
        "0www",
        [0, 0, 0, 0],
        [0, 41, 42, 43],
    )


def test_a_copy_is_made_for_a_whole_run_where_nobody_listens(lab: Lab):
    mapped = lab.store(lab.map(100))
    lab.fork()
    lab.store(mapped, 50)
    copies = [(event.start - mapped.start, event.npages) for event in lab.world.log.events("populate")]
    assert copies == [(0, 100), (0, 100)]


def test_a_page_that_changes_while_a_notifier_sleeps_is_not_overwritten(lab: Lab):
    mapped = lab.store(lab.map(1))
    child = lab.fork()
    lab.listen(mapped, sleep_ns=1000)
    writing = lab.start(access.store(lab.mm, mapped.bytes(10, 1), np.full(1, 99, np.uint8)))
    lab.start(syscalls.discard(lab.mm, mapped.span), after_ns=500)
    lab.settle()
    assert writing.triggered
    assert (access.peek(lab.mm, mapped.span)[[0, 10]].tolist(), lab.load(mapped.of(child))) == ([0, 99], [7])
    assert lab.broken() == []


def test_two_stores_to_one_shared_page_make_one_copy(lab: Lab):
    mapped = lab.store(lab.map(1))
    lab.fork()
    lab.listen(mapped, sleep_ns=1000)
    for at in (1, 2):
        lab.start(access.store(lab.mm, mapped.bytes(at, 1), np.full(1, at * 11, np.uint8)))
    lab.settle()
    assert access.peek(lab.mm, mapped.span)[:3].tolist() == [7, 11, 22]
    assert (lab.memory.ram_used, lab.world.log.count("populate"), lab.broken()) == (2, 2, [])


# files and shared memory


def test_two_mappings_of_a_file_show_the_same_bytes(lab: Lab):
    file = lab.file()
    one, two = lab.map(3, "file", file=file), lab.map(2, "file", file=file)
    lab.store(one)
    assert (lab.load(two), one.frames()[:2] == two.frames(), lab.memory.ram_used) == ([7, 8], True, 3)
    lab.store(two, 30)
    assert (lab.load(one), lab.broken()) == ([30, 31, 9], [])


def test_processes_share_a_file(lab: Lab):
    file = lab.file()
    mine, theirs = lab.map(2, "file", file=file), lab.map(2, "file", file=file, mm=lab.process("other"))
    lab.store(theirs, 60)
    assert lab.load(mine) == [60, 61]


def test_a_look_at_a_file_sees_what_its_page_cache_holds_and_takes_no_fault(lab: Lab):
    file = lab.file()
    writer, reader = lab.map(4, "file", file=file), lab.map(4, "file_private", file=file)
    lab.store(writer, 7, first=1, count=2)
    lab.store(reader, 90, first=2, count=1)
    before = lab.world.now
    seen = access.peek(lab.mm, reader.bytes(PAGE_SIZE - 1, 2 * PAGE_SIZE))
    assert (seen[[0, 1, -2, -1]].tolist(), reader.entries(), lab.world.now) == ([0, 8, 92, 92], "..w.", before)


def test_a_private_mapping_of_a_file_copies_what_it_writes(lab: Lab):
    file = lab.file()
    public, private = lab.map(3, "file", file=file), lab.map(3, "file_private", file=file)
    lab.store(public)
    before = (lab.load(private), private.entries())
    lab.store(private, 50, first=1, count=1)
    assert (before, lab.load(private), private.entries()) == (([7, 8, 9], "rrr"), [7, 51, 9], "rwr")
    lab.store(public, 90)
    assert (lab.load(private), lab.load(public), lab.broken()) == ([90, 51, 92], [90, 91, 92], [])


def test_a_file_nobody_wrote_is_zeros_and_has_frames_of_its_own(lab: Lab):
    mapped = lab.map(2, "file", file=lab.file())
    assert (lab.load(mapped), mapped.entries(), lab.memory.ram_used) == ([0, 0], "ww", 2)


def test_shared_memory_stays_shared_over_a_fork(lab: Lab):
    mapped = lab.store(lab.map(2, "shared"))
    child = mapped.of(lab.fork())
    lab.store(child, 50)
    assert (lab.load(mapped), mapped.entries(), child.entries(), lab.memory.ram_used) == ([50, 51], "ww", "ww", 2)


def test_shared_memory_is_given_back_with_its_last_mapping(lab: Lab):
    mapped = lab.store(lab.map(4, "shared"))
    child = lab.fork()
    lab.run(syscalls.munmap(lab.mm, mapped.span))
    kept = (lab.memory.ram_used, lab.load(mapped.of(child)))
    lab.run(syscalls.munmap(child, mapped.pages(0, 2)))
    half = lab.memory.ram_used
    lab.run(syscalls.release(child))
    assert (kept, half, lab.memory.ram_used, lab.broken()) == ((4, [7, 8, 9, 10]), 4, 0, [])


def test_the_page_cache_of_a_file_outlives_its_mappings(lab: Lab):
    file = lab.file()
    lab.run(syscalls.munmap(lab.mm, lab.store(lab.map(2, "file", file=file)).span))
    assert (lab.memory.ram_used, lab.load(lab.map(2, "file", file=file)), lab.broken()) == (2, [7, 8], [])


def test_a_store_to_shared_memory_after_a_change_of_protection_needs_no_copy(lab: Lab):
    mapped = lab.store(lab.map(2, "shared"))
    lab.fork()
    frames = mapped.frames()
    lab.run(syscalls.mprotect(lab.mm, mapped.span, Protection.READ))
    lab.run(syscalls.mprotect(lab.mm, mapped.span, Protection.READ | Protection.WRITE))
    lab.store(mapped, 20)
    assert (mapped.frames(), mapped.entries()) == (frames, "ww")


# without payload, and twice


def test_without_payload_everything_happens_but_the_bytes(make_lab: Any):
    lab = make_lab(payload=False)
    mapped = lab.map(4)
    lab.run(access.store(lab.mm, mapped.pages(0, 2), np.ones(2 * PAGE_SIZE, np.uint8)))
    data = lab.run(access.load(lab.mm, mapped.bytes(100, 8000)))
    assert (mapped.entries(), data.shape, bool(data.any()), lab.broken()) == ("ww..", (8000,), False, [])
    lab.run(syscalls.swap_out(lab.mm, mapped.span))
    assert (mapped.entries(), lab.load(mapped, 0, 3)) == ("ss..", [0, 0, 0])


def test_without_payload_a_large_load_takes_no_memory(make_lab: Any):
    lab = make_lab(payload=False)
    mapped = lab.map(1 << 24)  # 64 GiB
    assert lab.run(access.load(lab.mm, mapped.span)).strides == (0,)


def history(lab: Lab) -> list[tuple[Any, ...]]:
    mapped = lab.store(lab.map(8))
    child = lab.fork()
    lab.listen(mapped, sleep_ns=300)
    for number in range(4):
        lab.start(access.touch(lab.mm, mapped.pages(number, 4), write=True), f"t{number}", after_ns=number)
        lab.start(syscalls.swap_out(child, mapped.pages(number, 2)), f"s{number}", after_ns=2 * number)
    lab.settle()
    assert lab.broken() == []
    return [
        (e.time_ns, e.name, e.task.name, e.start, e.last, e.text, *e.fields.values()) for e in lab.world.log
    ] + lab.heard


def test_the_same_history_leaves_the_same_log(make_lab: Any):
    assert history(make_lab()) == history(make_lab())
