"""The single values of a scenario file: sizes, times, addresses, counts, names, errors and places."""

from __future__ import annotations

import errno
import re
from collections.abc import Callable
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, ValidationInfo

from svmlab.errors import InputError
from svmlab.hardware.machine import MAX_GPUS
from svmlab.scenario.tables import Context, shortened
from svmlab.units import PAGE_SIZE, parse_address, parse_size, parse_time

__all__ = [
    "Address",
    "AttributePlace",
    "Count",
    "Errno",
    "ErrorName",
    "GpuName",
    "Home",
    "Name",
    "Ordinal",
    "PageRun",
    "Residence",
    "Size",
    "Text",
    "Time",
    "VramRun",
    "Word",
    "as_pair",
    "errno_of",
    "gpu_index",
    "same_error",
    "whole_pages",
]

_SIGNALS = ("SIGBUS", "SIGSEGV", "MEMORY_EXCEPTION", "TIMEOUT")
_ERRNOS = {name: value for name, value in vars(errno).items() if name.startswith("E") and isinstance(value, int)}


def as_pair(raw: Any) -> Any:
    """Turn a list of two into a tuple: TOML has only lists, and strict validation makes no tuple of one."""
    if isinstance(raw, tuple | list) and len(raw) == 2:
        return tuple(raw)
    raise InputError(f"{shortened(raw)} is no pair", allowed="a list of two")


def _printable(text: str) -> str:
    if not text.isprintable():
        raise InputError(f"{shortened(text)} has characters that cannot be printed")
    return text


def _error(name: str) -> str:
    if name not in _ERRNOS and name not in _SIGNALS:
        raise InputError(
            f"{shortened(name)} is no error",
            allowed=f"an errno of Linux such as EINVAL or ENOMEM, {', '.join(_SIGNALS)}",
        )
    return name


def _errno(name: str) -> str:
    if name not in _ERRNOS:
        raise InputError(f"{shortened(name)} is no errno", allowed="one of Linux's, such as EINVAL, ENOMEM or EIO")
    return name


def _place(what: str, *others: str) -> Callable[[str, ValidationInfo], str]:
    """Make a check for names of GPUs and these other names."""

    def check(name: str, info: ValidationInfo) -> str:
        if name in others:
            return name
        context: Any = info.context
        gpus = len(context.machine.gpus) if isinstance(context, Context) else MAX_GPUS
        allowed = ", ".join([*others, "gpu0" if gpus == 1 else f"gpu0 to gpu{gpus - 1}"])
        if re.fullmatch(r"gpu(0|[1-9][0-9]{0,3})", name) is None:
            raise InputError(f"{shortened(name)} is no {what}", allowed=allowed)
        if gpu_index(name) >= gpus:
            raise InputError(f"the machine has no {name}", allowed=allowed)
        return name

    return check


def gpu_index(name: str) -> int:
    """The index of a GPU.

    >>> gpu_index("gpu3")
    3
    """
    return int(name.removeprefix("gpu"))


def errno_of(name: str) -> int:
    """The number of an errno.

    >>> errno_of("EIO")
    5
    """
    return _ERRNOS[name]


def same_error(one: str, other: str) -> bool:
    """Whether two error names mean the same; some errnos of Linux have two names.

    >>> same_error("EAGAIN", "EWOULDBLOCK"), same_error("EIO", "SIGBUS")
    (True, False)
    """
    return one == other or _ERRNOS.get(one, -1) == _ERRNOS.get(other, -2)


def whole_pages(size: int) -> int:
    """Bytes rounded up to whole pages, as the system calls do."""
    return -(-size // PAGE_SIZE) * PAGE_SIZE


Text = Annotated[str, Field(max_length=10_000)]
Name = Annotated[str, Field(min_length=1, max_length=80), AfterValidator(_printable)]
Count = Annotated[int, Field(ge=0, le=1 << 62)]
Ordinal = Annotated[int, Field(ge=1, le=1 << 62)]
Word = Annotated[int, Field(ge=0, le=0xFFFFFFFF)]
Size = Annotated[int, BeforeValidator(parse_size)]
Time = Annotated[int, BeforeValidator(parse_time)]
Address = Annotated[int, BeforeValidator(parse_address)]
ErrorName = Annotated[str, AfterValidator(_error)]
Errno = Annotated[str, AfterValidator(_errno)]
GpuName = Annotated[str, AfterValidator(_place("GPU"))]
Home = Annotated[str, AfterValidator(_place("location", "cpu"))]
AttributePlace = Annotated[str, AfterValidator(_place("location", "cpu", "undefined"))]
Residence = Annotated[str, AfterValidator(_place("location", "cpu", "none", "swapped"))]
PageRun = Annotated[tuple[int, Ordinal], BeforeValidator(as_pair)]
"""A first page, which may lie before the start it is counted from, and a number of pages."""
VramRun = Annotated[tuple[Count, Ordinal], BeforeValidator(as_pair)]
"""A first page of VRAM and a number of pages."""
