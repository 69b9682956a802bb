"""Loads and stores of the CPU: pages in ascending order, faults where an entry forbids, real bytes."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from svmlab.hardware.frames import portions, runs_of
from svmlab.hardware.memory import ZERO_PFN, Memory, Pfns
from svmlab.hardware.world import Blocking
from svmlab.mm import entries as pte
from svmlab.mm.address_space import AddressSpace
from svmlab.mm.fault import fault_in
from svmlab.mm.span import Span
from svmlab.mm.swap import SwapSpace
from svmlab.mm.vma import File, Vma
from svmlab.units import PAGE_SIZE

__all__ = ["Bytes", "load", "peek", "read_frames", "store", "touch", "write_frames"]

Bytes = npt.NDArray[np.uint8]
_SCATTERED_PAGES = 256


def load(mm: AddressSpace, span: Span) -> Blocking[Bytes]:
    """Read bytes with the CPU.

    Returns:
        The bytes of the span; zeros (that cannot be written) without payload.

    Raises:
        SegmentationFault, BusError: at the first page that cannot be read.
    """
    out = _space_for(mm.memory, span)
    page = int(span.start)
    while page <= span.last:
        stop = yield from fault_in(mm, page, span.last, write=False)
        piece = _piece(span, page, stop)
        _read(mm, piece, out[piece.address - span.address :][: piece.nbytes])
        yield from mm.world.sleep((stop - page + 1) * mm.costs.cpu_access_page_ns)
        page = stop + 1
    return out


def store(mm: AddressSpace, span: Span, data: Bytes) -> Blocking[None]:
    """Write bytes with the CPU.

    Args:
        mm: whose memory.
        span: where.
        data: as many bytes as the span has.

    Raises:
        SegmentationFault, BusError: at the first page that cannot be written; what lies before it is written.
    """
    page = int(span.start)
    while page <= span.last:
        stop = yield from fault_in(mm, page, span.last, write=True)
        piece = _piece(span, page, stop)
        frames = pte.pfn_of(mm.table.view(page, stop))
        write_frames(mm.memory, frames, piece, data[piece.address - span.address :][: piece.nbytes])
        yield from mm.world.sleep((stop - page + 1) * mm.costs.cpu_access_page_ns)
        page = stop + 1


def touch(mm: AddressSpace, span: Span, *, write: bool) -> Blocking[None]:
    """Access every page of the span without caring for its bytes."""
    page = int(span.start)
    while page <= span.last:
        stop = yield from fault_in(mm, page, span.last, write=write)
        yield from mm.world.sleep((stop - page + 1) * mm.costs.cpu_access_page_ns)
        page = stop + 1


def peek(mm: AddressSpace, span: Span) -> Bytes:
    """The bytes a load would return, wherever the pages are, without any fault; pages that nobody has are zeros."""
    out = _space_for(mm.memory, span)
    for page, entries in mm.table.stored(span.start, span.last):
        piece = _piece(span, page, page + len(entries) - 1)
        _read(mm, piece, out[piece.address - span.address :][: piece.nbytes])
    for vma in mm.vmas_in(span.start, span.last):
        if vma.file is not None:
            _read_cached(mm, vma, vma.file, span=span, out=out)
    return out


def _read_cached(mm: AddressSpace, vma: Vma, file: File, *, span: Span, out: Bytes) -> None:
    """Bytes of pages that have no entry here, but a frame in the page cache of the VMA's file."""
    start, last = max(vma.start, span.start), min(vma.last, span.last)
    first = vma.part(start, last).file_page
    frames = file.frames.get(first, first + last - start)
    which = np.flatnonzero((frames != 0) & (mm.table.get(start, last) == pte.NONE))
    for offset, npages in runs_of(which):
        begin = int(which[offset])
        piece = _piece(span, start + begin, start + begin + npages - 1)
        read_frames(
            mm.memory, frames[begin : begin + npages], piece, out[piece.address - span.address :][: piece.nbytes]
        )


