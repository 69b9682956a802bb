"""A program run against a version of the driver, and what everybody reads of its memory afterwards."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from svmlab.errors import SvmError, SvmTimeoutError
from svmlab.mm.span import Span
from svmlab.svm.behaviour import Behaviour
from svmlab.svm.buffer_view import Buffer
from svmlab.svm.process import Process
from svmlab.units import PAGE_SIZE

__all__ = ["FILLED", "NEVER", "PAGES", "Act", "Performed", "perform", "fence_fails", "file_changes", "move"]

PAGES = 8
FILLED = tuple(range(1, PAGES + 1))
"""What the pages hold before the program starts."""
NEVER = "never"
"""The answer of a call that does not come back."""
_IDLE_NS, _READ_NS = 20_000_000, 5_000_000
"""How long a machine, and a single read, may do nothing but start over before it counts as stuck."""

Act = Callable[[Process, Buffer], object]
"""A program: it gets a process, and its buffer of ``PAGES`` pages of which number i holds i + 1."""


@dataclass(frozen=True, slots=True)
class Performed:
    """A program that has run to its end, and the machine that is idle now, or stuck.

    Attributes:
        process: the process.
        buffer: its buffer.
        answer: what the program met: ``"0"``, an error's name, or ``NEVER``.
    """

    process: Process
    buffer: Buffer
    answer: str

    def read_by(self, who: str) -> tuple[int | str, ...]:
        """The first byte of each page, or what its reader met instead; reads by the CPU bring pages home.

        Args:
            who: ``"cpu"``, ``"gpu0"``, ...
        """
        return tuple(self._first_byte(who, self.buffer.pages(number)) for number in range(PAGES))

    def _first_byte(self, who: str, page: Span) -> int | str:
        p, got = self.process, list[int]()
        begun = p.start.cpu_read(page) if who == "cpu" else p.start.gpu_read(who, page)
        answer = _answer(lambda: got.append(int(p.wait(begun, _READ_NS)[0])))
        return got[0] if got else answer


def perform(
    act: Act, behaviour: str | Mapping[str, str] | Behaviour, *, kinds: tuple[str, ...] = ("anonymous",)
) -> Performed:
    """Run a program on the machine ``toy``, and let the machine run until it is idle or stuck.

    Args:
        act: the program.
        behaviour: the version of the driver, as for ``Process``.
        kinds: of which kinds the mappings are that make up the buffer.

    >>> from svmlab.svm.behaviour_table import POSTED
    >>> def copy_fails(p, a):
    ...     p.inject("copy")
    ...     p.set_attr(a, access=["gpu0"], prefetch="gpu0")
    >>> done = perform(copy_fails, POSTED)
    >>> done.answer, done.read_by("gpu0")[:3], done.read_by("cpu")[:3]
    ('0', (0, 0, 0), (1, 2, 3))
    """
    p = Process("toy", vram="4 MiB", behaviour=behaviour)
    buffer = _filled(p, kinds)
    answer = _answer(lambda: act(p, buffer))
    _answer(lambda: p.run(limit_ns=_IDLE_NS))
    return Performed(p, buffer, answer)


def move(p: Process, a: Buffer) -> None:
    """The buffer is prefetched to gpu0."""
    p.set_attr(a, access=["gpu0"], prefetch="gpu0")


def fence_fails(p: Process, a: Buffer) -> None:
    """The buffer is prefetched to gpu0, and the fence of a copy reports an error."""
    p.inject("fence")
    move(p, a)


def file_changes(p: Process, a: Buffer) -> None:
    """The buffer is prefetched to gpu0, and then the CPU changes a page of it."""
    move(p, a)
    p.run()
    p.cpu_write(a.pages(2), 77)


def _filled(p: Process, kinds: tuple[str, ...]) -> Buffer:
    """Mappings of equal size side by side, seen as one buffer."""
    size = PAGES // len(kinds) * PAGE_SIZE
    first = p.mmap(size, name="a", kind=kinds[0], file="f" if kinds[0] == "file" else None)
    for number, kind in enumerate(kinds[1:], 1):
        p.mmap(size, name="b", kind=kind, at=first.address + number * size)
    buffer = Buffer(p, Span(first.address, PAGES * PAGE_SIZE), "a")
    for number, value in enumerate(FILLED):
        p.cpu_write(buffer.pages(number), value)
    return buffer


def _answer(call: Callable[[], Any]) -> str:
    try:
        call()
    except SvmTimeoutError:
        return NEVER
    except SvmError as error:
        return error.name
    return "0"
