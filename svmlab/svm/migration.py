"""Moving ranges: RAM to VRAM, VRAM to RAM, and from one GPU to another. Each mechanism reads as its numbered steps."""

from __future__ import annotations

import errno
from collections.abc import Callable

from svmlab.errors import DriverError, errno_name
from svmlab.hardware.world import Blocking
from svmlab.mm import entries as pte
from svmlab.mm.address_space import AddressSpace
from svmlab.mm.fault import handle_fault
from svmlab.svm import buffers
from svmlab.svm.behaviour import option
from svmlab.svm.copying import Piece
from svmlab.svm.driver import Driver
from svmlab.svm.mapping import validate_ram
from svmlab.svm.migrate_piece import Journey, Stretch, bound_for_ram, bound_for_vram, migrate
from svmlab.svm.policy import migration_trigger
from svmlab.svm.ranges import Range
from svmlab.uapi import SYSMEM, MigrateTrigger

__all__ = ["ram_to_vram", "to_vram", "trigger_migration", "vram_to_ram"]


Mover = Callable[[Driver, Range, Journey], Blocking[None]]


def trigger_migration(
    driver: Driver, range_: Range, *, to_gpu: Mover | None = None, home: Mover | None = None
) -> Blocking[bool]:
    """Move a range to where it should be, if it is not there.

    1. decide the best location
    2. decide whether to go there
    3. to RAM: move home
    4. to a GPU: make sure its pages can be collected, then move to VRAM

    Args:
        driver, range_: the range.
        to_gpu, home: what moves it; default: ``to_vram`` and ``vram_to_ram``.

    Returns:
        Whether a migration was started (and succeeded).

    Raises:
        DriverError: what the migration failed with.

    Kernel: svm_range_trigger_migration (kfd_svm.c)
    """
    situation = driver.situation(range_)
    best = driver.behaviour.location_policy(situation)
    driver.say("decision", best.because, range_.start, range_.last, location=best.location)
    going = migration_trigger(situation, best.location, driver.behaviour)
    if going.location is None:
        return False
    if going.location == SYSMEM:
        yield from (home or vram_to_ram)(driver, range_, Journey(SYSMEM, MigrateTrigger.PREFETCH))
        return True
    yield from driver.behaviour.validate_first(driver, range_)
    yield from (to_gpu or to_vram)(driver, range_, Journey(going.location, MigrateTrigger.PREFETCH))
    return True


def to_vram(driver: Driver, range_: Range, journey: Journey) -> Blocking[None]:
    """Move a range (or the part of it that the journey names) to the VRAM of a GPU, from wherever it is.

    Kernel: svm_migrate_to_vram (kfd_migrate.c)
    """
    if range_.actual_loc in (SYSMEM, journey.target):
        return ram_to_vram(driver, range_, journey)
    way: Blocking[None] = driver.behaviour.gpu_to_gpu(driver, range_, journey)
    return way


def ram_to_vram(driver: Driver, range_: Range, journey: Journey) -> Blocking[None]:
    """Move the RAM pages of a range to VRAM.

    1. find the GPU
    2. find the VMAs the range lies in
    3. reserve, or allocate, VRAM where that comes first
    4. move the pieces one after the other
    5. record where the range is now

    Raises:
        DriverError: ENODEV for an unknown GPU; EFAULT, ENOMEM, ENOSPC, EINVAL, EIO as the steps fail.

    Slots: hole_in_vmas, vram_limit, vram_alloc, later_piece_fails, record_location
    Kernel: svm_migrate_ram_to_vram (kfd_migrate.c)
    """
    gpu = _device(driver, journey.target)
    start, last = journey.part_of(range_)
    stretches = driver.behaviour.hole_in_vmas(driver.mm, start, last)
    driver.behaviour.vram_limit(driver, range_, gpu)
    if driver.behaviour.vram_alloc():
        yield from buffers.attach(driver, range_, gpu)
    pieces: list[Piece] = []
    moved = 0
    try:
        for stretch in stretches:
            piece = bound_for_vram(driver, range_, stretch, gpu)
            pieces.append(piece)
            yield from migrate(piece, journey)
            moved += piece.moved
    except DriverError:
        yield from driver.behaviour.later_piece_fails(driver, range_, pieces, journey)
        raise
    driver.behaviour.record_location(driver, range_, moved, journey.target)


