"""Text made by columns: many rows of one pattern at once, each of its numbers in a column of characters of its own.

A number stands behind blanks where others in its column have more digits; JSON lets blanks stand there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from svmlab.trace.grammar import Column

__all__ = ["Part", "number", "padded", "rows_of_text", "word"]

Part = npt.NDArray[np.uint8]
"""Characters, shape ``(width, rows)``: the characters of one place in all rows lie side by side."""

_BLANK, _ZERO, _MINUS = b" 0-"


def number(values: Column, digits: int = 0) -> Part:
    """Whole numbers in decimal.

    Args:
        values: -1 or more, shape ``(rows,)``.
        digits: so many digits with leading zeros, of numbers that are not negative; 0: as many as each needs.

    >>> number(np.array([7, 42, -1])).T.tobytes()
    b' 742-1'
    >>> number(np.array([7, 42]), 3).T.tobytes()
    b'007042'
    """
    negative = values < 0
    rest = np.abs(values)
    most = int(rest.max(initial=0))
    if most < 1 << 31:
        rest = rest.astype(np.int32)
    width = digits or max(len(str(most)), 2 * int(negative.any()))
    made = np.full((width, len(values)), _ZERO, np.uint8)
    for place in range(width - 1, -1, -1):
        shorter = rest // 10
        made[place] += (rest - shorter * 10).astype(np.uint8)
        if not digits and place < width - 1:
            made[place][rest == 0] = _BLANK
        rest = shorter
    if negative.any():
        made[-2, negative] = _MINUS
    return made


def word(table: Sequence[bytes], which: Column) -> Part:
    """Words of a table, blanks behind the shorter ones.

    >>> word([b"up", b"down"], np.array([1, 0])).T.tobytes()
    b'downup  '
    """
    width = max(map(len, table))
    letters = np.frombuffer(b"".join(each.ljust(width) for each in table), np.uint8).reshape(len(table), width)
    return letters[which].T


def padded(text: bytes, count: int) -> Part:
    """The same text in so many rows."""
    return np.broadcast_to(np.frombuffer(text, np.uint8)[:, np.newaxis], (len(text), count))


def rows_of_text(pattern: Sequence[bytes | str], parts: Mapping[str, Part], count: int) -> list[bytes]:
    """Put parts into a pattern.

    Args:
        pattern: texts that all rows share, as bytes, and the names of parts, as str.
        parts: by name.
        count: how many rows.

    >>> rows_of_text([b"<", "n", b">"], {"n": number(np.array([7, 42]))}, 2)
    [b'< 7>', b'<42>']
    """
    made = [padded(each, count) if isinstance(each, bytes) else parts[each] for each in pattern]
    letters = np.ascontiguousarray(np.concatenate(made).T)
    text, width = letters.tobytes(), letters.shape[1]
    return [text[at : at + width] for at in range(0, count * width, width)]
