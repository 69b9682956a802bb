"""How long one copy takes: a start-up time, then a bandwidth that grows with the size of the copy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import overload

import numpy as np
from numpy.typing import NDArray

from svmlab.errors import InputError
from svmlab.units import KIB, SEC

__all__ = ["CopyLaw"]

_MEASURED_COPY = 64 << 20
"""Published copy bandwidths are those of one copy of this size, so that is where the law meets them."""


@dataclass(frozen=True, slots=True)
class CopyLaw:
    """``time(s) = start + s / BW(s)`` with ``BW(s) = (2a / pi) * atan(b * s)``, s in KiB.

    The shape is UVMSmart's, which reproduces its own PCIe measurements; ``a`` is fitted so that a copy of 64 MiB
    reaches the measured bandwidth.

    Attributes:
        bandwidth: what a copy of 64 MiB reaches, start included, in bytes per second.
        start_ns: from the engine's taking the command to the first byte, and from the last byte to the fence.
        shape_per_kib: ``b``; the larger, the sooner small copies reach full bandwidth.

    >>> CopyLaw(48.4e9, start_ns=8000, shape_per_kib=0.07292).time_ns(64 << 20)
    1386547
    """

    bandwidth: float
    start_ns: int
    shape_per_kib: float

    def __post_init__(self) -> None:
        if self.bandwidth <= 0 or self.shape_per_kib <= 0 or self._streaming_s() <= 0:
            given = f"bandwidth {self.bandwidth:g} B/s, start {self.start_ns} ns, shape {self.shape_per_kib:g}"
            raise InputError(f"no copy can have {given}", allowed="positive numbers, and 64 MiB must outlast the start")

    @overload
    def time_ns(self, nbytes: int) -> int: ...
    @overload
    def time_ns(self, nbytes: NDArray[np.int64]) -> NDArray[np.int64]: ...
    def time_ns(self, nbytes: int | NDArray[np.int64]) -> int | NDArray[np.int64]:
        """Duration of copies.

        Args:
            nbytes: size of one copy, or an array of sizes; 0 takes no time.

        Returns:
            ns as an integer, or an array of them of the same shape.
        """
        sizes = np.asarray(nbytes, dtype=np.float64)
        # A copy of nothing would divide zero by zero; it is masked afterwards.
        speed = self._limit() * self._share(np.maximum(sizes, 1.0))
        times = np.where(sizes > 0, np.rint(self.start_ns + sizes / speed * SEC), 0).astype(np.int64)
        return int(times) if times.ndim == 0 else times

    def _share(self, nbytes: NDArray[np.float64]) -> NDArray[np.float64]:
        """The part of the limit that a copy of this size reaches."""
        return np.asarray(2 / np.pi * np.arctan(self.shape_per_kib * nbytes / KIB))

    def _streaming_s(self) -> float:
        return _MEASURED_COPY / self.bandwidth - self.start_ns / SEC

    def _limit(self) -> float:
        """``a``, in bytes per second."""
        return _MEASURED_COPY / self._streaming_s() / float(self._share(np.asarray(float(_MEASURED_COPY))))
