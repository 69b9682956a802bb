"""Notebook 00, start here: move one page."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import product
from random import Random
from typing import Any, NamedTuple

from svmlab.course.exercise import Exercise, Judge, Kind, Miss, Prediction, Question
from svmlab.course.kinds import on_cases, one_number, order
from svmlab.errors import MemoryExceptionError, SvmError
from svmlab.svm.buffer_view import Buffer
from svmlab.svm.look import NOWHERE
from svmlab.svm.process import Process
from svmlab.svm.steps import STEPS
from svmlab.uapi import SYSMEM
from svmlab.units import PAGE_SIZE

__all__ = ["EXERCISES", "PREDICTIONS"]

VRAM = "VRAM of gpu0"


def _one_page() -> dict[str, str]:
    """Move one page to gpu0 and touch it with the CPU; look at both page tables on the way."""
    p = Process("mi210-two-hives", vram="64 MiB")
    a = p.mmap("4 KiB", name="a")
    a[:] = 7
    p.set_attr(a, access=["gpu0"], prefetch="gpu0")
    at_return = {"cpu_table": _cpu_says(p, a), "gpu_table": _word(p, int(p.look.gpu_frames(0, a.span)[0]))}
    p.run()
    p.cpu_read(a.pages(0))
    return at_return | {"after_cpu_read": _cpu_says(p, a)}


def _cpu_says(p: Process, a: Buffer) -> str:
    return _word(p, int(p.look.locations(a.span)[0]))


def _word(p: Process, place: int) -> str:
    return {NOWHERE: "nothing", SYSMEM: "RAM", p.machine.gpus[0].gpu_id: VRAM}[place]


PREDICTIONS = (
    Prediction(
        "00.p1",
        (
            Question(
                "cpu_table",
                "When set_attr returns, where does the CPU's page table say the page is?",
                ("RAM", VRAM, "nothing"),
                "a prefetch moves the page before the call returns, and no copy of it stays in RAM",
            ),
            Question(
                "gpu_table",
                "At the same moment, what does gpu0's page table say?",
                ("RAM", VRAM, "nothing"),
                "mapping is the restore worker's task, and it comes 1 ms after the queues were stopped",
            ),
            Question(
                "after_cpu_read",
                "Later the CPU reads one byte. Where is the page then?",
                ("RAM", VRAM, "nothing"),
                "the CPU cannot load from VRAM: its touch is a fault, and the fault brings the page home",
            ),
        ),
        _one_page,
    ),
)


class _Place(NamedTuple):
    machine: str
    npages: int
    readers: tuple[str, str]

    def __str__(self) -> str:
        noun = "page" if self.npages == 1 else "pages"
        return f"{self.machine}, {self.npages} {noun}, {self.readers[0]} reads, then {self.readers[1]}, and both again"


_MACHINES = ("mi210-two-hives", "mi100-hive4", "pcie-pair", "toy")
_READERS = (("gpu0", "the CPU"), ("the CPU", "gpu0"))
_PLACES = tuple(_Place(machine, npages, who) for npages, machine, who in product((1, 2, 64, 513), _MACHINES, _READERS))


def _drawn(random: Random) -> Judge:
    return on_cases(
        [_Place(random.choice(_MACHINES), random.randint(3, 900), who) for who in _READERS], _keeps_them_home
    )


_CALL = "set_attr takes names of attributes and, for each, a location or a list of GPUs"
_STAYS = "a prefetch to a GPU moves pages before the call returns, and each later touch by the CPU moves them home"
_MAPPED = "gpu0 reads through its own page table; the driver maps a range only to GPUs that have access to it"


def _keeps_them_home(place: _Place, answer: Any) -> Miss | None:
    if not isinstance(answer, Mapping):
        return Miss("your answer", repr(answer), '{"access": [...], ...}', "the attributes of one call are a dict")
    p = Process(place.machine)
    a = p.mmap(place.npages * PAGE_SIZE, name="a")
    a[:] = 7
    try:
        p.set_attr(a, **answer)
        p.run()
        for reader in place.readers * 2:
            p.cpu_read(a) if reader == "the CPU" else p.gpu_read(reader, a)
            p.run()
    except SvmError as error:
        rule = _MAPPED if isinstance(error, MemoryExceptionError) else _CALL
        return Miss(str(place), str(error), "both read the bytes", rule)
    moves = p.log.count("migrate_end")
    return Miss(str(place), f"{moves} migrations", "0 migrations", _STAYS) if moves else None


_ORDER = "DEAFCB"
_NEEDS = (
    "this is the first step: nothing can be done with pages that the CPU may still change",
    "the driver allocates for pages that it has collected",
    "a copy needs collected pages to read from and new pages to write to",
    "a page structure moves to a new page, to which the copy is under way",
    "the old pages go when their structures have moved",
    "GPUs map what the CPU's page table names in the end, so the restore worker comes last",
)
_STRANGERS = {"G": "with xnack off a GPU takes no page faults; nothing of a prefetch waits for one"}

EXERCISES = (
    Exercise(
        "00.w1",
        Kind.WARM_UP,
        "How many pages are 256 KiB?",
        one_number(64, of="256 KiB", rule="a page is 4096 bytes: divide"),
    ),
    Exercise(
        "00.w2",
        Kind.WARM_UP,
        "Which page holds byte 0x5003?",
        one_number(5, of="byte 0x5003", rule="divide by 4096 and drop the rest: 0x5003 >> 12"),
    ),
    Exercise(
        "00.1",
        Kind.ORDER,
        "Put the six steps of a migration in order.",
        order(
            dict(zip(_ORDER, STEPS, strict=True)),
            dict(zip(_ORDER, _NEEDS, strict=True)),
            strangers=_STRANGERS,
        ),
        (
            "Look at the steps that section Explain prints, at the numbers in front of them.",
            "Ask of each piece what must be there before it: a source that nobody changes, a place to copy to, a copy.",
            "D _ A F _ B: the holes are making room for the pages, and giving the old room back.",
        ),
    ),
    Exercise(
        "00.2",
        Kind.MODIFY,
        "Let gpu0 and the CPU both read, with no migration at all.",
        on_cases(_PLACES, _keeps_them_home),
        (
            "Look at the rule that p.why(a) names: which attribute does it speak of?",
            "gpu0 needs access, or it cannot read. It does not need the pages in its own VRAM to read them.",
            '{"access": [...], "prefetch": ...}: the first says who may read, the second where the pages shall be.',
        ),
        _drawn,
    ),
)
