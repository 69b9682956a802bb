"""Moving one piece, the part of a range in one VMA: five of the six steps that every migration consists of."""

from __future__ import annotations

import errno
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
from svmlab.svm.copying import Piece, wait_for_copies
from svmlab.svm.driver import Driver
from svmlab.svm.ranges import Range
from svmlab.svm.steps import COLLECT, FINALIZE, MOVE
from svmlab.uapi import SYSMEM, MigrateTrigger

__all__ = ["Journey", "Stretch", "bound_for_ram", "bound_for_vram", "migrate"]

Stretch = tuple[Vma, int, int]
"""A VMA, and first and last page of a range in it."""
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


def bound_for_vram(driver: Driver, range_: Range, stretch: Stretch, gpu: int) -> Piece:
    """A piece of a range that is to move from RAM to VRAM."""
    vma, start, last = stretch
    args = MigrateVma(driver.mm, vma, start, last - start + 1, from_ram=True, gpu=gpu)
    return Piece(driver, range_, args, gpu, driver.memory.first_of(gpu))


def bound_for_ram(driver: Driver, range_: Range, stretch: Stretch, mm: AddressSpace) -> Piece:
    """A piece of a range that is to move from VRAM to RAM, through the page table of ``mm``."""
    vma, start, last = stretch
    gpu = driver.gpu_index(range_.actual_loc) or 0
    args = MigrateVma(mm, vma, start, last - start + 1, from_ram=False, owners=frozenset({gpu}), gpu=gpu)
    return Piece(driver, range_, args, gpu, driver.memory.first_of(gpu))


def migrate(piece: Piece, journey: Journey) -> Blocking[None]:
    """Move the pages of one piece, by the first five steps; ``piece.moved`` tells how many did.

    Raises:
        DriverError: what a step failed with; pages with contents are where they were.

    Slots: collect_policy, after_copy, fence_error, refused_pages
    Kernel: svm_migrate_vma_to_vram, svm_migrate_vma_to_ram (kfd_migrate.c)
    """
    driver, args, range_ = piece.driver, piece.args, piece.range
    target, trigger = journey.target, journey.trigger
    source = range_.actual_loc if target == SYSMEM else SYSMEM
    start = driver.emit.migrate_start(
        args.start,
        args.last,
        source=source,
        target=target,
        trigger=trigger,
        prefetch=range_.prefetch_loc,
        preferred=range_.preferred_loc,
    )
    task, moved, failed = driver.log.task, 0, 0
    before = task.follow(start)
    try:
        driver.emit.step(args.start, args.last, text=COLLECT, number=1)
        yield from _collect(driver, args)
        if args.cpages:
            yield from _move(piece)
        else:
            _dma_unmap(driver, args)
        moved = piece.moved
    except DriverError as error:
        failed = error.errno
        raise
    finally:
        driver.emit.migrate_end(
            args.start,
            args.last,
            source=source,
            target=target,
            trigger=trigger,
            npages=moved,
            error=failed,
        )
        task.follow(before)
    if not args.from_ram:
        range_.vram_pages -= moved


def _collect(driver: Driver, args: MigrateVma) -> Blocking[None]:
    """Collect the pages, once more if they are not enough.

    Nothing is done between the attempts, so only a lock held for a moment is cured.

    Raises:
        DriverError: what migrate_vma_setup failed with; ENOMEM, every attempt collected too few.
    """
    enough = driver.behaviour.collect_policy if args.from_ram else _any_number
    for attempt in range(1, ATTEMPTS + 1):
        try:
            yield from migrate_vma.setup(args, driver.faults)
        except DriverError as error:
            driver.emit.migrate_setup(args.start, args.last, attempt=attempt, npages=args.npages, error=error.errno)
            raise
        driver.emit.migrate_setup(args.start, args.last, attempt=attempt, npages=args.npages, cpages=args.cpages)
        if enough(args):
            return
        migrate_vma.finalize(args)  # without destinations: that puts every page back
        driver.emit.migrate_finalize(args.start, args.last)
    raise DriverError(
        errno.ENOMEM,
        f"{args.npages - args.cpages} of {args.npages} pages could not be collected in {ATTEMPTS} attempts",
        hint="look for pages that are pinned, in VRAM already, or in use",
    )


@option("collect_policy", "four-attempts")
def _all_of_them(args: MigrateVma) -> bool:
    """All pages or none."""
    return args.cpages == args.npages


@option("collect_policy", "partial")
def _any_number(args: MigrateVma) -> bool:
    """What can be collected moves, the rest stays."""
    return True


def _move(piece: Piece) -> Blocking[None]:
    """From collected pages to new ones: copy, move the structures, wait for the copies, finalize."""
    driver, args = piece.driver, piece.args
    error: DriverError | None = None
    try:
        yield from (copy_to_vram if args.from_ram else copy_to_ram)(piece)
        driver.behaviour.refused_pages(driver, args)
    except DriverError as failure:
        yield from undo_copy(piece)
        error = driver.behaviour.after_copy(failure)
    driver.emit.step(args.start, args.last, text=MOVE, number=4)
    driver.emit.migrate_pages(args.start, args.last, npages=args.aimed_pages)
    yield from migrate_vma.pages(args)
    late = yield from wait_for_copies(piece)
    if late is not None:
        error = error or driver.behaviour.fence_error(args, late)
    driver.emit.step(args.start, args.last, text=FINALIZE, number=5)
    piece.moved = migrate_vma.finalize(args)
    driver.emit.migrate_finalize(args.start, args.last, npages=piece.moved)
    yield from driver.world.sleep(args.npages * driver.costs.migrate_finalize_page_ns, "after finalizing")
    piece.range.page_array = None
    _dma_unmap(driver, args)
    if error is not None:
        raise error


def _dma_unmap(driver: Driver, args: MigrateVma) -> None:
    """As many addresses as the piece has pages, however few were mapped (X19)."""
    driver.emit.dma_unmap(args.start, args.last, npages=args.npages)


@option("after_copy", "ignored")
def _ignore(error: DriverError) -> None:
    """The posting calls the copy step for its side effects only."""


@option("after_copy", "returned")
def _return(error: DriverError) -> DriverError:
    return error


@option("fence_error", "ignored")
def _ignore_fence(args: MigrateVma, error: DriverError) -> None:
    """The result of the wait is dropped."""


@option("fence_error", "returned")
def _put_back(args: MigrateVma, error: DriverError) -> DriverError:
    """Pages whose copy did not finish stay where they were; zeroed pages have nothing to lose."""
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
