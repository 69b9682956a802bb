"""From the values of an axis to pixels, around its breaks, and the ticks that let a reader go back."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain

import numpy as np
import numpy.typing as npt

from svmlab.units import MSEC, SEC, USEC, format_size
from svmlab.views.lettering import width
from svmlab.views.scene import Axis

__all__ = ["BREAK_PX", "Ruler"]

BREAK_PX = 16.0
_TICK_ROOM = 24.0
_TIME_UNITS = (("s", SEC, 10 * SEC), ("ms", MSEC, 10 * MSEC), ("us", USEC, 0))
"""Name, length in ns, and from which end of the axis on it is used."""
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Ruler:
    """An axis laid on paper.

    Attributes:
        axis: what is measured.
        left, right: where it begins and ends in pixels.
    """

    axis: Axis
    left: float
    right: float

    @property
    def scale(self) -> float:
        """Pixels for one unit of the axis."""
        room = self.right - self.left - BREAK_PX * len(self.axis.breaks)
        return room / max(self.axis.kept, 1)

    def at(self, values: npt.ArrayLike) -> Floats:
        """Where values stand, in pixels; a break takes ``BREAK_PX``, however much it hides."""
        knots, places = self._knots()
        return np.interp(np.asarray(values, np.float64), knots, places)

    def breaks(self) -> list[tuple[float, float]]:
        """Where the breaks begin and end, in pixels."""
        return [(float(self.at(start)), float(self.at(end))) for start, end in self.axis.breaks]

    def ticks(self) -> list[tuple[float, str]]:
        """Round values in every piece that is shown, with the pixel they stand at."""
        step = self._step()
        values = chain.from_iterable(range(-(-start // step) * step, end + 1, step) for start, end in self.axis.pieces)
        return [(float(self.at(value)), self.text(value)) for value in values]

    def text(self, value: int) -> str:
        """A value in the unit of the ticks, without that unit.

        >>> Ruler(Axis(0, 900_000), 0, 700).text(12_500)
        '12.5'
        """
        if self.axis.unit == "bytes":
            return format_size(value)
        return f"{value / self._factor():.3f}".rstrip("0").rstrip(".")

    @property
    def unit(self) -> str:
        """The unit of the ticks; empty where they carry their own or count things."""
        return self._time_unit()[0] if self.axis.unit == "ns" else ""

    @property
    def words(self) -> str:
        """What is measured, and in which unit."""
        return ", ".join(part for part in (self.axis.title, self.unit) if part)

    def _factor(self) -> int:
        return self._time_unit()[1] if self.axis.unit == "ns" else 1

    def _time_unit(self) -> tuple[str, int, int]:
        return next(unit for unit in _TIME_UNITS if self.axis.end >= unit[2])

    def _step(self) -> int:
        """The smallest round step whose labels do not touch."""
        room = width(self.text(self.axis.end)) + _TICK_ROOM
        candidates = (2**k for k in range(63)) if self.axis.unit != "ns" else _decimal_steps()
        return next(step for step in candidates if step * self.scale >= room)

    def _knots(self) -> tuple[list[int], list[float]]:
        knots: list[int] = []
        places: list[float] = []
        at = self.left
        for start, end in self.axis.pieces:
            knots += [start, end]
            places += [at, at + (end - start) * self.scale]
            at = places[-1] + BREAK_PX
        return knots, places


def _decimal_steps() -> Iterator[int]:
    return (factor * 10**k for k in range(19) for factor in (1, 2, 5))
