"""The rows of the four kinds of vector files, checked strictly."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from svmlab.hardware.vram import Node

__all__ = ["ROWS", "BestLocation", "RamToVram", "Trigger", "TriggerAnswer", "VectorGpu", "VramToRam"]

_MOST_PAGES = 1 << 20
_MOST_MOVED = 1 << 13
Id = Annotated[int, Field(ge=0, le=0xFFFFFFFF)]
PageNumber = Annotated[int, Field(ge=0, le=_MOST_PAGES)]
Count = Annotated[int, Field(ge=0, le=_MOST_PAGES)]
Piece = tuple[PageNumber, PageNumber]
Run = tuple[PageNumber, PageNumber, Count]
Call = tuple[str, ...] | tuple[str, int] | tuple[str, int, int] | tuple[str, int, int, int]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class VectorGpu(_Strict):
    """One GPU: its id and its hive (0: none)."""

    id: Annotated[int, Field(gt=0, lt=0xFFFFFFFF)]
    hive: Annotated[int, Field(ge=0)]


class _Gpus(_Strict):
    gpus: Annotated[tuple[VectorGpu, ...], Field(min_length=1, max_length=64, strict=False)]


class _Accessors(_Gpus):
    xnack: bool
    prefetch: Id
    access: Annotated[tuple[Id, ...], Field(strict=False)]
    access_in_place: Annotated[tuple[Id, ...], Field(strict=False)]


class BestLocation(_Accessors):
    """An input of svm_range_best_location and its answer."""

    best: Id

    @property
    def expected(self) -> int:
        """The recorded answer."""
        return self.best


class TriggerAnswer(_Strict):
    """An answer of svm_range_trigger_migration."""

    result: int
    migrated: bool
    validates_ram: bool
    actual: Id


class Trigger(_Accessors):
    """An input of svm_range_trigger_migration and its answer."""

    actual: Id
    host_access: bool
    validated: bool
    validate_result: Annotated[int, Field(le=0)]
    expect: TriggerAnswer

    @property
    def expected(self) -> dict[str, object]:
        """The recorded answer."""
        return self.expect.model_dump()


class _Move(_Gpus):
    start: PageNumber
    last: PageNumber
    actual: Id
    vmas: Annotated[tuple[Annotated[Piece, Field(strict=False)], ...], Field(strict=False)]
    dma_map_fails_at: Count
    copy_fails_at: Count

    @property
    def npages(self) -> int:
        """The length of the range."""
        return self.last - self.start + 1

    @model_validator(mode="after")
    def _a_range(self) -> Self:
        if not 1 <= self.npages <= _MOST_MOVED:
            raise ValueError(f"a range of {self.npages} pages; 1 to {_MOST_MOVED} are allowed")
        _check_disjoint("vmas", [(start, end - start) for start, end in self.vmas])
        return self


def _check_disjoint(what: str, runs: Iterable[tuple[int, int]]) -> None:
    """Runs are a first page and a number of pages."""
    end = 0
    for first, npages in sorted(runs):
        if first < end or npages < 1:
            raise ValueError(f"{what}: the one at page {first} is empty, or overlaps another")
        end = first + npages


class MoveAnswer(_Strict):
    """An answer of a migration: result, location and the calls it made."""

    result: int
    actual: Id
    calls: list[list[str | int]]


class ToVramAnswer(MoveAnswer):
    """An answer of svm_migrate_ram_to_vram."""

    vram_pages_held: Count


class RamToVram(_Move):
    """An input of svm_migrate_ram_to_vram and its answer."""

    best: Id
    vram_nodes: Annotated[tuple[Annotated[Node, Field(strict=False)], ...], Field(strict=False)]
    offset: Count
    pages_missed: Annotated[tuple[int, ...], Field(strict=False)]
    vram_result: Annotated[int, Field(le=0)]
    expect: ToVramAnswer

    @model_validator(mode="after")
    def _enough_vram(self) -> Self:
        _check_disjoint("vram_nodes", self.vram_nodes)
        if sum(npages for _, npages in self.vram_nodes) < self.offset + self.npages:
            raise ValueError("vram_nodes: they hold fewer pages than offset and the range need")
        return self

    @property
    def expected(self) -> dict[str, object]:
        """The recorded answer."""
        return self.expect.model_dump()


class VramToRam(_Move):
    """An input of svm_migrate_vram_to_ram and its answer."""

    in_vram: Annotated[tuple[Annotated[Run, Field(strict=False)], ...], Field(strict=False)]
    setup_fails_at: Count
    ram_alloc_fails_at: Count
    expect: MoveAnswer

    @model_validator(mode="after")
    def _inside(self) -> Self:
        _check_disjoint("in_vram", [(offset, npages) for offset, _, npages in self.in_vram])
        _check_disjoint("VRAM of in_vram", [(first, npages) for _, first, npages in self.in_vram])
        if any(offset + npages > self.npages for offset, _, npages in self.in_vram):
            raise ValueError("in_vram: pages behind the end of the range")
        return self

    @property
    def expected(self) -> dict[str, object]:
        """The recorded answer."""
        return self.expect.model_dump()


Kind = Literal["best_location", "trigger_migration", "ram_to_vram", "vram_to_ram"]
ROWS: dict[Kind, type[BestLocation | Trigger | RamToVram | VramToRam]] = {
    "best_location": BestLocation,
    "trigger_migration": Trigger,
    "ram_to_vram": RamToVram,
    "vram_to_ram": VramToRam,
}
"""The model of each kind of file's rows."""
