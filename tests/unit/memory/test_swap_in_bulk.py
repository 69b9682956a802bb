"""Swap by columns: runs are announced and read back at once, slots are used again, bytes stay with their pages."""

from __future__ import annotations

from typing import Any

import numpy as np

from svmlab.hardware.page_column import BLOCK_PAGES
from svmlab.mm import access, syscalls
from svmlab.mm.swap import SwapSpace
from svmlab.units import PAGE_SIZE

Lab = Any


def pages_of(first: int, npages: int) -> np.ndarray:
    return np.repeat(np.arange(first, first + npages, dtype=np.uint8)[:, None], PAGE_SIZE, axis=1)


def written(swap: SwapSpace, contents: np.ndarray) -> np.ndarray:
    slots = swap.take(users=ones(len(contents)))
    swap.write(slots, contents)
    return slots


def ones(npages: int) -> np.ndarray:
    return np.ones(npages, np.uint32)


def test_each_run_of_neighbours_is_announced_once(lab: Lab):
    mapped = lab.store(lab.map(8))
    lab.run(syscalls.pin(lab.mm, mapped.pages(3, 1)))
    lab.listen(mapped)
    lab.run(syscalls.swap_out(lab.mm, mapped.span))
    assert (mapped.entries(), lab.heard) == ("ssswssss", [("CLEAR", 0, 2), ("CLEAR", 4, 7)])


def test_what_is_pinned_or_dropped_while_a_run_is_announced_is_left_alone(lab: Lab):
    mapped = lab.store(lab.map(5))
    lab.listen(mapped, sleep_ns=1000, do=lambda: lab.mm.zap(mapped.start + 3, mapped.start + 3))
    lab.start(syscalls.swap_out(lab.mm, mapped.span))
    lab.start(syscalls.pin(lab.mm, mapped.pages(1, 1)), after_ns=200)
    lab.settle()
    assert (mapped.entries(), lab.mm.swap.slots, lab.broken()) == ("sws.s", {1: 1, 2: 1, 3: 1}, [])


def test_relatives_that_share_some_pages_lose_those(lab: Lab):
    mapped = lab.store(lab.map(4))
    child = mapped.of(lab.fork())
    lab.store(child, 50, first=1, count=2)
    lab.run(syscalls.swap_out(lab.mm, mapped.span))
    assert (mapped.entries(), child.entries(), lab.mm.swap.slots) == ("ssss", "swws", {1: 2, 2: 1, 3: 1, 4: 2})
    assert (lab.load(child), lab.load(mapped), lab.broken()) == ([7, 51, 52, 10], [7, 8, 9, 10], [])


def test_a_run_comes_back_at_once_and_each_page_of_it_costs(lab: Lab):
    mapped = lab.store(lab.map(6))
    lab.run(syscalls.swap_out(lab.mm, mapped.pages(1, 4)))
    begun = lab.world.now
    assert lab.load(mapped) == [7, 8, 9, 10, 11, 12]
    came = [(e.start - mapped.start, e.last - mapped.start) for e in lab.world.log if e.name == "populate"][1:]
    took = lab.world.now - begun - 6 * lab.mm.costs.cpu_access_page_ns
    assert (came, took) == ([(1, 4)], 4 * lab.mm.costs.swap_page_ns)


def test_bytes_are_seen_in_swap_from_part_of_a_page_to_part_of_another(lab: Lab):
    mapped = lab.store(lab.map(5))
    lab.run(syscalls.swap_out(lab.mm, mapped.pages(0, 2)))
    lab.run(syscalls.swap_out(lab.mm, mapped.pages(3, 2)))
    seen = access.peek(lab.mm, mapped.bytes(4000, 4 * PAGE_SIZE - 3900))
    assert seen.tolist() == [7] * 96 + [8] * 4096 + [9] * 4096 + [10] * 4096 + [11] * 100


def test_slots_that_nobody_names_are_used_again():
    swap = SwapSpace()
    first = written(swap, pages_of(1, 4))
    swap.put(first[1:3])
    again = written(swap, pages_of(5, 3))
    kept = swap.read(np.arange(1, 6))
    assert (again.tolist(), kept[:, -1].tolist(), swap.used_slots) == ([2, 3, 5], [1, 5, 6, 4, 7], 5)


def test_a_swap_space_grows_and_keeps_what_it_has():
    swap = SwapSpace()
    slots = np.concatenate([written(swap, pages_of(at, 100)) for at in range(30)])
    seen = swap.read(slots)[:, 0].reshape(30, 100)
    assert (seen == np.add.outer(np.arange(30), np.arange(100))).all()
    assert swap.used_slots == len(set(slots.tolist())) == 3000


def test_pages_on_both_sides_of_a_border_between_pieces_are_kept():
    swap = SwapSpace()
    swap.take(users=ones(BLOCK_PAGES - 3))
    slots = written(swap, pages_of(1, 4))
    assert (slots.tolist(), swap.read(slots[::-1])[:, 9].tolist()) == (
        [BLOCK_PAGES - 2, BLOCK_PAGES - 1, BLOCK_PAGES, BLOCK_PAGES + 1],
        [4, 3, 2, 1],
    )


def test_relatives_hear_of_each_run_of_pages_that_goes_to_swap_or_to_vram_once(lab: Lab):
    mapped = lab.store(lab.map(8))
    child = mapped.of(lab.fork())
    lab.store(child, 50, first=3, count=1)
    lab.listen(child)
    lab.run(syscalls.swap_out(lab.mm, mapped.pages(0, 6)))
    runs = [("child", "CLEAR", 0, 2), ("child", "CLEAR", 4, 5)]
    assert (child.entries(), lab.heard) == ("ssswssrr", runs)
    lab.setup(lab.migration(mapped, 5))
    assert lab.heard == [*runs, ("child", "CLEAR", 6, 7)]


def test_a_slot_is_in_use_until_the_last_entry_that_names_it_goes():
    swap = SwapSpace()
    slots = swap.take(users=np.array([2, 1], np.uint32))
    swap.put(slots)
    assert (swap.used_slots, swap.slots) == (1, {int(slots[0]): 1})
    assert swap.take(users=np.array([1], np.uint32)).tolist() == [int(slots[1])]
    swap.put(slots)
    assert swap.used_slots == 0
