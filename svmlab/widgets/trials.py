"""Trials that show a defect: what a program does, and what each of its pages must hold afterwards."""

from __future__ import annotations

from dataclasses import dataclass

from svmlab.scenario.experiment import FILLED, PAGES, Act, fence_fails, file_changes, move, perform
from svmlab.svm.behaviour import Behaviour
from svmlab.svm.behaviour_table import DEFAULT_PRESET, POSTED, PRESETS, SLOTS, Option
from svmlab.svm.buffer_view import Buffer
from svmlab.svm.process import Process
from svmlab.views import Scene, pagemap

__all__ = ["PAGES", "TRIALS", "Outcome", "Trial", "run"]


@dataclass(frozen=True, slots=True)
class Trial:
    """What a program does, and the slot whose options it tells apart.

    Attributes:
        slot: name of the slot.
        rest: the preset that all other slots follow.
        title: what happens, as a clause.
        act: does it, on a buffer that is filled.
        wanted: what each page must hold then.
        kinds: of which kinds the mappings are that make up the span.
    """

    slot: str
    rest: str
    title: str
    act: Act
    wanted: tuple[int, ...] = FILLED
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
    done = perform(trial.act, behaviour, kinds=trial.kinds)
    pages = pagemap(done.process, done.buffer.span)
    return Outcome(pages, done.answer, done.read_by("gpu0"), done.read_by("cpu"))


def _copy_fails(p: Process, a: Buffer) -> None:
    p.vram_layout("gpu0", [[16, 4], [32, 4]])
    p.inject("copy", nth=2)
    move(p, a)


def _discarded(p: Process, a: Buffer) -> None:
    p.set_attr(a, access=["gpu0"])
    p.run()
    p.discard(a.pages(4, 4))
    move(p, a)


def _one_page_back(p: Process, a: Buffer) -> None:
    move(p, a)
    p.run()
    p.discard(a.pages(2, 2))
    p.cpu_write(a.pages(0), 50)


TRIALS = (
    Trial("after_copy", POSTED, "a copy fails on the way to VRAM", _copy_fails),
    Trial("fence_error", DEFAULT_PRESET, "the fence of a copy reports an error", fence_fails),
    Trial("piece_place", POSTED, "one range covers two mappings", move, kinds=("anonymous", "heap")),
    Trial(
        "record_location",
        POSTED,
        "pages of a file are to move, and the CPU writes 77 to one later",
        file_changes,
        (*FILLED[:2], 77, *FILLED[3:]),
        ("file",),
    ),
    Trial(
        "map_source",
        POSTED,
        "the program discards the second half before all is to move",
        _discarded,
        (*FILLED[:4], *(0,) * 4),
    ),
    Trial(
        "home_walk",
        DEFAULT_PRESET,
        "in VRAM pages 2 and 3 are discarded, then the CPU writes 50 to page 0",
        _one_page_back,
        (50, 2, 0, 0, *FILLED[4:]),
    ),
)
"""Trials whose bytes depend on one slot alone, in the order of a migration's life."""
