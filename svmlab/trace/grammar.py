"""Lines of known forms as columns of numbers: how logs of a driver are read a block at a time.

A form is a template: fixed text with numbers in it. What is left of a line when each number shrinks to one character
is its skeleton, and a line has a form if it has its skeleton. So one pass over the bytes finds all numbers, a table
finds the form of each line, and no line is looked at on its own but those that have none.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from string import Formatter
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["Column", "Form", "Grammar", "Match"]

Column = npt.NDArray[np.int64]

_DIGITS = np.full(256, 255, np.uint8)
_DIGITS[list(b"0123456789abcdef")] = np.arange(16)
_POWERS = 10 ** np.arange(19, dtype=np.int64)
_SIXTEENS = 16 ** np.minimum(np.arange(19), 15).astype(np.int64)
_MOST_DIGITS = {16: 15, 10: 18}
"""More than fits 63 bits is no page, time or id."""
_NEWLINE = 10
_NUMBER = ord("x")


@dataclass(frozen=True, slots=True)
class Form:
    """One form that a line may have.

    Attributes:
        event: the kind of event it tells, a name of the log's event table.
        template: its text; ``{name:x}`` is a number in lower-case hexadecimal, ``{name:d}`` in decimal.
        values: fields whose value follows from the form.
        within: least and greatest value of fields that have them; a line with another one has not this form.
    """

    event: str
    template: str
    values: Mapping[str, int] = field(default_factory=dict)
    within: Mapping[str, tuple[int, int]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Match:
    """The lines of a block that have one form.

    Attributes:
        form: which.
        lines: their numbers in the block, ascending, shape ``(n,)``.
        values: the numbers in them by name, each of shape ``(n,)``.
    """

    form: Form
    lines: npt.NDArray[np.intp]
    values: dict[str, Column]


class Grammar:
    r"""Forms, and what tells them apart.

    Args:
        forms: no two of them with one skeleton.

    >>> grammar = Grammar([Form("queue_eviction", "9 {time:d} -{pid:d} {gpu:x} {trigger:d}")])
    >>> found, others = grammar.read(b"9 100 -42 8a3f 0\nwhat?\n9 200 -42 8a3f 1\n")
    >>> found[0].lines.tolist(), found[0].values["gpu"].tolist(), others
    ([0, 2], [35391, 35391], [(1, b'what?')])
    """

    def __init__(self, forms: Iterable[Form]) -> None:
        self._plans = [_Plan(form) for form in forms]
        self._table = _Table({plan.skeleton: number for number, plan in enumerate(self._plans)})
        if len(self._table) < len(self._plans):
            raise ValueError("two forms have one skeleton")

    def read(self, block: bytes) -> tuple[list[Match], list[tuple[int, bytes]]]:
        """Read whole lines.

        Args:
            block: lines, each with its newline.

        Returns:
            The lines of each form that is there, and the others with their numbers in the block.
        """
        if not block:
            return [], []
        text = _Text(block)
        forms = np.fromiter(map(self._table.__getitem__, text.skeletons()), np.int16, len(text.begins))
        found = []
        for number in np.unique(forms).tolist():
            if number >= 0:
                match, refused = self._plans[number].match(text, np.flatnonzero(forms == number))
                forms[refused] = -1
                found.append(match)
        return found, list(text.lines(np.flatnonzero(forms < 0)))


class _Table(dict[bytes, int]):
    """Forms by skeleton; what is not there has none, and is not kept."""

    def __missing__(self, key: bytes) -> int:
        return -1


class _Text:
    """Lines, with all the numbers in them: runs of hexadecimal digits.

    Attributes:
        begins: where each line begins.
        first: the number of the first run in each line or behind it.
        sizes: how many digits each run has.
        hexadecimal, decimal: its value, if it is a number of that kind.
        letters: how many digits above 9 it has.
    """

    def __init__(self, block: bytes) -> None:
        self.block, self.codes = block, np.frombuffer(block, np.uint8)
        self.digits = _DIGITS[self.codes]
        self.inside = self.digits < 16
        edges = np.flatnonzero(np.diff(self.inside, prepend=False))
        self.starts = edges[::2]
        self.sizes = edges[1::2] - self.starts
        ends = np.flatnonzero(self.codes == _NEWLINE)
        self.begins = np.concatenate(([0], ends[:-1] + 1))
        self.first = np.searchsorted(self.starts, self.begins)
        self._evaluate()

    def _evaluate(self) -> None:
        digits = self.digits[self.inside]
        behind = np.cumsum(self.sizes)
        offsets = behind - self.sizes
        places = np.repeat(behind.astype(np.int32), self.sizes) - np.arange(1, len(digits) + 1, dtype=np.int32)
        np.minimum(places, len(_POWERS) - 1, out=places)
        self.hexadecimal = _sums(digits * _SIXTEENS[places], offsets)
        self.decimal = _sums(digits * _POWERS[places], offsets)
        self.letters = _sums(digits > 9, offsets)

    def skeletons(self) -> list[bytes]:
        """Each line with its numbers shrunk to one character; a number at its begin keeps its first digit."""
        codes, kept = self.codes.copy(), ~self.inside
        kept[self.starts] = True
        leading = np.isin(self.starts, self.begins, assume_unique=True)
        codes[self.starts[~leading]] = _NUMBER
        return codes[kept].tobytes().split(b"\n")[:-1]

    def lines(self, numbers: npt.NDArray[np.intp]) -> Iterator[tuple[int, bytes]]:
        """Some lines, with their numbers."""
        ends = np.append(self.begins[1:], len(self.block)) - 1
        for number, begin, end in zip(numbers.tolist(), self.begins[numbers], ends[numbers], strict=True):
            yield number, self.block[begin:end]


def _sums(values: npt.NDArray[Any], offsets: npt.NDArray[np.intp]) -> Column:
    sums: Column = np.add.reduceat(values, offsets, dtype=np.int64) if len(offsets) else np.zeros(0, np.int64)
    return sums


class _Plan:
    """A form, and which of the numbers in a line of it is what."""

    def __init__(self, form: Form) -> None:
        self.form = form
        parts, places, at = [], {}, 0
        for literal, name, spec, _ in Formatter().parse(form.template):
            parts += [literal, "0" if name else ""]
            at += len(literal) + bool(name)
            if name:
                places[at - 1] = (name, 16 if spec == "x" else 10)
        text = _Text("".join([*parts, "\n"]).encode())
        (self.skeleton,) = text.skeletons()
        runs = list(enumerate(text.starts.tolist()))
        self.fields = [(number, *places[start]) for number, start in runs if start in places]
        self.fixed = [
            (number, text.hexadecimal[number], text.sizes[number]) for number, start in runs if start not in places
        ]

    def match(self, text: _Text, lines: npt.NDArray[np.intp]) -> tuple[Match, npt.NDArray[np.intp]]:
        """The numbers in lines of this skeleton, and the lines that are not of this form all the same."""
        good, values = np.ones(len(lines), bool), {}
        first = text.first[lines]
        for number, value, size in self.fixed:
            good &= (text.hexadecimal[first + number] == value) & (text.sizes[first + number] == size)
        for number, name, base in self.fields:
            run = first + number
            values[name] = (text.hexadecimal if base == 16 else text.decimal)[run]
            good &= text.sizes[run] <= _MOST_DIGITS[base]
            if base == 10:
                good &= text.letters[run] == 0
        for name, (least, most) in self.form.within.items():
            good &= (values[name] >= least) & (values[name] <= most)
        kept = lines[good]
        return Match(self.form, kept, {name: column[good] for name, column in values.items()}), lines[~good]
