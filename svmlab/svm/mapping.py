"""Filling GPU page tables: look at what the CPU page table holds, make sure it did not change, write entries."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from svmlab.errors import BusError, DriverError
from svmlab.hardware.frames import Pfns, array_of
from svmlab.hardware.machine import Machine
from svmlab.hardware.page_column import BLOCK_PAGES
from svmlab.hardware.world import Blocking
from svmlab.mm import entries as pte
from svmlab.mm.address_space import AddressSpace
from svmlab.mm.fault import handle_fault
from svmlab.mm.hmm import Seen, range_fault, walk
from svmlab.mm.vma import Vma
from svmlab.svm import buffers
from svmlab.svm.behaviour import option
from svmlab.svm.decision import gpus_of
from svmlab.svm.driver import Driver
from svmlab.svm.policy import skipped_peers
from svmlab.svm.pte import entry_flags
from svmlab.svm.ranges import Range
from svmlab.svm.vram_buffer import frames_of
from svmlab.uapi import UnmapTrigger
from svmlab.units import PAGE_SHIFT, SEC

__all__ = ["Target", "unmap_from_gpus", "validate_and_map", "validate_ram"]


class Target(NamedTuple):
    """What to map where.

    Attributes:
        start, last: pages, inclusive.
        gpus: bits of the GPUs; those that cannot reach the range's VRAM are skipped.
    """

    start: int
    last: int
    gpus: int

    def within(self, vma: Vma) -> Target:
        """The part of it that lies in a VMA."""
        if vma.start <= self.start and self.last <= vma.last:
            return self
        return Target(max(self.start, vma.start), min(self.last, vma.last), self.gpus)


def validate_and_map(driver: Driver, range_: Range, target: Target | None = None) -> Blocking[None]:
    """Map a range (or part of it) to GPUs, as it is now. The caller holds mmap_lock and the range's migrate_mutex.

    Args:
        driver, range_: what to map.
        target: which part and which GPUs; None: all of it, to the GPUs that ``map_set`` chooses.

    Raises:
        DriverError: EAGAIN, a page changed meanwhile; EFAULT, EPERM, ENOMEM as the pages cannot be had.

    Slots: map_set, map_source, partly_out_of_reach, skipped_gpus
    Kernel: svm_range_validate_and_map (kfd_svm.c)
    """
    if target is None:
        target = Target(range_.start, range_.last, driver.behaviour.map_set(driver.situation(range_)))
    mapping: Blocking[None] = driver.behaviour.map_source(driver, range_, target)
    return mapping


@option("map_source", "page-table")
def _follow_the_page_table(driver: Driver, range_: Range, target: Target) -> Blocking[None]:
    """Map what HMM finds, VMA by VMA.

    1. skip GPUs that do not reach the range where it is
    2. bring home pages in VRAM that relatives by fork share
    3. fault the pages in, for stores where the VMA allows them
    4. take the range's lock; start over if the page table changed or the range got children
    5. write the entries of every GPU that reaches the pages
    """
    if not target.gpus:
        return
    if range_.actual_loc and range_.buffer is None:
        raise DriverError(errno.EINVAL, f"range {range_.start:#x} is in VRAM but has no buffer")
    range_.mapping_done = False  # whatever stops us below
    if far := skipped_peers(driver.machine, range_.actual_loc, target.gpus | range_.mapped):
        target = yield from _skip(driver, range_, target, far)
        if not target.gpus:
            return
    page = target.start
    while page <= target.last:
        vma = driver.mm.vma_at(page)
        if vma is None:
            raise DriverError(errno.EFAULT, f"page {page:#x} of the range is not mapped")
        yield from _map_piece(driver, range_, vma, target.within(vma))
        page = vma.last + 1
    range_.mapping_done, range_.validated_ns = True, driver.now


def _skip(driver: Driver, range_: Range, target: Target, far: int) -> Blocking[Target]:
    """What is left to map if some GPUs do not reach the range; those that still map it may have to give that up."""
    start, last, gpus = target
    if gpus & far:
        gpus = driver.behaviour.partly_out_of_reach(driver, range_, target, far)
    if range_.mapped & far:
        yield from driver.behaviour.skipped_gpus(driver, range_, Target(start, last, range_.mapped & far))
    return Target(start, last, gpus)


@option("partly_out_of_reach", "skipped")
def _by_range(driver: Driver, range_: Range, target: Target, far: int) -> int:
    return target.gpus & ~far


@option("partly_out_of_reach", "mapped")
def _by_part(driver: Driver, range_: Range, target: Target, far: int) -> int:
    in_vram = buffers.count_vram_pages(driver, target.start, target.last, range_.actual_loc)
    return target.gpus & ~far if in_vram else target.gpus


@option("skipped_gpus", "left")
def _forget_the_others(driver: Driver, range_: Range, far: Target) -> Blocking[None]:
    """A GPU that is skipped is not looked at."""
    yield from ()


@option("skipped_gpus", "unmapped")
def _unmap_the_others(driver: Driver, range_: Range, far: Target) -> Blocking[None]:
    """What a GPU out of reach maps is from before the range moved."""
    return unmap_from_gpus(driver, range_, far, UnmapTrigger.MMU_NOTIFY_MIGRATE)


def _map_piece(driver: Driver, range_: Range, vma: Vma, piece: Target) -> Blocking[None]:
    if not vma.readable:
        yield from unmap_from_gpus(driver, range_, piece, UnmapTrigger.UNMAP_FROM_CPU)
        return
    sequence, seen = yield from _walk(driver, range_, vma, piece)
    with (yield from range_.lock(driver.world).held()):
        if range_.sequence != sequence or range_.children or driver.mm.notifiers.busy(piece.start, piece.last):
            raise DriverError(errno.EAGAIN, "the CPU page table changed while the range was being mapped")
        for gpu in gpus_of(piece.gpus):
            range_.mapped |= 1 << gpu
            yield from _write_entries(driver, range_, gpu, seen, stores=vma.writable)


def _walk(driver: Driver, range_: Range, vma: Vma, piece: Target) -> Blocking[tuple[int, list[Seen]]]:
    """Walk until a walk changes nothing itself: faults of its own, such as copy-on-write, reach the notifier too.

    1. bring home pages in VRAM that relatives share
    2. wait until nobody changes the pages
    3. walk; start over if the page table changed meanwhile

    Returns:
        The notifier's count that belongs to what the walk saw, and what that was.

    Raises:
        DriverError: EAGAIN, the page table did not settle within a second.

    Kernel: amdgpu_hmm_range_get_pages (amdgpu_hmm.c)
    """
    mm, start, last, owners = driver.mm, piece.start, piece.last, _owners(driver.machine, piece.gpus)
    stores = vma.writable
    relatives = stores and len(mm.family) > 1 and vma.private
    deadline_ns = driver.now + SEC
    while True:
        if relatives:
            yield from _bring_shared_home(mm, start, last)
        if mm.notifiers.busy(start, last):
            yield from mm.notifiers.settled(driver.world, start, last)
        sequence = range_.sequence
        seen = yield from walk(mm, vma, start, last, write=stores, owners=owners, faults=driver.faults)
        # a relative's migration that the walk waited for may have put shared pages into VRAM
        if range_.sequence == sequence and not (relatives and _first_shared(mm, start, last) <= last):
            return sequence, seen
        if driver.now > deadline_ns:
            raise DriverError(errno.EAGAIN, "the CPU page table keeps changing while the range is being mapped")


def _bring_shared_home(mm: AddressSpace, page: int, last: int) -> Blocking[None]:
    while (page := _first_shared(mm, page, last)) <= last:
        try:
            yield from handle_fault(mm, page, page, write=True)
        except BusError as error:
            raise DriverError(errno.EFAULT, error.given) from error


def _first_shared(mm: AddressSpace, page: int, last: int) -> int:
    """The first page from ``page`` on that a GPU must not write where it is; the one behind ``last`` if none is so.

    A GPU that writes a page in VRAM that relatives share would write it for all of them.
    """
    memory = mm.memory

    def own(entries: pte.Entries) -> npt.NDArray[np.bool_]:
        pfns = np.where((entries & (pte.SWAP | pte.WRITE)) == 0, pte.pfn_of(entries), 0)
        alone: npt.NDArray[np.bool_] = ~memory.is_device(pfns)
        alone |= memory.references[pfns] <= 1
        return alone

    while page <= last and (ready := mm.table.leading(page, last, own)):
        page += ready
    return page


@lru_cache(maxsize=256)
def _owners(machine: Machine, gpus: int) -> frozenset[int]:
    """GPUs whose device pages may stay: the common hive of all that map, or nobody's (the common pgmap owner)."""
    mapping = gpus_of(gpus)
    near = [gpu.index for gpu in machine.gpus if all(machine.near(gpu.index, each) for each in mapping)]
    return frozenset(near if mapping else ())


