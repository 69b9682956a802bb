"""Every invariant notices what it is for; on a sound machine none complains."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from svmlab.hardware.gpu import PteFlag
from svmlab.hardware.memory import FrameFlag
from svmlab.mm.vma import Protection
from svmlab.svm.invariants import INVARIANTS
from svmlab.svm.process import Process
from svmlab.svm.ranges import Range

PAGES = 8


def machine() -> tuple[Process, Any, Any]:
    """A process with pages everywhere: `a` in VRAM of gpu0; `b` in RAM, shared with a child, pinned, or in swap."""
    p = Process("toy", ram="4 MiB", vram="4 MiB")
    a, b = p.mmap(PAGES * 4096, name="a"), p.mmap(PAGES * 4096, name="b")
    file = p.mmap("2 pages", name="f", kind="file", file="f")
    a[:], b[:], file[:] = 1, 2, 3
    p.pin(b.pages(0, 1))
    p.fork()
    p.swap_out(b.pages(4, 2))
    a[:] = 4
    p.set_attr(a, access=["gpu0"], prefetch="gpu0")
    p.run()
    return p, a, b


def table(p: Process, buffer: Any) -> Any:
    return next(p.driver.mm.blocks(buffer.span.start, buffer.span.last))[1]


def frame(p: Process, buffer: Any, page: int = 0) -> int:
    return int(table(p, buffer)[page]) >> 2


def lose_a_reference(p: Process, a: Any, b: Any) -> None:
    p.driver.memory.references[frame(p, b, 1)] -= 1


def lose_a_frame(p: Process, a: Any, b: Any) -> None:
    p.driver.memory.alloc_ram(1)


def leave_a_flag(p: Process, a: Any, b: Any) -> None:
    p.driver.memory.flags[frame(p, b, 1) + 200] = FrameFlag.LOCKED


def leave_an_entry(p: Process, a: Any, b: Any) -> None:
    p.driver.mm.remove(p.driver.mm.vma_at(b.span.start))


def write_through_protection(p: Process, a: Any, b: Any) -> None:
    p.driver.mm.vma_at(b.span.start).protect(Protection.READ)


def write_what_is_shared(p: Process, a: Any, b: Any) -> None:
    table(p, b)[1] |= 1


def forget_a_slot(p: Process, a: Any, b: Any) -> None:
    entry = table(p, b)[4]
    p.driver.mm.swap.get([int(entry) >> 2])


def write_the_zero_page(p: Process, a: Any, b: Any) -> None:
    p.driver.memory.bytes[1, 5] = 1


def overlap_ranges(p: Process, a: Any, b: Any) -> None:
    range_ = p.driver.svms.at(a.span.start)
    range_.children = [Range(range_.last, range_.last)]


def lose_a_buffer(p: Process, a: Any, b: Any) -> None:
    p.driver.memory.owner[frame(p, a)] = 77


def miscount_vram(p: Process, a: Any, b: Any) -> None:
    p.driver.mm.family[:] = [p.driver.mm]
    range_ = p.driver.svms.at(a.span.start)
    range_.actual_loc = range_.invalid = 0


def map_a_wrong_frame(p: Process, a: Any, b: Any) -> None:
    p.driver.devices[1].map(b.span.start, np.array([55], np.uint32), np.array([9], np.uint8))


def let_a_gpu_write_what_is_shared(p: Process, a: Any, b: Any) -> None:
    flags = np.array([PteFlag.VALID | PteFlag.READABLE | PteFlag.WRITEABLE], np.uint8)
    p.driver.devices[1].map(b.span.start + 1, np.array([frame(p, b, 1)], np.uint32), flags)


def take_vram_without_a_buffer(p: Process, a: Any, b: Any) -> None:
    p.driver.vrams[2].alloc(5)


def keep_a_vram_page(p: Process, a: Any, b: Any) -> None:
    table(p, a)[0] = 0


def count_an_eviction_that_nobody_heard_of(p: Process, a: Any, b: Any) -> None:
    p.driver.svms.evicted_ranges = 2


BREACHES: list[tuple[str, Callable[..., None], str]] = [
    ("reference counts match", lose_a_reference, "1 frames have the wrong number of references"),
    ("no frame is lost", lose_a_frame, "frames of RAM are in use"),
    ("free frames are clean", leave_a_flag, "1 free frames have flags"),
    ("entries lie in mappings", leave_an_entry, "8 page table entries are outside of every mapping"),
    ("entries obey their mapping", write_through_protection, "main: b is read-only, 1 of its entries are not"),
    ("private pages are written by one", write_what_is_shared, "main: b may write 1 pages that others see too"),
    ("swap slots are named", forget_a_slot, "2 swap slots have 5 users, entries name 4"),
    ("the zero page is zero", write_the_zero_page, "somebody wrote to the shared zero page"),
    ("ranges are disjoint", overlap_ranges, "overlap"),
    ("device pages have a buffer", lose_a_buffer, "buffer 77, which was freed"),
    ("ranges count their VRAM", miscount_vram, "counts as in RAM, but 8 of its pages are in VRAM"),
    ("mapped pages are present", map_a_wrong_frame, "gpu1 maps"),
    ("GPUs write no shared page", let_a_gpu_write_what_is_shared, "gpu1 may write 1 shared private pages"),
    (
        "the queue state follows the count",
        count_an_eviction_that_nobody_heard_of,
        "2 evictions are counted in state RUN",
    ),
    ("VRAM is held by buffers", take_vram_without_a_buffer, "gpu2 has 5 pages of VRAM in use, its buffers hold 0"),
    ("no VRAM page is lost", keep_a_vram_page, "pages of gpu0 in buffers have references"),
]


def test_a_sound_machine_breaks_nothing():
    assert machine()[0].broken_invariants() == []


@pytest.mark.parametrize(("name", "breach", "complaint"), BREACHES, ids=[row[0] for row in BREACHES])
def test_every_breach_is_noticed_by_the_invariant_it_belongs_to(name: str, breach: Callable[..., None], complaint: str):
    p, a, b = machine()
    breach(p, a, b)
    found = [line for line in p.broken_invariants() if line.startswith(f"{name}: ")]
    assert len(found) >= 1
    assert complaint in found[0]


def test_every_invariant_has_a_breach():
    assert {row[0] for row in BREACHES} == set(INVARIANTS)


def test_stale_entries_of_invalid_ranges_are_no_breach_while_the_queues_are_stopped():
    p = Process("toy", ram="4 MiB", vram="4 MiB")
    a = p.mmap(PAGES * 4096, name="a")
    a[:] = 1
    p.set_attr(a, access=["gpu0"])
    p.discard(a.pages(2, 2))
    assert (p.look.queues(), p.broken_invariants()) == ("evicted", [])
    p.run()
    assert (p.look.queues(), p.broken_invariants()) == ("running", [])


@pytest.mark.parametrize("ns", [0, 1_000, 10_000, 30_000, 60_000, 100_000, 500_000])
def test_nothing_is_broken_in_the_middle_of_things(ns: int):
    p = Process("toy", ram="4 MiB", vram="4 MiB")
    a = p.mmap("64 pages", name="a")
    a[:] = 1
    p.set_attr(a.pages(0, 32), access=["gpu0"], prefetch="gpu0")
    p.start.set_attr(a.pages(16, 32), access=["gpu0"], prefetch="gpu1")
    p.start.swap_out(a.pages(40, 20))
    p.start.cpu_write(a.pages(0, 8), 5)
    p.start.munmap(a.pages(60, 4))
    p.advance(ns)
    assert p.broken_invariants() == []