def vram_to_ram(driver: Driver, range_: Range, journey: Journey) -> Blocking[None]:
    """Move the VRAM pages of a range home.

    1. nothing to do for a range in RAM; find the GPU
    2. find the VMAs
    3. move the pieces one after the other
    4. record where the range is now

    Raises:
        DriverError: ENODEV for an unknown GPU; EFAULT, ENOMEM, EINVAL, EIO as the steps fail.

    Slots: hole_on_the_way_home, location_home
    Kernel: svm_migrate_vram_to_ram (kfd_migrate.c)
    """
    if range_.actual_loc == SYSMEM:
        return
    _device(driver, range_.actual_loc)
    (start, last), mm = journey.part_of(range_), journey.mm or driver.mm
    for stretch in driver.behaviour.hole_on_the_way_home(mm, start, last):
        yield from migrate(bound_for_ram(driver, range_, stretch, mm), journey)
    driver.behaviour.location_home(driver, range_, last)


def _device(driver: Driver, location: int) -> int:
    gpu = driver.gpu_index(location)
    if gpu is None:
        raise DriverError(errno.ENODEV, f"no GPU has the id {location:#x}")
    return gpu


def _walk(mm: AddressSpace, start: int, last: int) -> tuple[list[Stretch], int]:
    """The stretches from ``start`` up to the first hole, and the page the walk reached."""
    stretches: list[Stretch] = []
    page = start
    while page <= last and (vma := mm.vma_at(page)) is not None:
        end = min(vma.last, last)
        stretches.append((vma, page, end))
        page = end + 1
    return stretches, page


@option("hole_in_vmas", "stop")
@option("hole_on_the_way_home", "stop")
def _stop_at_a_hole(mm: AddressSpace, start: int, last: int) -> list[Stretch]:
    return _walk(mm, start, last)[0]


@option("hole_in_vmas", "refuse")
@option("hole_on_the_way_home", "refuse")
def _refuse_a_hole(mm: AddressSpace, start: int, last: int) -> list[Stretch]:
    stretches, page = _walk(mm, start, last)
    if page <= last:
        raise DriverError(errno.EFAULT, f"page {page:#x} of the range is not mapped")
    return stretches


@option("vram_alloc", "while-copying")
def _allocate_later() -> bool:
    """The copy step allocates."""
    return False


@option("vram_alloc", "first")
def _allocate_first() -> bool:
    return True


@option("later_piece_fails", "mixed")
def _leave_mixed(driver: Driver, range_: Range, pieces: list[Piece], journey: Journey) -> Blocking[None]:
    """actual_loc keeps its value, whatever moved."""
    yield from ()


@option("later_piece_fails", "partial")
def _keep_what_moved(driver: Driver, range_: Range, pieces: list[Piece], journey: Journey) -> Blocking[None]:
    _count_moved(driver, range_, sum(piece.moved for piece in pieces), journey.target)
    yield from ()


@option("later_piece_fails", "come-home")
def _bring_home(driver: Driver, range_: Range, pieces: list[Piece], journey: Journey) -> Blocking[None]:
    """What moved goes back to RAM; if that fails too the range stays with the GPU and the log has both errors.

    A piece whose copies failed may have to come too: its holes were filled before that was known. A range that had
    pages on the GPU before keeps what moved.
    """
    was_there = range_.actual_loc == journey.target
    yield from _keep_what_moved(driver, range_, pieces, journey)
    if was_there or range_.actual_loc != journey.target:
        return
    try:
        for piece in pieces:
            if piece.moved:
                stretch = (piece.args.vma, piece.args.start, piece.args.last)
                back = bound_for_ram(driver, range_, stretch, driver.mm)
                yield from migrate(back, Journey(SYSMEM, journey.trigger))
    except DriverError as error:
        driver.say(
            "driver_fallback",
            "pieces of a failed migration could not come home",
            range_.start,
            range_.last,
            error=error.errno,
        )
    driver.behaviour.location_home(driver, range_, range_.last)


