"""The src and dst entries of the migrations under way, as the kernel keeps them in struct migrate_vma."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from svmlab.views.scene import Cell, Row, Scene, Table
from svmlab.views.source import place_name

if TYPE_CHECKING:
    from svmlab.mm.migrate_vma import MigrateVma

__all__ = ["EntryRun", "Side", "entry_runs", "migrate_entries", "tell_migrate_entries"]

TITLE = "src and dst of migrate_vma"
_COLUMNS = ("pages", "src", "its frames", "dst", "its frames")
_MOST = 4


@dataclass(frozen=True, slots=True)
class Side:
    """What the src, or the dst, entries of a run of pages say.

    Attributes:
        bits: names of the bits that are set, ``"VALID MIGRATE WRITE"``; ``"0"``: none is.
        place: where the frames are, ``"cpu"`` or ``"gpu0"``; an empty text: there are none.
        frames: the frames, ``"0x2-0x401"``.
    """

    bits: str
    place: str = ""
    frames: str = ""


@dataclass(frozen=True, slots=True)
class EntryRun:
    """Consecutive pages of a migration with the same bits, and with frames in the same memories.

    Attributes:
        first, last: the pages.
        src, dst: what their entries say.
    """

    first: int
    last: int
    src: Side
    dst: Side


def entry_runs(args: MigrateVma, origin: int = 0) -> tuple[EntryRun, ...]:
    """Sum up the src and dst entries of a migration as they are now.

    Args:
        args: the migration.
        origin: the page that is counted as 0.

    Kernel: migrate_vma (migrate.h)
    """
    sides, offset = (args.src, args.dst), args.start - origin
    if not len(sides[0]):
        return ()
    keys = np.stack([column for words in sides for column in _keys(args, words)])
    cuts = (np.flatnonzero((keys[:, 1:] != keys[:, :-1]).any(axis=0)) + 1).tolist()
    ends = zip([0, *cuts], [*cuts, args.npages], strict=True)
    return tuple(
        EntryRun(offset + at, offset + end - 1, *(_side(args, words[at:end]) for words in sides)) for at, end in ends
    )


def _keys(args: MigrateVma, words: npt.NDArray[np.uint64]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """What pages of one run have in common: their bits, and in which memory their frames are."""
    from svmlab.mm.migrate_block import PFN_SHIFT

    numbers = words.astype(np.int64)
    return numbers & ((1 << PFN_SHIFT) - 1), args.mm.memory.gpu_of(numbers >> PFN_SHIFT).astype(np.int64)


def _side(args: MigrateVma, words: npt.NDArray[np.uint64]) -> Side:
    from svmlab.mm.migrate_block import MIGRATE, PFN_SHIFT, VALID, WRITE

    word, names = int(words[0]), {"VALID": VALID, "MIGRATE": MIGRATE, "WRITE": WRITE}
    bits = " ".join(name for name, bit in names.items() if word & bit) or "0"
    if not word & VALID:
        return Side(bits)
    pfns = words.astype(np.int64) >> PFN_SHIFT
    gpu = args.mm.memory.gpu_at(word >> PFN_SHIFT)
    return Side(bits, "cpu" if gpu < 0 else f"gpu{gpu}", _named(pfns))


def _named(pfns: npt.NDArray[np.int64]) -> str:
    """The frames of a run: an interval where they count up by one."""
    first = f"{pfns[0]:#x}"
    if len(pfns) == 1:
        return first
    return f"{first}-{pfns[-1]:#x}" if (np.diff(pfns) == 1).all() else f"{first} and {len(pfns) - 1} more"


def migrate_entries(runs: Iterable[EntryRun]) -> Scene:
    """Picture the src and dst entries of migrations.

    Args:
        runs: what ``entry_runs`` found; none: no migration is under way.

    Returns:
        A scene with one table, a row for each run, for the first of them if there are many.

    >>> run = EntryRun(0, 511, Side("VALID MIGRATE", "cpu", "0x2-0x201"), Side("0"))
    >>> from svmlab.views import describe
    >>> describe(migrate_entries([run]))
    'Pages 0-511: src VALID MIGRATE with RAM frames 0x2-0x201, dst 0.'
    """
    found = tuple(runs)
    shown = found if len(found) <= _MOST else found[: _MOST - 1]
    rows = [_row(run) for run in shown]
    if len(found) > len(shown):
        rows.append(Row((Cell(f"{len(found) - len(shown)} more runs of pages"), *(Cell("") for _ in _COLUMNS[1:]))))
    empty = Row(tuple(Cell("-") for _ in _COLUMNS), "pale")
    return Scene("migrate entries", TITLE, (Table(_COLUMNS, tuple(rows) or (empty,), kind="migrate entries"),))


def _row(run: EntryRun) -> Row:
    pages = f"{run.first}-{run.last}" if run.last > run.first else f"{run.first}"
    return Row((Cell(pages), *_cells(run.src), *_cells(run.dst)))


def _cells(side: Side) -> tuple[Cell, Cell]:
    frames = Cell(f"{place_name(side.place)} {side.frames}", side.place) if side.place else Cell("-")
    return Cell(side.bits), frames


def tell_migrate_entries(table: Table, _title: str) -> list[str]:
    """Tell what src and dst say of each run of pages."""
    if table.rows[0].style == "pale":
        return ["No migration is under way: there is no src and no dst."]
    told = []
    for pages, src, source, dst, target in (tuple(cell.text for cell in row.cells) for row in table.rows):
        known = f"Pages {pages}: src {src}{_with(source)}, dst {dst}{_with(target)}."
        told.append(known if src else f"And {pages}.")
    return told


def _with(frames: str) -> str:
    place, _, which = frames.partition(" ")
    return f" with {place} frames {which}" if which else ""
