"""Workloads of the capstone: buffers on a machine with two hives, and who uses which of their pages how often."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise

from svmlab.errors import InputError
from svmlab.hardware.describe import table
from svmlab.hardware.machine import Machine
from svmlab.units import PAGE_SIZE, format_size

__all__ = ["MACHINE", "PUBLIC", "VRAM_PAGES", "Piece", "Use", "Workload", "workload"]

MACHINE = "mi210-two-hives"
PUBLIC = 3
"""The seed of the case that the notebook shows."""
ROUNDS = 6
VRAM_PAGES = 2048
"""VRAM of each GPU, little enough that one cannot hold everything; its page 0 is reserved."""


@dataclass(frozen=True, slots=True)
class Use:
    """Somebody touches all of some pages, once in each of some rounds.

    Attributes:
        buffer: name of the buffer.
        first, last: its pages, closed interval, counted from 0.
        who: ``"gpu0"`` to ``"gpu7"``, or ``"cpu"``; the CPU comes last in a round.
        rounds: in which rounds, rising.
    """

    buffer: str
    first: int
    last: int
    who: tuple[str, ...]
    rounds: tuple[int, ...]

    @property
    def npages(self) -> int:
        """How many pages."""
        return self.last - self.first + 1


@dataclass(frozen=True, slots=True)
class Piece:
    """Neighbouring pages of a buffer that are all used alike.

    Attributes:
        buffer: name of the buffer.
        first, last: its pages, closed interval.
        gpus: the GPUs that use it.
        touches: how often GPUs touch each of its pages, in all rounds together.
        read_by_cpu: whether the CPU touches it.
        after: of the touches, those in rounds after the one of the CPU's first touch.
    """

    buffer: str
    first: int
    last: int
    gpus: tuple[str, ...]
    touches: int
    read_by_cpu: bool
    after: int

    @property
    def npages(self) -> int:
        """How many pages."""
        return self.last - self.first + 1


@dataclass(frozen=True, slots=True)
class Workload:
    """What a program does, as far as a placement depends on it.

    Attributes:
        seed: what it was made from.
        hives: the GPUs of each hive, by name.
        vram_pages: the pages of VRAM that each GPU has for buffers.
        rounds: how many rounds there are.
        buffers: the pages of each buffer, by name; all are in RAM at the start.
        uses: who uses which of them.

    >>> print(workload(PUBLIC))
    seed 3: 6 rounds, 2047 pages of VRAM on each GPU
    ...
    """

    seed: int
    hives: tuple[tuple[str, ...], ...]
    vram_pages: int
    rounds: int
    buffers: Mapping[str, int]
    uses: tuple[Use, ...]

    def pieces(self) -> list[Piece]:
        """Every buffer cut wherever another set of users begins; pages that nobody uses are left out."""
        return [piece for name in self.buffers for piece in self._cut(name)]

    def _cut(self, name: str) -> Iterator[Piece]:
        uses = [use for use in self.uses if use.buffer == name]
        edges = sorted({edge for use in uses for edge in (use.first, use.last + 1)})
        for first, end in pairwise(edges):
            if its := [use for use in uses if use.first <= first <= use.last]:
                yield _piece(name, first, end - 1, its)

    def __str__(self) -> str:
        head = f"seed {self.seed}: {self.rounds} rounds, {self.vram_pages} pages of VRAM on each GPU"
        rows = [("buffer", "size", "pages used", "by", "in rounds"), *map(self._row, self.uses)]
        return f"{head}\n{table(rows)}"

    def _row(self, use: Use) -> tuple[str, ...]:
        size = format_size(self.buffers[use.buffer] * PAGE_SIZE)
        known = next(other for other in self.uses if other.buffer == use.buffer) is not use
        named = ("", "") if known else (use.buffer, size)
        return (*named, f"{use.first} to {use.last}", " ".join(use.who), _spoken(use.rounds))


def _piece(name: str, first: int, last: int, uses: list[Use]) -> Piece:
    of_gpus = [use for use in uses if use.who != ("cpu",)]
    reads = [use.rounds[0] for use in uses if use.who == ("cpu",)]
    touched = [number for use in of_gpus for number in use.rounds for _ in use.who]
    after = sum(number > min(reads) for number in touched) if reads else 0
    gpus = tuple(sorted({gpu for use in of_gpus for gpu in use.who}))
    return Piece(name, first, last, gpus, len(touched), bool(reads), after)


def _spoken(rounds: tuple[int, ...]) -> str:
    return f"{rounds[0]} to {rounds[-1]}" if len(rounds) > 1 else str(rounds[0])


class _Draw:
    """What a seed decides. Only ``random()`` gives the same on every Python, so all else is made from it."""

    def __init__(self, seed: int) -> None:
        self._next = random.Random(seed).random
        self.hives = _hives()

    def number(self, least: int, most: int) -> int:
        """A whole number between two, both of them possible."""
        return least + int(self._next() * (most - least + 1))

    def hive(self) -> tuple[str, ...]:
        """One of the hives."""
        return self.hives[self.number(0, len(self.hives) - 1)]

    def gpu(self) -> str:
        """One of the GPUs."""
        hive = self.hive()
        return hive[self.number(0, len(hive) - 1)]


_EVERY = tuple(range(ROUNDS))
_Recipe = Callable[[str, _Draw], tuple[int, list[Use]]]
"""Makes a buffer of that name: its pages, and its uses."""


def workload(seed: int) -> Workload:
    """Make a workload.

    Args:
        seed: any whole number from 0; ``PUBLIC`` is the one of the notebook.

    Raises:
        InputError: no such number.

    >>> workload(3) == workload(3), workload(3) == workload(4)
    (True, False)
    """
    if type(seed) is not int or seed < 0:
        raise InputError(f"the seed {seed!r}", allowed="a whole number, 0 or more")
    draw = _Draw(seed)
    buffers: dict[str, int] = {}
    uses: list[Use] = []
    for name, recipe in _RECIPES.items():
        buffers[name], its = recipe(name, draw)
        uses += its
    return Workload(seed, draw.hives, VRAM_PAGES - 1, ROUNDS, buffers, tuple(uses))


def _hives() -> tuple[tuple[str, ...], ...]:
    return tuple(tuple(f"gpu{index}" for index in hive) for hive in Machine.find(MACHINE).hives.values())


def _shared(name: str, draw: _Draw) -> tuple[int, list[Use]]:
    """All of it, by a whole hive, in every round."""
    npages = draw.number(12, 20) * 64
    return npages, [Use(name, 0, npages - 1, draw.hive(), _EVERY)]


def _halved(name: str, draw: _Draw) -> tuple[int, list[Use]]:
    """A part by a GPU of one hive, the rest by one of the other; a strip in the middle by both."""
    npages, cut, strip = 1536, draw.number(9, 15) * 64, 32
    left, right = _one_of_each(draw)
    return npages, [
        Use(name, 0, cut + strip - 1, (left,), _EVERY),
        Use(name, cut - strip, npages - 1, (right,), _EVERY),
    ]


def _one_of_each(draw: _Draw) -> Iterator[str]:
    return (hive[draw.number(0, len(hive) - 1)] for hive in draw.hives)


def _polled(name: str, draw: _Draw) -> tuple[int, list[Use]]:
    """A GPU writes it and the CPU reads it, round after round."""
    npages = draw.number(4, 8) * 64
    return npages, [Use(name, 0, npages - 1, (draw.gpu(),), _EVERY), Use(name, 0, npages - 1, ("cpu",), _EVERY)]


def _window(name: str, draw: _Draw) -> tuple[int, list[Use]]:
    """A small part of a large buffer by one GPU, in every round."""
    npages, first = 4096, draw.number(10, 50) * 64
    return npages, [Use(name, first, first + 191, (draw.gpu(),), _EVERY)]


def _fetched(name: str, draw: _Draw) -> tuple[int, list[Use]]:
    """A GPU works on it in every round; the CPU reads it at the end."""
    npages = draw.number(8, 14) * 64
    return npages, [Use(name, 0, npages - 1, (draw.gpu(),), _EVERY), Use(name, 0, npages - 1, ("cpu",), _EVERY[-1:])]


def _once(name: str, draw: _Draw) -> tuple[int, list[Use]]:
    """A GPU reads it, once."""
    npages = draw.number(12, 24) * 64
    return npages, [Use(name, 0, npages - 1, (draw.gpu(),), (draw.number(0, ROUNDS - 1),))]


def _everywhere(name: str, draw: _Draw) -> tuple[int, list[Use]]:
    """A GPU of each hive, in every round."""
    npages = draw.number(2, 4) * 64
    return npages, [Use(name, 0, npages - 1, tuple(_one_of_each(draw)), _EVERY)]


def _watched(name: str, draw: _Draw) -> tuple[int, list[Use]]:
    """Two GPUs of a hive, in every round; the CPU looks at one page of it each time."""
    npages, hive = draw.number(10, 16) * 64, draw.hive()
    page = draw.number(npages // 4, npages // 2)
    return npages, [Use(name, 0, npages - 1, hive[:2], _EVERY), Use(name, page, page, ("cpu",), _EVERY)]


_RECIPES: Mapping[str, _Recipe] = {
    "weights": _shared,
    "grid": _halved,
    "flags": _polled,
    "table": _window,
    "result": _fetched,
    "input": _once,
    "index": _everywhere,
    "state": _watched,
    "tiles": _shared,
}
