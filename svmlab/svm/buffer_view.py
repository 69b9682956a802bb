"""A mapping in the hands of a learner: index it and the CPU loads or stores."""

from __future__ import annotations

import operator
from typing import Any, Protocol

import numpy as np

from svmlab.errors import InputError
from svmlab.mm.access import Bytes
from svmlab.mm.span import Span
from svmlab.units import PAGE_SIZE, format_size

__all__ = ["Buffer", "SpanLike", "bytes_for", "span_of"]


class _Cpu(Protocol):
    def cpu_read(self, span: SpanLike) -> Bytes: ...
    def cpu_write(self, span: SpanLike, data: Any) -> None: ...


class Buffer:
    """A mapping of a process.

    ``a[i]`` loads a byte with the CPU, ``a[i:j]`` loads bytes, ``a[i:j] = data`` stores them; every access goes through
    the CPU's page table and may fault. ``len(a)`` is its size in bytes.

    Attributes:
        span: where it is.
        name: its name.
    """

    def __init__(self, process: _Cpu, span: Span, name: str) -> None:
        self._process, self.span, self.name = process, span, name

    @property
    def address(self) -> int:
        """First byte."""
        return self.span.address

    @property
    def nbytes(self) -> int:
        """Size in bytes."""
        return self.span.nbytes

    @property
    def npages(self) -> int:
        """Size in pages."""
        return self.span.npages

    def pages(self, first: int, count: int = 1) -> Span:
        """A span of ``count`` pages, the first of them ``first`` pages into the mapping.

        Raises:
            InputError: it reaches outside the mapping.
        """
        if first < 0 or count < 0 or first + count > self.npages:
            last = first + count - 1
            raise InputError(f"pages {first} to {last} of {self!r}", allowed=f"pages 0 to {self.npages - 1}")
        return Span(self.address + first * PAGE_SIZE, count * PAGE_SIZE)

    def __len__(self) -> int:
        return self.nbytes

    def __getitem__(self, index: int | slice) -> Any:
        span = self._span(index)
        data = self._process.cpu_read(span)
        return data if isinstance(index, slice) else int(data[0])

    def __setitem__(self, index: int | slice, data: Any) -> None:
        self._process.cpu_write(self._span(index), data)

    def _span(self, index: int | slice) -> Span:
        if isinstance(index, slice):
            start, stop, step = index.indices(self.nbytes)
            if step != 1:
                raise InputError(f"a step of {step} in {self.name}[...]", allowed="contiguous bytes")
            return Span(self.address + start, max(0, stop - start))
        byte = operator.index(index)
        if not -self.nbytes <= byte < self.nbytes:
            raise InputError(f"byte {byte} of {self!r}", allowed=f"0 to {self.nbytes - 1}")
        return Span(self.address + byte % self.nbytes, 1)

    def __repr__(self) -> str:
        return f"<{self.name or 'mapping'}: {format_size(self.nbytes)} at {self.address:#x}>"


SpanLike = Buffer | Span
"""What names bytes of a process: a mapping, or a span of it."""


def span_of(given: SpanLike) -> Span:
    """The span that a mapping or a span stands for.

    Raises:
        InputError: it is neither.
    """
    if isinstance(given, Buffer):
        return given.span
    if isinstance(given, Span):
        return given
    allowed = "a mapping, mapping.pages(first, count), or a Span"
    raise InputError(f"{given!r} is no part of a process's memory", allowed=allowed)


def bytes_for(span: Span, data: Any) -> Bytes:
    """Contents for a span: a byte value to repeat, bytes, or an array of any type whose bytes fit.

    Raises:
        InputError: a value outside 0 to 255, or another number of bytes than the span has.
    """
    if isinstance(data, int | np.integer):
        if not 0 <= data <= 255:
            raise InputError(f"the byte {data}", allowed="0 to 255")
        return np.broadcast_to(np.uint8(data), (span.nbytes,))
    if isinstance(data, str):
        raise InputError(f"the text {data!r}", allowed="a byte value, bytes, an array", hint="data.encode()")
    raw = isinstance(data, bytes | bytearray | memoryview)
    array = np.frombuffer(data, np.uint8) if raw else np.ascontiguousarray(data)
    flat = array.reshape(-1).view(np.uint8)
    if len(flat) != span.nbytes:
        allowed = f"{span.nbytes} bytes, or one byte value"
        raise InputError(f"{len(flat)} bytes for a span of {span.nbytes}", allowed=allowed)
    return flat
