"""One address in every page table: what each of them says, as data and in words."""

import pytest

from svmlab.svm.process import Process
from svmlab.svm.translate import entries_of
from svmlab.views import describe, translation


@pytest.fixture
def p() -> Process:
    return Process("mi210-two-hives", vram="64 MiB")


def rows(scene) -> dict[str, tuple[str, ...]]:
    (table,) = scene.tables
    return {row.cells[0].text: tuple(cell.text for cell in row.cells[1:]) for row in table.rows}


def test_the_title_tells_page_and_byte(p):
    a = p.mmap("8 KiB")
    assert translation(p, a.address + 4096 + 17).title == "Address 0x7e0000001011 is byte 17 of page 0x7e0000001"


def test_memory_nobody_touched_is_in_no_table(p):
    a = p.mmap("4 KiB")
    assert rows(translation(p, a.address)) == {
        "CPU table": ("nothing", "none", "-", "-"),
        "gpu0-gpu7 tables": ("nothing", "none", "-", "-"),
    }


def test_a_page_that_was_only_read_is_the_zero_page_and_may_be_read(p):
    a = p.mmap("4 KiB")
    assert a[0] == 0
    assert rows(translation(p, a.address))["CPU table"][:2] == ("the zero page", "read")


def test_two_tables_that_share_a_page_name_the_same_frame(p):
    a = p.mmap("4 KiB")
    a[:] = 7
    p.set_attr(a, access=["gpu0", "gpu3"])
    p.run()
    found = rows(translation(p, a.address))
    assert found["CPU table"] == found["gpu0, gpu3 tables"] == ("a frame", "read and write", "RAM", "0x2")


def test_after_a_prefetch_the_cpu_names_the_page_and_may_not_touch_it(p):
    a = p.mmap("4 KiB")
    p.set_attr(a, access=["gpu0"], prefetch="gpu0")
    p.run()
    assert rows(translation(p, a.address)) == {
        "CPU table": ("a device page", "none", "gpu0", "0x1"),
        "gpu0 table": ("a frame", "read and write", "gpu0", "0x1"),
        "gpu1-gpu7 tables": ("nothing", "none", "-", "-"),
    }


def test_rows_of_those_who_reach_the_byte_are_lit(p):
    a = p.mmap("4 KiB")
    p.set_attr(a, access=["gpu0"], prefetch="gpu0")
    p.run()
    (table,) = translation(p, a.address).tables
    assert [row.style for row in table.rows] == ["pale", "lit", "pale"]


def test_a_page_in_swap_is_accessible_to_nobody(p):
    a = p.mmap("4 KiB")
    a[:] = 7
    p.swap_out(a)
    entry = entries_of(p.driver, a.pages(0).start)[0]
    assert (entry.says, entry.access, entry.frame) == ("a place in swap", "none", -1)


def test_a_read_only_page_is_told_so(p):
    a = p.mmap("4 KiB")
    a[:] = 7
    p.mprotect(a, "r")
    assert "CPU table: a frame in RAM, read only." in describe(translation(p, a.address))


def test_an_address_that_nothing_maps_is_told_as_nothing(p):
    assert describe(translation(p, 4096)) == (
        "Address 0x1000 is byte 0 of page 0x1. CPU table: nothing. gpu0-gpu7 tables: nothing."
    )


def test_a_look_touches_nothing(p):
    a = p.mmap("4 KiB")
    before = len(p.log)
    translation(p, a.address)
    assert len(p.log) == before


def test_a_page_under_way_is_a_migration_entry_that_lets_nobody_in(p):
    a = p.mmap("4 KiB")
    a[:] = 7
    p.start.set_attr(a, access=["gpu0"], prefetch="gpu0")
    while not p.log.count("copy"):
        p.advance("1 us")
    assert rows(translation(p, a.address))["CPU table"] == ("a migration entry", "none", "RAM", "0x2")
    assert p.look.locked(a.span) == {"RAM": 1, "VRAM": 1}
    p.run()
    assert p.look.locked(a.span) == {"RAM": 0, "VRAM": 0}
