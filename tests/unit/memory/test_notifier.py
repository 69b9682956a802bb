"""MMU interval notifiers: who hears of which change, and when."""

from __future__ import annotations

from typing import Any

import pytest

from svmlab.errors import InputError
from svmlab.mm import access, syscalls
from svmlab.mm.fault import handle_fault
from svmlab.mm.notifier import IntervalNotifier, NotifierTree
from svmlab.mm.vma import Protection
from svmlab.uapi import NotifierEvent

Lab = Any


def silent(*_: Any) -> Any:
    yield from ()


def tree(*intervals: tuple[int, int]) -> NotifierTree:
    notifiers = NotifierTree()
    for start, last in intervals:
        notifiers.insert(IntervalNotifier(start, last, silent))
    return notifiers


def test_each_hears_of_its_own_part_in_address_order():
    heard: list[tuple[int, int]] = []

    def callback(event: NotifierEvent, start: int, last: int) -> Any:
        heard.append((start, last))
        yield from ()

    notifiers = NotifierTree()
    for start, last in ((30, 39), (10, 19), (50, 59)):
        notifiers.insert(IntervalNotifier(start, last, callback))
    list(notifiers.invalidate(NotifierEvent.CLEAR, 15, 50))
    assert heard == [(15, 19), (30, 39), (50, 50)]


@pytest.mark.parametrize(
    ("start", "last", "covered"),
    [(0, 9, False), (0, 10, True), (19, 40, True), (20, 29, False), (25, 35, True), (40, 99, False)],
)
def test_what_is_covered(start: int, last: int, covered: bool):
    assert tree((10, 19), (30, 39)).covers(start, last) is covered


def test_two_notifiers_do_not_share_a_page():
    with pytest.raises(InputError, match="a notifier already covers part of pages 0x13 to 0x20"):
        tree((10, 19), (19, 32))


def test_a_notifier_that_was_taken_out_is_not_taken_out_twice():
    notifiers = tree((10, 19))
    mine = IntervalNotifier(30, 39, silent)
    notifiers.insert(mine)
    notifiers.remove(mine)
    notifiers.insert(other := IntervalNotifier(30, 39, silent))
    notifiers.remove(mine)
    assert notifiers.covers(30, 30)
    notifiers.remove(other)
    assert not notifiers.covers(30, 30)


def test_whoever_was_registered_when_it_began_hears_of_it(lab: Lab):
    mapped = lab.map(4)
    notifiers = lab.mm.notifiers
    heard: list[str] = []

    def first(*_: Any) -> Any:
        heard.append("first")
        notifiers.remove(second_one)
        yield from ()

    def second(*_: Any) -> Any:
        heard.append("second")
        yield from ()

    notifiers.insert(IntervalNotifier(mapped.start, mapped.start, first))
    notifiers.insert(second_one := IntervalNotifier(mapped.start + 1, mapped.start + 3, second))
    lab.run(syscalls.discard(lab.mm, mapped.span))
    assert heard == ["first", "second"]


CHANGES = [
    ("munmap", lambda lab, a: syscalls.munmap(lab.mm, a.pages(1, 4)), [("UNMAP", 1, 4)]),
    ("discard", lambda lab, a: syscalls.discard(lab.mm, a.pages(1, 4)), [("CLEAR", 1, 4)]),
    ("mprotect", lambda lab, a: syscalls.mprotect(lab.mm, a.pages(1, 4), Protection.READ), [("PROTECTION_VMA", 1, 4)]),
    ("mprotect to the same", lambda lab, a: syscalls.mprotect(lab.mm, a.pages(1, 4), Protection(3)), []),
    ("mremap", lambda lab, a: syscalls.mremap(lab.mm, a.pages(1, 4), None), [("UNMAP", 1, 4)]),
    ("fork", lambda lab, a: syscalls.fork(lab.mm, lab.process("child")), [("PROTECTION_PAGE", 0, 7)]),
    ("swap", lambda lab, a: syscalls.swap_out(lab.mm, a.pages(1, 2)), [("CLEAR", 1, 2)]),
    ("exit", lambda lab, a: syscalls.release(lab.mm), [("RELEASE", 0, 7)]),
    ("pin", lambda lab, a: syscalls.pin(lab.mm, a.pages(1, 2)), []),
    ("load", lambda lab, a: access.load(lab.mm, a.span), []),
    ("store", lambda lab, a: access.touch(lab.mm, a.span, write=True), []),
]


