"""migrate_vma row by row: migration.md section 1, tables of collection, of the metadata step, and of finalize."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from svmlab.errors import DriverError
from svmlab.hardware.memory import FrameFlag
from svmlab.mm import access, migrate_vma, syscalls
from svmlab.mm.migrate_vma import MIGRATE, PFN_SHIFT, VALID, WRITE, MigrateVma
from svmlab.mm.vma import Protection

PAGE = VALID | MIGRATE
Lab = Any


def word(args: MigrateVma, page: int = 0) -> tuple[int, bool]:
    """The flag bits of a source entry, and whether it names a frame."""
    value = int(args.src[page])
    return value & (1 << PFN_SHIFT) - 1, value >> PFN_SHIFT != 0


# Entries to collect: how a page gets into each state. Each returns the mapping; page 0 is the one to look at.


def untouched(lab: Lab) -> Any:
    return lab.map(1)


def untouched_shared(lab: Lab) -> Any:
    return lab.map(1, "shared")


def untouched_private_file(lab: Lab) -> Any:
    return lab.map(1, "file_private", file=lab.file())


def untouched_stack(lab: Lab) -> Any:
    return lab.map(1, "stack")


def zero_page(lab: Lab) -> Any:
    mapped = lab.map(1)
    lab.load(mapped)
    return mapped


def written(lab: Lab) -> Any:
    return lab.store(lab.map(1))


def read_only(lab: Lab) -> Any:
    mapped = lab.store(lab.map(1))
    lab.run(syscalls.mprotect(mapped.mm, mapped.span, Protection.READ))
    return mapped


def shared_by_fork(lab: Lab) -> Any:
    mapped = lab.store(lab.map(1))
    lab.fork()
    return mapped


def swapped(lab: Lab) -> Any:
    mapped = lab.store(lab.map(1))
    lab.run(syscalls.swap_out(mapped.mm, mapped.span))
    return mapped


def under_migration(lab: Lab) -> Any:
    mapped = lab.store(lab.map(1))
    lab.setup(lab.migration(mapped))
    return mapped


def locked(lab: Lab) -> Any:
    mapped = lab.store(lab.map(1))
    lab.memory.flags[mapped.frames()] |= np.uint8(FrameFlag.LOCKED)
    return mapped


def pinned(lab: Lab) -> Any:
    mapped = lab.store(lab.map(1))
    lab.run(syscalls.pin(mapped.mm, mapped.span))
    return mapped


def of_a_file(lab: Lab) -> Any:
    return lab.store(lab.map(1, "file", file=lab.file()))


def copied_from_a_file(lab: Lab) -> Any:
    return lab.store(lab.map(1, "file_private", file=lab.file()))


def on_gpu0(lab: Lab) -> Any:
    mapped = lab.store(lab.map(1))
    lab.move(mapped)
    return mapped


def on_gpu0_read_only(lab: Lab) -> Any:
    mapped = on_gpu0(lab)
    lab.run(syscalls.mprotect(mapped.mm, mapped.span, Protection.READ))
    return mapped


def on_gpu0_locked(lab: Lab) -> Any:
    mapped = on_gpu0(lab)
    lab.memory.flags[mapped.frames()] |= np.uint8(FrameFlag.LOCKED)
    return mapped


FROM_RAM = {"to_vram": True}
FROM_GPU0 = {"to_vram": False, "owners": frozenset({0})}
FROM_GPU1 = {"to_vram": False, "owners": frozenset({1})}
FROM_HIVE = {"to_vram": False, "owners": frozenset({0, 1})}

COLLECTED = [
    # state, what is selected, flag bits of the entry, whether it names a frame
    (untouched, FROM_RAM, MIGRATE, False),
    (untouched, FROM_GPU0, MIGRATE, False),
    (untouched_stack, FROM_RAM, MIGRATE, False),
    (untouched_shared, FROM_RAM, 0, False),
    (untouched_private_file, FROM_RAM, 0, False),
    (zero_page, FROM_RAM, MIGRATE, False),
    (zero_page, FROM_GPU0, 0, False),
    (swapped, FROM_RAM, 0, False),
    (under_migration, FROM_RAM, 0, False),
    (on_gpu0, FROM_GPU0, PAGE | WRITE, True),
    (on_gpu0, FROM_HIVE, PAGE | WRITE, True),
    (on_gpu0_read_only, FROM_GPU0, PAGE, True),
    (on_gpu0, FROM_RAM, 0, False),
    (on_gpu0, FROM_GPU1, 0, False),
    (on_gpu0_locked, FROM_GPU0, 0, False),
    (written, FROM_RAM, PAGE | WRITE, True),
    (read_only, FROM_RAM, PAGE, True),
    (shared_by_fork, FROM_RAM, PAGE, True),
    (of_a_file, FROM_RAM, PAGE | WRITE, True),
    (copied_from_a_file, FROM_RAM, PAGE | WRITE, True),
    (written, FROM_GPU0, 0, False),
    (locked, FROM_RAM, 0, False),
    (pinned, FROM_RAM, 0, False),
]


@pytest.mark.parametrize(
    ("state", "selected", "bits", "framed"),
    COLLECTED,
    ids=[f"{row[0].__name__}-{'ram' if row[1] is FROM_RAM else sorted(row[1]['owners'])}" for row in COLLECTED],
)
def test_setup_collects_what_the_table_says(
    lab: Lab, state: Callable[[Lab], Any], selected: dict[str, Any], bits: int, framed: bool
):
    args = lab.setup(lab.migration(state(lab), **selected))
    assert (*word(args), args.cpages) == (bits, framed, int(bool(bits & MIGRATE)))


@pytest.mark.parametrize("state", sorted({row[0] for row in COLLECTED}, key=lambda state: state.__name__))
def test_finalize_without_destinations_changes_nothing(lab: Lab, state: Callable[[Lab], Any]):
    mapped = state(lab)
    before = (mapped.entries(), mapped.frames(), mapped.first_bytes(), lab.memory.references[mapped.frames()].tolist())
    args = lab.setup(lab.migration(mapped))
    migrate_vma.finalize(args)
    references = lab.memory.references[mapped.frames()].tolist()
    assert (mapped.entries(), mapped.frames(), mapped.first_bytes(), references) == before


# setup: checks, one notification, page locks, injected faults


@pytest.mark.parametrize(("kind", "protection"), [("hugetlb", "rw"), ("device", "r")])
def test_setup_refuses_mappings_of_a_special_kind(lab: Lab, kind: str, protection: str):
    with pytest.raises(DriverError, match=f"EINVAL: a: pages of a {kind} mapping"):
        lab.setup(lab.migration(lab.map(4, kind, protection)))


@pytest.mark.parametrize("kind", ["anonymous", "shared", "file", "file_private", "heap", "stack"])
def test_setup_accepts_every_ordinary_mapping(lab: Lab, kind: str):
    file = lab.file() if kind.startswith("file") else None
    assert lab.setup(lab.migration(lab.store(lab.map(4, kind, file=file)))).cpages == 4


@pytest.mark.parametrize(("start", "npages"), [(-1, 2), (3, 2), (0, 0), (2, -1), (4, 1)])
def test_setup_refuses_an_interval_that_is_not_inside_the_mapping(lab: Lab, start: int, npages: int):
    mapped = lab.map(4)
    args = MigrateVma(mapped.mm, mapped.mm.vma_at(mapped.start), mapped.start + start, npages, from_ram=True)
    with pytest.raises(DriverError, match="EINVAL: pages .* are not inside a"):
        lab.setup(args)


def test_setup_sends_one_migrate_notification_for_the_whole_interval_before_anything_changes(lab: Lab):
    mapped = lab.store(lab.map(8))
    seen: list[str] = []
    lab.listen(mapped, do=lambda: seen.append(mapped.entries() + str(int(lab.memory.flags[mapped.frames()].sum()))))
    lab.setup(lab.migration(mapped, 1, 6))
    assert (lab.heard, seen) == ([("MIGRATE", 1, 6)], ["wwwwwwww0"])


def test_setup_notifies_even_if_nothing_can_be_collected(lab: Lab):
    mapped = lab.map(4, "shared")
    lab.listen(mapped)
    assert lab.setup(lab.migration(mapped)).cpages == 0
    assert lab.heard == [("MIGRATE", 0, 3)]


def test_every_attempt_sends_its_own_notification(lab: Lab):
    mapped = lab.store(lab.map(4))
    lab.listen(mapped)
    for _ in range(3):
        migrate_vma.finalize(lab.setup(lab.migration(mapped)))
    assert lab.heard == [("MIGRATE", 0, 3)] * 3


def test_between_setup_and_finalize_pages_are_locked_and_held(lab: Lab):
    mapped = lab.store(lab.map(2))
    lab.setup(lab.migration(mapped))
    frames = mapped.frames()
    assert lab.memory.flags[frames].tolist() == [FrameFlag.LOCKED | FrameFlag.MIGRATING] * 2
    assert lab.memory.references[frames].tolist() == [2, 2]
    assert lab.broken() == []


def test_relatives_hear_run_by_run_that_they_lose_what_they_share(lab: Lab):
    mapped = lab.store(lab.map(4))
    child = lab.fork()
    lab.listen(mapped)
    lab.listen(mapped.of(child))
    lab.store(mapped.of(child), first=1, count=1)  # a copy of its own: nothing to lose there any more
    lab.heard.clear()
    lab.setup(lab.migration(mapped))
    assert lab.heard == [("MIGRATE", 0, 3), ("child", "CLEAR", 0, 0), ("child", "CLEAR", 2, 3)]


def test_relatives_are_found_where_they_moved_the_page(lab: Lab):
    mapped = lab.store(lab.map(4))
    child = lab.fork()
    moved = lab.run(syscalls.mremap(child, mapped.pages(2, 2), None))
    there = type(mapped)(lab, child, moved)
    lab.listen(there)
    args = lab.move(mapped)
    assert [heard for heard in lab.heard if heard[0] == "child"] == [("child", "CLEAR", 0, 1)]
    assert (args.moved().all(), there.frames(), there.entries()) == (True, mapped.frames()[2:], "dd")
    assert lab.broken() == []


def test_other_mappings_of_a_file_hear_that_its_pages_are_under_migration(lab: Lab):
    file = lab.file()
    mapped, again = lab.store(lab.map(2, "file", file=file)), lab.map(2, "file", file=file)
    other = lab.map(2, "file", file=file, mm=lab.process("other"))
    for each in (again, other):
        lab.load(each)
        lab.listen(each)
    lab.setup(lab.migration(mapped))
    assert lab.heard == [("CLEAR", 0, 1), ("other", "CLEAR", 0, 1)]


def test_the_rest_is_collected_where_some_pages_are_pinned(lab: Lab):
    mapped = lab.store(lab.map(4))
    lab.run(syscalls.pin(mapped.mm, mapped.pages(1, 2)))
    args = lab.move(mapped)
    assert (args.cpages, mapped.entries(), mapped.first_bytes()) == (2, "dwwd", [7, 8, 9, 10])
    assert lab.broken() == []


def test_an_ordered_fault_makes_setup_fail_before_it_notifies(lab: Lab):
    mapped = lab.store(lab.map(4))
    lab.listen(mapped)
    lab.faults.order("setup", nth=2)
    lab.setup(lab.migration(mapped, 0, 2))
    with pytest.raises(DriverError, match="EINVAL"):
        lab.setup(lab.migration(mapped, 2, 2))
    assert lab.heard == [("MIGRATE", 0, 1)]


def test_an_ordered_fault_for_another_gpu_waits_for_it(lab: Lab):
    mapped = lab.store(lab.map(4))
    lab.faults.order("setup", gpu=1)
    args = [lab.migration(mapped, page, 1) for page in range(3)]
    args[0].gpu, args[1].gpu = 0, 1
    lab.setup(args[0])
    with pytest.raises(DriverError, match="EINVAL"):
        lab.setup(args[1])


def test_pages_whose_lock_cannot_be_had_are_missed_one_by_one(lab: Lab):
    mapped = lab.store(lab.map(6))
    lab.faults.order("page_lock", nth=2, count=2)
    args = lab.setup(lab.migration(mapped))
    assert args.collected.tolist() == [True, False, False, True, True, True]


# the metadata step


def test_pages_without_a_destination_lose_migrate(lab: Lab):
    mapped = lab.store(lab.map(3))
    args = lab.setup(lab.migration(mapped))
    args.set_targets(np.array([1]), lab.vram_pages(1))
    lab.run(migrate_vma.pages(args))
    assert (args.collected.tolist(), args.moved().tolist()) == ([False, True, False], [False, True, False])


@pytest.mark.parametrize(("kind", "moved"), [("file", False), ("shared", False), ("file_private", True)])
def test_pages_of_a_file_are_refused_here_and_not_earlier(lab: Lab, kind: str, moved: bool):
    file = lab.file() if kind != "shared" else None
    args = lab.setup(lab.migration(lab.store(lab.map(2, kind, file=file))))
    assert args.cpages == 2
    lab.run(migrate_vma.pages(lab.give_targets(args)))
    assert args.moved().tolist() == [moved, moved]


@pytest.mark.parametrize("protection", ["rw", "r"])
@pytest.mark.parametrize("touched", [False, True])
def test_holes_become_new_pages_writable_as_their_mapping(lab: Lab, protection: str, touched: bool):
    mapped = lab.map(2, protection=protection)
    if touched:
        lab.load(mapped)
    args = lab.give_targets(lab.setup(lab.migration(mapped)))
    lab.run(migrate_vma.pages(args))
    writable = [entry & 1 for entry in mapped.mm.table.get(mapped.span.start, mapped.span.last).tolist()]
    assert (mapped.entries(), writable) == ("dd", [int(protection == "rw")] * 2)


def test_the_first_hole_sends_one_more_notification_up_to_the_end(lab: Lab):
    mapped = lab.map(6)
    lab.store(mapped, count=2)
    lab.listen(mapped)
    lab.move(mapped)
    assert lab.heard == [("MIGRATE", 0, 5), ("MIGRATE", 2, 5)]


def test_without_a_hole_there_is_no_second_notification(lab: Lab):
    mapped = lab.store(lab.map(4))
    lab.listen(mapped)
    lab.move(mapped)
    assert lab.heard == [("MIGRATE", 0, 3)]


def test_a_hole_without_a_destination_is_left_alone(lab: Lab):
    mapped = lab.map(2)
    lab.listen(mapped)
    lab.finish(lab.setup(lab.migration(mapped)))
    assert (lab.heard, mapped.entries()) == ([("MIGRATE", 0, 1)], "..")


def test_a_hole_that_was_filled_meanwhile_keeps_its_new_page(lab: Lab):
    mapped = lab.map(3)
    args = lab.give_targets(lab.setup(lab.migration(mapped)))
    target = args.target_pfns().tolist()
    lab.store(mapped, 50, first=1, count=1)
    lab.finish(args)
    assert (mapped.entries(), mapped.first_bytes()) == ("dwd", [0, 51, 0])
    assert (args.moved().tolist(), lab.freed) == ([True, False, True], [target[1]])
    assert lab.broken() == []


# finalize: source (page, hole, nothing), MIGRATE or not, destination or not

PAGE_SOURCE, HOLE, NOTHING = "page", "hole", "nothing"
FINALIZED = [
    # source, MIGRATE, destination -> entry, byte, RAM frames freed, VRAM pages freed
    (PAGE_SOURCE, True, True, "d", 7, 1, 0),
    (PAGE_SOURCE, True, False, "w", 7, 0, 0),
    (PAGE_SOURCE, False, True, "w", 7, 0, 1),
    (PAGE_SOURCE, False, False, "w", 7, 0, 0),
    (HOLE, True, True, "d", 0, 0, 0),
    (HOLE, True, False, ".", 0, 0, 0),
    (HOLE, False, True, ".", 0, 0, 1),
    (HOLE, False, False, ".", 0, 0, 0),
    (NOTHING, False, True, ".", 0, 0, 1),
    (NOTHING, False, False, ".", 0, 0, 0),
]


@pytest.mark.parametrize(("source", "migrate", "destination", "entry", "byte", "ram", "vram"), FINALIZED)
def test_finalize_does_what_the_table_says(
    lab: Lab, source: str, migrate: bool, destination: bool, entry: str, byte: int, ram: int, vram: int
):
    mapped = lab.map(1)
    if source == PAGE_SOURCE:
        lab.store(mapped)
    args = lab.setup(lab.migration(mapped))
    if source == NOTHING:
        args.blocks[0].forget(np.array([True]))
    if not migrate:
        args.blocks[0].drop(np.array([True]))
    if destination:
        args.set_targets(np.array([0]), lab.vram_pages(1))
        lab.memory.copy(args.source_pfns()[args.source_pfns() != 0], args.target_pfns()[args.source_pfns() != 0])
        lab.memory.clear(args.target_pfns()[args.source_pfns() == 0])
    used = lab.memory.ram_used
    lab.finish(args)
    assert (mapped.entries(), mapped.first_bytes()) == (entry, [byte])
    assert (used - lab.memory.ram_used, len(lab.freed)) == (ram, vram)
    assert not lab.memory.flags.any()
    assert lab.broken() == []


def test_pages_that_come_home_free_their_vram(lab: Lab):
    mapped = lab.store(lab.map(4))
    lab.move(mapped)
    on_gpu = mapped.frames()
    lab.move(mapped, 1, 2, to_vram=False)
    assert (mapped.entries(), mapped.first_bytes(), lab.freed) == ("dwwd", [7, 8, 9, 10], on_gpu[1:3])
    assert lab.broken() == []


def test_write_permission_survives_both_ways(lab: Lab):
    mapped = lab.store(lab.map(2))
    lab.run(syscalls.mprotect(mapped.mm, mapped.pages(1), Protection.READ))
    lab.move(mapped, 0, 1)
    lab.move(mapped, 1, 1)
    assert mapped.entries() == "dd"
    lab.move(mapped, 0, 1, to_vram=False)
    lab.move(mapped, 1, 1, to_vram=False)
    assert mapped.entries() == "wr"


def test_a_page_shared_by_fork_moves_for_everybody(lab: Lab):
    mapped = lab.store(lab.map(3))
    child = lab.fork()
    lab.move(mapped)
    assert (mapped.frames(), mapped.entries()) == (mapped.of(child).frames(), "ddd")
    assert lab.memory.references[mapped.frames()].tolist() == [2, 2, 2]
    lab.move(mapped.of(child), to_vram=False)
    assert (mapped.frames(), mapped.entries(), mapped.first_bytes()) == (mapped.of(child).frames(), "rrr", [7, 8, 9])
    assert lab.broken() == []


# what happens to others meanwhile


def test_a_page_under_migration_is_reached_by_nobody_until_finalize(lab: Lab):
    mapped = lab.store(lab.map(2))
    other = lab.fork()
    args = lab.give_targets(lab.setup(lab.migration(mapped)))
    lab.memory.put(args.target_pfns())
    args.blocks[0].target = None  # nothing moves in the end
    reading = [lab.start(access.load(mm, mapped.span), mm.name) for mm in (lab.mm, other)]
    lab.world.env.run(until=lab.world.now + 10**9)
    assert [task.triggered for task in reading] == [False, False]
    migrate_vma.finalize(args)
    lab.settle()
    assert [task.value[:: len(task.value) // 2].tolist() for task in reading] == [[7, 8], [7, 8]]


def test_a_reader_of_a_file_in_another_process_waits_and_goes_on(lab: Lab):
    file = lab.file()
    mapped, other = lab.store(lab.map(1, "file", file=file)), lab.map(1, "file", file=file, mm=lab.process("other"))
    lab.load(other)
    args = lab.setup(lab.migration(mapped))
    reading = lab.start(access.load(other.mm, other.span))
    lab.world.env.run(until=lab.world.now + 10**6)
    assert not reading.triggered
    migrate_vma.finalize(args)
    lab.settle()
    assert reading.value[0] == 7


def test_a_discard_during_a_migration_frees_both_pages(lab: Lab):
    mapped = lab.store(lab.map(4))
    args = lab.give_targets(lab.setup(lab.migration(mapped)))
    target = args.target_pfns().tolist()
    lab.run(syscalls.discard(mapped.mm, mapped.pages(1, 2)))
    lab.finish(args)
    assert (mapped.entries(), mapped.first_bytes(), lab.freed) == ("d..d", [7, 0, 0, 10], target[1:3])
    assert (lab.memory.ram_used, lab.broken()) == (0, [])


def test_a_discard_by_the_parent_leaves_the_child_its_page(lab: Lab):
    mapped = lab.store(lab.map(2))
    child = lab.fork()
    args = lab.give_targets(lab.setup(lab.migration(mapped)))
    lab.run(syscalls.discard(mapped.mm, mapped.span))
    lab.finish(args)
    assert (mapped.entries(), mapped.of(child).entries(), mapped.of(child).first_bytes()) == ("..", "dd", [7, 8])
    assert (lab.memory.ram_used, lab.broken()) == (0, [])


def test_swap_leaves_pages_under_migration_alone(lab: Lab):
    mapped = lab.store(lab.map(2))
    lab.listen(mapped)
    args = lab.setup(lab.migration(mapped, 0, 1))
    lab.run(syscalls.swap_out(mapped.mm, mapped.span))
    migrate_vma.finalize(args)
    assert (mapped.entries(), lab.heard) == ("ws", [("MIGRATE", 0, 0), ("CLEAR", 1, 1)])


def test_a_migration_over_many_blocks_moves_every_page(make_lab: type[Any]):
    lab = make_lab(ram="1 GiB", vram="1 GiB", payload=False)
    npages = (1 << 17) + 1000
    mapped = lab.map(npages)
    lab.run(access.touch(mapped.mm, mapped.pages(1000, npages - 2000), write=True))
    args = lab.move(mapped)
    assert (args.cpages, int(args.moved().sum()), lab.memory.ram_used) == (npages, npages, 0)
    assert len(set(mapped.frames())) == npages
    assert lab.broken() == []
