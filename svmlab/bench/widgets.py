"""Widgets: following a slider must cost less than redrawing a figure."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from io import BytesIO
from itertools import cycle
from typing import TYPE_CHECKING

from svmlab.bench.harness import Case

if TYPE_CHECKING:
    from svmlab.views import Scene

__all__ = ["cases"]

_BASE = "the same pictures as kept matplotlib figures, drawn to PNG"
_WIDTH_PX = 520


def cases() -> Iterator[Case]:
    """What is measured, one case after the other."""
    yield _stepper()
    yield _lab()


def _stepper() -> Case:
    """A step of MigrationStepper, which redraws page tables, timeline and sentences."""
    from svmlab.widgets import MigrationStepper

    stepper = MigrationStepper()
    last = stepper.moment.max
    moments = cycle(range(1, last))
    figures = _kept(stepper.scenes(last // 2))

    def step() -> None:
        stepper.moment.value = next(moments)

    return Case("a step of MigrationStepper", _BASE, 0.5, step, figures, 1)


def _lab() -> Case:
    """A choice in LocationLab, which runs the simulation anew before it draws."""
    from svmlab.widgets import LocationLab

    lab = LocationLab()
    choices = cycle([place for _, place in lab.prefetch.options])
    figures = _kept(lab.scenes())

    def choose() -> None:
        lab.prefetch.value = next(choices)

    return Case("a choice in LocationLab, simulation included", _BASE, 0.5, choose, figures, 1)


def _kept(scenes: tuple[Scene, ...]) -> Callable[[], None]:
    """Draws figures again that are there already: no artist is made anew, which is the least a figure can cost."""
    from svmlab.views.draw_mpl import draw

    figures = [draw(scene, width_px=_WIDTH_PX) for scene in scenes]

    def redraw() -> None:
        for figure in figures:
            figure.savefig(BytesIO(), format="png")

    return redraw
