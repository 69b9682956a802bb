"""What the names in a file mean: checked in file order, before anything runs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from svmlab.hardware.machine import Machine
from svmlab.scenario.complaints import KeyedError
from svmlab.scenario.spans import SpanKeys
from svmlab.scenario.steps import (
    AnyStep,
    CreateProcess,
    EvictVram,
    Exit,
    Expect,
    Fork,
    GpuCopy,
    Inject,
    Mark,
    Mmap,
    Mremap,
    Run,
    VramLayout,
)
from svmlab.scenario.tables import shortened
from svmlab.scenario.values import gpu_index, whole_pages
from svmlab.units import MIB, PAGE_SIZE, format_size

__all__ = ["Names", "mapping_size"]

_HUGE_PAGE = 2 * MIB
# These are about the machine or its log, not about a living process.
_OF_THE_MACHINE = (Run, Mark, Inject, VramLayout, EvictVram, CreateProcess, Expect)


def mapping_size(size: int, kind: str) -> int:
    """How large a mapping becomes: whole pages, huge ones for ``hugetlb``."""
    return -(-size // _HUGE_PAGE) * _HUGE_PAGE if kind == "hugetlb" else whole_pages(size)


@dataclass(slots=True)
class _Process:
    """Sizes of mappings by name, and whether the process still lives."""

    sizes: dict[str, int] = field(default_factory=dict)
    alive: bool = True


class Names:
    """Names of processes and mappings, as far as the steps read so far define them.

    Args:
        machine: the machine, with its memory overrides.
    """

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.processes = {"main": _Process()}

    def check(self, step: AnyStep) -> None:
        """Check the names a step uses.

        Raises:
            KeyedError: one means nothing, or not what the step needs.
        """
        process = self._process(step)
        for key, span in _spans(step):
            _check_span(key, span, process.sizes)
        if isinstance(step, GpuCopy):
            _check_copy(step, process.sizes)
        elif isinstance(step, VramLayout):
            self._check_layout(step)
        elif isinstance(step, Expect):
            _check_log(step, process.sizes)

    def define(self, step: AnyStep) -> None:
        """Take over the names a step defines; one that must fail defines none."""
        if step.error is not None:
            return
        process = self.processes[step.process]
        if isinstance(step, Mmap) and step.name is not None:
            process.sizes[step.name] = mapping_size(step.size, step.kind)
        elif isinstance(step, Mremap) and step.name is not None:
            process.sizes[step.name] = whole_pages(_size(step, process.sizes))
        elif isinstance(step, Fork):
            self.processes[step.name] = _Process(dict(process.sizes), alive=not step.exit_child)
        elif isinstance(step, CreateProcess):
            self.processes[step.name] = _Process()
        elif isinstance(step, Exit):
            process.alive = False

    def _process(self, step: AnyStep) -> _Process:
        process = self.processes.get(step.process)
        if process is None:
            raise KeyedError(
                "process", f"no process is called {step.process!r} here", allowed=", ".join(self.processes)
            )
        if not process.alive and not isinstance(step, _OF_THE_MACHINE):
            living = ", ".join(name for name, other in self.processes.items() if other.alive)
            raise KeyedError("process", f"{step.process!r} has ended before", allowed=living)
        return process

    def _check_layout(self, step: VramLayout) -> None:
        pages = self.machine.gpu(gpu_index(step.gpu)).vram_bytes // PAGE_SIZE
        end = 0
        for first, npages in sorted(step.free or []):
            if first < end or first + npages > pages:
                why = "overlaps another" if first < end else "leaves the VRAM"
                raise KeyedError("free", f"[{first}, {npages}] {why}", allowed=f"disjoint runs below page {pages}")
            end = first + npages


def _spans(step: AnyStep) -> Iterator[tuple[str, SpanKeys]]:
    if isinstance(step, SpanKeys):
        yield "", step
    elif isinstance(step, GpuCopy):
        yield "from.", step.source
        yield "to.", step.target


def _known(key: str, name: str, sizes: dict[str, int]) -> int:
    if name not in sizes:
        allowed = ", ".join(map(shortened, sizes)) or "none yet"
        raise KeyedError(key, f"no mapping is called {shortened(name)} here", allowed=allowed)
    return sizes[name]


def _check_span(key: str, span: SpanKeys, sizes: dict[str, int]) -> None:
    if span.on is None:
        return
    whole = _known(f"{key}on", span.on, sizes)
    if span.size is None and (span.offset or 0) >= whole > 0:
        raise KeyedError(
            f"{key}offset",
            f"{format_size(span.offset or 0)} lies behind the end of {span.on!r}",
            allowed=f"less than {format_size(whole)}",
        )


def _size(span: SpanKeys, sizes: dict[str, int]) -> int:
    if span.size is not None or span.on is None:
        return span.size or 0
    return sizes[span.on] - (span.offset or 0)


def _check_copy(step: GpuCopy, sizes: dict[str, int]) -> None:
    if step.source.size is not None or step.target.size is not None:
        return
    found = [_size(piece, sizes) for piece in (step.source, step.target) if piece.on is not None]
    if len(set(found)) == 2:
        told = " and to has ".join(map(format_size, found))
        raise KeyedError("to", f"from has {told}", allowed="equal sizes, or a size in one of them")


def _check_log(step: Expect, sizes: dict[str, int]) -> None:
    for index, entry in enumerate(step.log or []):
        if not isinstance(entry, str) and entry.on is not None:
            _known(f"log item {index + 1}.on", entry.on, sizes)
