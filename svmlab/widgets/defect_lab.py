"""DefectLab: one decision of the driver as it was posted and as it was meant, and what the bytes say."""

from __future__ import annotations

import re
from collections.abc import Iterable

from svmlab.svm.behaviour_table import DEFAULT_PRESET, POSTED, SLOTS
from svmlab.views import Cell, Row, Scene, Table, svg
from svmlab.widgets.controls import choice
from svmlab.widgets.lab import Lab
from svmlab.widgets.page import LEFT, RIGHT, beside, bullets, heading, labelled, told
from svmlab.widgets.trials import TRIALS, Outcome, Trial, run

__all__ = ["DefectLab"]

_SIDES = (POSTED, DEFAULT_PRESET)
_READERS = ("gpu0, as posted", "CPU, as posted", "gpu0, as meant", "CPU, as meant")


class DefectLab(Lab):
    """Choose a defect: the same program runs with the posted and with the intended choice at one slot.

    Eight pages hold 1 to 8. The program moves them to gpu0, something happens, and then gpu0 and the CPU read them.

    Attributes:
        defect: the control for the slot, by the defects it stands for.
        shown: the control for whose page tables are drawn.
        reset: the button that goes back to the start.
        view: the bytes, page map and reason, as HTML.

    >>> lab = DefectLab()
    >>> lab.defect.value, "Stands for D3" in lab.view.value
    ('piece_place', True)
    """

    def __init__(self) -> None:
        self._trials = {trial.slot: trial for trial in TRIALS}
        self._outcomes: dict[tuple[str, str], Outcome] = {}
        self.defect = choice({f"{_defects(trial)} {slot}": slot for slot, trial in self._trials.items()}, "piece_place")
        self.shown = choice(_SIDES, POSTED)
        super().__init__({"defect": self.defect, "page map": self.shown})

    def page(self) -> str:
        """See ``Lab.page``."""
        trial, side = self._trials[self.defect.value], self.shown.value
        pages = self._outcome(trial, side).pages
        options = (f"{each}: {trial.option(each).says} ({trial.option(each).name})" for each in _SIDES)
        left = (
            labelled("Page tables:", f"{side}, before anybody reads"),
            told(pages, LEFT),
            labelled(f"Stands for {_defects(trial)}, slot {trial.slot}.", SLOTS[trial.slot].asks),
            bullets("Options", options),
            labelled("All other slots:", f"{trial.rest} in both runs."),
        )
        return heading(self._verdict(trial)) + beside((LEFT, left), (RIGHT, (svg(self._bytes(trial), width_px=RIGHT),)))

    def summary(self) -> Scene:
        """A row for each defect: how many pages each reader gets wrong on either side."""
        columns = ("stands for", "slot", *_READERS)
        lines = [self._line(trial) for trial in TRIALS]
        title = "How many of 8 pages read wrong"
        return Scene("summary", title, (Table(columns, tuple(lines), kind="summary"),))

    def notes(self) -> Iterable[str]:
        """See ``Lab.notes``."""
        return (self._verdict(trial) for trial in TRIALS)

    def _line(self, trial: Trial) -> Row:
        counts = [count for side in _SIDES for count in self._wrong(trial, side)]
        cells = (Cell(str(count), "trouble" if count else "") for count in counts)
        return Row((Cell(_defects(trial)), Cell(trial.slot), *cells))

    def _bytes(self, trial: Trial) -> Scene:
        """What each page must hold and what each reader finds in it, on both sides."""
        sides = [self._outcome(trial, side) for side in _SIDES]
        found = [reader for outcome in sides for reader in (outcome.gpu, outcome.cpu)]
        lines = [
            Row((Cell(str(page)), Cell(str(wanted)), *(_found(reader[page], wanted) for reader in found)))
            for page, wanted in enumerate(trial.wanted)
        ]
        columns = ("page", "must hold", *_READERS)
        return Scene(
            "bytes", f"What gpu0 and the CPU read, {trial.slot}", (Table(columns, tuple(lines), kind="bytes"),)
        )

    def _verdict(self, trial: Trial) -> str:
        (gpu, cpu), mended = self._wrong(trial, POSTED), sum(self._wrong(trial, DEFAULT_PRESET))
        answer = self._outcome(trial, POSTED).answer, self._outcome(trial, DEFAULT_PRESET).answer
        text = f"{_defects(trial)}: {trial.title}; as posted gpu0 reads {gpu} of 8 pages wrong and the CPU {cpu}"
        answers = f"the program is told {answer[0]} as posted and {answer[1]} as intended"
        return f"{text}, as intended {mended or 'none'}; {answers}"

    def _wrong(self, trial: Trial, side: str) -> tuple[int, int]:
        outcome = self._outcome(trial, side)
        gpu, cpu = (sum(a != b for a, b in zip(read, trial.wanted, strict=True)) for read in (outcome.gpu, outcome.cpu))
        return gpu, cpu

    def _outcome(self, trial: Trial, side: str) -> Outcome:
        key = trial.slot, side
        if key not in self._outcomes:
            self._outcomes[key] = run(trial, side)
        return self._outcomes[key]


def _found(value: int | str, wanted: int) -> Cell:
    return Cell(str(value), "" if value == wanted else "trouble")


def _defects(trial: Trial) -> str:
    """The names of the defects that the posted option stands for, as far as they were named."""
    return ", ".join(re.findall(r"[DX]\d+", trial.option(POSTED).tag))
