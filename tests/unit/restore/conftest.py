"""A process whose evictions and restores are told in short lines, those of several GPUs in one."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from enum import Enum
from typing import Any

import pytest

from svmlab.errors import SvmError, errno_name
from svmlab.log import Event
from svmlab.mm import Span
from svmlab.svm.eviction import invalidate
from svmlab.svm.process import Process
from svmlab.svm.ranges import DeferredOp, Range
from svmlab.uapi import EvictionTrigger, NotifierEvent, UnmapTrigger

BASE = 0x1000


class Story:
    """A process on the toy machine (gpu0, gpu1 in a hive, gpu2 alone) and what its log says since ``forget``.

    Args:
        behaviour, xnack, options: as of a process.
    """

    def __init__(self, behaviour: Any = "as-intended", xnack: bool = False, **options: Any) -> None:
        self._of(Process("toy", behaviour=behaviour, xnack=xnack, **options))

    def _of(self, process: Process) -> None:
        self.process, self.driver = process, process.driver
        self.names: dict[int, str] = {}
        self.mark = 0

    @classmethod
    def of(cls, process: Process, names: dict[int, str], since: str) -> Story:
        """The story of a process that somebody else ran: names by first page, from the first call of that name on."""
        made = cls.__new__(cls)
        made._of(process)
        made.names = names
        made.mark = next(event.id for event in process.log.events("call_start") if event.text.startswith(since))
        return made

    def map(self, name: str, *npages: int, at: int, access: Iterable[str] = ("gpu0",), **asked: Any) -> Range:
        """One range of one or more neighbouring mappings, written by the CPU and mapped to GPUs."""
        page = at
        for count in npages:
            self.process.mmap(count << 12, at=page << 12, populate=True)
            page += count
        self.process.set_attr(Span.of_pages(at, page - 1), access=list(access), **asked)
        self.process.run()
        self.names[at] = name
        self.forget()
        return self.range(name)

    def page(self, name: str) -> int:
        """The first page that was given a name."""
        return next(start for start, given in self.names.items() if given == name)

    def range(self, name: str) -> Range:
        """The range that holds the first page of a name."""
        found = self.driver.svms.at(self.page(name))
        assert found is not None
        return found

    def span(self, name: str, first: int = 0, count: int = 1) -> Span:
        """``count`` pages from the ``first`` one of a name on."""
        start = self.page(name) + first
        return Span.of_pages(start, start + count - 1)

    def forget(self) -> None:
        """The story begins here."""
        self.mark = len(self.process.log)

    def until(self, name: str, times: int = 1) -> None:
        """Let time pass until an event happened so many times since ``forget``."""
        world, log = self.driver.world, self.process.log
        while log.count(name, since=self.mark) < times:
            world.env.step()

    def do(self, work: Any) -> Any:
        """Run a mechanism of the driver as a task of its own, to its end."""
        return self.driver.world.env.run(until=self.driver.world.spawn("test", work, pid=self.process.pid))

    def announce(self, event: NotifierEvent, name: str, first: int = 0, count: int = 1) -> None:
        """Tell the notifiers what is about to change, and change nothing."""
        span = self.span(name, first, count)
        self.do(self.driver.mm.notifiers.invalidate(event, int(span.start), int(span.last)))

    def announce_now(self, event: NotifierEvent, name: str, first: int, count: int) -> None:
        """Call the notifier of the range itself, before anybody else has a turn."""
        span = self.span(name, first, count)
        for _ in invalidate(self.driver, self.range(name), event, (int(span.start), int(span.last))):
            pass

    def error(self, call: Callable[..., Any], *given: Any, **options: Any) -> SvmError:
        """What a call fails with."""
        with pytest.raises(SvmError) as caught:
            call(*given, **options)
        return caught.value

    def told(self, *without: str, locks: bool = False) -> list[str]:
        """What happened to queues and ranges since ``forget``, a line each; the same on every GPU is one line."""
        lines: list[str] = []
        names = TOLD.keys() - set(without) - (set() if locks else LOCKS)
        for event in self.process.log.events(*names, since=self.mark):
            line = self._line(event)
            if event.name in ON_EVERY_GPU and event.fields["gpu"]:
                if lines[-1] != line:
                    lines.append(f"{line} on gpu{event.fields['gpu']}")
            else:
                lines.append(line)
        return lines

    def _line(self, event: Event) -> str:
        values = {**event.fields, "who": self._who(event), "failure": "", "text": event.text}
        values["task"] = event.task.name.removeprefix(f"{self.process.name}: ")
        if event.fields.get("error"):
            values["failure"] = " " + errno_name(event.fields["error"])
        if event.name in NAMED:
            field, kinds = NAMED[event.name]
            values[field] = kinds(event.fields[field]).name
        return TOLD[event.name].format(**values)

    def _who(self, event: Event) -> str:
        before = [start for start in self.names if start <= event.start]
        if not before:
            return ""
        start = max(before)
        first, last = event.start - start, event.last - start
        whole = self.driver.svms.at(event.start)
        if whole is not None and (whole.start, whole.last) == (event.start, event.last) and not first:
            return self.names[start]
        return f"{self.names[start]}[{first}]" if first == last else f"{self.names[start]}[{first}..{last}]"


TOLD = {
    "notifier": "{event} {who}",
    "evict": "{who}: invalid {invalid}, evicted {evicted_ranges}",
    "queue_eviction": "queues stop ({trigger})",
    "queue_restore": "queues run",
    "queue_restore_rescheduled": "rescheduled",
    "restore_scheduled": "restore in 1 ms",
    "restore_start": "restore: evicted {evicted_ranges}",
    "restore_range": "restore {who}: invalid {invalid}",
    "restore_stuck": "stuck with {who} after {times}:{failure}, {text}",
    "restore_end": "restore ends: done {done}{failure}",
    "unmap_from_gpu": "gpu{gpu} unmaps {who} ({trigger})",
    "lock_wait": "{task} waits for {text}",
    "lock_acquired": "{task} gets {text}",
    "deferred_work": "deferred: {op} {who}",
    "driver_fallback": "{text}{failure}",
}
NAMED: dict[str, tuple[str, type[Enum]]] = {
    "deferred_work": ("op", DeferredOp),
    "notifier": ("event", NotifierEvent),
    "queue_eviction": ("trigger", EvictionTrigger),
    "unmap_from_gpu": ("trigger", UnmapTrigger),
}
LOCKS = {"lock_wait", "lock_acquired"}
ON_EVERY_GPU = ("queue_eviction", "queue_restore", "queue_restore_rescheduled")


@pytest.fixture
def story() -> type[Story]:
    return Story
