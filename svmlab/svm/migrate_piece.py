"""Moving one piece, the part of a range in one VMA: the six steps that every migration consists of."""

from __future__ import annotations

import errno
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from svmlab.errors import DriverError
from svmlab.hardware.memory import FrameFlag
from svmlab.hardware.world import Blocking
from svmlab.mm import migrate_vma
from svmlab.mm.address_space import AddressSpace
from svmlab.mm.migrate_vma import MigrateVma
from svmlab.mm.vma import Vma
from svmlab.svm.behaviour import option
from svmlab.svm.copy_to_ram import copy_to_ram, undo_copy
from svmlab.svm.copy_to_vram import copy_to_vram
from svmlab.svm.copying import Copying, wait_for_copies
from svmlab.svm.driver import Driver
from svmlab.svm.ranges import Range
from svmlab.svm.steps import step
from svmlab.uapi import SYSMEM, MigrateTrigger

__all__ = ["Journey", "Piece", "piece_to_ram", "piece_to_vram"]

_FILE = int(FrameFlag.FILE)
ATTEMPTS = 4
"""One and three retries: the posting compares with a post-increment."""


class Journey(NamedTuple):
    """Where pages are to go, why, and which.

    Attributes:
        target: 0 for RAM, or a gpu id.
        trigger: why.
        start, last: pages, inclusive; None for the whole range.
        mm: the address space through which they go; None for the range's own (a forked child faults with its own).
    """

    target: int
    trigger: MigrateTrigger
    start: int | None = None
    last: int | None = None
    mm: AddressSpace | None = None

    def part_of(self, range_: Range) -> tuple[int, int]:
        """First and last page of the range that are to go."""
        return (
            range_.start if self.start is None else self.start,
            range_.last if self.last is None else self.last,
        )


@dataclass(slots=True)
class Piece:
    """The part of a range that lies in one VMA.

    Attributes:
        vma: the VMA.
        start, last: pages, inclusive.
        moved: how many of its pages the last migration moved, whether it failed or not.
    """

    vma: Vma
    start: int
    last: int
    moved: int = 0

    @property
    def npages(self) -> int:
        """How many pages it has."""
        return self.last - self.start + 1


def piece_to_vram(driver: Driver, range_: Range, piece: Piece, journey: Journey) -> Blocking[None]:
    """Move the pages of one piece from RAM to VRAM; ``piece.moved`` tells how many did.

    Raises:
        DriverError: what a step failed with; pages with contents are where they were.

    Slots: collect_policy, after_copy, fence_error, refused_pages
    Kernel: svm_migrate_vma_to_vram (kfd_migrate.c)
    """
    gpu = driver.gpu_index(journey.target) or 0
    args = MigrateVma(driver.mm, piece.vma, piece.start, piece.npages, from_ram=True, gpu=gpu)
    steps = _Steps(driver.behaviour.collect_policy, copy_to_vram)
    yield from _migrate(Copying(driver, range_, args, gpu), piece, journey, steps)


def piece_to_ram(driver: Driver, range_: Range, piece: Piece, journey: Journey) -> Blocking[None]:
    """Move the pages of one piece from VRAM to RAM; ``piece.moved`` tells how many did.

    Raises:
        DriverError: what a step failed with; every page is where it was.

    Slots: after_copy, fence_error, home_walk, copy_undo
    Kernel: svm_migrate_vma_to_ram (kfd_migrate.c)
    """
    gpu = driver.gpu_index(range_.actual_loc) or 0
    args = MigrateVma(
        journey.mm or driver.mm,
        piece.vma,
        piece.start,
        piece.npages,
        from_ram=False,
        owners=frozenset({gpu}),
        gpu=gpu,
    )
    yield from _migrate(Copying(driver, range_, args, gpu), piece, journey, _Steps(_one_attempt, copy_to_ram))
    range_.vram_pages -= piece.moved


class _Steps(NamedTuple):
    """What differs between the directions: how pages are collected and how they are copied."""

    collect: Callable[[Driver, MigrateVma], Blocking[None]]
    copy: Callable[[Copying], Blocking[None]]


def _migrate(copying: Copying, piece: Piece, journey: Journey, steps: _Steps) -> Blocking[None]:
    """What both directions share: the events around it, and nothing at all to move."""
    driver, args, range_ = copying.driver, copying.args, copying.range
    source = range_.actual_loc if journey.target == SYSMEM else SYSMEM
    trip = {"source": source, "target": journey.target, "trigger": journey.trigger}
    start = driver.emit.migrate_start(
        args.start, args.last, **trip, prefetch=range_.prefetch_loc, preferred=range_.preferred_loc
    )
    piece.moved, counted, failed = 0, 0, 0
    try:
        with driver.log.because(start):
            step(driver, 1, args)
            yield from steps.collect(driver, args)
            if args.cpages:
                yield from _move(copying, piece, steps)
            else:
                _dma_unmap(driver, args)
            counted = piece.moved
    except DriverError as error:
        failed = error.errno
        raise
    finally:
        driver.emit.migrate_end(args.start, args.last, **trip, npages=counted, error=failed, cause=start)


