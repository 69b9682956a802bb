"""Notebook 04, RAM to VRAM in six steps."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import cache
from itertools import product
from typing import Any, NamedTuple

import numpy as np

from svmlab.course.exercise import Exercise, Kind, Miss, Prediction, Question
from svmlab.course.kinds import function, on_cases, one_of
from svmlab.course.mishap import attempt as tried
from svmlab.errors import DriverError, SvmError
from svmlab.hardware.costs import Costs
from svmlab.hardware.machine import Machine
from svmlab.hardware.memory import FrameFlag
from svmlab.hardware.sdma import Batch, SdmaRing
from svmlab.log import Log
from svmlab.svm.buffer_view import Buffer
from svmlab.svm.process import Process
from svmlab.svm.steps import STEPS
from svmlab.svm.translate import entries_of
from svmlab.uapi import SYSMEM
from svmlab.units import PAGE_SIZE

__all__ = ["EXERCISES", "PREDICTIONS"]

_ASKED: Any = {"access": ["gpu0"], "prefetch": "gpu0"}


def _filled(machine: str, npages: int) -> tuple[Process, Buffer]:
    p = Process(machine, vram="64 MiB")
    a = p.mmap(npages * PAGE_SIZE, name="a")
    a[:] = 7
    return p, a


def _one_pinned() -> dict[str, str]:
    """Prefetch 1024 pages, then the same with one of them pinned."""
    p, a = _filled("mi210-two-hives", 1024)
    p.start.set_attr(a, **_ASKED)
    while not p.log.count("copy"):
        p.advance("1 us")
    meanwhile = entries_of(p.driver, a.pages(0).start)[0].says
    p, a = _filled("mi210-two-hives", 1024)
    p.pin(a.pages(700))
    _prefetch(p, a)
    moved = int((p.look.locations(a.span) != SYSMEM).sum())
    return {
        "meanwhile": {"a frame": "RAM", "a device page": "VRAM"}.get(meanwhile, meanwhile),
        "moved": {0: "none", 700: "700"}.get(moved, "1023"),
        "attempts": {1: "once", 4: "four times"}[p.log.count("migrate_setup")],
    }


def _prefetch(p: Process, a: Buffer) -> DriverError | None:
    try:
        p.set_attr(a, **_ASKED)
    except DriverError as error:
        return error
    return None


PREDICTIONS = (
    Prediction(
        "04.p1",
        (
            Question(
                "meanwhile",
                "While the pages are copied, what does the CPU's table have for them?",
                ("RAM", "VRAM", "a migration entry"),
                "step 1 replaces every entry, so that nobody can write to a page that is being copied",
            ),
            Question(
                "moved",
                "One page of 1024 is pinned. How many are in VRAM after the call?",
                ("none", "700", "1023"),
                "the driver wants all pages: if one cannot be collected, it moves none",
            ),
            Question(
                "attempts",
                "How often does the driver try to collect the pages?",
                ("once", "four times", "until it works"),
                "four attempts in a row, with nothing done in between; then ENOMEM",
            ),
        ),
        _one_pinned,
    ),
)

# 04.1: the states of a page


class _Move(NamedTuple):
    machine: str
    npages: int
    step: int

    def __str__(self) -> str:
        noun = "page" if self.npages == 1 else "pages"
        return f"after step {self.step}, {STEPS[self.step - 1]} ({self.machine}, {self.npages} {noun})"


_MOVES = tuple(
    _Move(machine, npages, step)
    for npages, machine, step in product((1, 600), ("mi210-two-hives", "toy"), range(1, len(STEPS) + 1))
)
_STATE_RULES = (
    "collecting locks the page in RAM and leaves a migration entry; no VRAM is asked for yet",
    "VRAM is allocated for the range; its pages are not touched yet",
    "the copy step locks the new pages and hands the copies to the engine; the old ones stay as they were",
    "page structures move from old to new pages, and the driver waits for the copies; all locks are still held",
    "finalize writes the CPU's new entries, unlocks both pages and frees the old ones",
    "the restore worker writes the GPU's table and lets the queues run; the pages are as after step 5",
)
_THREE = "three words for each of the steps 1 to 6: (CPU entry, page in RAM, page in VRAM)"


@cache
def _states(machine: str, npages: int) -> tuple[tuple[str, str, str], ...]:
    """What the model shows of the first page at the end of each step."""
    p, a = _filled(machine, npages)
    p.set_attr(a, **_ASKED)
    p.run()
    begins = [event.time_ns for event in p.log.events("step")]
    frame, new = _vram_frame(p, a), p.now
    p, a = _filled(machine, npages)
    old = p.driver.mm.table.get(a.pages(0).start, a.pages(0).start)[0] >> 2
    p.start.set_attr(a, **_ASKED)
    found = []
    for end in [*(begin - 1 for begin in begins[1:]), new]:
        p.advance(end - p.now)
        held = p.look.vram_used(0) > 0
        found.append((_cpu_entry(p, a), _page(p, old, held=True), _page(p, frame, held=held)))
    return tuple(found)


def _vram_frame(p: Process, a: Buffer) -> int:
    return p.driver.memory.first_of(0) + entries_of(p.driver, a.pages(0).start)[0].frame


def _cpu_entry(p: Process, a: Buffer) -> str:
    return _word(entries_of(p.driver, a.pages(0).start)[0].says)


def _word(said: Any) -> str:
    return str(said).strip().lower().removeprefix("a ").removesuffix(" entry").removesuffix(" page")


def _page(p: Process, frame: int, *, held: bool) -> str:
    memory = p.driver.memory
    if memory.flags[frame] & FrameFlag.LOCKED:
        return "locked"
    if memory.references[frame]:
        return "in use"
    return "held" if held and memory.is_device(np.array([frame]))[0] else "free"


def _state(move: _Move, answer: Any) -> Miss | None:
    if not isinstance(answer, Mapping):
        return Miss("your answer", repr(answer), "{1: (..., ..., ...), 2: ...}", _THREE)
    mine = answer.get(move.step)
    if any(part is ... for part in (mine if isinstance(mine, tuple | list) else (mine,))):
        raise NotImplementedError  # a hole is still open
    expected = _states(move.machine, move.npages)[move.step - 1]
    if not isinstance(mine, tuple | list) or len(mine) != len(expected):
        return Miss(f"after step {move.step}", repr(mine), "three words", _THREE)
    if tuple(map(_word, mine)) == expected:
        return None
    return Miss(str(move), ", ".join(map(str, mine)), ", ".join(expected), _STATE_RULES[move.step - 1])


# 04.2: the windows of a copy


class _Nodes(NamedTuple):
    nodes: tuple[int, ...]

    def __str__(self) -> str:
        return f"nodes of {', '.join(map(str, self.nodes))} pages"


_SIZES = (1, 2, 48, 100, 511, 512, 513, 600, 1023, 1024, 1025, 1300)


def _layouts() -> Iterator[_Nodes]:
    """Nodes that a whole process gets, then every list of one to three sizes."""
    yield from map(_Nodes, ((1,), (512,), (512, 88), (1024,), (100, 100), (512, 256, 88), (1024, 176, 100)))
    for count in (1, 2):
        yield from map(_Nodes, product(_SIZES, repeat=count))
    yield from map(_Nodes, product((1, 512, 600, 1300), repeat=3))


_MOVED_WHOLE = 7
_LAYOUTS = tuple(_layouts())


@cache
def _windows() -> dict[_Nodes, int]:
    """What the log counts: of a prefetch into these nodes for the first layouts, of the copy engine for the others."""
    counted = {case: _prefetched(case) for case in _LAYOUTS[:_MOVED_WHOLE]}
    machine, costs = Machine.find("toy"), Costs.load()
    for case in _LAYOUTS[_MOVED_WHOLE:]:
        log, page = Log(), 0
        ring = SdmaRing(machine, 0, costs, log)
        for npages in case.nodes:
            ring.submit(Batch(page, 2 * page, npages, to_vram=True), 0)
            page += npages
        counted[case] = log.count("copy_window")
    return counted


def _prefetched(case: _Nodes) -> int:
    p, a = _filled("toy", sum(case.nodes))
    p.vram_layout("gpu0", ((1024 * (1 + 2 * at), npages) for at, npages in enumerate(case.nodes)))
    p.set_attr(a, **_ASKED)
    return p.log.count("copy_window")


def _count_windows(case: _Nodes) -> int:
    return _windows()[case]


def _why_so_many(case: _Nodes) -> str:
    parts = " + ".join(str(-(-npages // 512)) for npages in case.nodes)
    return f"a node is a batch, and a batch goes in windows of 512 pages, the last of them maybe smaller: {parts}"


# 04.3: fail and mend

_TWO = "two functions that take p and a: check(..., (spoil, mend))"
_ALL_OR_NONE = "a prefetch fails for good if something goes on to stand in the way: look at step 1, or at step 2"
_NO_BYTE = "a prefetch that fails leaves every byte where it was; what you did before it may not change any either"
_CURE = "take away what stands in the way, and nothing else"


def _spoiled_and_mended(machine: str, answer: Any) -> Miss | None:
    if not isinstance(answer, tuple | list) or len(answer) != 2 or not all(map(callable, answer)):
        return Miss("your answer", repr(answer), "(spoil, mend)", _TWO)
    p, a = _filled(machine, 1024)
    for call, told in zip(answer, (_after_spoil, _after_mend), strict=True):
        error = _mishap(call, p, a)
        if error:
            return Miss(machine, f"it stops with {type(error).__name__}: {error}", "calls that succeed", _TWO)
        if miss := told(machine, p, a):
            return miss
    return None


def _mishap(call: Callable[[Process, Buffer], Any], p: Process, a: Buffer) -> BaseException | None:
    return tried(lambda: call(p, a))[1]


def _after_spoil(machine: str, p: Process, a: Buffer) -> Miss | None:
    for turn in ("the prefetch", "the same prefetch once more"):
        if _prefetch(p, a) is None:
            return Miss(machine, f"{turn} succeeds", "it fails, as often as it is tried", _ALL_OR_NONE)
        p.run()
    return _lost(machine, p, a)


def _after_mend(machine: str, p: Process, a: Buffer) -> Miss | None:
    if error := _prefetch(p, a):
        return Miss(machine, f"after mend: {error}", "the prefetch succeeds", _CURE)
    p.run()
    there = int((p.look.locations(a.span) == p.machine.gpus[0].gpu_id).sum())
    if there != a.npages:
        return Miss(machine, f"after mend, {there} pages are in VRAM of gpu0", f"{a.npages} pages", _CURE)
    return _lost(machine, p, a)


def _lost(machine: str, p: Process, a: Buffer) -> Miss | None:
    try:
        intact = bool((np.asarray(p.look.content(a.span)) == 7).all())
    except SvmError:
        intact = False
    return None if intact else Miss(machine, "some bytes are not 7 any more", "every byte is 7", _NO_BYTE)


EXERCISES = (
    Exercise(
        "04.w1",
        Kind.WARM_UP,
        "Where do pages go if an accessor is in another hive?",
        one_of(
            {
                "ram": "an accessor that does not reach gpu0's VRAM keeps them in RAM",
                "vram of gpu0": "gpu4 could not map them there, and with xnack off it must map them",
            },
            "ram",
            of="access for gpu0 and gpu4, prefetch to gpu0, xnack off",
        ),
    ),
    Exercise(
        "04.w2",
        Kind.WARM_UP,
        "What does the CPU's table have for a page in VRAM?",
        one_of(
            {
                "nothing": "the table still knows where the page is, or a CPU touch could not bring it home",
                "a frame": "a frame would let the CPU in",
                "a device page": "it names the frame in VRAM and lets nobody in",
            },
            "a device page",
            of="the CPU's entry for a page in VRAM",
        ),
    ),
    Exercise(
        "04.1",
        Kind.COMPLETE,
        "Tell the state of a page after each of the six steps.",
        on_cases(_MOVES, _state),
        (
            "Look at the six lines in One page, six steps: the counts of locked pages, and VRAM held.",
            "A page in VRAM is free, then held for the buffer, then locked, then in use. Which step does which?",
            '2: ("migration", "locked", ____), 3: ("migration", "locked", ____), 5: (____, ____, "in use")',
        ),
    ),
    Exercise(
        "04.2",
        Kind.WRITE,
        "Count the windows of a copy into given nodes.",
        function(_LAYOUTS, _count_windows, rule=_why_so_many),
        (
            "Look at the list of copies and the list of windows in Batches and windows. Which copy has two windows?",
            "No window holds pages of two batches, so count them node by node. 513 pages need a second window.",
            "return sum((npages + ____) // 512 for npages in nodes)",
        ),
    ),
    Exercise(
        "04.3",
        Kind.COUNTER_EXAMPLE,
        "Make a prefetch fail for good, and then succeed, without losing a byte.",
        on_cases(("toy", "pcie-pair", "mi210-two-hives"), _spoiled_and_mended),
        (
            "Look at the calls of Pages that cannot be collected: one of them makes all four attempts fail.",
            "One page is enough. What holds a page in RAM for as long as you like, and what lets go of it?",
            "spoil: p.____(a.pages(0)); mend: p.un____(a.pages(0))",
        ),
    ),
)
