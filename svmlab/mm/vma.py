"""Virtual memory areas: what is mapped where, with which protection, and what backs it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import Enum, IntFlag
from typing import TYPE_CHECKING

from svmlab.errors import InputError
from svmlab.hardware.page_column import PageColumn

if TYPE_CHECKING:
    from svmlab.mm.address_space import AddressSpace

__all__ = ["File", "Protection", "Vma", "VmaKind", "parse_protection"]


class Protection(IntFlag):
    """What a CPU access may do (VM_READ, VM_WRITE)."""

    NONE = 0
    READ = 1
    WRITE = 2


_PROTECTIONS = {
    "rw": Protection.READ | Protection.WRITE,
    "r": Protection.READ,
    "none": Protection.NONE,
}


def parse_protection(text: str) -> Protection:
    """Turn ``"rw"``, ``"r"`` or ``"none"`` into a protection.

    Raises:
        InputError: any other text.
    """
    if text not in _PROTECTIONS:
        raise InputError(f"protection {text!r}", allowed='"rw", "r", "none"')
    return _PROTECTIONS[text]


class VmaKind(Enum):
    """What backs a mapping."""

    ANONYMOUS = "anonymous"
    SHARED = "shared"
    FILE = "file"
    FILE_PRIVATE = "file_private"
    HUGETLB = "hugetlb"
    HEAP = "heap"
    STACK = "stack"
    DEVICE = "device"


@dataclass(slots=True, eq=False)
class File:
    """The page cache of one file (or of shared anonymous memory): frames by page of the file.

    Attributes:
        name: the file's name.
        kept: whether the cache outlives the last mapping, as that of a named file does.
        frames: the frame of each page of the file, 0 where it has none yet.
        mappers: who maps it, and with how many VMAs.
    """

    name: str
    kept: bool = True
    frames: PageColumn = field(default_factory=lambda: PageColumn("uint32"))
    mappers: dict[AddressSpace, int] = field(default_factory=dict)

    def mapped_by(self, mm: AddressSpace) -> None:
        """One more VMA shows the file."""
        self.mappers[mm] = self.mappers.get(mm, 0) + 1

    def unmapped_by(self, mm: AddressSpace) -> None:
        """One VMA less shows the file; with the last one, memory that nobody can map again gives its frames up."""
        self.mappers[mm] -= 1
        if not self.mappers[mm]:
            del self.mappers[mm]
        if self.mappers or self.kept:
            return
        for page, frames in list(self.frames.pages()):
            mm.memory.put(frames[frames != 0])
            self.frames.clear(page, page + len(frames) - 1)


@dataclass(slots=True, eq=False)
class Vma:
    """One virtual memory area (struct vm_area_struct).

    Attributes:
        start, last: its pages, inclusive.
        protection: what the CPU may do; only ``protect`` changes it.
        readable, writable: whether that includes loads, and stores.
        kind: what backs it.
        name: the mapping's name, for people.
        file: its page cache, where it has one.
        file_page: the page of the file that ``start`` shows.
    """

    start: int
    last: int
    protection: Protection
    kind: VmaKind
    name: str = ""
    file: File | None = None
    file_page: int = 0
    readable: bool = field(init=False)
    writable: bool = field(init=False)

    def __post_init__(self) -> None:
        self.protect(self.protection)

    @property
    def private(self) -> bool:
        """Whether stores go to frames of this address space alone (copy-on-write)."""
        return self.kind not in (VmaKind.SHARED, VmaKind.FILE, VmaKind.DEVICE)

    @property
    def anonymous(self) -> bool:
        """Whether a page nobody touched is zeros (vma_is_anonymous)."""
        return self.file is None and self.kind not in (VmaKind.DEVICE, VmaKind.HUGETLB)

    @property
    def special(self) -> bool:
        """Whether it shows memory of a device (VM_IO, VM_PFNMAP, VM_MIXEDMAP)."""
        return self.kind is VmaKind.DEVICE

    def protect(self, protection: Protection) -> None:
        """Change what the CPU may do."""
        self.protection = protection
        # a flag is tested a hundred times as slowly as a plain value, and every page fault tests these
        self.readable, self.writable = bool(protection & Protection.READ), bool(protection & Protection.WRITE)

    def allows(self, *, write: bool) -> bool:
        """Whether an access is allowed."""
        return self.writable if write else self.readable

    def part(self, start: int, last: int) -> Vma:
        """A copy that covers only pages ``start`` to ``last``."""
        return replace(self, start=start, last=last, file_page=self.file_page + start - self.start)

    def continues(self, before: Vma) -> bool:
        """Whether this is the other half of a mapping that was cut behind ``before`` (can_vma_merge_after)."""
        alike = all(getattr(self, name) == getattr(before, name) for name in ("kind", "name", "protection", "file"))
        next_page = before.file_page + self.start - before.start
        return alike and self.start == before.last + 1 and (self.file is None or self.file_page == next_page)
