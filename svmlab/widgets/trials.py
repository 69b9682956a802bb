"""Trials that show a defect: what a program does, and what each of its pages must hold afterwards."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from svmlab.errors import SvmError, SvmTimeoutError
from svmlab.mm.access import Bytes
from svmlab.mm.span import Span
from svmlab.svm.behaviour import Behaviour
from svmlab.svm.behaviour_table import DEFAULT_PRESET, POSTED, PRESETS, SLOTS, Option
from svmlab.svm.process import Process
from svmlab.units import PAGE_SIZE
from svmlab.views import Scene, pagemap

__all__ = ["PAGES", "TRIALS", "Outcome", "Trial", "run"]

PAGES = 8
_FILLED = tuple(range(1, PAGES + 1))
_IDLE_NS = 20_000_000
"""How long a machine may do nothing but start over before it counts as stuck."""


@dataclass(frozen=True, slots=True)
class Trial:
    """What a program does, and the slot whose options it tells apart.

    Attributes:
        slot: name of the slot.
        rest: the preset that all other slots follow.
        title: what happens, as a clause.
        act: does it on a span of ``PAGES`` pages of which number i holds i + 1.
        wanted: what each page must hold then.
        kinds: of which kinds the mappings are that make up the span.
    """

    slot: str
    rest: str
    title: str
    act: Callable[[Process, Span], None]
    wanted: tuple[int, ...] = _FILLED
    kinds: tuple[str, ...] = ("anonymous",)

    def option(self, preset: str) -> Option:
        """What a preset chooses at the slot."""
        slot = SLOTS[self.slot]
        return slot.options[slot.presets[PRESETS.index(preset)]]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a trial.

    Attributes:
        pages: the page map before anybody reads.
        answer: what the call that was to move the pages returned, in words.
        gpu, cpu: the first byte of each page as gpu0 and the CPU read it, or what they got instead.
    """

    pages: Scene
    answer: str
    gpu: tuple[int | str, ...]
    cpu: tuple[int | str, ...]


def run(trial: Trial, preset: str) -> Outcome:
    """Do a trial with the option that a preset chooses.

    Args:
        trial: what to do.
        preset: whose option; the other slots follow ``trial.rest`` all the same.
    """
    behaviour = Behaviour(trial.rest, {trial.slot: trial.option(preset).name})
    p = Process("toy", vram="4 MiB", behaviour=behaviour)
    span = _fill(p, trial.kinds)
    answer = _answer(lambda: trial.act(p, span))
    _answer(lambda: p.run(limit_ns=_IDLE_NS))
    pages = pagemap(p, span)
    parts = [_part(span, number) for number in range(PAGES)]
    gpu = tuple(_first_byte(partial(p.gpu_read, "gpu0", part)) for part in parts)
    cpu = tuple(_first_byte(partial(p.cpu_read, part)) for part in parts)
    return Outcome(pages, answer, gpu, cpu)


def _fill(p: Process, kinds: tuple[str, ...]) -> Span:
    """Mappings of equal size side by side, page number i filled with i + 1."""
    size = PAGES // len(kinds) * PAGE_SIZE
    first = p.mmap(size, name="a", kind=kinds[0], file="f" if kinds[0] == "file" else None)
    for number, kind in enumerate(kinds[1:], 1):
        p.mmap(size, name="b", kind=kind, at=first.address + number * size)
    span = Span(first.address, PAGES * PAGE_SIZE)
    for number, value in enumerate(_FILLED):
        p.cpu_write(_part(span, number), value)
    return span


def _part(span: Span, number: int, count: int = 1) -> Span:
    return Span(span.address + number * PAGE_SIZE, count * PAGE_SIZE)


def _answer(call: Callable[[], object]) -> str:
    try:
        call()
    except SvmTimeoutError:
        return "never"
    except SvmError as error:
        return error.name
    return "0"


def _first_byte(read: Callable[[], Bytes]) -> int | str:
    got: list[int] = []
    answer = _answer(lambda: got.append(int(read()[0])))
    return got[0] if got else answer


def _move(p: Process, span: Span) -> None:
    p.set_attr(span, access=["gpu0"], prefetch="gpu0")


def _copy_fails(p: Process, span: Span) -> None:
    p.vram_layout("gpu0", [[16, 4], [32, 4]])
    p.inject("copy", nth=2)
    _move(p, span)


def _fence_fails(p: Process, span: Span) -> None:
    p.inject("fence")
    _move(p, span)


def _file_changes(p: Process, span: Span) -> None:
    _move(p, span)
    p.run()
    p.cpu_write(_part(span, 2), 77)


def _discarded(p: Process, span: Span) -> None:
    p.set_attr(span, access=["gpu0"])
    p.run()
    p.discard(_part(span, 4, 4))
    _move(p, span)


def _one_page_back(p: Process, span: Span) -> None:
    _move(p, span)
    p.run()
    p.discard(_part(span, 2, 2))
    p.cpu_write(_part(span, 0), 50)


TRIALS = (
    Trial("after_copy", POSTED, "a copy fails on the way to VRAM", _copy_fails),
    Trial("fence_error", DEFAULT_PRESET, "the fence of a copy reports an error", _fence_fails),
    Trial("piece_place", POSTED, "one range covers two mappings", _move, kinds=("anonymous", "heap")),
    Trial(
        "record_location",
        POSTED,
        "pages of a file are to move, and the CPU writes 77 to one later",
        _file_changes,
        (*_FILLED[:2], 77, *_FILLED[3:]),
        ("file",),
    ),
    Trial(
        "map_source",
        POSTED,
        "the program discards the second half before all is to move",
        _discarded,
        (*_FILLED[:4], *(0,) * 4),
    ),
    Trial(
        "home_walk",
        DEFAULT_PRESET,
        "in VRAM pages 2 and 3 are discarded, then the CPU writes 50 to page 0",
        _one_page_back,
        (50, 2, 0, 0, *_FILLED[4:]),
    ),
)
"""Trials whose bytes depend on one slot alone, in the order of a migration's life."""
