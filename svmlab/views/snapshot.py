"""Where the pages of a span are at one moment, kept so that moments can be compared."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from svmlab.views.pagemap_cells import Places

if TYPE_CHECKING:
    from svmlab.mm.span import Span
    from svmlab.svm.buffer_view import Buffer
    from svmlab.svm.process import Process

__all__ = ["Snapshot", "snapshot"]


@dataclass(frozen=True, slots=True, eq=False)
class Snapshot:
    """Where pages are at one moment.

    Attributes:
        time_ns: when.
        tables: for each page table, by its owner (``"cpu"``, ``"gpu0"``, ...), the location of every page, shape
            ``(pages,)``.
        names: names a location number of the kernel.
        says: what the moment is, in a word or two.
        of: the name of what the pages belong to.
    """

    time_ns: int
    tables: Mapping[str, Places]
    names: Callable[[int], str]
    says: str = ""
    of: str = ""


def snapshot(process: Process, span: Span | Buffer, says: str = "") -> Snapshot:
    """Look at where the pages of a span are now: in the CPU's page table and in that of every GPU.

    Args:
        process: whose pages.
        span: which of them.
        says: what the moment is, in a word or two: ``"before"``, ``"call is back"``.

    >>> from svmlab import Process
    >>> p = Process("toy")
    >>> a = p.mmap("8 KiB", name="a")
    >>> a[0] = 1
    >>> snapshot(p, a).tables["cpu"].tolist()
    [0, -1]
    """
    where: Any = getattr(span, "span", span)
    tables = _Kept(process.look.keep(where))
    return Snapshot(process.now, tables, process.machine.location_name, says, getattr(span, "name", ""))


class _Kept(Mapping[str, Places]):
    """Locations by page table, told when somebody looks at them first."""

    def __init__(self, kept: Mapping[str, Callable[[], Places]]) -> None:
        self._kept: dict[str, Callable[[], Places] | Places] = dict(kept)

    def __getitem__(self, owner: str) -> Places:
        told = self._kept[owner]
        if callable(told):
            told = self._kept[owner] = told()
        return told

    def __iter__(self) -> Iterator[str]:
        return iter(self._kept)

    def __len__(self) -> int:
        return len(self._kept)