def _move(copying: Copying, piece: Piece, steps: _Steps) -> Blocking[None]:
    """From collected pages to new ones: copy, move the structures, wait for the copies, finalize."""
    driver, args = copying.driver, copying.args
    error: DriverError | None = None
    try:
        yield from steps.copy(copying)
        driver.behaviour.refused_pages(driver, args)
    except DriverError as failure:
        yield from undo_copy(copying)
        error = driver.behaviour.after_copy(failure)
    step(driver, 4, args)
    driver.emit.migrate_pages(args.start, args.last, npages=args.aimed_pages)
    yield from migrate_vma.pages(args)
    late = yield from wait_for_copies(copying)
    error = error or driver.behaviour.fence_error(args, late)
    step(driver, 5, args)
    piece.moved = args.moved_pages
    migrate_vma.finalize(args)
    driver.emit.migrate_finalize(args.start, args.last, npages=piece.moved)
    yield from driver.world.sleep(args.npages * driver.costs.migrate_finalize_page_ns, "after finalizing")
    copying.range.page_array = None
    _dma_unmap(driver, args)
    if error is not None:
        raise error


def _setup(driver: Driver, args: MigrateVma, attempt: int) -> Blocking[int]:
    """One call of migrate_vma_setup, with its result in the log; returns how many pages were collected."""
    try:
        yield from migrate_vma.setup(args, driver.faults)
    except DriverError as error:
        driver.emit.migrate_setup(args.start, args.last, attempt=attempt, npages=args.npages, error=error.errno)
        raise
    cpages = args.cpages
    driver.emit.migrate_setup(args.start, args.last, attempt=attempt, npages=args.npages, cpages=cpages, error=0)
    return cpages


def _dma_unmap(driver: Driver, args: MigrateVma) -> None:
    """As many addresses as the piece has pages, however few were mapped (X19)."""
    driver.emit.dma_unmap(args.start, args.last, npages=args.npages)


def _undo(driver: Driver, args: MigrateVma) -> None:
    """Finalize without destinations puts every page back."""
    migrate_vma.finalize(args)
    driver.emit.migrate_finalize(args.start, args.last)


@option("collect_policy", "four-attempts")
def _four_attempts(driver: Driver, args: MigrateVma) -> Blocking[None]:
    """All pages or none; nothing is done between the attempts, so only a lock held for a moment is cured."""
    for attempt in range(1, ATTEMPTS + 1):
        cpages = yield from _setup(driver, args, attempt)
        if cpages == args.npages:
            return
        missed = args.npages - cpages
        _undo(driver, args)
    raise DriverError(
        errno.ENOMEM,
        f"{missed} of {args.npages} pages could not be collected in {ATTEMPTS} attempts",
        hint="look for pages that are pinned, in VRAM already, or in use",
    )


@option("collect_policy", "partial")
def _one_attempt(driver: Driver, args: MigrateVma) -> Blocking[None]:
    """What can be collected moves, the rest stays."""
    yield from _setup(driver, args, 1)


@option("after_copy", "ignored")
def _ignore(error: DriverError) -> None:
    """The posting calls the copy step for its side effects only."""


@option("after_copy", "returned")
def _return(error: DriverError) -> DriverError:
    return error


@option("fence_error", "ignored")
def _ignore_fence(args: MigrateVma, error: DriverError | None) -> None:
    """The result of the wait is dropped."""


@option("fence_error", "returned")
def _put_back(args: MigrateVma, error: DriverError | None) -> DriverError | None:
    """Pages whose copy did not finish stay where they were; zeroed pages have nothing to lose."""
    if error is not None:
        for block in args.blocks:
            block.drop(block.sources() != 0)
    return error


@option("refused_pages", "others-move")
def _others_move(driver: Driver, args: MigrateVma) -> None:
    """The metadata step refuses page by page."""


@option("refused_pages", "all-stay")
def _all_stay(driver: Driver, args: MigrateVma) -> None:
    """If the metadata step would refuse a page, the whole piece stays; that is no error, but an event."""
    if (
        not args.from_ram
        or args.vma.file is None
        or not any(driver.memory.bits_of(block.source) & _FILE for block in args.blocks)
    ):
        return
    for block in args.blocks:
        targets = block.targets()
        driver.memory.put(targets[targets != 0], distinct=True)
        block.target = None
    driver.say("driver_fallback", "pages of a file cannot live in VRAM: the piece stays in RAM", args.start, args.last)
