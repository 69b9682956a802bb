"""What a set_attr does to the ranges it overlaps: a plan of clones, cuts and new ranges, made before any change."""

from __future__ import annotations

import errno
from collections import deque
from dataclasses import dataclass, field
from itertools import pairwise

from svmlab.errors import DriverError
from svmlab.svm import attributes, buffers, split
from svmlab.svm.attributes import Request
from svmlab.svm.behaviour import option
from svmlab.svm.driver import Driver
from svmlab.svm.ranges import Range

__all__ = ["Plan", "make_plan", "release_memory", "reserve_memory"]

_HUGE_PAGES = 512
"""Pages that one entry of a GPU's page directory can map."""


@dataclass(slots=True)
class Plan:
    """The driver's lists; every addition is at the head, so they read in reverse order of addition.

    Attributes:
        insert: pieces and clones of registered ranges, to be registered.
        new: ranges where there was none; in the posting they go to ``insert``, too.
        update: ranges that take the attributes and are migrated and mapped, in this order.
        remove: ranges that clones replace.
        remap: cut-off pieces that are mapped again although their attributes stay.
    """

    insert: deque[Range] = field(default_factory=deque)
    new: deque[Range] = field(default_factory=deque)
    update: deque[Range] = field(default_factory=deque)
    remove: deque[Range] = field(default_factory=deque)
    remap: deque[Range] = field(default_factory=deque)


def make_plan(driver: Driver, start: int, last: int, request: Request) -> Plan:
    """Decide what a request does to the ranges in its span; the registered ones stay as they are.

    1. for each registered range in the span, in address order: leave it, take it, or replace it by a clone that is cut
       at the edges of the span
    2. where a gap lies before it: new ranges with default attributes
    3. behind the last one: new ranges for the rest

    Args:
        driver: whose ranges.
        start: first page of the span.
        last: its last page.
        request: the attributes asked for.

    Raises:
        DriverError: ENOMEM when memory cannot be reserved, EINVAL for a range that cannot be split; nothing changed.

    Slots: compare_attributes, unchanged_overlap, split_requires, remap_leftovers, range_limit, ram_limit, insert_order
    Kernel: svm_range_add (kfd_svm.c)
    """
    plan = Plan()
    try:
        for node in driver.svms.registered(start, last):
            _consider(driver, plan, node, (start, last), request)
            if node.start > start:
                _add_default(driver, plan, start, node.start - 1)
            start = min(node.last, last) + 1
        if start <= last:
            _add_default(driver, plan, start, last)
    except DriverError:
        _forget(driver, plan)
        raise
    plan.insert.extendleft(reversed(plan.new))
    return plan


def _consider(driver: Driver, plan: Plan, node: Range, span: tuple[int, int], request: Request) -> None:
    """One overlapping range: leave it, take it as it is, or replace it by a clone cut at the edges of the span."""
    same = driver.behaviour.compare_attributes(driver, node, request)
    touch, update = driver.behaviour.unchanged_overlap(node, same)
    if not touch:
        return
    inside = span[0] <= node.start and node.last <= span[1]
    taken = node if inside else _replace(driver, plan, node, span)
    if update:
        plan.update.appendleft(taken)


def _replace(driver: Driver, plan: Plan, node: Range, span: tuple[int, int]) -> Range:
    """Clone a range and cut off what sticks out of the span; the pieces keep the old attributes."""
    inner = split.clone(driver, node)
    plan.remove.appendleft(node)
    plan.insert.appendleft(inner)
    if inner.start < span[0]:
        again = driver.behaviour.remap_leftovers(inner, span[0])
        _keep(plan, split.cut_front(driver, inner, span[0]), again)
    if inner.last > span[1]:
        again = driver.behaviour.remap_leftovers(inner, span[1] + 1)
        _keep(plan, split.cut_back(driver, inner, span[1] + 1), again)
    return inner


def _keep(plan: Plan, piece: Range, again: bool) -> None:
    plan.insert.appendleft(piece)
    if again:
        plan.remap.appendleft(piece)


