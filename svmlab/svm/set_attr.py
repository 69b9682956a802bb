"""SET_ATTR: from a list of attributes to ranges that have them, are where they should be, and are mapped."""

from __future__ import annotations

import errno

from svmlab.errors import DriverError
from svmlab.hardware.world import Blocking
from svmlab.mm.span import Span
from svmlab.svm import attributes, buffers, deferred
from svmlab.svm.attributes import ACCESS_TYPES, Request
from svmlab.svm.behaviour import option
from svmlab.svm.driver import Driver
from svmlab.svm.mapping import Target, unmap_from_gpus, validate_and_map
from svmlab.svm.migration import trigger_migration
from svmlab.svm.overlap import Plan, make_plan
from svmlab.svm.ranges import Range
from svmlab.svm.registration import register, settle, unregister
from svmlab.uapi import Attribute, Flag, UnmapTrigger
from svmlab.units import PAGE_SHIFT

__all__ = ["check_mapped", "check_span", "set_attr"]

_END_PAGE = 1 << (64 - PAGE_SHIFT)


def set_attr(driver: Driver, span: Span, request: Request) -> Blocking[None]:
    """Give the pages of a span attributes, and act on them.

    1. check the span and the attributes
    2. take process_info lock; flush deferred work and take mmap_lock for writing
    3. check that every page is mapped
    4. plan what happens to the ranges, and commit the plan
    5. downgrade mmap_lock; migrate and map the updated ranges, one by one
    6. map cut-off pieces again that need it

    Args:
        driver: whose pages.
        span: in whole pages.
        request: ``(type, value)`` pairs, applied in this order.

    Raises:
        DriverError: EINVAL, EFAULT, EOVERFLOW or ENOMEM with nothing changed; or the error of a migration or mapping,
            with the attributes changed all the same.

    Slots: wrapping_span, set_attr_errors, vram_failure, map_after_migration, map_without_change, lost_access
    Kernel: svm_range_set_attr (kfd_svm.c)
    """
    start, last = check_span(driver, span)
    attributes.check(driver, request)
    with (yield from driver.process_info_lock.held()), (yield from deferred.flush_and_lock(driver)) as mapping_lock:
        check_mapped(driver, start, last, errno.EFAULT)
        with (yield from driver.svms.lock.held()):
            yield from settle(driver, driver.svms.overlapping(start, last))
            plan = make_plan(driver, start, last, request)
            _commit(driver, plan, request)
            mapping_lock.downgrade()
            yield from _act(driver, plan, _needs_mapping(driver, plan, request))


def check_span(driver: Driver, span: Span) -> tuple[int, int]:
    """First and last page of an ioctl's span.

    Raises:
        DriverError: EPERM, the process has a GPU that is too old, if that matters; EINVAL, the span is empty, starts at
            0, or is not made of whole pages.

    Slots: old_gpus
    Kernel: kfd_ioctl_svm (kfd_chardev.c)
    """
    driver.behaviour.old_gpus([gpu.index for gpu in driver.machine.gpus if not attributes.has_svm(gpu)])
    if not span.aligned or not span.address or not span.nbytes:
        raise DriverError(
            errno.EINVAL,
            f"{span.nbytes} bytes at {span.address:#x}",
            allowed="a start above 0 and a size above 0, both multiples of 4 KiB",
        )
    return span.start, span.last


@option("old_gpus", "no-svm")
def _all_or_nothing(old: list[int]) -> None:
    if old:
        raise DriverError(errno.EPERM, f"gpu{old[0]} is older than GFX9: its processes have no SVM")


@option("old_gpus", "left-out")
def _the_others_serve(old: list[int]) -> None:
    """What names an old GPU is refused when the attributes are checked."""


def check_mapped(driver: Driver, start: int, last: int, number: int) -> None:
    """Refuse a span with a hole, or with memory of a device.

    Raises:
        DriverError: ``number``; EOVERFLOW for a span that reaches the end of the address space, if that is looked at.

    Slots: wrapping_span
    Kernel: svm_range_is_valid (kfd_svm.c)
    """
    if last + 1 == _END_PAGE:
        driver.behaviour.wrapping_span(start)
    if not driver.mm.covered(start, last) or any(vma.special for vma in driver.mm.vmas_in(start, last)):
        raise DriverError(
            number,
            f"pages {start:#x} to {last:#x} are not all ordinary mapped memory",
            allowed="a span in which every page is mapped and none belongs to a device",
        )


@option("wrapping_span", "unchecked")
def _nobody_looks(start: int) -> None:
    """The sum of start and size is 0, and the walk over the VMAs finds that nothing is mapped."""


@option("wrapping_span", "refused")
def _no_overflow(start: int) -> None:
    raise DriverError(errno.EOVERFLOW, f"the span from page {start:#x} on reaches the end of the address space")