def _write_entries(driver: Driver, range_: Range, gpu: int, seen: list[Seen], *, stores: bool) -> Blocking[None]:
    """One GPU's entries for consecutive pages; waits for the page table update (svm_range_map_to_gpu).

    Args:
        driver, range_, gpu: whose entries.
        seen: what is behind the pages, stretch by stretch.
        stores: whether pages in VRAM may be written, whatever is said of them: HMM reports one that a fork made
            read-only and that is ours alone as it is.
    """
    memory, device, flags = driver.memory, driver.devices[gpu], entry_flags(driver.machine, gpu, range_.flags)
    npages = vram_pages = 0
    for page, frames, writable in seen:
        npages += len(frames)
        if isinstance(frames, range):
            owner = memory.gpu_at(frames.start)
            if owner >= 0:
                vram_pages += len(frames)
            row = 1 if writable or (stores and owner >= 0) else 0
            device.map_run(page, frames, flags.item(row, owner + 1))
        else:
            owners = memory.gpu_of(frames)
            in_vram = owners >= 0
            vram_pages += int(np.count_nonzero(in_vram))
            rows = np.asarray(writable | in_vram if stores else writable, np.intp)
            device.map(page, frames, flags[rows, owners + 1])
    start, duration = seen[0][0], driver.costs.map_ns + npages * driver.costs.map_page_ns
    driver.emit.map_to_gpu(
        start,
        start + npages - 1,
        gpu=gpu,
        npages=npages,
        vram_pages=vram_pages,
        duration_ns=duration,
    )
    yield from driver.world.sleep(duration, "after writing GPU entries")


