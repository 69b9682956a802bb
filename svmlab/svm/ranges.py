"""SVM ranges: the unit of attributes, migration and notification, and the sorted map that holds them."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from operator import attrgetter

from sortedcontainers import SortedKeyList

from svmlab.hardware.frames import Pfns
from svmlab.hardware.ordered import last_up_to
from svmlab.hardware.world import World
from svmlab.mm.locks import LockClass, Mutex
from svmlab.mm.notifier import IntervalNotifier
from svmlab.svm.vram_buffer import VramBuffer
from svmlab.uapi import DEFAULT_FLAGS, DEFAULT_GRANULARITY, SYSMEM, UNDEFINED

__all__ = ["NEVER", "DeferredOp", "Range", "RangeList"]

NEVER = -(1 << 62)
"""A time before everything."""
# A member of an enum is searched for each time it is named, and every range that is used has a lock of its own.
_MIGRATE_MUTEX, _RANGE = LockClass.MIGRATE_MUTEX, LockClass.RANGE


class DeferredOp(Enum):
    """What the deferred worker will do with a range (enum svm_work_list_ops)."""

    NULL = 0
    UNMAP_RANGE = 1
    UPDATE_RANGE_NOTIFIER = 2
    ADD_RANGE = 3


@dataclass(slots=True, eq=False)
class Range:
    """One SVM range (struct svm_range): pages ``start`` to ``last`` with one set of attributes.

    A process may have a million of them, so what few ranges need (locks, children, arrays) is made when it is needed.

    Attributes:
        start, last: pages, inclusive.
        flags, preferred_loc, prefetch_loc, granularity, access, in_place: its attributes; access sets are bits by
            GPU index.
        actual_loc: where the driver believes it is: 0 or a gpu id.
        invalid: CPU page table changes since it was last restored.
        buffer, has_vram, offset: its VRAM buffer, whether it holds a reference to it (ttm_res), and its place in it.
        vram_pages: pages of it that went to VRAM and did not come home; discarded ones count until none is left.
        mapped: bits of the GPUs that map it.
        mapping_done: the last validation was mapped to its end.
        page_array: RAM frames as validation found them (pages_addr), only where ``map_source`` is the buffer.
        children: pieces cut off under the notifier, until deferred work registers them.
        op: what deferred work has to do with it.
        queued: it waits for deferred work.
        needs_unmap: bits of the GPUs that lost access and still map it.
        validated_ns: when it was last validated and mapped.
        sequence: the notifier's count when it last changed.
        node_start, node_last: the extent under which it is registered, which lags behind ``start`` and ``last`` until
            deferred work runs (it_node); -1 while it is not registered.
        notifier: what hears of changes of that extent.
    """

    start: int
    last: int
    flags: int = DEFAULT_FLAGS
    preferred_loc: int = UNDEFINED
    prefetch_loc: int = UNDEFINED
    granularity: int = DEFAULT_GRANULARITY
    access: int = 0
    in_place: int = 0
    actual_loc: int = SYSMEM
    invalid: int = 0
    buffer: VramBuffer | None = None
    has_vram: bool = False
    offset: int = 0
    vram_pages: int = 0
    mapped: int = 0
    mapping_done: bool = False
    page_array: Pfns | None = None
    children: Sequence[Range] = ()
    op: DeferredOp = DeferredOp.NULL
    queued: bool = False
    needs_unmap: int = 0
    validated_ns: int = NEVER
    sequence: int = 0
    node_start: int = -1
    node_last: int = -1
    notifier: IntervalNotifier | None = None
    _dma: dict[int, Pfns] | None = None
    _migrate_mutex: Mutex | None = None
    _lock: Mutex | None = None

    @property
    def npages(self) -> int:
        """How many pages."""
        return self.last - self.start + 1

    @property
    def dma(self) -> dict[int, Pfns]:
        """For each GPU the frames it was given (dma_addr), only where ``map_source`` is the buffer."""
        if self._dma is None:
            self._dma = {}
        return self._dma

    def overlaps(self, start: int, last: int) -> bool:
        """Whether it shares a page with ``start`` to ``last``."""
        return self.start <= last and start <= self.last

    def inherit(self, other: Range) -> None:
        """Take over the attributes and the mapping state of another range."""
        self.flags, self.granularity = other.flags, other.granularity
        self.preferred_loc, self.prefetch_loc = other.preferred_loc, other.prefetch_loc
        self.actual_loc = other.actual_loc
        self.access, self.in_place = other.access, other.in_place
        self.mapped, self.mapping_done = other.mapped, other.mapping_done

    def migrate_mutex(self, world: World) -> Mutex:
        """Serialises migration, validation and mapping of the range."""
        if self._migrate_mutex is None:
            self._migrate_mutex = Mutex(world, _MIGRATE_MUTEX, "migrate_mutex of range", self.start)
        return self._migrate_mutex

    @property
    def migrating(self) -> bool:
        """Whether somebody holds its ``migrate_mutex``, and may be about to record where it is."""
        return self._migrate_mutex is not None and self._migrate_mutex.locked

    def lock(self, world: World) -> Mutex:
        """Protects start, last and the children against the notifier (prange->lock)."""
        if self._lock is None:
            self._lock = Mutex(world, _RANGE, "lock of range", self.start)
        return self._lock


class RangeList:
    """All ranges of a process (struct svm_range_list).

    Attributes:
        lock: svms->lock.
        order: the ranges in order of insertion, which is the order of restore.
        evicted_ranges: evictions since the last successful restore.
        deferred: ranges with deferred work, in order.
        reserved_pages: system memory reserved for ranges.
    """

    def __init__(self, world: World, name: str) -> None:
        self.lock = Mutex(world, LockClass.SVMS, f"svms lock of {name}")
        self.order: dict[int, Range] = {}
        self.evicted_ranges = 0
        self.deferred: deque[Range] = deque()
        self.reserved_pages = 0
        # A list and not a dict: it yields the range itself, and a look-up touches nothing else.
        self._tree: SortedKeyList[Range, int] = SortedKeyList(key=attrgetter("node_start"))

    def __len__(self) -> int:
        return len(self._tree)

    def __iter__(self) -> Iterator[Range]:
        return iter(self._tree)

    def insert(self, range_: Range) -> None:
        """Register a range under its present extent, behind all others in the order of insertion.

        Kernel: svm_range_add_to_svms (kfd_svm.c)
        """
        self._enter(range_)
        self.order[id(range_)] = range_

    def remove(self, range_: Range) -> None:
        """Take a range out; a child that was never registered is nowhere.

        Kernel: svm_range_unlink (kfd_svm.c)
        """
        self.leave(range_)
        self.order.pop(id(range_), None)

    def reinsert(self, range_: Range) -> None:
        """Register a range anew after its extent changed; its place in the order of insertion stays.

        Kernel: svm_range_update_notifier_and_interval_tree (kfd_svm.c)
        """
        self.leave(range_)
        self._enter(range_)

    def leave(self, range_: Range) -> None:
        """Take a range out of the map alone, if it is there; it keeps its place in the order of insertion."""
        if range_.node_start >= 0:
            self._tree.remove(range_)
            range_.node_start = range_.node_last = -1

    def _enter(self, range_: Range) -> None:
        range_.node_start, range_.node_last = range_.start, range_.last
        self._tree.add(range_)

    def at(self, page: int) -> Range | None:
        """The range (or child of one) that holds a page.

        Kernel: svm_range_from_addr (kfd_svm.c)
        """
        node = last_up_to(self._tree, page)
        if node is None or node.start <= page <= node.last:
            return node
        return next((child for child in node.children if child.start <= page <= child.last), None)

    def parent_of(self, range_: Range) -> Range:
        """The registered range that a child hangs on, inside whose extent it lies; a registered range is its own."""
        parent = range_ if range_.node_start >= 0 else last_up_to(self._tree, range_.start)
        if parent is None:
            raise LookupError(f"range {range_.start:#x} is neither registered nor a child")
        return parent

    def overlapping(self, start: int, last: int) -> list[Range]:
        """Registered ranges that share a page with the span, in address order."""
        return [node for node in self._near(start, last) if node.overlaps(start, last)]

    def registered(self, start: int, last: int) -> list[Range]:
        """Ranges whose *registered* extent shares a page with the span, in address order.

        The two differ while deferred work is pending.
        """
        return [node for node in self._near(start, last) if node.node_last >= start]

    def _near(self, start: int, last: int) -> list[Range]:
        """The last range registered before a span, and those that are registered from a page of it on."""
        before = last_up_to(self._tree, start - 1)
        inside = list(self._tree.irange_key(start, last))
        return inside if before is None else [before, *inside]

    def with_children(self) -> Iterator[Range]:
        """Every range and child, registered ranges in address order."""
        for node in self._tree:
            yield node
            yield from node.children
