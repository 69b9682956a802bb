"""Reading a log that others wrote: block by block, with an account of every line that is no event."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import BinaryIO

import numpy as np

from svmlab.log.events import EVENTS, KINDS
from svmlab.log.journal import HEAD, WIDTH
from svmlab.trace.grammar import Column, Grammar, Match

__all__ = ["Dialect", "Report", "read_rows"]

_BLOCK = 1 << 19
"""Bytes read at once: many lines of each form, and no more than a few MiB are made of them."""
_LONGEST = 1 << 12
"""A line is cut here; the kernel's have at most 96 bytes, the runtime's about 200."""
_SAMPLES = 5
_COMMENTS = 2
_GPUS = re.compile(rb"#\s*gpus:((?:\s+[0-9a-f]{1,8})+)\s*")
_SLOT = {name: number for number, name in enumerate(HEAD)}
_KIND = {kind.name: number for number, kind in enumerate(KINDS)}


@dataclass(slots=True)
class Report:
    """What became of the lines of a log.

    Attributes:
        lines: how many there are.
        events: how many of them are events.
        others: lines that are known and tell nothing about memory, by what they are.
        unknown: how many are not known.
        samples: the first of those: number of the line, from 1, and the line.
        unordered: how many events have an earlier time than the one before them; they are put in order.
        inferred: how many restores are taken for ones that started over, because another one follows them.
        cut: the last line, if it has no end and was therefore left out.
        notes: what else there is to say, in sentences.
        comments: the first lines that begin with ``#``; neither the driver nor the runtime writes any.
        gpus: what a comment says about the GPUs: their ids, in order of their index.
    """

    lines: int = 0
    events: int = 0
    others: Counter[str] = field(default_factory=Counter)
    unknown: int = 0
    samples: list[tuple[int, str]] = field(default_factory=list)
    unordered: int = 0
    inferred: int = 0
    cut: str = ""
    notes: list[str] = field(default_factory=list)
    comments: list[str] = field(default_factory=list)
    gpus: tuple[int, ...] = ()

    def told(self) -> list[str]:
        """What a reader should know before trusting the rest, in sentences."""
        said = [f"The file says: {comment}." for comment in self.comments] + self.notes
        said += [f"{count} lines of {name}." for name, count in self.others.items() if name != "comments"]
        if self.unknown:
            said.append(f"{self.unknown} of {self.lines} lines are not known and were left out:")
            said += [f"  line {number}: {text}" for number, text in self.samples]
            said += [f"  and {self.unknown - len(self.samples)} more"] * (self.unknown > len(self.samples))
        if self.cut:
            said.append(f"The last line has no end and was left out: {self.cut}")
        if self.unordered:
            said.append(f"{self.unordered} lines are earlier than the line before them; events are in order of time.")
        if self.inferred:
            said.append(
                f"{self.inferred} restores are taken for ones that started over, since another follows: inferred."
            )
        return said


@dataclass(frozen=True, slots=True)
class Dialect:
    """How one kind of log is read.

    Attributes:
        grammar: its forms.
        columns: turns the numbers of a match into columns of the log and fields of its kind, by name.
        other: names a known line that is no event; empty if it is unknown.
        mend: what to read instead of a line that has no form; empty if there is nothing.
        settle: finds, with all rows in order of time, restores that started over where lines do not tell; how many.
    """

    grammar: Grammar
    columns: Callable[[Match], Mapping[str, Column | int]]
    other: Callable[[bytes], str]
    mend: Callable[[bytes], bytes]
    settle: Callable[[Column], int] = lambda _rows: 0


def read_rows(stream: BinaryIO, dialect: Dialect) -> tuple[Column, Report]:
    """Read a log into rows.

    Args:
        stream: the bytes; read to its end, never all at once.
        dialect: how.

    Returns:
        Rows as the log has them, shape ``(events, columns)``, in order of time, with what the lines say for GPUs and
        locations; and what became of the lines. Memory: 104 bytes an event, and some 10 MiB.
    """
    report, parts = Report(), [np.zeros((0, WIDTH), np.int64)]
    for block in _blocks(stream, report):
        parts.append(_rows(block, dialect, report))
    rows = np.concatenate(parts)
    report.events = len(rows)
    report.unordered = int(np.count_nonzero(np.diff(rows[:, 0]) < 0))
    if report.unordered:
        rows = rows[np.argsort(rows[:, 0], kind="stable")]
    report.inferred = dialect.settle(rows)
    return rows, report


def _blocks(stream: BinaryIO, report: Report) -> Iterator[bytes]:
    """Whole lines, many at a time; what is behind the last end of a line goes to the report."""
    rest = b""
    while chunk := stream.read(_BLOCK):
        text = rest + chunk
        end = text.rfind(b"\n") + 1
        if end:
            yield text[:end].replace(b"\r\n", b"\n") if b"\r" in chunk else text[:end]
        rest = text[end:][:_LONGEST]
    if rest.strip(b"\0\r"):
        report.cut = _shown(rest)


def _rows(block: bytes, dialect: Dialect, report: Report) -> Column:
    matches, odd = dialect.grammar.read(block)
    parts = [(match.lines, _filled(match, dialect)) for match in matches]
    for number, line in odd:
        mended = dialect.mend(line)
        found, still_odd = dialect.grammar.read(mended) if mended else ([], [])
        if found and not still_odd:
            parts += [(np.full(len(match.lines), number), _filled(match, dialect)) for match in found]
        else:
            _account(line, report.lines + number + 1, dialect, report)
    report.lines += block.count(b"\n")
    if not parts:
        return np.zeros((0, WIDTH), np.int64)
    order = np.argsort(np.concatenate([lines for lines, _ in parts]), kind="stable")
    rows: Column = np.concatenate([rows for _, rows in parts])[order]
    return rows


def _filled(match: Match, dialect: Dialect) -> Column:
    event, rows = match.form.event, np.zeros((len(match.lines), WIDTH), np.int64)
    rows[:, [_SLOT["cause"], _SLOT["start"], _SLOT["last"]]] = -1
    rows[:, _SLOT["kind"]] = _KIND[event]
    slots = _SLOT | {title: len(HEAD) + slot for slot, title in enumerate(EVENTS[event].fields)}
    for name, values in dialect.columns(match).items():
        rows[:, slots[name]] = values
    return rows


def _account(line: bytes, number: int, dialect: Dialect, report: Report) -> None:
    if gpus := _GPUS.fullmatch(line):
        report.gpus = tuple(int(gpu, 16) for gpu in gpus[1].split())
    elif line.startswith(b"#") and len(report.comments) < _COMMENTS:
        report.comments.append(_shown(line).lstrip("# "))
    name = "comments" if line.startswith(b"#") or not line.strip(b" \0") else dialect.other(line)
    if name:
        report.others[name] += 1
        return
    report.unknown += 1
    if len(report.samples) < _SAMPLES:
        report.samples.append((number, _shown(line)))


def _shown(line: bytes) -> str:
    """A line as it can be printed: nothing in it reaches a terminal as a control character."""
    text = line[:100].decode("utf-8", "backslashreplace")
    text = "".join(letter if letter.isprintable() else f"\\x{ord(letter):02x}" for letter in text)
    return text + "..." * (len(line) > 100)
