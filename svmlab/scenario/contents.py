"""The bytes that ``byte``, ``word`` and ``pattern`` stand for, and where memory differs from them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from svmlab.mm import Span
from svmlab.scenario.spans import Contents
from svmlab.units import MIB, PAGE_SHIFT

__all__ = ["Bytes", "Piece", "difference", "expected_bytes", "told"]

Bytes = npt.NDArray[np.uint8]
_BLOCK = MIB


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of a span that lies in one mapping.

    Attributes:
        span: the part.
        base: address of the mapping's first byte, which patterns count from.
        name: how to call the mapping in a message.
    """

    span: Span
    base: int
    name: str


def told(contents: Contents) -> str:
    """Contents as text."""
    if contents.byte is not None:
        return f"byte = {contents.byte:#04x}"
    if contents.word is not None:
        return f"word = {contents.word:#010x}"
    return f"pattern = {contents.pattern}"


def expected_bytes(contents: Contents, pieces: Sequence[Piece]) -> Bytes:
    """All bytes of a span.

    Args:
        contents: what they follow.
        pieces: the span's parts, in address order.
    """
    out = np.empty(sum(piece.span.nbytes for piece in pieces), np.uint8)
    done = 0
    for _, _, block in _blocks(contents, pieces):
        out[done : done + len(block)] = block
        done += len(block)
    return out


def difference(contents: Contents, pieces: Sequence[Piece], *, found: Bytes) -> str | None:
    """Say where memory differs from what it should hold; None if nowhere."""
    wrong, first, done = 0, "", 0
    for piece, address, block in _blocks(contents, pieces):
        here = found[done : done + len(block)]
        done += len(block)
        if np.array_equal(here, block):
            continue
        differ = np.flatnonzero(here != block)
        if not wrong:
            at = int(differ[0])
            offset = address + at - piece.base
            where = f"byte {offset:#x} of {piece.name} (page {offset >> PAGE_SHIFT})"
            first = f"{where} is {here[at]:#04x}, not {block[at]:#04x}"
        wrong += len(differ)
    return f"{first}; {wrong} of {done} bytes differ" if wrong else None


def _blocks(contents: Contents, pieces: Sequence[Piece]) -> Iterator[tuple[Piece, int, Bytes]]:
    """The expected bytes in blocks of a size that stays in the cache, each with its address."""
    origin = pieces[0].span.address if pieces else 0
    for piece in pieces:
        end = piece.span.address + piece.span.nbytes
        for address in range(piece.span.address, end, _BLOCK):
            nbytes = min(_BLOCK, end - address)
            yield piece, address, _block(contents, address, nbytes, origin if contents.pattern is None else piece.base)


def _block(contents: Contents, address: int, nbytes: int, base: int) -> Bytes:
    if contents.byte is not None:
        return np.full(nbytes, contents.byte, np.uint8)
    start = address - base
    width = 8 if contents.pattern == "page-number" else 4
    first, end = start // width, -(-(start + nbytes) // width)
    if contents.word is not None:
        words = np.full(end - first, contents.word, "<u4")
    elif contents.pattern == "word-index":
        # Adding wraps around as a 32-bit word does, after 16 GiB.
        words = np.arange(end - first, dtype="<u4") + np.uint32(first & 0xFFFFFFFF)
    else:
        words = np.arange(first, end, dtype="<u8") >> np.uint64(PAGE_SHIFT - 3)
    skipped = start - first * width
    return words.view(np.uint8)[skipped : skipped + nbytes]
