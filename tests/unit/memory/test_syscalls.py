"""System calls on pages: discard, pin, swap, move, fork, exit, and what they do to each other."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from svmlab.errors import DriverError
from svmlab.mm import access, migrate_vma, syscalls
from svmlab.mm.span import Span
from svmlab.mm.vma import Protection
from svmlab.units import PAGE_SIZE

Lab = Any
CALLS = [syscalls.munmap, syscalls.discard, syscalls.pin, syscalls.unpin, syscalls.swap_out]


@pytest.mark.parametrize("call", CALLS, ids=lambda call: call.__name__)
def test_an_unaligned_start_is_refused(lab: Lab, call: Any):
    mapped = lab.store(lab.map(2))
    with pytest.raises(DriverError, match="EINVAL: 4096 bytes at .*; allowed: a start at a page border"):
        lab.run(call(lab.mm, mapped.bytes(1, 4096)))
    assert mapped.entries() == "ww"


@pytest.mark.parametrize(
    ("call", "after"), [(syscalls.munmap, "..w"), (syscalls.discard, "..w"), (syscalls.swap_out, "ssw")]
)
def test_a_size_is_rounded_up(lab: Lab, call: Any, after: str):
    mapped = lab.store(lab.map(3))
    lab.run(call(lab.mm, mapped.bytes(0, 4097)))
    assert mapped.entries() == after


# discard


def test_discarded_pages_are_zeros_again(lab: Lab):
    mapped = lab.store(lab.map(4))
    lab.run(syscalls.discard(lab.mm, mapped.pages(1, 2)))
    assert (mapped.entries(), lab.memory.ram_used, lab.load(mapped)) == ("w..w", 2, [7, 0, 0, 10])


def test_a_discard_of_a_file_brings_the_file_back(lab: Lab):
    file = lab.file()
    public = lab.store(lab.map(2, "file", file=file))
    private = lab.store(lab.map(2, "file_private", file=file), 50)
    for mapped in (public, private):
        lab.run(syscalls.discard(lab.mm, mapped.span))
    assert (lab.load(public), lab.load(private)) == ([7, 8], [7, 8])


def test_a_discard_over_a_hole_discards_the_rest_and_complains(lab: Lab):
    mapped = lab.store(lab.map(4))
    lab.run(syscalls.munmap(lab.mm, mapped.pages(1, 1)))
    with pytest.raises(DriverError, match="ENOMEM: part of pages"):
        lab.run(syscalls.discard(lab.mm, mapped.span))
    assert (mapped.entries(), lab.memory.ram_used) == ("....", 0)


@pytest.mark.parametrize("kind", ["hugetlb", "device"])
def test_special_mappings_cannot_be_discarded(lab: Lab, kind: str):
    with pytest.raises(DriverError, match=f"EINVAL: a: a {kind} mapping cannot be discarded"):
        lab.run(syscalls.discard(lab.mm, lab.map(1, kind, "r").span))


def test_a_discard_frees_vram(lab: Lab):
    mapped = lab.store(lab.map(3))
    lab.move(mapped)
    gone = mapped.frames()[1:]
    lab.run(syscalls.discard(lab.mm, mapped.pages(1)))
    assert (mapped.entries(), lab.freed) == ("d..", gone)


# pin


def test_a_pin_faults_pages_in_and_keeps_their_frames(lab: Lab):
    mapped = lab.map(3)
    lab.run(syscalls.pin(lab.mm, mapped.pages(0, 2)))
    assert (mapped.entries(), lab.memory.pins[mapped.frames()].tolist()) == ("ww.", [1, 1, 0])
    assert lab.broken() == []


def test_a_pin_breaks_copy_on_write_first(lab: Lab):
    mapped = lab.store(lab.map(2))
    child = mapped.of(lab.fork())
    lab.run(syscalls.pin(lab.mm, mapped.span))
    assert (mapped.entries(), set(mapped.frames()) & set(child.frames()), lab.load(child)) == ("ww", set(), [7, 8])


def test_a_pin_of_read_only_memory_holds_what_is_there(lab: Lab):
    mapped = lab.store(lab.map(3))
    lab.run(syscalls.mprotect(lab.mm, mapped.span, Protection.READ))
    frames = mapped.frames()
    lab.run(syscalls.pin(lab.mm, mapped.span))
    assert (mapped.frames(), mapped.entries(), lab.memory.pins[frames].tolist()) == (frames, "rrr", [1, 1, 1])


def test_the_zero_page_can_be_pinned_and_is_never_freed(lab: Lab):
    mapped = lab.map(2, protection="r")
    lab.run(syscalls.pin(lab.mm, mapped.span))
    lab.run(syscalls.unpin(lab.mm, mapped.span))
    assert (mapped.entries(), lab.memory.ram_used, lab.broken()) == ("00", 0, [])
    assert 1 not in lab.memory.alloc_ram(5)


def test_pins_are_counted_page_by_page(lab: Lab):
    mapped = lab.store(lab.map(3))
    lab.run(syscalls.pin(lab.mm, mapped.pages(0, 2)))
    lab.run(syscalls.pin(lab.mm, mapped.pages(1, 2)))
    lab.run(syscalls.unpin(lab.mm, mapped.span))
    assert lab.memory.pins[mapped.frames()].tolist() == [0, 1, 0]
    lab.run(syscalls.unpin(lab.mm, mapped.pages(1, 1)))
    assert (lab.memory.pins.any(), lab.mm.pinned, lab.broken()) == (False, [], [])


def test_letting_go_what_is_not_pinned_stops_there(lab: Lab):
    mapped = lab.store(lab.map(4))
    lab.run(syscalls.pin(lab.mm, mapped.pages(0, 2)))
    lab.run(syscalls.pin(lab.mm, mapped.pages(3, 1)))
    with pytest.raises(DriverError, match=f"EINVAL: page {mapped.start + 2:#x} is not pinned"):
        lab.run(syscalls.unpin(lab.mm, mapped.span))
    assert lab.memory.pins[mapped.frames()].tolist() == [0, 0, 0, 1]


@pytest.mark.parametrize("spoil", ["hole", "none", "device"])
def test_a_pin_that_fails_holds_nothing(lab: Lab, spoil: str):
    mapped = lab.store(lab.map(3))
    if spoil == "device":
        bad = lab.map(1, "device", at=(mapped.start + 3) * PAGE_SIZE)
    else:
        bad = mapped
        change = (
            syscalls.munmap(lab.mm, mapped.pages(2))
            if spoil == "hole"
            else syscalls.mprotect(lab.mm, mapped.pages(2), Protection.NONE)
        )
        lab.run(change)
    with pytest.raises(DriverError, match="EFAULT: page .* cannot be pinned"):
        lab.run(syscalls.pin(lab.mm, Span.of_pages(mapped.start, bad.start + bad.span.npages - 1)))
    assert (lab.memory.pins.any(), lab.mm.pinned, lab.broken()) == (False, [], [])


def test_a_pinned_page_outlives_its_mapping_until_it_is_let_go(lab: Lab):
    mapped = lab.store(lab.map(2))
    lab.run(syscalls.pin(lab.mm, mapped.span))
    lab.run(syscalls.munmap(lab.mm, mapped.span))
    held = lab.memory.ram_used
    lab.run(syscalls.unpin(lab.mm, mapped.span))
    assert (held, lab.memory.ram_used, lab.broken()) == (2, 0, [])


def test_the_newest_pin_of_a_page_is_let_go_first(lab: Lab):
    mapped = lab.store(lab.map(1))
    lab.run(syscalls.pin(lab.mm, mapped.span))
    old = mapped.frames()[0]
    lab.run(syscalls.discard(lab.mm, mapped.span))
    lab.run(syscalls.pin(lab.mm, mapped.span))
    new = mapped.frames()[0]
    lab.run(syscalls.unpin(lab.mm, mapped.span))
    assert (old != new, lab.memory.pins[[old, new]].tolist()) == (True, [1, 0])


def test_pins_end_with_their_process(lab: Lab):
    mapped = lab.store(lab.map(3))
    lab.run(syscalls.pin(lab.mm, mapped.pages(0, 2)))
    lab.run(syscalls.munmap(lab.mm, mapped.pages(0, 1)))
    lab.run(syscalls.release(lab.mm))
    assert (lab.memory.ram_used, lab.memory.pins.any(), lab.broken()) == (0, False, [])


def test_a_fork_copies_pinned_pages_at_once(lab: Lab):
    mapped = lab.store(lab.map(3))
    lab.run(syscalls.pin(lab.mm, mapped.pages(1, 1)))
    child = mapped.of(lab.fork())
    frames = mapped.frames()
    lab.store(mapped, 50, first=1, count=1)
    assert (mapped.entries(), mapped.frames(), lab.load(child)) == ("rwr", frames, [7, 8, 9])
    assert [mine == theirs for mine, theirs in zip(frames, child.frames(), strict=True)] == [True, False, True]
    lab.run(syscalls.unpin(lab.mm, mapped.pages(1, 1)))
    assert lab.broken() == []


def test_a_fork_that_cannot_copy_pinned_pages_fails_and_leaves_nothing(make_lab: Any):
    lab = make_lab(ram="3 pages")
    mapped = lab.store(lab.map(3))
    lab.run(syscalls.pin(lab.mm, mapped.span))
    with pytest.raises(DriverError, match="ENOMEM"):
        lab.fork()
    assert ([mm.name for mm in lab.mm.family], len(lab.mms[1].vmas)) == (["main"], 0)
    lab.store(mapped, 30)
    assert (lab.load(mapped), lab.broken()) == ([30, 31, 32], [])


# swap


def test_swapped_pages_free_their_frames_and_come_back(lab: Lab):
    mapped = lab.store(lab.map(3))
    lab.run(syscalls.swap_out(lab.mm, mapped.pages(0, 2)))
    assert (mapped.entries(), lab.memory.ram_used, mapped.first_bytes()) == ("ssw", 1, [7, 8, 9])
    assert (lab.load(mapped, 0, 1), mapped.entries()) == ([7], "rsw")
    lab.store(mapped, 30)
    assert (lab.load(mapped), mapped.entries(), lab.mm.swap.slots, lab.broken()) == ([30, 31, 32], "www", {}, [])


def test_part_of_a_swapped_page_can_be_seen(lab: Lab):
    mapped = lab.store(lab.map(2))
    lab.run(syscalls.swap_out(lab.mm, mapped.span))
    assert access.peek(lab.mm, mapped.bytes(4000, 200)).tolist() == [7] * 96 + [8] * 104


def test_what_has_no_frame_or_is_held_stays(lab: Lab):
    mapped = lab.map(6)
    lab.load(mapped, 1, 1)
    lab.store(mapped, first=2)
    lab.move(mapped, 3, 1)
    lab.run(syscalls.pin(lab.mm, mapped.pages(4, 1)))
    lab.listen(mapped)
    lab.run(syscalls.swap_out(lab.mm, mapped.span))
    assert (mapped.entries(), lab.heard) == (".0sdws", [("CLEAR", 2, 2), ("CLEAR", 5, 5)])


def test_a_page_shared_by_fork_is_swapped_for_everybody(lab: Lab):
    mapped = lab.store(lab.map(2))
    child = mapped.of(lab.fork())
    lab.listen(child)
    lab.run(syscalls.swap_out(lab.mm, mapped.span))
    assert (mapped.entries(), child.entries(), lab.memory.ram_used) == ("ss", "ss", 0)
    assert (lab.heard, lab.mm.swap.slots) == ([("child", "CLEAR", 0, 1)], {1: 2, 2: 2})
    lab.store(child, 50)
    assert (lab.load(mapped), lab.load(child), lab.broken()) == ([7, 8], [50, 51], [])


def test_a_fork_shares_swapped_pages(lab: Lab):
    mapped = lab.store(lab.map(2))
    lab.run(syscalls.swap_out(lab.mm, mapped.span))
    child = mapped.of(lab.fork())
    lab.store(mapped, 50)
    assert (lab.load(child), lab.load(mapped), lab.mm.swap.slots, lab.broken()) == ([7, 8], [50, 51], {}, [])


def test_swapped_pages_go_with_their_mapping(lab: Lab):
    mapped = lab.store(lab.map(3))
    lab.fork()
    lab.run(syscalls.swap_out(lab.mm, mapped.span))
    lab.run(syscalls.munmap(lab.mm, mapped.pages(0, 2)))
    assert lab.mm.swap.slots == {1: 1, 2: 1, 3: 2}
    lab.run(syscalls.release(lab.mms[1]))
    assert (lab.mm.swap.slots, lab.broken()) == ({3: 1}, [])


@pytest.mark.parametrize("kind", ["shared", "file"])
def test_pages_of_a_file_lose_their_entry_and_keep_their_content(lab: Lab, kind: str):
    mapped = lab.store(lab.map(2, kind, file=lab.file() if kind == "file" else None))
    lab.listen(mapped)
    lab.run(syscalls.swap_out(lab.mm, mapped.span))
    assert (mapped.entries(), lab.heard) == ("..", [("CLEAR", 0, 1)])
    assert (lab.load(mapped), lab.broken()) == ([7, 8], [])


def test_private_copies_of_a_file_are_swapped_and_the_file_is_not(lab: Lab):
    file = lab.file()
    mapped = lab.map(2, "file_private", file=file)
    lab.load(mapped)
    lab.store(mapped, 50, first=1)
    lab.run(syscalls.swap_out(lab.mm, mapped.span))
    assert (mapped.entries(), lab.load(mapped), lab.broken()) == (".s", [0, 51], [])


def test_a_page_pinned_while_its_notifier_sleeps_stays(lab: Lab):
    mapped = lab.store(lab.map(1))
    lab.listen(mapped, sleep_ns=1000)
    lab.start(syscalls.swap_out(lab.mm, mapped.span))
    lab.start(syscalls.pin(lab.mm, mapped.span), after_ns=500)
    lab.settle()
    assert (mapped.entries(), lab.memory.references[mapped.frames()].tolist(), lab.broken()) == ("w", [2], [])


def test_a_page_unmapped_while_its_notifier_sleeps_is_gone(lab: Lab):
    mapped = lab.store(lab.map(1))
    lab.listen(mapped, sleep_ns=1000)
    lab.start(syscalls.swap_out(lab.mm, mapped.span))
    lab.start(syscalls.discard(lab.mm, mapped.span), after_ns=500)
    lab.settle()
    assert (mapped.entries(), lab.memory.ram_used, lab.mm.swap.slots, lab.broken()) == (".", 0, {}, [])


def test_a_page_is_locked_while_it_is_swapped(lab: Lab):
    mapped = lab.store(lab.map(2))
    notifier = lab.listen(mapped, sleep_ns=10**6)
    lab.start(syscalls.swap_out(lab.mm, mapped.pages(0, 1)))
    lab.world.env.run(until=lab.world.now + 500)
    lab.mm.notifiers.remove(notifier)
    args = lab.setup(lab.migration(mapped))
    migrate_vma.finalize(args)
    meanwhile = lab.broken()
    lab.settle()
    assert (args.collected.tolist(), mapped.entries(), meanwhile, lab.broken()) == ([False, True], "sw", [], [])


# move


def test_a_mapping_moves_with_its_pages_wherever_they_are(lab: Lab):
    mapped = lab.map(5)
    lab.load(mapped, 1, 1)
    lab.store(mapped, first=2)
    lab.move(mapped, 3, 1)
    lab.run(syscalls.swap_out(lab.mm, mapped.pages(4)))
    before = (mapped.entries(), mapped.frames(), mapped.first_bytes())
    moved = type(mapped)(lab, lab.mm, lab.run(syscalls.mremap(lab.mm, mapped.span, 0x7000_0000)))
    assert (moved.entries(), moved.frames(), moved.first_bytes()) == before
    assert (moved.span.address, mapped.entries(), lab.broken()) == (0x7000_0000, ".....", [])


def test_part_of_a_mapping_moves_to_the_next_free_place(lab: Lab):
    mapped = lab.store(lab.map(6))
    moved = lab.run(syscalls.mremap(lab.mm, mapped.pages(2, 2), None))
    assert [(vma.start - mapped.start, vma.last - mapped.start) for vma in lab.mm.vmas.values()] == [
        (0, 1),
        (4, 5),
        (512, 513),
    ]
    assert (access.peek(lab.mm, moved)[::PAGE_SIZE].tolist(), mapped.entries()) == ([9, 10], "ww..ww")


@pytest.mark.parametrize(
    ("first", "count", "to", "error"),
    [
        (0, 4, 0, "EINVAL"),
        (0, 4, 2, "EINVAL"),
        (2, 2, 1, "EINVAL"),
        (0, 2, 3, "EEXIST"),
        (0, 2, 600, "EEXIST"),
        (2, 3, 2000, "EFAULT"),
        (5, 1, 2000, "EFAULT"),
        (0, 4, 2000.5, "EINVAL"),
        (0, 4, (1 << 35) - (0x7E00_0000_0000 >> 12) - 3, "ENOMEM"),
    ],
)
def test_a_move_that_cannot_be_is_refused_and_nothing_moves(lab: Lab, first: int, count: int, to: float, error: str):
    mapped = lab.store(lab.map(4))
    lab.map(2, at=(mapped.start + 600) * PAGE_SIZE)
    span = Span.of_pages(mapped.start + first, mapped.start + first + count - 1)
    with pytest.raises(DriverError, match=error):
        lab.run(syscalls.mremap(lab.mm, span, mapped.start * PAGE_SIZE + int(to * PAGE_SIZE)))
    assert (mapped.entries(), len(lab.mm.vmas), lab.broken()) == ("wwww", 2, [])


@pytest.mark.parametrize("first", [0, 1])
def test_shared_memory_that_moves_keeps_its_pages(lab: Lab, first: int):
    mapped = lab.store(lab.map(3, "shared"))
    moved = type(mapped)(lab, lab.mm, lab.run(syscalls.mremap(lab.mm, mapped.pages(first), None)))
    lab.run(syscalls.discard(lab.mm, moved.span))
    assert (lab.load(moved), lab.memory.ram_used, lab.broken()) == ([7, 8, 9][first:], 3, [])


def test_a_mapping_without_pages_moves_without_storage(lab: Lab):
    mapped = lab.map(4)
    lab.run(syscalls.mremap(lab.mm, mapped.span, None))
    assert list(lab.mm.table.pages()) == []


# fork and exit


def test_a_child_has_every_mapping_and_places_new_ones_where_the_parent_would(lab: Lab):
    lab.map(2, name="a")
    lab.map(3, "shared", "r", name="b")
    child = lab.fork()
    assert [(v.start, v.last, v.kind, v.protection, v.name) for v in child.vmas.values()] == [
        (v.start, v.last, v.kind, v.protection, v.name) for v in lab.mm.vmas.values()
    ]
    assert lab.map(1).start == lab.map(1, mm=child).start


def test_only_private_writable_mappings_tell_their_notifiers_of_a_fork(lab: Lab):
    for kind, protection in (("anonymous", "rw"), ("anonymous", "r"), ("shared", "rw"), ("file_private", "rw")):
        mapped = lab.map(2, kind, protection, file=lab.file() if kind.startswith("file") else None)
        lab.listen(mapped)
    lab.fork()
    assert lab.heard == [("PROTECTION_PAGE", 0, 1), ("PROTECTION_PAGE", 0, 1)]


def test_pages_in_vram_are_shared_and_read_only_after_a_fork(lab: Lab):
    mapped = lab.store(lab.map(2))
    lab.move(mapped)
    child = mapped.of(lab.fork())
    entries = [mm.table.get(mapped.span.start, mapped.span.last).tolist() for mm in (lab.mm, child.mm)]
    assert (entries[0] == entries[1], [entry & 1 for entry in entries[0]]) == (True, [0, 0])
    lab.run(syscalls.release(lab.mm))
    assert (child.first_bytes(), lab.freed) == ([7, 8], [])
    lab.run(syscalls.release(child.mm))
    assert len(lab.freed) == 2


def test_a_process_that_ends_gives_everything_back(lab: Lab):
    mapped = lab.map(4)
    lab.store(mapped, count=2)
    lab.load(mapped, 2, 1)
    lab.store(lab.map(2, "shared"))
    lab.store(lab.map(2, "heap"))
    lab.run(syscalls.swap_out(lab.mm, mapped.pages(0, 1)))
    lab.run(syscalls.release(lab.mm))
    assert (len(lab.mm.vmas), list(lab.mm.table.pages()), lab.memory.ram_used, lab.mm.swap.slots) == (0, [], 0, {})
    assert (lab.memory.references.any(), lab.broken()) == (False, [])


def test_system_calls_that_change_mappings_wait_for_each_other(lab: Lab):
    mapped = lab.store(lab.map(4))
    lab.listen(mapped, sleep_ns=1000)
    lab.start(syscalls.munmap(lab.mm, mapped.pages(0, 1)))
    lab.start(syscalls.mprotect(lab.mm, mapped.pages(1), Protection.READ), after_ns=1)
    lab.start(access.touch(lab.mm, mapped.pages(3), write=False), after_ns=2)
    lab.settle()
    waits = [(event.name, event.text) for event in lab.world.log.events("lock_wait", "lock_acquired")]
    assert waits == [("lock_wait", "mmap_lock of main"), ("lock_acquired", "mmap_lock of main")]
    assert (mapped.entries(), [heard[0] for heard in lab.heard]) == (".rrr", ["UNMAP", "PROTECTION_VMA"])


def test_copies_are_exact_for_scattered_frames(lab: Lab):
    mapped = lab.map(64)
    for page in np.random.default_rng(3).permutation(64).tolist():
        lab.store(mapped, first=page, count=1)
    child = mapped.of(lab.fork())
    before = lab.load(mapped)
    lab.store(child, 100)
    assert (lab.load(mapped) == before, lab.load(child), lab.broken()) == (True, [100 + page for page in range(64)], [])