def unmap_from_gpus(driver: Driver, range_: Range, part: Target, trigger: UnmapTrigger) -> Blocking[None]:
    """Clear the entries of part of a range on the GPUs that map it, and flush their TLBs.

    Kernel: svm_range_unmap_from_gpus (kfd_svm.c)
    """
    for gpu in gpus_of(range_.mapped & part.gpus):
        driver.devices[gpu].unmap(part.start, part.last)
        driver.emit.unmap_from_gpu(part.start, part.last, gpu=gpu, trigger=trigger)
        if part.start <= range_.start and part.last >= range_.last:
            range_.mapped &= ~(1 << gpu)
        duration = driver.costs.unmap_ns + driver.costs.tlb_flush_heavy_ns
        yield from driver.world.sleep(duration, "after unmapping from a GPU")


def validate_ram(driver: Driver, range_: Range) -> Blocking[None]:
    """Fault a whole range in for stores and keep its page array, as the posting does before it maps RAM.

    Raises:
        DriverError: EFAULT for a hole or a page in VRAM, EPERM for a read-only VMA.

    Kernel: svm_range_validate_ram (kfd_svm.c)
    """
    frames = []
    page = range_.start
    while page <= range_.last:
        vma = driver.mm.vma_at(page)
        if vma is None:
            raise DriverError(errno.EFAULT, f"page {page:#x} of the range is not mapped")
        last = min(vma.last, range_.last)
        entries = yield from _walk_ram(driver, vma, page, last)
        frames.append(pte.pfn_of(entries))
        page = last + 1
    range_.page_array = np.concatenate(frames)


def _walk_ram(driver: Driver, vma: Vma, start: int, last: int) -> Blocking[pte.Entries]:
    """One HMM walk that finds no page in VRAM acceptable, and brings none home (EFAULT)."""
    task = driver.log.task
    driver.walking.add(task.id)
    try:
        return (
            yield from range_fault(driver.mm, vma, start, last, write=True, owners=frozenset(), faults=driver.faults)
        )
    finally:
        driver.walking.remove(task.id)


@option("map_source", "buffer")
def _follow_the_buffer(driver: Driver, range_: Range, target: Target) -> Blocking[None]:
    """Validate where the range is believed to be, then map its page array or its buffer as one line of pages."""
    if range_.actual_loc == 0:
        yield from validate_ram(driver, range_)
    else:
        yield from _validate_vram(driver, range_)
    for gpu in gpus_of(target.gpus & ~skipped_peers(driver.machine, range_.actual_loc, target.gpus)):
        if range_.page_array is not None:
            range_.dma[gpu] = range_.page_array.copy()
        frames = _line_of_pages(driver, range_, gpu)
        range_.mapped |= 1 << gpu
        yield from _write_entries(driver, range_, gpu, list(_line(range_.start, frames)), stores=True)
    range_.mapping_done = True


def _validate_vram(driver: Driver, range_: Range) -> Blocking[None]:
    """VRAM that migration left is taken as it is; a range without gets cleared VRAM, whatever the CPU holds (D2)."""
    if range_.has_vram:
        return
    gpu = driver.gpu_index(range_.actual_loc)
    if gpu is None:
        raise DriverError(errno.EINVAL, f"no GPU has the id {range_.actual_loc:#x}")
    buffer = yield from buffers.attach(driver, range_, gpu)
    driver.memory.clear(array_of(buffer.frames(driver.memory.first_of(gpu))))


def _line(page: int, frames: Pfns) -> Iterator[Seen]:
    for at in range(0, len(frames), BLOCK_PAGES):
        some = frames[at : at + BLOCK_PAGES]
        yield page + at, some, np.ones(len(some), bool)


def _line_of_pages(driver: Driver, range_: Range, gpu: int) -> Pfns:
    """The DMA array wins over the buffer, however old it is (X22); the buffer's offset counts as bytes (X23)."""
    if gpu in range_.dma:
        return range_.dma[gpu][: range_.npages]
    if range_.buffer is None:
        raise DriverError(errno.EINVAL, f"range {range_.start:#x} has neither pages nor VRAM")
    pieces = range_.buffer.pieces(range_.offset >> PAGE_SHIFT, range_.npages)
    return array_of(frames_of(pieces, driver.memory.first_of(range_.buffer.gpu)))
