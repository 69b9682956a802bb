"""The ranges of a process as a table to read."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import overload

from svmlab.mm.address_space import AddressSpace
from svmlab.svm.decision import gpus_of
from svmlab.svm.driver import Driver
from svmlab.svm.ranges import Range
from svmlab.uapi import DEFAULT_FLAGS, UNDEFINED, Flag
from svmlab.units import PAGE_SIZE, format_size

__all__ = ["RangeTable", "gpu_names", "where"]

_NONE = "-"
_HEADS = (
    "where",
    "pages",
    "actual",
    "VRAM",
    "prefetch",
    "preferred",
    "access",
    "in place",
    "mapped",
    "flags",
    "granule",
    "state",
)
_NUMBERS = ("pages", "VRAM", "granule")


class RangeTable(Sequence[Range]):
    """Ranges as a table to read; indexing gives the ranges themselves.

    A row tells where the range is (mapping and page offsets), where the driver believes it lives (``actual``) and how
    many of its pages are in VRAM, its attributes, and which GPUs map it. ``-`` is undefined or nobody; flags are told
    by what differs from the default.

    Args:
        driver: whose ranges.
        ranges: which, in address order.
    """

    def __init__(self, driver: Driver, ranges: Sequence[Range]) -> None:
        self._driver, self._ranges = driver, list(ranges)

    def __len__(self) -> int:
        return len(self._ranges)

    @overload
    def __getitem__(self, index: int) -> Range: ...
    @overload
    def __getitem__(self, index: slice) -> RangeTable: ...
    def __getitem__(self, index: int | slice) -> Range | RangeTable:
        return RangeTable(self._driver, self._ranges[index]) if isinstance(index, slice) else self._ranges[index]

    def rows(self) -> list[dict[str, str]]:
        """The cells of each range by the heads of their columns, as text."""
        return [dict(zip(_HEADS, self._cells(range_), strict=True)) for range_ in self._ranges]

    def _cells(self, range_: Range) -> tuple[str, ...]:
        return (
            where(self._driver.mm, range_.start, range_.last),
            str(range_.npages),
            self._location(range_.actual_loc),
            str(range_.vram_pages),
            self._location(range_.prefetch_loc),
            self._location(range_.preferred_loc),
            gpu_names(range_.access),
            gpu_names(range_.in_place),
            gpu_names(range_.mapped),
            _flags(range_.flags),
            "whole range" if range_.granularity >= 40 else format_size(PAGE_SIZE << range_.granularity),
            _state(range_),
        )

    def _location(self, location: int) -> str:
        return _NONE if location == UNDEFINED else self._driver.machine.location_name(location)

    def __str__(self) -> str:
        if not self._ranges:
            return "no SVM range is registered"
        lines = [dict(zip(_HEADS, _HEADS, strict=True)), *self.rows()]
        widths = {head: max(len(line[head]) for line in lines) for head in _HEADS}
        return "\n".join(
            "  ".join(_padded(line[head], head, widths[head]) for head in _HEADS).rstrip() for line in lines
        )

    __repr__ = __str__

    def _repr_html_(self) -> str:
        if not self._ranges:
            return f"<p>{self}</p>"
        from html import escape

        head = "".join(f'<th scope="col">{cell}</th>' for cell in _HEADS)
        body = "".join(
            "<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row.values()) + "</tr>" for row in self.rows()
        )
        return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def where(mm: AddressSpace, start: int, last: int) -> str:
    """Pages as people name them: the mapping and the offsets in it, or page numbers where it has no name."""
    vma = mm.vma_at(start)
    if vma is None or not vma.name:
        return f"{start:#x}-{last:#x}"
    base = vma.start
    while (before := mm.vma_at(base - 1)) is not None and before.name == vma.name:
        base = before.start
    return f"{vma.name} {start - base}-{last - base}"


def gpu_names(bits: int) -> str:
    """A set of GPUs; three and more in a row are told by the first and the last.

    >>> gpu_names(0b1), gpu_names(0b101), gpu_names(0b11110001), gpu_names(0)
    ('gpu0', 'gpu0,gpu2', 'gpu0,gpu4-7', '-')
    """
    gpus = gpus_of(bits)
    ends = [0, *(at + 1 for at, (one, other) in enumerate(pairwise(gpus)) if other != one + 1), len(gpus)]
    runs = [gpus[begin:end] for begin, end in pairwise(ends) if begin < end]
    names = [f"gpu{run[0]}-{run[-1]}" if len(run) > 2 else ",".join(f"gpu{gpu}" for gpu in run) for run in runs]
    return ",".join(names) or _NONE


def _flags(bits: int) -> str:
    """What differs from the default flags; bits without a name as a number."""
    names = [f"+{flag.name}".lower() for flag in Flag if bits & flag and not DEFAULT_FLAGS & flag]
    names += [f"-{flag.name}".lower() for flag in Flag if DEFAULT_FLAGS & flag and not bits & flag]
    rest = bits & ~sum(Flag)
    return " ".join(names + ([f"+{rest:#x}"] if rest else [])) or "default"


def _state(range_: Range) -> str:
    """What is still to come: a restore, or work of the deferred worker."""
    states = [f"invalid ({range_.invalid})"] if range_.invalid else []
    states += ["deferred work"] if range_.queued else []
    return ", ".join(states) or "ok"


def _padded(cell: str, head: str, width: int) -> str:
    return cell.rjust(width) if head in _NUMBERS else cell.ljust(width)
