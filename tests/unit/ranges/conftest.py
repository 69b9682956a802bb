"""A process to test ranges on: pages by number, attributes by name, and what happened in the order it happened."""

from __future__ import annotations

from typing import Any

import pytest

from svmlab.errors import SvmError
from svmlab.mm import Span
from svmlab.svm.attributes import apply
from svmlab.svm.named_request import request_of
from svmlab.svm.process import Process
from svmlab.svm.ranges import Range


class Lab:
    """A process whose memory is named by page numbers.

    Args:
        behaviour: the preset.
        xnack: the mode.
        machine: the machine; "toy" has gpu0 and gpu1 in a hive, and gpu2 outside of it.
        options: what else a process takes.
    """

    def __init__(
        self, behaviour: Any = "as-intended", xnack: bool = False, machine: str = "toy", **options: Any
    ) -> None:
        self.process = Process(machine, behaviour=behaviour, xnack=xnack, **options)
        self.driver = self.process.driver
        self.gpu_ids = [gpu.gpu_id for gpu in self.process.machine.gpus]
        self.mark = 0

    def map(self, start: int, last: int, **options: Any) -> Span:
        """Map pages ``start`` to ``last``."""
        self.process.mmap((last - start + 1) << 12, at=start << 12, **options)
        return Span.of_pages(start, last)

    def set(self, start: int, last: int, **asked: Any) -> None:
        """set_attr on pages ``start`` to ``last``."""
        self.process.set_attr(Span.of_pages(start, last), **asked)

    def get(self, start: int, last: int, *raw: Any) -> list[tuple[int, int]]:
        """get_attr on pages ``start`` to ``last``."""
        return self.process.get_attr(Span.of_pages(start, last), list(raw))

    def register(self, *spans: tuple[int, int], **asked: Any) -> list[Range]:
        """Map and register each span, with access for gpu0 unless asked otherwise, and let everything settle."""
        for start, last in spans:
            self.map(start, last)
            self.set(start, last, **(asked or {"access": ["gpu0"]}))
        self.process.run()
        self.forget()
        return [self.at(start) for start, _ in spans]

    def forget(self) -> None:
        """The log of interest begins here."""
        self.mark = len(self.process.log)

    def at(self, page: int) -> Range:
        """The range that holds a page."""
        found = self.driver.svms.at(page)
        assert found is not None, f"no range holds page {page}"
        return found

    @property
    def ranges(self) -> list[tuple[int, int]]:
        """Every registered range in address order."""
        return [(each.start, each.last) for each in self.driver.svms]

    @property
    def order(self) -> list[tuple[int, int]]:
        """Every registered range in order of insertion."""
        return [(each.start, each.last) for each in self.driver.svms.order.values()]

    def log(self, *names: str) -> list[tuple[str, int, int]]:
        """What happened since ``forget``: name, first and last page, in order."""
        return [(event.name, event.start, event.last) for event in self.process.log.events(*names, since=self.mark)]

    def pages(self, name: str) -> list[tuple[int, int]]:
        """The pages of each event of one kind since ``forget``."""
        return [(start, last) for _, start, last in self.log(name)]

    def fields(self, name: str, *titles: str) -> list[tuple[int, ...]]:
        """These fields of each event of one kind since ``forget``."""
        events = self.process.log.events(name, since=self.mark)
        return [tuple(event.fields[title] for title in titles) for event in events]

    def error(self, call: Any, *given: Any, **options: Any) -> str | None:
        """The name of the error a call fails with, None if it succeeds."""
        try:
            call(*given, **options)
        except SvmError as error:
            return error.name
        return None

    def raw(self, **asked: Any) -> list[tuple[int, int]]:
        """Attributes by name as the driver gets them."""
        return request_of(self.process.machine, asked)  # type: ignore[arg-type]

    def give(self, range_: Range, **asked: Any) -> None:
        """Change the attributes of a range without a call."""
        apply(self.driver, range_, self.raw(**asked))

    def sound(self) -> list[str]:
        """What is wrong with the model; nothing, normally."""
        return self.process.broken_invariants()


@pytest.fixture
def lab() -> type[Lab]:
    return Lab
