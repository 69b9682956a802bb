"""Arrays that are zero at first and take memory only where they were written."""

from __future__ import annotations

import math
import mmap
import sys
from contextlib import suppress
from typing import Any

import numpy as np
import numpy.typing as npt

from svmlab.errors import InputError

__all__ = ["arena"]

_MAP_NORESERVE = 0x4000


def arena(shape: tuple[int, ...], dtype: npt.DTypeLike, *, huge: bool = False) -> npt.NDArray[Any]:
    """An array of zeros that the operating system backs page by page, where it is written.

    Args:
        shape: of the array; it may be far larger than the computer's memory.
        dtype: of the array.
        huge: ask for huge pages, where the operating system has them: faster where much is copied, and what is touched
            first costs 2 MiB.

    Raises:
        InputError: the computer has not so much address space.

    >>> arena((1 << 30, 4096), np.uint8)[12345, :3]
    array([0, 0, 0], dtype=uint8)
    """
    size = math.prod(shape) * np.dtype(dtype).itemsize
    try:
        if not sys.platform.startswith("linux"):
            return np.zeros(shape, dtype)
        # Without MAP_NORESERVE, Linux refuses more than about the memory it has, even if most is never touched.
        flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | _MAP_NORESERVE
        memory = mmap.mmap(-1, size, flags=flags)
        if huge and hasattr(mmap, "MADV_HUGEPAGE"):
            with suppress(OSError):  # a kernel without them; nothing but speed is lost
                memory.madvise(mmap.MADV_HUGEPAGE)
        return np.frombuffer(memory, dtype).reshape(shape)
    except (OSError, MemoryError) as error:
        raise InputError(
            f"this computer refuses {size >> 30} GiB of address space ({error})", hint="a smaller vram= and ram="
        ) from None