@option("record_location", "claimed")
def _all_counts(driver: Driver, range_: Range, moved: int, target: int) -> None:
    range_.actual_loc = target
    range_.vram_pages = range_.npages


@option("record_location", "counted")
def _count_moved(driver: Driver, range_: Range, moved: int, target: int) -> None:
    """The range is on the GPU if any page moved; otherwise its VRAM goes back."""
    if moved:
        range_.actual_loc = target
        range_.vram_pages += moved
    elif range_.actual_loc == SYSMEM:
        buffers.drop_reference(driver.system, range_)


@option("location_home", "at-once")
def _home_at_once(driver: Driver, range_: Range, last: int) -> None:
    buffers.drop_reference(driver.system, range_)
    buffers.forget_location(range_)


@option("location_home", "when-empty")
def _home_when_empty(driver: Driver, range_: Range, last: int) -> None:
    """Pages that were discarded in VRAM are counted as there for ever."""
    if range_.vram_pages == 0:
        _home_at_once(driver, range_, last)


@option("location_home", "none-left")
def _home_when_none_is_left(driver: Driver, range_: Range, last: int) -> None:
    """Blocks mostly come home in address order: pages that stay are found soonest behind the last that came."""
    here = range_.actual_loc
    if buffers.any_in_vram(driver, last + 1, range_.last, here) or buffers.any_in_vram(
        driver, range_.start, last, here
    ):
        range_.vram_pages = max(1, range_.vram_pages)  # a relative may have moved pages that it never counted
    else:
        _home_at_once(driver, range_, last)


@option("gpu_to_gpu", "refused")
def _not_between_gpus(driver: Driver, range_: Range, journey: Journey) -> Blocking[None]:
    """The way from RAM is tried, which collects no page in VRAM."""
    yield from ram_to_vram(driver, range_, journey)


@option("gpu_to_gpu", "through-ram")
def _through_ram(driver: Driver, range_: Range, journey: Journey) -> Blocking[None]:
    yield from vram_to_ram(driver, range_, Journey(SYSMEM, journey.trigger))
    if range_.actual_loc != SYSMEM:
        raise DriverError(errno.EBUSY, "some pages of the range could not come home", hint="unpin them")
    yield from ram_to_vram(driver, range_, journey)


@option("gpu_to_gpu", "three-passes")
def _three_passes(driver: Driver, range_: Range, journey: Journey) -> Blocking[None]:
    for _ in range(3):
        yield from vram_to_ram(driver, range_, Journey(SYSMEM, journey.trigger))
        if range_.actual_loc == SYSMEM:
            break
    else:
        raise DriverError(errno.EDEADLK, f"pages stay in VRAM after 3 passes ({errno_name(errno.EDEADLK)})")
    yield from ram_to_vram(driver, range_, journey)


@option("validate_first", "no")
def _do_not_validate(driver: Driver, range_: Range) -> Blocking[None]:
    """Pages move as they are."""
    yield from ()


@option("validate_first", "never-validated")
def _validate_once(driver: Driver, range_: Range) -> Blocking[None]:
    """Pages are faulted in only while the driver holds no page array of the range."""
    if range_.actual_loc == SYSMEM and range_.page_array is None:
        yield from validate_ram(driver, range_)


@option("validate_first", "swapped")
def _bring_in_swapped(driver: Driver, range_: Range) -> Blocking[None]:
    """Swapped pages are brought in, since no attempt could ever collect them."""
    if range_.actual_loc != SYSMEM or not driver.mm.swap.used_slots:
        return
    page = range_.start
    while page <= range_.last:
        elsewhere = driver.mm.table.leading(page, range_.last, lambda entries: (entries & pte.SWAP) == 0)
        if not elsewhere:
            yield from handle_fault(driver.mm, page, range_.last, write=False)
        page += max(1, elsewhere)
