"""What a program asks of the kernel's memory management: map, unmap, protect, discard, pin, swap, move, fork.

Every change of the CPU page table is announced to the notifiers *before* it happens; a notifier may sleep.
"""

from __future__ import annotations

import errno
from dataclasses import dataclass

import numpy as np

from svmlab.errors import BusError, DriverError
from svmlab.hardware.world import Blocking
from svmlab.mm import entries as pte
from svmlab.mm.access import touch
from svmlab.mm.address_space import AddressSpace
from svmlab.mm.forking import fork, release
from svmlab.mm.pinning import pin, unpin
from svmlab.mm.reclaim import swap_out
from svmlab.mm.span import Span
from svmlab.mm.vma import File, Protection, Vma, VmaKind
from svmlab.uapi import NotifierEvent
from svmlab.units import PAGE_SIZE

__all__ = ["Mapping", "discard", "fork", "mmap", "mprotect", "mremap", "munmap", "pin", "release", "swap_out", "unpin"]


@dataclass(frozen=True, slots=True)
class Mapping:
    """What to map.

    Attributes:
        nbytes: size; rounded up to pages.
        at: address, or None for the next free place.
        protection, kind, name: as of the VMA.
        file: the page cache, for files and shared memory.
        populate: fault every page in at once (MAP_POPULATE).
    """

    nbytes: int
    at: int | None = None
    protection: Protection = Protection.READ | Protection.WRITE
    kind: VmaKind = VmaKind.ANONYMOUS
    name: str = ""
    file: File | None = None
    populate: bool = False


