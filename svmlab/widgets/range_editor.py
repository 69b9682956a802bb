"""RangeEditor: a call on some pages of a buffer, and the SVM ranges before and after it."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from svmlab.errors import InputError
from svmlab.hardware.machine import Machine
from svmlab.mm.span import Span
from svmlab.svm.buffer_view import Buffer
from svmlab.svm.explain import Reason
from svmlab.svm.process import Process
from svmlab.views import Cell, Row, Scene, Table, describe, range_strip, svg
from svmlab.widgets.controls import choice, text
from svmlab.widgets.lab import Lab
from svmlab.widgets.page import LEFT, RIGHT, beside, bullets, heading, labelled

__all__ = ["RangeEditor"]

_PAGES = 16
_KINDS = ("range_add", "range_split", "range_remove", "deferred_work")
_BEFORE: Mapping[str, tuple[tuple[int, int], ...]] = {
    "one range": ((0, _PAGES),),
    "two ranges": ((0, _PAGES // 2), (_PAGES // 2, _PAGES // 2)),
    "a range with free pages around it": ((4, 8),),
    "no range": (),
}
_CALLS: Mapping[str, Callable[[Process, Span], None]] = {
    "access for gpu1": lambda p, span: p.set_attr(span, access=["gpu1"]),
    "access for gpu0": lambda p, span: p.set_attr(span, access=["gpu0"]),
    "no access for gpu0": lambda p, span: p.set_attr(span, no_access=["gpu0"]),
    "prefetch to gpu0": lambda p, span: p.set_attr(span, prefetch="gpu0"),
    "granularity 2": lambda p, span: p.set_attr(span, granularity=2),
    "munmap": lambda p, span: p.munmap(span),
}


@dataclass(frozen=True, slots=True)
class _Run:
    """A process after a call.

    Attributes:
        process, buffer: whose ranges.
        strip: the ranges before and after.
        since: the first event of the call.
    """

    process: Process
    buffer: Buffer
    strip: Scene
    since: int


class RangeEditor(Lab):
    """Make a call on some of 16 pages, and see which ranges are cut, made or removed, and what they say afterwards.

    Args:
        machine: name of a machine with two GPUs or more.

    Attributes:
        before: the control for the ranges there are.
        pages: the text for the pages of the call, ``4-7``.
        call: the control for the call.
        reset: the button that goes back to the start.
        view: ranges before and after, events and reason, as HTML.

    >>> editor = RangeEditor()
    >>> editor.pages.value = "4-20"
    >>> "pages 4 to 20" in editor.message.value
    True
    """

    def __init__(self, machine: str = "toy") -> None:
        self._machine = Machine.find(machine)
        self.before, self.call = choice(_BEFORE.keys(), "one range"), choice(_CALLS.keys(), "access for gpu1")
        self.pages = text("4-7")
        super().__init__({"before": self.before, "pages": self.pages, "call": self.call})

    def page(self) -> str:
        """See ``Lab.page``."""
        run = self._run(self.before.value, self.pages.value, self.call.value)
        events = [_counted(run, str(event)) for event in run.process.log.events(*_KINDS, since=run.since)]
        why = [_told(run, reason) for reason in run.process.why(run.buffer).reasons]
        left = (bullets("What happens to ranges", events or ["nothing"]), bullets("Where the pages shall be", why))
        right = (svg(run.strip, width_px=RIGHT), labelled("Asked:", f"{self.call.value}, pages {self.pages.value}"))
        return heading(describe(run.strip)) + beside((LEFT, left), (RIGHT, right))

    def summary(self) -> Scene:
        """A row for each call on the start's pages, and the ranges there are afterwards."""
        lines = [self._line(call) for call in _CALLS]
        title = f"What a call on pages {self._start[1]} of one range leaves"
        table = Table(("call", "ranges before", "ranges after", "what changes"), tuple(lines), kind="summary")
        return Scene("summary", title, (table,))

    def _line(self, call: str) -> Row:
        run = self._run(self._start[0], self._start[1], call)
        after = len(run.process.look.ranges(run.buffer.span))
        changes = describe(run.strip).partition(". ")[2]
        texts = (call, len(_BEFORE[self._start[0]]), after, changes)
        return Row(tuple(Cell(str(each)) for each in texts))

    def _run(self, before: str, pages: str, call: str) -> _Run:
        p = Process(self._machine)
        a = p.mmap(f"{_PAGES} pages", name="a")
        a[:] = 7
        span = a.pages(*_first_and_count(pages))
        for first, count in _BEFORE[before]:
            p.set_attr(a.pages(first, count), access=["gpu0"])
        p.run()
        old, since = range_strip(p, a), len(p.log)
        _CALLS[call](p, span)
        p.run()
        return _Run(p, a, range_strip(p, a, before=old), since)


def _first_and_count(words: str) -> tuple[int, int]:
    """The first page and the number of pages that words mean.

    Raises:
        InputError: they mean none.
    """
    found = re.fullmatch(r"\s*(\d+)\s*(?:-\s*(\d+)\s*)?", words)
    if found is None:
        raise InputError(f"{words!r} names no pages", allowed=f"a page or first-last, 0 to {_PAGES - 1}", hint="4-7")
    first, last = int(found[1]), int(found[2] or found[1])
    if last < first:
        raise InputError(f"pages {first} to {last}", allowed="the smaller one first", hint=f"{last}-{first}")
    return first, last - first + 1


def _told(run: _Run, reason: Reason) -> str:
    first, best = run.buffer.span.start, reason.decision
    pages = f"pages {reason.start - first}-{reason.last - first}"
    if best.location is None:
        return f"{pages}: nobody may touch them, because {best.because}"
    return f"{pages}: {reason.situation.name(best.location)}, because {best.because}"


def _counted(run: _Run, line: str) -> str:
    """A line of the log with pages counted from the first of the buffer."""
    first: Any = run.buffer.span.start
    return re.sub(r"0x[0-9a-f]+", lambda match: str(int(match[0], 16) - first), line)
