"""What goes wrong, said so that it helps: what was given, what is allowed, one thing to try."""

from __future__ import annotations

import errno as _errno

__all__ = [
    "BusError",
    "DriverError",
    "InputError",
    "LockOrderError",
    "MemoryExceptionError",
    "SegmentationFault",
    "SvmError",
    "SvmTimeoutError",
    "errno_name",
]

_LONGEST = 900


def errno_name(number: int) -> str:
    """Name an errno.

    >>> errno_name(22), errno_name(-12)
    ('EINVAL', 'ENOMEM')
    """
    return _errno.errorcode.get(abs(number), str(abs(number)))


class SvmError(Exception):
    """Anything svmlab refuses or reports.

    Attributes:
        errno: the errno (positive), or 0 where the kernel has none for it.
        name: how a scenario file names the error: ``"EINVAL"``, ``"SIGBUS"``, ...
        given: what was given, in one sentence.
        allowed: what is allowed, or an empty text.
        hint: one thing to try, or an empty text.
    """

    errno: int = 0
    name: str = "ERROR"

    def __init__(self, given: str, *, allowed: str = "", hint: str = "") -> None:
        # What was given may be all of a damaged file: nobody reads more than this.
        given, allowed, hint = (
            text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..." for text in (given, allowed, hint)
        )
        self.given, self.allowed, self.hint = given, allowed, hint
        parts = [given]
        if allowed:
            parts.append(f"allowed: {allowed}")
        if hint:
            parts.append(f"try: {hint}")
        super().__init__("; ".join(parts))


class InputError(SvmError, ValueError):
    """A file, a text or an argument that svmlab cannot use; nothing was done."""

    errno = _errno.EINVAL
    name = "EINVAL"


class DriverError(SvmError):
    """The errno the kernel or its driver answers a call with."""

    def __init__(self, number: int, given: str, *, allowed: str = "", hint: str = "") -> None:
        self.errno = abs(number)
        self.name = errno_name(number)
        super().__init__(f"{self.name}: {given}", allowed=allowed, hint=hint)


class BusError(SvmError):
    """SIGBUS: a CPU access that cannot be served."""

    name = "SIGBUS"


class SegmentationFault(SvmError):
    """SIGSEGV: a CPU access that the mapping forbids, or where there is none."""

    name = "SIGSEGV"


class MemoryExceptionError(SvmError):
    """MEMORY_EXCEPTION: a fatal GPU access; it kills every queue of the process."""

    name = "MEMORY_EXCEPTION"


class SvmTimeoutError(SvmError):
    """TIMEOUT: virtual time went by with nothing but re-scheduling or re-faulting."""

    name = "TIMEOUT"


class LockOrderError(SvmError):
    """Two locks were taken against the kernel's order, as lockdep would report."""

    name = "LOCKDEP"
