"""Bulk mechanisms go by columns: what a page more costs is some passes of numpy over it, and no line of Python.

Two measures, neither with a limit in seconds. How the time grows from 1 Ki to 1 Mi pages, divided by how one pass of
numpy over columns of the same sizes grows: a Python loop shows as hundreds of passes. And how many lines of Python run:
they may grow with the number of blocks of 64 Ki pages, not with the pages.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from svmlab.hardware.injection import Injections
from svmlab.hardware.page_column import BLOCK_PAGES
from svmlab.mm import access, migrate_vma, syscalls
from svmlab.mm.hmm import range_fault
from svmlab.mm.migrate_vma import MigrateVma
from svmlab.mm.span import Span
from svmlab.mm.vma import Protection
from svmlab.svm.process import Process
from svmlab.units import PAGE_SIZE

FEW, MANY = 1 << 10, 1 << 20
MOST_PASSES = 120
MORE_PASSES = {"GPU faults after a fork": 240}
"""Each block goes to VRAM, comes home for its relatives (V12), and is copied on write; a loop is thousands."""
MOST_LINES_A_BLOCK = 1000
MOST_LINES_A_MIGRATION = 4000
"""What a fault may run that moves a block: all steps of a migration, with their locks and their log."""

Lab = Any
Step = Callable[[Lab, Any], Any]


def drain(work: Any) -> Any:
    """Run a mechanism without the simulation: every event it waits for is over at once."""
    while True:
        try:
            next(work)
        except StopIteration as stop:
            return stop.value


def populate(lab: Lab, mapped: Any) -> None:
    drain(access.touch(lab.mm, mapped.span, write=True))


def nothing(lab: Lab, mapped: Any) -> None:
    """Needs no preparation."""


def zero_pages(lab: Lab, mapped: Any) -> None:
    drain(access.touch(lab.mm, mapped.span, write=False))


def forked(lab: Lab, mapped: Any) -> None:
    populate(lab, mapped)
    drain(syscalls.fork(lab.mm, lab.process("child")))


def heard_by_a_child(lab: Lab, mapped: Any) -> None:
    """A child that shares the frames has a notifier for them."""
    forked(lab, mapped)
    lab.listen(mapped.of(lab.mms[-1]))


def left_alone(lab: Lab, mapped: Any) -> None:
    forked(lab, mapped)
    drain(syscalls.release(lab.mms[-1]))


def collected(lab: Lab, mapped: Any) -> None:
    populate(lab, mapped)
    lab.args = arguments(lab, mapped)
    drain(migrate_vma.setup(lab.args, lab.faults))
    lab.args.set_targets(np.arange(mapped.span.npages), lab.vram_pages(mapped.span.npages))


def arguments(lab: Lab, mapped: Any) -> MigrateVma:
    return MigrateVma(lab.mm, lab.mm.vma_at(mapped.start), mapped.start, mapped.span.npages, from_ram=True)


def collect(lab: Lab, mapped: Any) -> None:
    drain(migrate_vma.setup(arguments(lab, mapped), lab.faults))


def finish(lab: Lab, mapped: Any) -> None:
    drain(migrate_vma.pages(lab.args))
    migrate_vma.finalize(lab.args)


def walk(lab: Lab, mapped: Any) -> None:
    vma, span = lab.mm.vma_at(mapped.start), mapped.span
    drain(range_fault(lab.mm, vma, span.start, span.last, write=True, owners=frozenset({0}), faults=Injections()))


def shared_collected(lab: Lab, mapped: Any) -> None:
    forked(lab, mapped)
    lab.args = arguments(lab, mapped)
    drain(migrate_vma.setup(lab.args, lab.faults))
    lab.args.set_targets(np.arange(mapped.span.npages), lab.vram_pages(mapped.span.npages))


def protect(lab: Lab, mapped: Any) -> None:
    drain(syscalls.mprotect(lab.mm, mapped.span, Protection.READ))


def swap_out(lab: Lab, mapped: Any) -> None:
    drain(syscalls.swap_out(lab.mm, mapped.span))


def swapped(lab: Lab, mapped: Any) -> None:
    populate(lab, mapped)
    swap_out(lab, mapped)


def pin_and_unpin(lab: Lab, mapped: Any) -> None:
    drain(syscalls.pin(lab.mm, mapped.span))
    drain(syscalls.unpin(lab.mm, mapped.span))


def driven(lab: Lab, mapped: Any, xnack: bool = False) -> None:
    """A process whose GPU has a queue, with a buffer of that many pages that the CPU has written."""
    lab.p = Process("toy", ram="24 GiB", vram="12 GiB", payload=False, xnack=xnack)
    lab.p.create_queue(0)
    lab.buffer = lab.p.mmap(mapped.span.nbytes)
    lab.p.cpu_touch(lab.buffer, write=True)


def untouched(lab: Lab, mapped: Any) -> None:
    lab.p = Process("toy", ram="24 GiB", vram="12 GiB", payload=False)
    lab.buffer = lab.p.mmap(mapped.span.nbytes)


def scattered(lab: Lab, mapped: Any) -> None:
    driven(lab, mapped)
    table, span = lab.p.driver.mm.table, lab.buffer.span
    table.set(span.start, table.get(span.start, span.last)[::-1])


def shuffled(lab: Lab, mapped: Any) -> None:
    driven(lab, mapped)
    table, span = lab.p.driver.mm.table, lab.buffer.span
    table.set(span.start, np.random.default_rng(1).permutation(table.get(span.start, span.last)))


def to_gpu(lab: Lab, mapped: Any) -> None:
    lab.p.set_attr(lab.buffer, access=["gpu0"], prefetch="gpu0")
    lab.p.run()


def to_cpu(lab: Lab, mapped: Any) -> None:
    lab.p.set_attr(lab.buffer, prefetch="cpu")
    lab.p.run()


def map_to_gpu(lab: Lab, mapped: Any) -> None:
    lab.p.set_attr(lab.buffer, access=["gpu0"])
    lab.p.run()


def on_gpu(lab: Lab, mapped: Any) -> None:
    driven(lab, mapped)
    to_gpu(lab, mapped)


def mapped_to_gpu(lab: Lab, mapped: Any) -> None:
    driven(lab, mapped)
    map_to_gpu(lab, mapped)


def mapped_with_xnack(lab: Lab, mapped: Any) -> None:
    driven(lab, mapped, xnack=True)
    map_to_gpu(lab, mapped)


def go_on_after_a_fork(lab: Lab, mapped: Any) -> None:
    lab.p.fork()
    lab.p.run()


def large_blocks(lab: Lab, mapped: Any, xnack: bool = False) -> None:
    """Faults move blocks of 64 Ki pages."""
    driven(lab, mapped, xnack=xnack)
    lab.p.set_attr(lab.buffer, access=["gpu0"], granularity=16)
    lab.p.run()


def large_blocks_on_gpu(lab: Lab, mapped: Any) -> None:
    large_blocks(lab, mapped)
    to_gpu(lab, mapped)


def left_to_faults(lab: Lab, mapped: Any) -> None:
    large_blocks(lab, mapped, xnack=True)
    lab.p.set_attr(lab.buffer, prefetch="cpu")
    lab.p.run()


def forked_left_to_faults(lab: Lab, mapped: Any) -> None:
    left_to_faults(lab, mapped)
    go_on_after_a_fork(lab, mapped)


def child_on_gpu(lab: Lab, mapped: Any) -> None:
    """A GPU maps for a child the frames that it shares."""
    driven(lab, mapped)
    child = lab.p.fork()
    child.set_attr(lab.buffer.span, access=["gpu0"])
    child.run()


def gpu_faults(lab: Lab, mapped: Any) -> None:
    """Block by block, with time between them: a fault that follows at once is dropped for 2 ms, again and again."""
    span = lab.buffer.span
    for start in range(0, span.npages, BLOCK_PAGES):
        lab.p.advance("3 ms")
        part = min(BLOCK_PAGES, span.npages - start) * PAGE_SIZE
        lab.p.gpu_touch(0, Span(span.address + start * PAGE_SIZE, part), write=True)


DRIVER: dict[str, tuple[Step, Step]] = {
    "migrate to VRAM": (driven, to_gpu),
    "migrate to VRAM from frames in no order": (scattered, to_gpu),
    "migrate to VRAM from shuffled frames": (shuffled, to_gpu),
    "migrate to VRAM what nobody touched": (untouched, to_gpu),
    "migrate to VRAM what a child's GPU maps": (child_on_gpu, to_gpu),
    "migrate to RAM": (on_gpu, to_cpu),
    "map to a GPU": (driven, map_to_gpu),
    "map to a GPU frames in no order": (scattered, map_to_gpu),
    "map to a GPU shuffled frames": (shuffled, map_to_gpu),
    "GPUs go on after a fork": (mapped_to_gpu, go_on_after_a_fork),
    "GPUs go on after a fork, from VRAM": (large_blocks_on_gpu, go_on_after_a_fork),
    "GPU faults": (left_to_faults, gpu_faults),
    "GPU faults after a fork": (forked_left_to_faults, gpu_faults),
    "CPU faults": (large_blocks_on_gpu, lambda lab, mapped: lab.p.cpu_touch(lab.buffer, write=True)),
    "map what is in VRAM to one more GPU": (
        on_gpu,
        lambda lab, mapped: lab.p.set_attr(lab.buffer, access=["gpu0", "gpu1"]),
    ),
    "GPU loads": (mapped_to_gpu, lambda lab, mapped: lab.p.gpu_read(0, lab.buffer)),
    "discard in VRAM": (on_gpu, lambda lab, mapped: (lab.p.discard(lab.buffer), lab.p.run())),
    "munmap in VRAM": (on_gpu, lambda lab, mapped: (lab.p.munmap(lab.buffer), lab.p.run())),
    "unmap from a GPU that takes faults": (mapped_with_xnack, lambda lab, mapped: lab.p.discard(lab.buffer)),
}

FAULTS = ("GPUs go on after a fork, from VRAM", "GPU faults", "GPU faults after a fork", "CPU faults")

MECHANISMS: dict[str, tuple[Step, Step]] = {
    "populate": (nothing, populate),
    "populate with the zero page": (nothing, zero_pages),
    "populate over the zero page": (zero_pages, populate),
    "touch what is there": (populate, populate),
    "load": (populate, lambda lab, mapped: drain(access.load(lab.mm, mapped.span))),
    "store": (
        populate,
        lambda lab, mapped: drain(access.store(lab.mm, mapped.span, np.broadcast_to(np.uint8(1), mapped.span.nbytes))),
    ),
    "look": (populate, lambda lab, mapped: access.peek(lab.mm, mapped.span)),
    "discard": (populate, lambda lab, mapped: drain(syscalls.discard(lab.mm, mapped.span))),
    "munmap": (populate, lambda lab, mapped: drain(syscalls.munmap(lab.mm, mapped.span))),
    "mprotect": (populate, protect),
    "mremap": (populate, lambda lab, mapped: drain(syscalls.mremap(lab.mm, mapped.span, None))),
    "pin": (populate, pin_and_unpin),
    "fork": (populate, lambda lab, mapped: drain(syscalls.fork(lab.mm, lab.process("child")))),
    "copy on write": (forked, populate),
    "swap out": (populate, swap_out),
    "swap out what a child shares": (forked, swap_out),
    "swap out what a child with notifiers shares": (heard_by_a_child, swap_out),
    "swap in": (swapped, populate),
    "load from swap": (swapped, lambda lab, mapped: drain(access.load(lab.mm, mapped.span))),
    "use what nobody shares any more": (left_alone, populate),
    "collect": (populate, collect),
    "collect holes": (nothing, collect),
    "collect what a child shares": (forked, collect),
    "collect what a child with notifiers shares": (heard_by_a_child, collect),
    "finalize": (collected, finish),
    "finalize what a child shares": (shared_collected, finish),
    "walk by HMM": (populate, walk),
    "exit": (populate, lambda lab, mapped: drain(syscalls.release(lab.mm))),
    **DRIVER,
}


def one_by_one(lab: Lab, mapped: Any) -> None:
    """What must not be: a line of Python for each page."""
    for page in range(mapped.span.start, mapped.span.last + 1):
        lab.mm.table.set(page, lab.mm.table.get(page, page))


def converted(lab: Lab, mapped: Any) -> None:
    """What must not be either: some objects of Python for each page, though no line of its own."""
    frames = lab.mm.table.get(mapped.span.start, mapped.span.last).tolist()
    lab.seen = dict(zip(map(bin, frames), zip(map(str, frames), map(hex, frames), strict=True), strict=True))


def prepared(make_lab: Any, npages: int, before: Step) -> tuple[Lab, Any]:
    lab = make_lab(ram="24 GiB", vram="12 GiB", payload=False)
    mapped = lab.map(npages)
    before(lab, mapped)
    return lab, mapped


def seconds(make_lab: Any, npages: int, steps: tuple[Step, Step]) -> float:
    """What a mechanism takes, its preparation aside."""
    lab, mapped = prepared(make_lab, npages, steps[0])
    begun = time.perf_counter()
    steps[1](lab, mapped)
    return time.perf_counter() - begun


def numpy_pass(npages: int) -> float:
    """One pass of numpy over columns of that size: gather, compare, choose and write, block by block."""
    entries, flags = np.arange(npages, dtype=np.uint32), np.zeros(npages, np.uint8)
    found = []
    for _ in range(5):
        begun = time.perf_counter()
        for start in range(0, npages, BLOCK_PAGES):
            view = entries[start : start + BLOCK_PAGES]
            view[:] = np.where((view != 0) & (flags[view] == 0), view, np.uint32(0))
        found.append(time.perf_counter() - begun)
    return min(found)


def passes(make_lab: Any, steps: tuple[Step, Step]) -> float:
    """How many passes of numpy over them the pages from the first thousand to the first million cost."""
    grown = seconds(make_lab, MANY, steps) - seconds(make_lab, FEW, steps)
    return grown / (numpy_pass(MANY) - numpy_pass(FEW))


def lines(make_lab: Any, npages: int, steps: tuple[Step, Step]) -> int:
    """How many lines of svmlab (and of this file) a mechanism runs."""
    lab, mapped = prepared(make_lab, npages, steps[0])
    count = 0

    def trace(frame: Any, event: str, _: Any) -> Any:
        nonlocal count
        count += event == "line"
        return trace if "svmlab" in frame.f_code.co_filename or frame.f_code.co_filename == __file__ else None

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        steps[1](lab, mapped)
    finally:
        sys.settrace(before)
    return count


@pytest.mark.parametrize("name", MECHANISMS)
def test_the_lines_that_run_grow_with_the_blocks_and_not_with_the_pages(make_lab: Any, name: str):
    grown = lines(make_lab, 4 * BLOCK_PAGES, MECHANISMS[name]) - lines(make_lab, FEW, MECHANISMS[name])
    assert grown <= 4 * (MOST_LINES_A_MIGRATION if name in FAULTS else MOST_LINES_A_BLOCK)


@pytest.mark.parametrize("name", MECHANISMS)
def test_a_page_more_costs_some_passes_of_numpy(make_lab: Any, name: str):
    # again where something else was in its way; a loop is too slow every time
    most = MORE_PASSES.get(name, MOST_PASSES)
    assert any(passes(make_lab, MECHANISMS[name]) <= most for _ in range(8))


def test_a_loop_over_pages_would_be_noticed_by_its_lines(make_lab: Any):
    few, more = (lines(make_lab, npages, (nothing, one_by_one)) for npages in (FEW, 4 * FEW))
    assert more - few > 3 * FEW


@pytest.mark.parametrize("loop", [one_by_one, converted])
def test_a_loop_over_pages_would_be_noticed_by_its_time(make_lab: Any, loop: Step):
    # again where something slowed the passes it is measured in
    assert any(passes(make_lab, (populate, loop)) > MOST_PASSES for _ in range(8))
