"""Lines of known forms as columns of numbers: how logs of a driver are read a block at a time.

A form is a template: fixed text with numbers in it. What is left of a line when each number shrinks to one character
is its skeleton, and a line has a form if it has its skeleton. So one pass over the bytes finds all numbers, a table
finds the form of each line, and no line is looked at on its own but those that have none.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from string import Formatter

import numpy as np
import numpy.typing as npt

__all__ = ["Column", "Form", "Grammar", "Match"]

Column = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]

_DIGITS = np.full(256, 255, np.uint8)
_DIGITS[list(b"0123456789abcdef")] = np.arange(16)
_MOST_DIGITS = {16: 15, 10: 18}
"""More than fits 63 bits is no page, time or id."""
_NEWLINE = 10
_NUMBER = ord("x")


@dataclass(frozen=True, slots=True)
class Form:
    """One form that a line may have.

    Attributes:
        event: the kind of event it tells, a name of the log's event table.
        template: its text; ``{name:x}`` is a number in lower-case hexadecimal, ``{name:d}`` in decimal; one whose
            name ends in ``_`` is of no interest.
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
    """

    def __init__(self, block: bytes) -> None:
        self.block, self.codes = block, np.frombuffer(block, np.uint8)
        self.digits = _DIGITS[self.codes]
        self.inside = self.digits < 16
        edges = np.flatnonzero(self.inside[1:] != self.inside[:-1]) + 1
        if self.inside[0]:
            edges = np.concatenate(([0], edges))
        self.starts, self.ends = edges[::2], edges[1::2]
        self.sizes = self.ends - self.starts
        newlines = np.flatnonzero(self.codes == _NEWLINE)
        self.begins = np.concatenate(([0], newlines[:-1] + 1))
        self.first = np.searchsorted(self.starts, self.begins)

    def numbers(self, runs: npt.NDArray[np.intp], base: int) -> tuple[Column, Flags]:
        """The values of some runs, and which of them are numbers of that base with few enough digits."""
        sizes, at = self.sizes[runs], self.ends[runs]
        good, values = sizes <= _MOST_DIGITS[base], np.zeros(len(runs), np.int64)
        least = int(sizes.min(initial=_MOST_DIGITS[base]))
        for place in range(min(int(sizes.max(initial=0)), _MOST_DIGITS[base])):
            at = at - 1
            digits = self.digits[at]
            if place >= least:
                digits[place >= sizes] = 0
            if base == 10:
                good &= digits < base
            values += digits * np.int64(base**place)
        return values, good

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
        known = [(number, *places[start]) for number, start in runs if start in places]
        self.fields = [each for each in known if not each[1].endswith("_")]
        self.fixed = [
            (number, text.block[start : int(text.ends[number])]) for number, start in runs if start not in places
        ]

    def match(self, text: _Text, lines: npt.NDArray[np.intp]) -> tuple[Match, npt.NDArray[np.intp]]:
        """The numbers in lines of this skeleton, and the lines that are not of this form all the same."""
        good, values = np.ones(len(lines), bool), {}
        first = text.first[lines]
        for number, letters in self.fixed:
            run = first + number
            good &= text.sizes[run] == len(letters)
            for at, letter in enumerate(letters):
                good &= text.codes.take(text.starts[run] + at, mode="clip") == letter
        for number, name, base in self.fields:
            values[name], fits = text.numbers(first + number, base)
            good &= fits
        for name, (least, most) in self.form.within.items():
            good &= (values[name] >= least) & (values[name] <= most)
        kept = lines[good]
        return Match(self.form, kept, {name: column[good] for name, column in values.items()}), lines[~good]
