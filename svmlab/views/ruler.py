"""From the values of an axis to pixels, around its breaks, and the ticks that let a reader go back."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain

import numpy as np
import numpy.typing as npt

from svmlab.units import GIB, KIB, MIB, MSEC, SEC, TIB, USEC
from svmlab.views.lettering import width
from svmlab.views.scene import Axis

__all__ = ["BREAK_PX", "Ruler"]

BREAK_PX = 16.0
_TICK_ROOM = 24.0
_TICK_UNITS = {
    "ns": (("s", SEC, 10 * SEC), ("ms", MSEC, 10 * MSEC), ("us", USEC, 0)),
    "bytes": (("TiB", TIB, 2 * TIB), ("GiB", GIB, 2 * GIB), ("MiB", MIB, 2 * MIB), ("KiB", KIB, 0)),
}
"""For each unit of an axis the units of its ticks: name, size, and from which end of the axis on it is used."""
_COUNTED = (("", 1, 0),)
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
        return f"{value / self._tick_unit()[1]:.3f}".rstrip("0").rstrip(".")

    @property
    def unit(self) -> str:
        """The unit of the ticks; empty where they count things."""
        return self._tick_unit()[0]

    @property
    def words(self) -> str:
        """What is measured, and in which unit."""
        return ", ".join(part for part in (self.axis.title, self.unit) if part)

    def _tick_unit(self) -> tuple[str, int, int]:
        # Of 64 GiB in which all but 8 MiB are cut out, the 8 MiB are what is read.
        longest = self.axis.kept if self.axis.unit == "bytes" else self.axis.end
        return next(unit for unit in _TICK_UNITS.get(self.axis.unit, _COUNTED) if longest >= unit[2])

    def _step(self) -> int:
        """The smallest round step whose labels do not touch."""
        candidates = (2**k for k in range(63)) if self.axis.unit != "ns" else _decimal_steps()
        return next(step for step in candidates if step * self.scale >= self._widest(step) + _TICK_ROOM)

    def _widest(self, step: int) -> float:
        """The widest label of the last few multiples of a step: 3.75 needs more room than 4."""
        last = self.axis.end // step
        return max(width(self.text(step * number)) for number in range(last, max(last - 4, -1), -1))

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
