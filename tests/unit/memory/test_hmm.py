"""The HMM walk: what is faulted in, what may stay in VRAM, and what cannot be had."""

from __future__ import annotations

from typing import Any

import pytest

from svmlab.errors import BusError, DriverError
from svmlab.mm import entries as pte
from svmlab.mm import migrate_vma, syscalls
from svmlab.mm.hmm import range_fault
from svmlab.mm.vma import Protection

Lab = Any


def walk(
    lab: Lab, mapped: Any, *, write: bool = True, owners: Any = (), first: int = 0, count: int | None = None
) -> str:
    span = mapped.pages(first, count)
    vma = mapped.mm.vma_at(span.start)
    found = lab.run(
        range_fault(mapped.mm, vma, span.start, span.last, write=write, owners=frozenset(owners), faults=lab.faults)
    )
    kinds = pte.kinds(found, lab.memory)
    writable = (found & pte.WRITE) != 0
    return "".join(".0rwds"[kind].upper() if w else ".0rwds"[kind] for kind, w in zip(kinds, writable, strict=True))


def mixed(lab: Lab) -> Any:
    """Untouched, zero page, written, swapped."""
    mapped = lab.map(4)
    lab.load(mapped, 1, 1)
    lab.store(mapped, first=2)
    lab.run(syscalls.swap_out(lab.mm, mapped.pages(3)))
    return mapped


@pytest.mark.parametrize(("write", "found"), [(True, "WWWW"), (False, "00Wr")])
def test_pages_are_faulted_in_for_the_access_asked_for(lab: Lab, write: bool, found: str):
    mapped = mixed(lab)
    assert walk(lab, mapped, write=write) == found
    assert mapped.entries() == found.lower()


def test_a_walk_for_stores_breaks_copy_on_write(lab: Lab):
    mapped = lab.store(lab.map(2))
    child = mapped.of(lab.fork())
    assert (walk(lab, mapped), set(mapped.frames()) & set(child.frames())) == ("WW", set())


def test_only_the_pages_asked_for_are_faulted_in(lab: Lab):
    mapped = lab.map(5)
    walk(lab, mapped, first=1, count=2)
    assert mapped.entries() == ".ww.."


def test_pages_of_an_owner_stay_in_vram(lab: Lab):
    mapped = lab.store(lab.map(3))
    lab.move(mapped, 1, 1)
    assert (walk(lab, mapped, owners={0, 1}), mapped.entries()) == ("WDW", "wdw")


def test_pages_of_an_owner_are_reported_as_they_are_even_for_stores(lab: Lab):
    mapped = lab.store(lab.map(2))
    lab.move(mapped)
    lab.fork()
    assert walk(lab, mapped, owners={0}) == "dd"


@pytest.mark.parametrize("owners", [(), {1}, {1, 2}])
def test_pages_of_others_are_brought_home(lab: Lab, owners: Any):
    mapped = lab.store(lab.map(2))
    lab.move(mapped)
    asked: list[int] = []

    def bring_home(mm: Any, page: int) -> Any:
        asked.append(page - mapped.start)
        args = lab.migration(mapped, page - mapped.start, 1, to_vram=False)
        yield from migrate_vma.setup(args, lab.faults)
        lab.give_targets(args)
        yield from migrate_vma.pages(args)
        migrate_vma.finalize(args)

    lab.mm.migrate_to_ram = bring_home
    assert (walk(lab, mapped, owners=owners), asked, mapped.first_bytes()) == ("WW", [0, 1], [7, 8])


def test_what_nobody_brings_home_is_efault(lab: Lab):
    mapped = lab.store(lab.map(1))
    lab.move(mapped)
    with pytest.raises(DriverError, match="EFAULT: .* no driver brings it home") as error:
        walk(lab, mapped)
    assert isinstance(error.value.__cause__, BusError)


@pytest.mark.parametrize(
    ("kind", "protection", "write", "error"),
    [
        ("device", "r", False, "EFAULT"),
        ("anonymous", "none", False, "EFAULT"),
        ("anonymous", "none", True, "EFAULT"),
        ("anonymous", "r", True, "EPERM"),
    ],
)
def test_what_the_mapping_forbids_is_an_error(lab: Lab, kind: str, protection: str, write: bool, error: str):
    mapped = lab.map(2, kind, protection)
    with pytest.raises(DriverError, match=error):
        walk(lab, mapped, write=write)
    assert mapped.entries() == ".."


@pytest.mark.parametrize("kind", ["shared", "file", "hugetlb", "heap", "stack"])
def test_every_other_kind_can_be_walked(lab: Lab, kind: str):
    mapped = lab.map(2, kind, file=lab.file() if kind == "file" else None)
    assert walk(lab, mapped) == "WW"


def test_a_read_only_mapping_can_be_walked_for_loads(lab: Lab):
    mapped = lab.store(lab.map(2))
    lab.run(syscalls.mprotect(lab.mm, mapped.span, Protection.READ))
    assert walk(lab, mapped, write=False) == "rr"


def test_out_of_memory_is_efault(make_lab: Any):
    lab = make_lab(ram="2 pages")
    mapped = lab.map(3)
    lab.store(mapped, count=2)
    with pytest.raises(DriverError, match="EFAULT: main: out of memory"):
        walk(lab, mapped)


def test_an_ordered_fault_fails_the_walk_before_it_begins(lab: Lab):
    mapped = lab.map(2)
    lab.faults.order("hmm_fault")
    with pytest.raises(DriverError, match="EFAULT: the HMM walk was told to fail"):
        walk(lab, mapped)
    assert (mapped.entries(), walk(lab, mapped)) == ("..", "WW")


@pytest.mark.parametrize("owner", [True, False])
def test_a_page_under_migration_is_waited_for(lab: Lab, owner: bool):
    mapped = lab.store(lab.map(1))
    if owner:
        lab.move(mapped)
    args = lab.setup(lab.migration(mapped, to_vram=not owner))
    span = mapped.span
    walking = lab.start(
        range_fault(
            lab.mm,
            lab.mm.vma_at(span.start),
            span.start,
            span.last,
            write=True,
            owners=frozenset({0}),
            faults=lab.faults,
        )
    )
    lab.world.env.run(until=lab.world.now + 10**6)
    waiting = not walking.triggered
    lab.finish(lab.give_targets(args))
    lab.settle()
    assert (waiting, walking.value.tolist() == lab.mm.table.get(span.start, span.last).tolist()) == (True, True)


def test_the_walk_reports_what_it_met_and_not_what_came_later(lab: Lab):
    mapped = lab.store(lab.map(2))
    before = lab.mm.table.get(mapped.span.start, mapped.span.last).tolist()
    span = mapped.span
    walking = lab.start(
        range_fault(
            lab.mm, lab.mm.vma_at(span.start), span.start, span.last, write=True, owners=frozenset(), faults=lab.faults
        )
    )
    lab.world.env.run(until=lab.world.now + 1)
    lab.mm.zap(span.start, span.last)
    lab.settle()
    assert (walking.value.tolist(), mapped.entries()) == (before, "..")


def test_a_walk_over_many_blocks_sees_every_page(make_lab: Any):
    lab = make_lab(ram="1 GiB", payload=False)
    mapped = lab.map((1 << 17) + 10)
    found = walk(lab, mapped)
    assert (set(found), len(found), lab.memory.ram_used) == ({"W"}, mapped.span.npages, mapped.span.npages)