def mmap(mm: AddressSpace, mapping: Mapping) -> Blocking[Span]:
    """Map memory.

    Returns:
        Where it is, in whole pages.

    Raises:
        DriverError: EINVAL for an empty mapping or a bad address, EEXIST where something is mapped, ENOMEM for more
            than user space has.
    """
    if mapping.nbytes <= 0:
        raise DriverError(errno.EINVAL, f"a mapping of {mapping.nbytes} bytes", allowed="1 byte or more")
    npages = -(-mapping.nbytes // PAGE_SIZE)
    with (yield from mm.mmap_lock.write()):
        start = mm.place(npages, mapping.at)
        file = mapping.file or (File(mapping.name, kept=False) if mapping.kind is VmaKind.SHARED else None)
        vma = Vma(start, start + npages - 1, mapping.protection, mapping.kind, mapping.name, file)
        mm.insert(vma)
        yield from mm.world.sleep(mm.costs.mm_syscall_ns)
    span = Span.of_pages(start, start + npages - 1)
    if mapping.populate and mapping.protection and not vma.special:
        yield from _populate(mm, span, write=vma.writable)
    return span


def _populate(mm: AddressSpace, span: Span, *, write: bool) -> Blocking[None]:
    try:
        yield from touch(mm, span, write=write)
    except BusError as error:
        # mm_populate does what it can: whoever touches the rest learns that there is no memory for it
        mm.world.emit.driver_fallback(span.start, span.last, text=f"not all of it is populated: {error.given}")


def munmap(mm: AddressSpace, span: Span) -> Blocking[None]:
    """Unmap whatever is mapped in the span; holes are no error.

    1. take the VMAs out: from now on nobody can fault a page in
    2. tell the notifiers
    3. empty the page table

    Raises:
        DriverError: EINVAL for a bad span.

    Kernel: unmap_vmas (mm/memory.c)
    """
    start, last = span.whole_pages()
    with (yield from mm.mmap_lock.write()):
        gone = mm.cut(start, last)
        for vma in gone:
            mm.remove(vma)
        if gone:
            yield from mm.notifiers.invalidate(NotifierEvent.UNMAP, start, last)
        for vma in gone:
            mm.zap(vma.start, vma.last)
        yield from mm.world.sleep(mm.costs.mm_syscall_ns)


def discard(mm: AddressSpace, span: Span) -> Blocking[None]:
    """Throw the contents of pages away; the next touch finds zeros, or the file (MADV_DONTNEED).

    Raises:
        DriverError: ENOMEM, part of the span is not mapped (the rest is discarded); EINVAL for special mappings and
            bad spans.
    """
    start, last = span.whole_pages()
    with (yield from mm.mmap_lock.read()):
        for vma in mm.vmas_in(start, last):
            if vma.special or vma.kind is VmaKind.HUGETLB:
                raise DriverError(errno.EINVAL, f"{vma.name}: a {vma.kind.value} mapping cannot be discarded")
            first, end = max(start, vma.start), min(last, vma.last)
            yield from mm.notifiers.invalidate(NotifierEvent.CLEAR, first, end)
            mm.zap(first, end)
        yield from mm.world.sleep(mm.costs.mm_syscall_ns)
        _complain_about_holes(mm, start, last)


def _complain_about_holes(mm: AddressSpace, start: int, last: int) -> None:
    if not mm.covered(start, last):
        raise DriverError(errno.ENOMEM, f"part of pages {start:#x} to {last:#x} is not mapped")


def mprotect(mm: AddressSpace, span: Span, protection: Protection) -> Blocking[None]:
    """Change what the CPU may do.

    1. cut the VMAs of the span, up to the first hole, where their protection changes
    2. tell the notifiers, VMA by VMA, and take write bits away where stores are forbidden now
    3. join parts of a mapping that are alike again

    Raises:
        DriverError: ENOMEM, part of the span is not mapped (what is before the hole is changed); EINVAL, a bad span.

    Kernel: mprotect_fixup (mm/mprotect.c)
    """
    start, last = span.whole_pages()
    with (yield from mm.mmap_lock.write()):
        page = start
        for vma in mm.vmas_in(start, last):
            if vma.start > page:
                break
            end = min(last, vma.last)
            if vma.protection != protection:
                yield from _protect(mm, page, end, protection)
            page = end + 1
        mm.merge(start, last)
        yield from mm.world.sleep(mm.costs.mm_syscall_ns)
        _complain_about_holes(mm, start, last)


def _protect(mm: AddressSpace, start: int, last: int, protection: Protection) -> Blocking[None]:
    (vma,) = mm.cut(start, last)
    vma.protect(protection)
    yield from mm.notifiers.invalidate(NotifierEvent.PROTECTION_VMA, start, last)
    if not vma.writable:
        for _, entries in mm.table.stored(start, last):
            entries[(entries & pte.SWAP) == 0] &= ~np.uint32(pte.WRITE)


def mremap(mm: AddressSpace, span: Span, to: int | None) -> Blocking[Span]:
    """Move a mapping (or part of one) elsewhere; its pages stay where they are.

    1. choose the new place
    2. cut the part out and map it there
    3. tell the notifiers that the old place is unmapped
    4. move the page table entries

    Args:
        mm: whose mapping.
        span: what to move.
        to: the new address, or None for the next free place.

    Raises:
        DriverError: EFAULT, the span is not inside one mapping; EINVAL, the new place is not at a page border or
            overlaps the old one; EEXIST, something else is mapped there; ENOMEM, it is beyond user space.

    Kernel: move_vma (mm/mremap.c)
    """
    start, last = span.whole_pages()
    with (yield from mm.mmap_lock.write()):
        target = _new_place(mm, start, last, to)
        (vma,) = mm.cut(start, last)
        moved = vma.part(start, last)
        moved.start, moved.last = target, target + last - start
        mm.insert(moved)  # before the old one goes, or shared memory would lose its last mapping
        mm.remove(vma)
        yield from mm.notifiers.invalidate(NotifierEvent.UNMAP, start, last)
        for page, entries in list(mm.table.stored(start, last)):
            mm.table.set(target + page - start, entries)
        mm.table.clear(start, last)
        yield from mm.world.sleep(mm.costs.mm_syscall_ns)
    return Span.of_pages(target, target + last - start)


def _new_place(mm: AddressSpace, start: int, last: int, to: int | None) -> int:
    vma = mm.vma_at(start)
    if vma is None or vma.last < last:
        raise DriverError(errno.EFAULT, f"pages {start:#x} to {last:#x} are not inside one mapping")
    npages = last - start + 1
    if to is not None and abs(to - start * PAGE_SIZE) < npages * PAGE_SIZE:
        raise DriverError(errno.EINVAL, f"{to:#x} is within {npages} pages of the old place", allowed="a place beside")
    return mm.place(npages, to)