@option("unchanged_overlap", "split")
def _split_all_the_same(node: Range, same: bool) -> tuple[bool, bool]:
    """Cutting happens even if nothing changes; only changed ranges are updated."""
    return True, not same


@option("unchanged_overlap", "leave")
def _leave_if_mapped(node: Range, same: bool) -> tuple[bool, bool]:
    """Nothing at all happens to a range that is as asked for and mapped."""
    touch = not (same and node.mapping_done)
    return touch, touch


@option("remap_leftovers", "no")
def _never_again(range_: Range, cut: int) -> bool:
    return False


@option("remap_leftovers", "unaligned")
def _off_the_granularity(range_: Range, cut: int) -> bool:
    return cut % (1 << range_.granularity) != 0


@option("remap_leftovers", "huge-pages")
def _through_a_huge_page(range_: Range, cut: int) -> bool:
    """A cut inside the part of the range that entries of 2 MiB may map, but not between two of them."""
    first = -(-range_.start // _HUGE_PAGES) * _HUGE_PAGES
    end = (range_.last + 1) // _HUGE_PAGES * _HUGE_PAGES
    return first < cut < end and cut % _HUGE_PAGES != 0


def _add_default(driver: Driver, plan: Plan, start: int, last: int) -> None:
    """Default ranges for a gap, cut where the largest range ends.

    Kernel: svm_range_split_new (kfd_svm.c)
    """
    for first, end in driver.behaviour.range_limit(driver, start, last):
        reserve_memory(driver, end - first + 1)
        fresh = attributes.new_range(driver, first, end)
        driver.behaviour.insert_order(plan).appendleft(fresh)
        plan.update.appendleft(fresh)


@option("insert_order", "as-found")
def _among_the_pieces(plan: Plan) -> deque[Range]:
    return plan.insert


@option("insert_order", "new-first")
def _before_the_pieces(plan: Plan) -> deque[Range]:
    return plan.new


@option("range_limit", "unlimited")
def _one_piece(driver: Driver, start: int, last: int) -> list[tuple[int, int]]:
    return [(start, last)]


@option("range_limit", "by-vram")
def _cut_at_multiples(driver: Driver, start: int, last: int) -> list[tuple[int, int]]:
    """Every piece ends at a multiple of the largest range."""
    largest = driver.machine.max_range_pages
    edges = [start, *range((start // largest + 1) * largest, last + 1, largest), last + 1]
    return [(first, end - 1) for first, end in pairwise(edges)]


def _forget(driver: Driver, plan: Plan) -> None:
    """Undo what a plan that failed has taken: clones took over the reservations of what they replace."""
    made = [*plan.new, *plan.insert]
    release_memory(driver, sum(each.npages for each in made) - sum(old.npages for old in plan.remove))
    for each in made:
        buffers.release(driver, each)


def reserve_memory(driver: Driver, npages: int) -> None:
    """Reserve system memory for a new range; with xnack on there is nothing to reserve.

    Raises:
        DriverError: ENOMEM beyond the limit of the machine.

    Slots: ram_limit
    Kernel: amdgpu_amdkfd_reserve_mem_limit (amdgpu_amdkfd_gpuvm.c)
    """
    if driver.xnack or not driver.behaviour.ram_limit():
        return
    free = driver.system.ram_limit_pages - driver.system.reserved_pages
    if npages > free:
        raise DriverError(
            errno.ENOMEM,
            f"{npages} pages of system memory cannot be reserved, {free} are left",
            hint="a larger ram=, or xnack on",
        )
    driver.system.reserved_pages += npages
    driver.svms.reserved_pages += npages


def release_memory(driver: Driver, npages: int) -> None:
    """Give reserved system memory back; with xnack on there is none.

    Slots: ram_limit
    Kernel: amdgpu_amdkfd_unreserve_mem_limit (amdgpu_amdkfd_gpuvm.c)
    """
    if driver.xnack or not driver.behaviour.ram_limit():
        return
    driver.system.reserved_pages -= npages
    driver.svms.reserved_pages -= npages


@option("ram_limit", "none")
def _unlimited() -> bool:
    return False


@option("ram_limit", "reserve")
def _limited() -> bool:
    return True
