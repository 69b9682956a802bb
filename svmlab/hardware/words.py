"""Words that sentences about GPUs, places and amounts share."""

from __future__ import annotations

from collections.abc import Iterable

from svmlab.units import GIB, KIB, MIB, TIB

__all__ = ["about", "gpu_names", "place_name", "plural"]


def place_name(location: str) -> str:
    """What a sentence calls a location: RAM, or the GPU's name."""
    return "RAM" if location == "cpu" else location


def about(nbytes: int) -> str:
    """A size as a sentence says it: rounded to two decimals in the largest unit that is not above it.

    >>> about(1 << 22), about(3 << 19), about((64 << 30) - 4096)
    ('4 MiB', '1.5 MiB', '64 GiB')
    """
    for name, unit in (("TiB", TIB), ("GiB", GIB), ("MiB", MIB), ("KiB", KIB)):
        if round(nbytes / unit, 2) >= 1:
            return f"{nbytes / unit:.2f}".rstrip("0").rstrip(".") + f" {name}"
    return f"{nbytes} B"


def plural(count: int, *, one: str, many: str = "") -> str:
    """A count with its noun.

    >>> plural(1, one="page"), plural(2, one="batch", many="batches")
    ('1 page', '2 batches')
    """
    return f"{count} {one if count == 1 else many or one + 's'}"


def gpu_names(indices: Iterable[int]) -> str:
    """Name some GPUs, three or more neighbours as a span.

    >>> gpu_names([0, 1, 2, 5])
    'gpu0-gpu2, gpu5'
    """
    runs: list[list[int]] = []
    for index in sorted(set(indices)):
        if runs and runs[-1][1] == index - 1:
            runs[-1][1] = index
        else:
            runs.append([index, index])
    return ", ".join(_run_name(first, last) for first, last in runs)


def _run_name(first: int, last: int) -> str:
    if first == last:
        return f"gpu{first}"
    return f"gpu{first}, gpu{last}" if last == first + 1 else f"gpu{first}-gpu{last}"