def _space_for(memory: Memory, span: Span) -> Bytes:
    """Zeros for the bytes of a span; one byte stands for all of them where bytes are not kept."""
    return np.broadcast_to(np.uint8(0), span.nbytes) if memory.bytes is None else np.zeros(span.nbytes, np.uint8)


def _read(mm: AddressSpace, piece: Span, out: Bytes) -> None:
    """Bytes of one piece: frames from memory, swapped pages from swap."""
    if mm.memory.bytes is None:
        return
    entries = mm.table.view(piece.start, piece.last)
    in_swap = (entries & pte.SWAP) != 0
    read_frames(mm.memory, np.where(in_swap, np.uint32(0), pte.pfn_of(entries)), piece, out)
    if in_swap.any():
        _read_swapped(mm.swap, np.where(in_swap, pte.pfn_of(entries), np.uint32(0)), piece, out)


def _read_swapped(swap: SwapSpace, slots: pte.Entries, piece: Span, out: Bytes) -> None:
    """The bytes of the pages that have a slot; slot 0 is none."""
    for index, count, inside, data in _parts(piece):
        some = slots[index : index + max(1, count)]
        which = np.flatnonzero(some)
        if count:
            pages = out[data].reshape(count, PAGE_SIZE)
            for portion in portions(len(which)):
                pages[which[portion]] = swap.read(some[which[portion]])
        elif len(which):
            out[data] = swap.read(some)[0, inside : inside + data.stop - data.start]


def _piece(span: Span, page: int, last: int) -> Span:
    """The part of a span that lies in pages ``page`` to ``last``."""
    start = max(span.address, page * PAGE_SIZE)
    return Span(start, min(span.address + span.nbytes, (last + 1) * PAGE_SIZE) - start)


def read_frames(memory: Memory, pfns: Pfns, piece: Span, out: Bytes) -> None:
    """Gather the bytes of a span from the frames of its pages into ``out``, which holds zeros for pages without one."""
    if memory.bytes is None:
        return
    for index, count, inside, data in _parts(piece):
        if count:
            memory.read(pfns[index : index + count], out[data].reshape(count, PAGE_SIZE))
        else:
            size = data.stop - data.start
            out[data] = memory.bytes[pfns[index], inside : inside + size]


def write_frames(memory: Memory, pfns: Pfns, piece: Span, data: Bytes) -> None:
    """Scatter bytes of a span to the frames of its pages; bytes for pages without one are lost."""
    if memory.bytes is None:
        return
    for index, count, inside, part in _parts(piece):
        if count:
            _write_pages(memory, pfns[index : index + count], data[part].reshape(count, PAGE_SIZE))
        elif pfns[index] > ZERO_PFN:
            memory.bytes[pfns[index], inside : inside + part.stop - part.start] = data[part]


def _write_pages(memory: Memory, pfns: Pfns, pages: Bytes) -> None:
    real = pfns > ZERO_PFN
    if real.all():
        memory.write(pfns, pages)
        return
    which = np.flatnonzero(real)
    for at in range(0, len(which), _SCATTERED_PAGES):
        some = which[at : at + _SCATTERED_PAGES]
        memory.write(pfns[some], pages[some])


def _parts(piece: Span) -> Iterator[tuple[int, int, int, slice]]:
    """Cut a span into part of a page, whole pages, part of a page.

    Yields:
        Index of the first page, number of whole pages (0 for part of one), offset in the page, and the bytes meant.
    """
    done = index = 0
    while done < piece.nbytes:
        inside = (piece.address + done) % PAGE_SIZE
        whole = 0 if inside else (piece.nbytes - done) // PAGE_SIZE
        size = whole * PAGE_SIZE or min(PAGE_SIZE - inside, piece.nbytes - done)
        yield index, whole, inside, slice(done, done + size)
        done, index = done + size, index + max(1, whole)
