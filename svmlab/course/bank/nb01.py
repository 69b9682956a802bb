"""Notebook 01, two memories, one address."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import product
from random import Random
from typing import Any, NamedTuple

from svmlab.course.exercise import Exercise, Judge, Kind, Miss, Prediction, Question
from svmlab.course.kinds import function, on_cases, one_number, one_of
from svmlab.errors import SvmError
from svmlab.svm.buffer_view import Buffer
from svmlab.svm.look import NOWHERE
from svmlab.svm.process import Process
from svmlab.svm.translate import entries_of
from svmlab.uapi import SYSMEM
from svmlab.units import PAGE_SIZE

__all__ = ["EXERCISES", "PREDICTIONS"]


def _count(npages: int, of: int) -> str:
    return {0: "none", 1: "one", of: "all"}[npages]


def _touches() -> dict[str, str]:
    """Read a page that nobody wrote, then give gpu0 access; count what has memory and entries on the way."""
    p = Process("mi210-two-hives", vram="64 MiB")
    a = p.mmap("32 KiB", name="a")
    after_mmap = _count(int((p.look.locations(a.span) != NOWHERE).sum()), a.npages)
    p.cpu_read(a.pages(0))
    says = entries_of(p.driver, a.pages(0).start)[0].says
    p.set_attr(a, access=["gpu0"])
    p.run()
    entries = int(p.look.any_mapping(0, a.span).sum())
    return {
        "after_mmap": after_mmap,
        "after_read": "a frame of its own" if says == "a frame" else says,
        "after_access": _count(entries, a.npages),
    }


PREDICTIONS = (
    Prediction(
        "01.p1",
        (
            Question(
                "after_mmap",
                "When mmap returns, how many pages have memory behind them?",
                ("none", "one", "all"),
                "mmap hands out addresses; frames are taken when somebody touches a page",
            ),
            Question(
                "after_read",
                "After the read, what does the CPU's table name for that page?",
                ("nothing", "a frame of its own", "the zero page"),
                "a page that was only read shares the zero page until somebody writes it",
            ),
            Question(
                "after_access",
                "In the end, for how many pages does gpu0's table have an entry?",
                ("none", "one", "all"),
                "with xnack off all of a range is mapped ahead, and the driver faults in what has no frame",
            ),
        ),
        _touches,
    ),
)


_LAST_BYTE = "the last page is the page of the last byte, which is one before the end"


class _Bytes(NamedTuple):
    address: int
    nbytes: int

    def __str__(self) -> str:
        return f"{self.nbytes} bytes at {self.address:#x}"


def _spans() -> Iterator[_Bytes]:
    """Every way in which a small span can lie to the pages around it, and some far away."""
    near = (0, 1, 2048, 4094, 4095)
    sizes = (1, 2, 3, 4094, 4095, 4096, 4097, 8191, 8192, 8193, 12288, 2 << 20)
    for nbytes, page, byte in product(sizes, (0, 1, 0x7E0000000), near):
        yield _Bytes(page * PAGE_SIZE + byte, nbytes)


def _drawn_spans(random: Random) -> Judge:
    spans = (_Bytes(random.randrange(1 << random.randint(1, 47)), random.randint(1, 1 << 24)) for _ in range(300))
    return function(spans, _right_pages, rule=_LAST_BYTE)


def _right_pages(span: _Bytes) -> tuple[int, int]:
    return span.address // PAGE_SIZE, (span.address + span.nbytes - 1) // PAGE_SIZE


class _Shared(NamedTuple):
    machine: str
    npages: int

    def __str__(self) -> str:
        return f"{self.machine}, {self.npages} pages in VRAM of gpu0; gpu0 writes, gpu1 reads"


_HIVES = ("mi210-two-hives", "mi100-hive4", "mi250x-node", "toy")
_SHARED = tuple(_Shared(machine, npages) for npages, machine in product((1, 3, 512, 700), _HIVES))


def _drawn_shared(random: Random) -> Judge:
    return on_cases([_Shared(machine, random.randint(2, 1200)) for machine in random.sample(_HIVES, 3)], _shares)


_NO_DICT = "the attributes of one call are a dict, as in the text"
_ENTRY = "a GPU reads through its own table, and the driver writes entries for those that were given access"
_STAY = 'only prefetch="gpu0" is to move pages; what gpu1 does must not'


def _shares(case: _Shared, answer: Any) -> Miss | None:
    if not isinstance(answer, Mapping):
        return Miss("your answer", repr(answer), '{"access": [...], ...}', _NO_DICT)
    p = Process(case.machine)
    a = p.mmap(case.npages * PAGE_SIZE, name="a")
    try:
        p.set_attr(a, **answer)
        p.run()
        p.gpu_write("gpu0", a, 5)
        told = [int(byte) for byte in p.gpu_read("gpu1", a)[::PAGE_SIZE]]
        p.run()
    except SvmError as error:
        return Miss(str(case), str(error), "gpu1 reads what gpu0 wrote", _ENTRY)
    if set(p.look.locations(a.span).tolist()) != {p.machine.gpus[0].gpu_id}:
        return Miss(str(case), "pages are elsewhere in the end", "all pages in VRAM of gpu0", _STAY)
    moves = p.log.count("migrate_end")
    if moves != 1:
        return Miss(str(case), f"{moves} migrations", "1 migration, to gpu0", _STAY)
    return None if set(told) == {5} else Miss(str(case), f"gpu1 reads {told[0]}", "gpu1 reads 5", _ENTRY)


_FATES = (
    ("in VRAM of gpu0", "by gpu0", "a prefetch moves a page, and only access maps it"),
    ("in RAM", "by gpu0", "access without a prefetch maps the page where it is"),
    ("in RAM", "by no GPU", "a touch of the CPU is enough for a frame; no call may be made about this page"),
    ("nowhere", "by no GPU", "a page that nobody touches and no call names has no frame"),
)
_LABS = ("mi210-two-hives", "mi100-hive4", "pcie-pair", "toy")


def _fates(machine: str, answer: Any) -> Miss | None:
    if not callable(answer):
        return Miss("your answer", repr(answer), "a function", "define story(p, a), and give its name to check")
    p = Process(machine)
    a = p.mmap("16 KiB", name="a")
    try:
        answer(p, a)
        p.run()
    except SvmError as error:
        return Miss(machine, str(error), "four pages as in the text", "no call of the story may fail")
    for page, (resident, mapped, rule) in enumerate(_FATES):
        where = _where(p, a, page)
        if where != (resident, mapped):
            return Miss(f"{machine}, page {page}", ", mapped ".join(where), f"{resident}, mapped {mapped}", rule)
    return None


def _where(p: Process, a: Buffer, page: int) -> tuple[str, str]:
    places = {NOWHERE: "nowhere", SYSMEM: "in RAM"} | {
        gpu.gpu_id: f"in VRAM of gpu{gpu.index}" for gpu in p.machine.gpus
    }
    entries = entries_of(p.driver, a.pages(page).start)
    mappers = [f"gpu{entry.gpu}" for entry in entries[1:] if entry.frame >= 0]
    return places[entries[0].location], "by " + (" and ".join(mappers) or "no GPU")


EXERCISES = (
    Exercise(
        "01.w1",
        Kind.WARM_UP,
        "Are the queues running when a prefetch returns?",
        one_of(
            {
                "running": "the notifier stopped them when the pages left RAM",
                "evicted": "until the restore worker is done",
            },
            "evicted",
            of="the queues when a prefetch has returned, xnack off",
        ),
    ),
    Exercise(
        "01.w2",
        Kind.WARM_UP,
        "How many pages does one touch bring home?",
        one_number(512, of="pages that one byte brings home", rule="a CPU fault brings a block of 2 MiB: 512 pages"),
    ),
    Exercise(
        "01.1",
        Kind.COMPLETE,
        "Return the first and last page of a span of bytes.",
        function(_spans(), _right_pages, rule=_LAST_BYTE),
        (
            "Look at the case that the check tells: is its end inside a page, or just at a border?",
            "Which address does the last byte have? Its page is the last one.",
            "last = (address + nbytes - _) // ____",
        ),
        _drawn_spans,
    ),
    Exercise(
        "01.2",
        Kind.MODIFY,
        "Let gpu1 read VRAM of gpu0 without moving a page.",
        on_cases(_SHARED, _shares),
        (
            "Look at the page map in Explain: what differs there from the picture before it?",
            "gpu1 needs an entry in its own table. Which attribute lets the driver write one?",
            '{"access": ["gpu0", ____], "prefetch": "gpu0"}',
        ),
        _drawn_shared,
    ),
    Exercise(
        "01.3",
        Kind.WRITE,
        "Give four pages four fates.",
        on_cases(_LABS, _fates),
        (
            "In Run, look which call made a page resident, and which one made it mapped.",
            "set_attr may be called for each page by itself. One page needs no set_attr, and one needs no call.",
            "p.set_attr(a.pages(0), ____); p.set_attr(a.pages(1), ____); p.cpu_write(a.pages(_), 7)",
        ),
    ),
)