def _commit(driver: Driver, plan: Plan, request: Request) -> None:
    """Register, apply, remove: all under mmap_lock held for writing, so nobody sees half of it.

    The kernel frees the originals last; here they leave the map before their clones come, which covers the same pages.
    """
    for old in plan.remove:
        driver.svms.remove(old)
        unregister(driver, old)
    for fresh in plan.insert:
        driver.svms.insert(fresh)
        register(driver, fresh)
        driver.emit.range_add(fresh.start, fresh.last)
    for range_ in plan.update:
        attributes.apply(driver, range_, request)
        driver.emit.attributes(range_.start, range_.last, nattr=len(request))
    for old in plan.remove:
        if old.dma:  # X27: unmapped although the pieces that stay are mapped through them
            driver.emit.dma_unmap(old.start, old.last, npages=old.npages * len(old.dma))
        buffers.release(driver, old)
        driver.emit.range_remove(old.start, old.last)


def _needs_mapping(driver: Driver, plan: Plan, request: Request) -> bool:
    """Whether GPUs need new mappings although nothing moved: the call-wide ``update_mapping``."""
    kinds = {kind for kind, _ in request}
    if kinds & {Attribute.SET_FLAGS, Attribute.CLR_FLAGS}:
        return True
    return not driver.xnack and (bool(kinds.intersection(ACCESS_TYPES)) or bool(plan.remap))


def _act(driver: Driver, plan: Plan, change: bool) -> Blocking[None]:
    """Migrate and map; attributes stay changed whatever fails, and the last error counts."""
    result: DriverError | None = None
    works = [(_update, range_) for range_ in plan.update] + [(_remap, range_) for range_ in plan.remap]
    for work, range_ in works:
        try:
            yield from work(driver, range_, change)
        except DriverError as error:
            result = error
            if driver.behaviour.set_attr_errors():
                break
    if result is not None:
        for range_ in plan.update:  # access is lost all the same where nothing else was done
            yield from driver.behaviour.lost_access(driver, range_)
        raise result


@option("set_attr_errors", "stop")
def _stop() -> bool:
    return True


@option("set_attr_errors", "go-on")
def _go_on() -> bool:
    return False


def _update(driver: Driver, range_: Range, change: bool) -> Blocking[None]:
    """Migrate and map one range.

    1. unmap GPUs that lost access
    2. migrate if it should live elsewhere
    3. leave the mapping to the restore worker, if that will come
    4. validate and map
    """
    done = yield from driver.behaviour.lost_access(driver, range_)
    if done:
        return
    with (yield from range_.migrate_mutex(driver.world).held()):
        try:
            migrated = yield from trigger_migration(driver, range_)
        except DriverError as error:
            driver.behaviour.vram_failure(driver, range_, error)
            migrated = False
        if migrated and driver.behaviour.map_after_migration(driver, range_):
            return
        if not migrated and driver.behaviour.map_without_change(range_, change):
            return
        yield from validate_and_map(driver, range_)


def _remap(driver: Driver, range_: Range, change: bool) -> Blocking[None]:
    with (yield from range_.migrate_mutex(driver.world).held()):
        yield from validate_and_map(driver, range_)


@option("vram_failure", "error")
def _is_an_error(driver: Driver, range_: Range, error: DriverError) -> None:
    raise error


@option("vram_failure", "fallback")
def _stays_in_ram(driver: Driver, range_: Range, error: DriverError) -> None:
    """A range that cannot move to VRAM stays where it is; the migration's own events say why."""
    if range_.prefetch_loc == 0:
        raise error
    driver.say("driver_fallback", "the range stays where it is", range_.start, range_.last, error=error.errno)


@option("map_after_migration", "restore-worker")
def _leave_it_to_restore(driver: Driver, range_: Range) -> bool:
    return True


@option("map_after_migration", "by-mode")
def _leave_it_with_xnack_off(driver: Driver, range_: Range) -> bool:
    return not driver.xnack


@option("map_after_migration", "if-mapped")
def _leave_it_if_mapped(driver: Driver, range_: Range) -> bool:
    return bool(range_.mapped) and (not driver.xnack or bool(range_.flags & Flag.GPU_ALWAYS_MAPPED))


@option("map_without_change", "always")
def _always_map(range_: Range, change: bool) -> bool:
    return False


@option("map_without_change", "if-needed")
def _skip_mapping(range_: Range, change: bool) -> bool:
    return not change


@option("lost_access", "kept")
def _keep_mappings(driver: Driver, range_: Range) -> Blocking[bool]:
    """The posting leaves the entries of a GPU that lost access."""
    range_.needs_unmap = 0
    yield from ()
    return False


@option("lost_access", "unmapped")
def _unmap_lost(driver: Driver, range_: Range) -> Blocking[bool]:
    """A GPU that got access again in the same call keeps its entries."""
    lost, range_.needs_unmap = range_.needs_unmap & ~(range_.access | range_.in_place), 0
    yield from _unmap(driver, range_, lost)
    return False


@option("lost_access", "unmapped-and-done")
def _unmap_lost_and_be_done(driver: Driver, range_: Range) -> Blocking[bool]:
    """Whoever was given no access at any place of the request is unmapped (svm_range_needs_unmap).

    That a prefetch of the same call is dropped when no GPU is left is what the kernel does.
    """
    lost, range_.needs_unmap = range_.needs_unmap, 0
    yield from _unmap(driver, range_, lost)
    return bool(lost) and not range_.mapped


def _unmap(driver: Driver, range_: Range, gpus: int) -> Blocking[None]:
    if gpus:
        yield from unmap_from_gpus(driver, range_, Target(range_.start, range_.last, gpus), UnmapTrigger.UNMAP_FROM_CPU)
