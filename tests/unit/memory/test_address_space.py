"""VMAs: where mappings go, how they are cut and joined, and what the page table keeps."""

from __future__ import annotations

from typing import Any

import pytest

from svmlab.errors import DriverError, InputError
from svmlab.mm import syscalls
from svmlab.mm.span import Span
from svmlab.mm.vma import Protection, parse_protection
from svmlab.units import MIB, PAGE_SIZE

Lab = Any
FIRST = 0x7E00_0000_0000 // PAGE_SIZE


def vmas(lab: Lab) -> list[tuple[int, int]]:
    return [(vma.start - FIRST, vma.last - FIRST) for vma in lab.mm.vmas.values()]


def test_mappings_begin_at_multiples_of_two_mib_with_a_free_page_between(lab: Lab):
    for npages in (1, 511, 512, 513, 1):
        lab.map(npages)
    assert vmas(lab) == [(0, 0), (512, 1022), (1024, 1535), (2048, 2560), (3072, 3072)]


def test_a_mapping_goes_round_what_was_mapped_at_an_address(lab: Lab):
    lab.map(4, at=(FIRST + 514) * PAGE_SIZE)
    assert [lab.map(600).start - FIRST, lab.map(1).start - FIRST] == [1024, 2048]


def test_a_mapping_may_have_any_address_that_is_free(lab: Lab):
    near = lab.map(2, at=0x10000)
    beside = lab.map(2, at=0x12000)
    assert (near.span, beside.start, len(lab.mm.vmas)) == (Span(0x10000, 8192), 0x12, 2)


@pytest.mark.parametrize(
    ("at", "npages", "error"),
    [
        (0x10001, 1, "EINVAL"),
        (0, 1, "EINVAL"),
        (0x10000, 1, "EEXIST"),
        (0xF000, 2, "EEXIST"),
        (0x13000, 9, "EEXIST"),
        ((1 << 47) - 2 * PAGE_SIZE, 2, "ENOMEM"),
        (1 << 50, 1, "ENOMEM"),
        (None, 1 << 40, "ENOMEM"),
    ],
)
def test_a_bad_address_is_refused_and_nothing_is_mapped(lab: Lab, at: int | None, npages: int, error: str):
    lab.map(4, at=0x10000)
    with pytest.raises(DriverError, match=error):
        lab.map(npages, at=at)
    assert len(lab.mm.vmas) == 1
    assert lab.map(1).start == FIRST


def test_an_empty_mapping_is_refused(lab: Lab):
    with pytest.raises(DriverError, match="EINVAL: a mapping of 0 bytes"):
        lab.run(syscalls.mmap(lab.mm, syscalls.Mapping(0)))


def test_a_size_is_rounded_up_to_pages(lab: Lab):
    assert lab.run(syscalls.mmap(lab.mm, syscalls.Mapping(PAGE_SIZE + 1))).nbytes == 2 * PAGE_SIZE


def test_unmapping_cuts_a_mapping_in_two(lab: Lab):
    mapped = lab.map(10)
    lab.run(syscalls.munmap(lab.mm, mapped.pages(3, 2)))
    assert vmas(lab) == [(0, 2), (5, 9)]
    assert [lab.mm.covered(FIRST + a, FIRST + b) for a, b in ((0, 2), (2, 3), (5, 9), (9, 10))] == [
        True,
        False,
        True,
        False,
    ]
    assert lab.mm.vma_at(FIRST + 3) is None


def test_unmapping_over_holes_takes_what_is_there(lab: Lab):
    a, _, c = lab.map(2), lab.map(2), lab.map(2)
    lab.run(syscalls.munmap(lab.mm, Span.of_pages(a.start + 1, c.start)))
    assert vmas(lab) == [(0, 0), (1025, 1025)]


def test_unmapping_nothing_is_no_error_and_tells_nobody(lab: Lab):
    mapped = lab.map(2)
    lab.listen(mapped)
    lab.run(syscalls.munmap(lab.mm, Span.of_pages(mapped.start + 100, mapped.start + 200)))
    assert lab.heard == []


