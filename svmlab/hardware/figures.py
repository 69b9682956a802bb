"""A figure: a number that says its unit, its plausible range, where it comes from and how well it is known."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

from svmlab.errors import InputError
from svmlab.units import GIB, KIB, MIB, MSEC, SEC, TIB, USEC

__all__ = ["EVIDENCE", "UNITS", "Evidence", "Figure"]

Evidence = Literal["doc", "note", "assumed"]
EVIDENCE: tuple[str, ...] = get_args(Evidence)
"""Read in a primary document or source; taken or computed from a summary; measured by nobody we know of."""

UNITS: dict[str, tuple[str, float]] = {
    "ns": ("time", 1),
    "us": ("time", USEC),
    "ms": ("time", MSEC),
    "s": ("time", SEC),
    "ns/page": ("time per page", 1),
    "us/page": ("time per page", USEC),
    "B": ("size", 1),
    "KiB": ("size", KIB),
    "MiB": ("size", MIB),
    "GiB": ("size", GIB),
    "TiB": ("size", TIB),
    "GB": ("size", 10**9),
    "B/s": ("bandwidth", 1),
    "MB/s": ("bandwidth", 10**6),
    "GB/s": ("bandwidth", 10**9),
    "pages": ("pages", 1),
    "1/KiB": ("per KiB", 1),
    "ratio": ("ratio", 1),
}
"""Every unit a figure may have: what it measures, and one of it in ns, bytes, bytes per second or pages."""


@dataclass(frozen=True, slots=True)
class Figure:
    """One number of the hardware description, never without its evidence.

    Attributes:
        value: the number, in ``unit``.
        unit: a key of ``UNITS``.
        low: the smallest plausible value, in ``unit``.
        high: the largest plausible value, in ``unit``.
        source: where the number can be looked up, or why it was chosen.
        evidence: ``"doc"``, ``"note"`` or ``"assumed"``.
    """

    value: float
    unit: str
    low: float
    high: float
    source: str
    evidence: Evidence

    def __post_init__(self) -> None:
        if self.unit not in UNITS:
            raise InputError(f"{self.unit!r} is not a unit", allowed=", ".join(UNITS))
        if not 0 <= self.low <= self.value <= self.high < float("inf"):
            given = f"low {self.low:g}, value {self.value:g}, high {self.high:g} are out of order"
            raise InputError(given, allowed="0 <= low <= value <= high")
        if self.evidence not in EVIDENCE:
            raise InputError(f"{self.evidence!r} is no evidence", allowed=", ".join(EVIDENCE))
        if not self.source.strip():
            raise InputError("a figure without a source", hint="say where it comes from, or why it was chosen")

    @classmethod
    def of(cls, table: Mapping[str, Any]) -> Figure:
        """The figure that a table of a description file holds; further keys are somebody else's."""
        value, low, high = float(table["value"]), float(table["low"]), float(table["high"])
        return cls(value, table["unit"], low, high, table["source"], table["evidence"])

    @classmethod
    def exact(cls, value: float, unit: str, *, source: str, evidence: Evidence = "doc") -> Figure:
        """A figure without a range.

        >>> Figure.exact(64, "GiB", source="data sheet").whole
        68719476736
        """
        return cls(value, unit, value, value, source, evidence)

    @property
    def dimension(self) -> str:
        """What it measures: ``"time"``, ``"size"``, ``"bandwidth"`` and so on."""
        return UNITS[self.unit][0]

    @property
    def base(self) -> float:
        """The value in ns, bytes, bytes per second or pages, whatever the unit measures."""
        return self.value * UNITS[self.unit][1]

    @property
    def whole(self) -> int:
        """``base`` as the nearest integer."""
        return round(self.base)

    def require(self, dimension: str, what: str) -> None:
        """Refuse a figure that measures something else.

        Args:
            dimension: what it must measure.
            what: the name of the figure, for the message.

        Raises:
            InputError: its unit is of another dimension.
        """
        if self.dimension != dimension:
            units = ", ".join(unit for unit, (kind, _) in UNITS.items() if kind == dimension)
            raise InputError(f"{what} is in {self.unit!r}, which is no {dimension}", allowed=units)
