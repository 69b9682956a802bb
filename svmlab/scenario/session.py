"""A scenario while it runs: its processes, what their mappings are called, and where counting began."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from svmlab.mm import Span
from svmlab.scenario.contents import Piece
from svmlab.scenario.format import Scenario
from svmlab.scenario.spans import SpanKeys
from svmlab.scenario.values import whole_pages
from svmlab.units import PAGE_SIZE

if TYPE_CHECKING:
    from svmlab.svm.process import Process

__all__ = ["Actor", "Mapping", "Mark", "MissingNameError", "Session"]


class MissingNameError(Exception):
    """A step means something that an earlier step should have made and did not."""


@dataclass(slots=True)
class Mapping:
    """A mapping that was made at some time, mapped still or not."""

    address: int
    nbytes: int
    name: str

    def holds(self, address: int) -> bool:
        """Whether an address lies in it."""
        return self.address <= address < self.address + self.nbytes


@dataclass(slots=True)
class Actor:
    """A process of the scenario.

    Attributes:
        process: the simulated process.
        names: what names mean now.
        mappings: every mapping ever made, oldest first; those without a name too.
    """

    process: Process
    names: dict[str, Mapping] = field(default_factory=dict)
    mappings: list[Mapping] = field(default_factory=list)

    def add(self, span: Span, name: str | None) -> None:
        """Take note of a new mapping."""
        mapping = Mapping(span.address, whole_pages(span.nbytes), name or f"{span.address:#x}")
        self.mappings.append(mapping)
        if name is not None:
            self.names[name] = mapping

    def moved(self, source: Span, address: int, *, name: str | None) -> None:
        """Take note of a move: the name follows a mapping that moved whole, ``name`` names what moved."""
        nbytes = whole_pages(source.nbytes)
        whole = [other for other in self.names.values() if (other.address, other.nbytes) == (source.address, nbytes)]
        for mapping in whole:
            mapping.address = address
        if name is not None or not whole:
            self.add(Span(address, nbytes), name)

    def forked(self, process: Process) -> Actor:
        """A child, with the same mappings under the same names."""
        copies = {id(mapping): Mapping(mapping.address, mapping.nbytes, mapping.name) for mapping in self.mappings}
        names = {name: copies[id(mapping)] for name, mapping in self.names.items()}
        return Actor(process, names, list(copies.values()))

    def mapping(self, name: str) -> Mapping:
        """What a name means.

        Raises:
            MissingNameError: the step that gives the name has failed or is not done.
        """
        if name not in self.names:
            raise MissingNameError(f"mapping {name!r}")
        return self.names[name]

    def span(self, keys: SpanKeys, *, nbytes: int | None = None) -> Span:
        """The addresses that keys of a step mean; ``nbytes`` stands in for a missing size."""
        if keys.on is None:
            return Span(keys.address or 0, keys.size if keys.size is not None else nbytes or 0)
        mapping, offset = self.mapping(keys.on), keys.offset or 0
        size = keys.size if keys.size is not None else nbytes
        return Span(mapping.address + offset, max(0, mapping.nbytes - offset) if size is None else size)

    def base(self, keys: SpanKeys) -> int:
        """Where offsets of an answer count from: the mapping's start, or the address given."""
        return self.mapping(keys.on).address if keys.on is not None else keys.address or 0

    def pieces(self, span: Span) -> list[Piece]:
        """A span cut at the borders of the mappings that patterns count from."""
        return list(self._cut(span))

    def named(self, keys: SpanKeys, span: Span) -> list[Piece]:
        """The span as one piece if it was given by a name, whatever it runs into; else ``pieces``."""
        if keys.on is None:
            return self.pieces(span)
        return [Piece(span, self.mapping(keys.on).address, keys.on)]

    def _cut(self, span: Span) -> Iterator[Piece]:
        address, end = span.address, span.address + span.nbytes
        while address < end:
            newest = next((one for one in reversed(self.mappings) if one.holds(address)), None)
            stop = min(self._border(address), end)
            base, name = (newest.address, newest.name) if newest else (address - address % PAGE_SIZE, f"{address:#x}")
            yield Piece(Span(address, stop - address), base, name)
            address = stop

    def _border(self, address: int) -> int:
        """The first address above at which another mapping may begin."""
        borders = [edge for one in self.mappings for edge in (one.address, one.address + one.nbytes)]
        return min((edge for edge in borders if edge > address), default=1 << 64)


@dataclass(frozen=True, slots=True)
class Mark:
    """From where events, counters and time count.

    Attributes:
        event: number of events there were.
        time_ns: the time it was.
    """

    event: int = 0
    time_ns: int = 0


class Session:
    """A run in progress.

    Args:
        scenario: what is run.
        process: its first process, called ``main``.
    """

    def __init__(self, scenario: Scenario, process: Process) -> None:
        self.scenario = scenario
        self.machine = scenario.machine
        self.main = process
        self.actors = {"main": Actor(process)}
        self.mark = Mark()
        self._files = 0

    @property
    def now(self) -> int:
        """Virtual time in ns."""
        return self.main.driver.now

    def actor(self, name: str) -> Actor:
        """A process by its name.

        Raises:
            MissingNameError: the step that starts it has failed or is not done.
        """
        if name not in self.actors:
            raise MissingNameError(f"process {name!r}")
        return self.actors[name]

    def add(self, name: str, actor: Actor) -> None:
        """Take note of a new process; a name given again means the newer one."""
        self.actors[name] = actor

    def new_file_name(self) -> str:
        """A name for a file that no other mapping shares."""
        self._files += 1
        return f"(file {self._files})"

    def set_mark(self) -> None:
        """Count from here on."""
        self.mark = Mark(len(self.main.log), self.now)