@pytest.mark.parametrize(("change", "heard"), [row[1:] for row in CHANGES], ids=[row[0] for row in CHANGES])
def test_every_change_of_the_page_table_is_announced(lab: Lab, change: Any, heard: list[Any]):
    mapped = lab.store(lab.map(8))
    lab.listen(mapped)
    lab.run(change(lab, mapped))
    assert lab.heard == heard


@pytest.mark.parametrize("change", [row[1] for row in CHANGES[:8]], ids=[row[0] for row in CHANGES[:8]])
def test_a_change_is_announced_before_it_happens(lab: Lab, change: Any):
    mapped = lab.store(lab.map(8))
    before = (mapped.entries(), mapped.frames())
    seen: list[Any] = []
    lab.listen(mapped, do=lambda: seen.append((mapped.entries(), mapped.frames())))
    lab.run(change(lab, mapped))
    assert seen[:1] in ([], [before])


def test_a_run_of_pages_that_is_copied_on_write_is_announced_once(lab: Lab):
    mapped = lab.store(lab.map(6))
    lab.fork()
    listening = type(mapped)(lab, lab.mm, mapped.pages(2, 2))
    lab.listen(listening)
    lab.store(mapped)
    assert lab.heard == [("CLEAR", 0, 1)]


def test_what_changes_while_a_copy_on_write_is_announced_is_left_alone(lab: Lab):
    mapped = lab.store(lab.map(4))
    lab.fork()
    lab.listen(mapped, do=lambda: lab.mm.table.put(mapped.start + 2, 0))
    lab.run(handle_fault(lab.mm, mapped.start, mapped.start + 3, write=True))
    assert mapped.entries() == "ww.r"


def test_the_first_store_to_the_zero_page_is_announced(lab: Lab):
    mapped = lab.map(2)
    lab.load(mapped)
    lab.listen(mapped)
    lab.store(mapped)
    assert (lab.heard, mapped.entries()) == ([("CLEAR", 0, 1)], "ww")


def test_who_reads_waits_while_what_it_reads_is_about_to_change(lab: Lab):
    mapped = lab.store(lab.map(8))
    lab.listen(mapped, sleep_ns=1000)
    notifiers, begun = lab.mm.notifiers, lab.world.now
    lab.start(syscalls.discard(lab.mm, mapped.pages(2, 3)))
    lab.world.env.run(until=begun + 500)
    busy = [notifiers.busy(mapped.start + page, mapped.start + page) for page in range(8)]
    seen: list[tuple[int, str]] = []

    def read() -> Any:
        yield from notifiers.settled(lab.world, mapped.start, mapped.start + 7)
        seen.append((lab.world.now - begun, mapped.entries()))

    lab.start(read())
    lab.settle()
    assert busy == [False, False, True, True, True, False, False, False]
    assert seen == [(1000, "ww...www")]


def test_nobody_waits_where_nothing_changes(lab: Lab):
    mapped = lab.map(8)
    notifiers = lab.mm.notifiers
    with notifiers.changing(mapped.start, mapped.start + 1):
        assert list(notifiers.settled(lab.world, mapped.start + 2, mapped.start + 7)) == []
        assert notifiers.busy(mapped.start + 1, mapped.start + 5)
    assert not notifiers.busy(mapped.start, mapped.start + 7)


def test_swap_says_how_long_it_takes_a_page_away_from_everybody(lab: Lab):
    mapped = lab.store(lab.map(1))
    child = mapped.of(lab.fork())
    for each in (mapped, child):
        lab.listen(each, sleep_ns=1000)
    lab.start(syscalls.swap_out(lab.mm, mapped.span))
    begun, busy = lab.world.now, []
    for ns in (500, 1500, 2500):
        lab.world.env.run(until=begun + ns)
        busy.append([each.mm.notifiers.busy(each.start, each.start) for each in (mapped, child)])
    assert busy == [[True, True], [True, True], [False, False]]