def test_protection_cuts_where_it_changes_and_joins_where_it_does_not(lab: Lab):
    mapped = lab.map(10)
    lab.run(syscalls.mprotect(lab.mm, mapped.pages(2, 3), Protection.READ))
    cut = vmas(lab)
    lab.run(syscalls.mprotect(lab.mm, mapped.pages(4, 4), Protection.READ))
    grown = vmas(lab)
    lab.run(syscalls.mprotect(lab.mm, mapped.pages(0, 10), Protection.READ | Protection.WRITE))
    assert (cut, grown, vmas(lab)) == ([(0, 1), (2, 4), (5, 9)], [(0, 1), (2, 7), (8, 9)], [(0, 9)])


def test_the_same_protection_cuts_nothing(lab: Lab):
    mapped = lab.map(10)
    lab.run(syscalls.mprotect(lab.mm, mapped.pages(2, 3), Protection.READ | Protection.WRITE))
    assert vmas(lab) == [(0, 9)]


def test_two_mappings_side_by_side_stay_two(lab: Lab):
    lab.map(4, at=FIRST * PAGE_SIZE, name="a")
    lab.map(4, at=(FIRST + 4) * PAGE_SIZE, name="b")
    both = Span.of_pages(FIRST, FIRST + 7)
    for protection in (Protection.READ, Protection.READ | Protection.WRITE):
        lab.run(syscalls.mprotect(lab.mm, both, protection))
    assert vmas(lab) == [(0, 3), (4, 7)]


def test_parts_of_a_file_join_only_where_their_pages_follow_each_other(lab: Lab):
    file = lab.file()
    mapped = lab.store(lab.map(4, "file", file=file))
    lab.run(syscalls.mremap(lab.mm, mapped.pages(3, 1), (FIRST + 100) * PAGE_SIZE))
    lab.run(syscalls.mremap(lab.mm, mapped.pages(2, 1), (FIRST + 101) * PAGE_SIZE))
    lab.run(syscalls.mprotect(lab.mm, Span.of_pages(FIRST + 100, FIRST + 101), Protection.READ))
    assert vmas(lab) == [(0, 1), (100, 100), (101, 101)]


def test_protection_stops_at_the_first_hole(lab: Lab):
    mapped = lab.store(lab.map(6))
    lab.run(syscalls.munmap(lab.mm, mapped.pages(3, 1)))
    with pytest.raises(DriverError, match="ENOMEM: part of pages .* is not mapped"):
        lab.run(syscalls.mprotect(lab.mm, mapped.span, Protection.READ))
    assert mapped.entries() == "rrr.ww"


def test_a_page_table_gives_its_storage_back(make_lab: Any):
    lab = make_lab(ram="1 GiB", payload=False)
    mapped = lab.map(1 << 17)
    lab.run(syscalls.discard(lab.mm, mapped.span))
    lab.store(mapped, count=1)
    lab.run(syscalls.munmap(lab.mm, mapped.span))
    assert (list(lab.mm.table.pages()), lab.memory.ram_used) == ([], 0)


@pytest.mark.parametrize(("text", "value"), [("rw", 3), ("r", 1), ("none", 0)])
def test_protections_have_names(text: str, value: int):
    assert parse_protection(text) == value


def test_a_protection_of_another_name_is_refused():
    with pytest.raises(InputError, match="protection 'w'; allowed:"):
        parse_protection("w")


@pytest.mark.parametrize(("address", "nbytes"), [(-1, 4), (0, -1), (1 << 64, 1), ((1 << 64) - 1, 2)])
def test_a_span_lies_in_the_address_space(address: int, nbytes: int):
    with pytest.raises(InputError, match="64-bit address space"):
        Span(address, nbytes)


def test_a_span_touches_every_page_it_reaches():
    span = Span(2 * MIB - 1, 2)
    assert (span.start, span.last, span.npages, span.aligned) == (511, 512, 2, False)
    assert (Span(4096, 0).npages, Span(4096, 0).last) == (0, 0)


@pytest.mark.parametrize(("address", "nbytes"), [(4097, 4096), (4096, 0)])
def test_a_system_call_wants_a_start_at_a_page_border_and_a_size(address: int, nbytes: int):
    with pytest.raises(DriverError, match="EINVAL"):
        Span(address, nbytes).whole_pages()


def test_a_system_call_rounds_the_size_up():
    assert Span(4096, 4097).whole_pages() == (1, 2)
