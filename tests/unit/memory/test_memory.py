"""Page frames: one space over RAM and VRAM, references that free, bytes that move."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from svmlab.errors import DriverError, InputError
from svmlab.hardware.arena import arena
from svmlab.hardware.machine import Machine
from svmlab.hardware.memory import FIRST_RAM_PFN, ZERO_PFN, FrameFlag, Memory, runs_of
from svmlab.units import PAGE_SIZE


def memory(ram: str = "1 MiB", vram: str = "1 MiB", payload: bool = True) -> Memory:
    return Memory(Machine.find("toy").with_memory(ram=ram, vram=vram), payload=payload)


def pfns(*numbers: int) -> Any:
    return np.array(numbers, np.uint32)


def fill(frames: Memory, *numbers: int) -> None:
    for number in numbers:
        frames.bytes[number] = number % 251


def test_ram_comes_first_and_then_the_vram_of_each_gpu():
    frames = memory()
    assert (frames.ram_pages, frames.vram_base.tolist()) == (256, [258, 514, 770, 1026])
    assert frames.gpu_of(pfns(2, 257, 258, 513, 514, 1025)).tolist() == [-1, -1, 0, 0, 1, 2]
    assert frames.is_device(pfns(257, 258)).tolist() == [False, True]
    assert frames.in_vram_of(pfns(257, 258, 514, 770), {0, 2}).tolist() == [False, True, False, True]


def test_a_machine_with_more_frames_than_entries_can_name_is_refused():
    with pytest.raises(InputError, match="page frames; allowed: at most 1073741824"):
        memory(ram="4 TiB")


def test_frames_are_the_lowest_that_are_free():
    frames = memory()
    first = frames.alloc_ram(10)
    frames.put(first[[2, 3, 7]])
    assert first.tolist() == list(range(FIRST_RAM_PFN, FIRST_RAM_PFN + 10))
    assert frames.alloc_ram(5).tolist() == [4, 5, 9, 12, 13]
    assert frames.references[first].tolist() == [1] * 10


def test_all_of_ram_can_be_had_and_not_a_frame_more():
    frames = memory()
    frames.alloc_ram(250)
    with pytest.raises(DriverError, match="ENOMEM: 7 RAM pages are wanted, 6 are free"):
        frames.alloc_ram(7)
    assert (frames.ram_used, len(frames.alloc_ram(6)), frames.ram_used) == (250, 6, 256)
    assert frames.alloc_ram(0).tolist() == []


def test_ram_of_several_blocks_comes_back_in_any_order():
    frames = memory(ram="1 GiB", payload=False)
    everything = frames.alloc_ram(frames.ram_pages)
    order = np.random.default_rng(1).permutation(everything)
    for part in np.array_split(order, 7):
        frames.put(part)
    assert frames.ram_used == 0
    assert np.array_equal(frames.alloc_ram(frames.ram_pages), everything)


def test_a_frame_is_free_when_nobody_names_it():
    frames = memory()
    some = frames.alloc_ram(2)
    frames.get(some)
    frames.put(some[:1])
    frames.put(some)
    assert (frames.ram_used, frames.references[some].tolist()) == (1, [0, 1])


def test_a_frame_named_twice_in_one_call_counts_twice():
    frames = memory()
    (one, two) = frames.alloc_ram(2)
    frames.get(pfns(two, one, two))
    assert frames.references[[one, two]].tolist() == [2, 3]
    frames.put(pfns(two, one, two))
    assert frames.references[[one, two]].tolist() == [1, 1]
    frames.put(pfns(two, one))
    assert frames.ram_used == 0


def test_a_frame_freed_by_a_call_that_names_it_twice_is_freed_once():
    frames = memory()
    heard: list[int] = []
    frames.device_page_free = lambda gone: heard.extend(gone.tolist())
    frames.get(pfns(300, 301, 300))
    frames.put(pfns(300, 301, 300))
    assert heard == [300, 301]


def test_more_references_than_can_be_counted_are_refused():
    frames = memory()
    some = frames.alloc_ram(2)
    for _ in range(254):
        frames.get(some[:1])
    with pytest.raises(DriverError, match="ENOMEM: a page frame cannot be shared more than 255 times"):
        frames.get(some)
    assert frames.references[some].tolist() == [255, 1]


def test_device_pages_that_nobody_names_are_reported_and_never_become_ram():
    frames = memory()
    heard: list[int] = []
    frames.device_page_free = lambda gone: heard.extend(gone.tolist())
    ram = frames.alloc_ram(1)
    frames.references[[260, 261]] += 1
    frames.put(np.concatenate([ram, pfns(260)]))
    assert (heard, frames.ram_used, frames.alloc_ram(2).tolist()) == ([260], 0, [2, 3])


def test_a_free_frame_has_no_flags():
    frames = memory()
    some = frames.alloc_ram(3)
    frames.flags[some[:2]] |= np.uint8(FrameFlag.FILE)
    frames.put(some)
    assert frames.flags[some].tolist() == [0, 0, 0]


@pytest.mark.parametrize("some", [range(300, 301), pfns(300), range(300, 304), pfns(300, 303)], ids=repr)
def test_one_frame_is_treated_as_many_are(some: Any):
    """A single frame goes past numpy; what becomes of it must not show that."""
    frames = memory()
    heard: list[int] = []
    frames.device_page_free = lambda gone: heard.extend(map(int, gone))
    used = [frames.used(some)]
    frames.claim(some, 7)
    claimed = (frames.references[list(some)].tolist(), frames.flags[list(some)].tolist(), frames.owner[some[0]])
    frames.get(some, setting=FrameFlag.MIGRATING)
    marked = frames.bits_of(some)
    frames.unlock(some)
    used.append(frames.used(some))
    frames.put(some, times=2, clearing=FrameFlag.MIGRATING)
    count = len(some)
    assert claimed == ([1] * count, [FrameFlag.LOCKED] * count, 7)
    assert (used, marked) == ([False, True], FrameFlag.LOCKED | FrameFlag.MIGRATING)
    assert (frames.used(some), frames.bits_of(some), heard) == (False, 0, list(some))


@pytest.mark.parametrize("count", [1, 2])
def test_flags_that_are_cleared_leave_the_others_of_a_frame_that_stays(count: int):
    frames = memory()
    some = frames.alloc_ram(count)
    frames.get(some, setting=FrameFlag.FILE | FrameFlag.LOCKED)
    frames.put(some, clearing=FrameFlag.LOCKED)
    assert (frames.flags[some].tolist(), frames.references[some].tolist()) == ([FrameFlag.FILE] * count, [1] * count)


def test_pins_hold_frames_and_are_counted():
    frames = memory()
    some = frames.alloc_ram(2)
    frames.pin(some)
    frames.pin(some[:1])
    frames.put(some)
    assert (frames.ram_used, frames.pins[some].tolist(), frames.flags[some].tolist()) == (2, [2, 1], [8, 8])
    frames.unpin(some)
    assert (frames.ram_used, frames.flags[some].tolist()) == (1, [8, 0])
    frames.unpin(some[:1])
    assert (frames.ram_used, frames.flags[some].tolist()) == (0, [0, 0])


def test_the_zero_page_needs_no_pin_and_is_never_handed_out():
    frames = memory()
    frames.pin(pfns(ZERO_PFN, ZERO_PFN))
    frames.unpin(pfns(ZERO_PFN, ZERO_PFN))
    assert (frames.references[ZERO_PFN], frames.flags[ZERO_PFN]) == (0, 0)
    assert ZERO_PFN not in frames.alloc_ram(256)


# bytes


def test_frames_read_as_zeros_when_that_is_asked_for():
    frames = memory()
    some = frames.alloc_ram(4)
    fill(frames, *some.tolist())
    frames.put(some)
    assert frames.bytes[frames.alloc_ram(2, zero=True)].any() == np.False_
    assert frames.bytes[frames.alloc_ram(2, zero=False)].all() == np.True_


COPIES = [
    ([2, 3, 4, 5], [300, 301, 302, 303]),
    ([2, 3, 4, 5], [303, 302, 301, 300]),
    ([9, 7, 5, 3], [300, 301, 302, 303]),
    ([2, 3, 9, 10, 11], [300, 301, 302, 303, 304]),
    ([5], [300]),
    ([], []),
    (list(range(2, 602))[::-1], list(range(700, 1000)) + list(range(1020, 720 + 600))),
]


@pytest.mark.parametrize(("source", "target"), COPIES, ids=lambda numbers: str(len(numbers)))
def test_pages_are_copied_however_they_lie(source: list[int], target: list[int]):
    frames = memory(ram="4 MiB", vram="4 MiB")
    fill(frames, *source)
    frames.copy(pfns(*source), pfns(*target))
    assert [int(frames.bytes[to, 17]) for to in target] == [number % 251 for number in source]


@pytest.mark.parametrize("numbers", [[2, 3, 4], [9, 2, 30, 31, 4], list(range(2, 800, 2)), [], [0, 2, 0, ZERO_PFN]])
def test_pages_are_gathered_however_they_lie(numbers: list[int]):
    frames = memory(ram="4 MiB")
    fill(frames, *(number for number in numbers if number > ZERO_PFN))
    out = np.full((len(numbers), PAGE_SIZE), 99, np.uint8)
    frames.read(pfns(*numbers), out)
    assert out[:, -1].tolist() == [number % 251 if number > ZERO_PFN else 0 for number in numbers]


@pytest.mark.parametrize("numbers", [[2, 3, 4], [9, 2, 30, 31, 4], list(range(2, 800, 2)), []])
def test_pages_are_scattered_and_cleared_however_they_lie(numbers: list[int]):
    frames = memory(ram="4 MiB")
    frames.write(pfns(*numbers), np.full((len(numbers), PAGE_SIZE), 5, np.uint8))
    written = np.flatnonzero(frames.bytes.any(axis=1)).tolist()
    frames.clear(pfns(*numbers))
    assert (written, bool(frames.bytes.any())) == (sorted(numbers), False)


def test_without_payload_there_is_page_state_only():
    frames = memory(payload=False)
    some = frames.alloc_ram(2)
    out = np.full((2, PAGE_SIZE), 99, np.uint8)
    frames.copy(some, some)
    frames.clear(some)
    frames.write(some, out)
    frames.read(some, out)
    assert (frames.bytes, frames.ram_used, int(out[0, 0])) == (None, 2, 99)


def test_a_large_machine_costs_nothing_until_it_is_used():
    frames = Memory(Machine.find("mi300x-8"))
    assert (frames.bytes.nbytes > 1 << 40, frames.ram_used) == (True, 0)


def test_an_arena_that_does_not_fit_says_so():
    with pytest.raises(InputError, match="this computer refuses .* GiB of address space"):
        arena((1 << 62,), np.uint8)


def test_parallel_columns_are_cut_where_either_jumps():
    assert runs_of(pfns(1, 2, 3, 4, 9), pfns(5, 6, 8, 9, 10)) == [(0, 2), (2, 2), (4, 1)]
    assert runs_of(pfns()) == []
