"""A span of a process's address space, exact to the byte."""

from __future__ import annotations

import errno
from dataclasses import dataclass

from svmlab.errors import DriverError, InputError
from svmlab.units import PAGE_SHIFT, PAGE_SIZE, Page

__all__ = ["Span"]

_ADDRESS_SPACE = 1 << 64


@dataclass(frozen=True, slots=True)
class Span:
    """Bytes ``address`` to ``address + nbytes - 1``; what touches them touches every page they reach.

    >>> span = Span(0x1800, 0x1000)
    >>> span.start, span.last, span.npages, span.aligned
    (1, 2, 2, False)
    """

    address: int
    nbytes: int

    def __post_init__(self) -> None:
        if self.address < 0 or self.nbytes < 0 or self.address + self.nbytes > _ADDRESS_SPACE:
            raise InputError(
                f"a span of {self.nbytes} bytes at {self.address:#x}", allowed="what lies in the 64-bit address space"
            )

    @property
    def start(self) -> Page:
        """First page touched."""
        return Page(self.address >> PAGE_SHIFT)

    @property
    def last(self) -> Page:
        """Last page touched, inclusive; before ``start`` for an empty span."""
        return Page((self.address + self.nbytes - 1) >> PAGE_SHIFT) if self.nbytes else Page(self.start - 1)

    @property
    def npages(self) -> int:
        """How many pages it touches."""
        return self.last - self.start + 1

    @property
    def aligned(self) -> bool:
        """Whether it begins and ends at page borders."""
        return self.address % PAGE_SIZE == 0 and self.nbytes % PAGE_SIZE == 0

    @classmethod
    def of_pages(cls, start: int, last: int) -> Span:
        """The span of pages ``start`` to ``last``, inclusive."""
        return cls(start << PAGE_SHIFT, (last - start + 1) << PAGE_SHIFT)

    def whole_pages(self) -> tuple[int, int]:
        """First and last page as a system call takes them: the size is rounded up, the start must be at a page border.

        Raises:
            DriverError: EINVAL, the span is empty or begins inside a page.
        """
        if self.address % PAGE_SIZE or not self.nbytes:
            raise DriverError(
                errno.EINVAL,
                f"{self.nbytes} bytes at {self.address:#x}",
                allowed="a start at a page border, 1 byte or more",
            )
        return self.start, self.last
