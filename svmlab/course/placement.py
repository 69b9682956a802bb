"""A placement of a workload, run and priced: bytes that go over PCIe, and time that queues stand still."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from svmlab.course.workload import MACHINE, VRAM_PAGES, Use, Workload
from svmlab.errors import InputError, SvmError
from svmlab.hardware.describe import table
from svmlab.svm.buffer_view import Buffer
from svmlab.svm.process import Process
from svmlab.uapi import SYSMEM, MigrateTrigger
from svmlab.units import MIB, PAGE_SIZE

__all__ = ["MOST_CALLS", "Call", "Score", "in_mib", "in_ms", "play"]

MOST_CALLS = 100
"""A placement of page after page would say nothing about the workload."""
Call = tuple[str, int, int, Mapping[str, Any]]
"""One set_attr: name of the buffer, first and last page, attributes."""
_FORM = '("weights", 0, 511, {"access": ["gpu0"], "prefetch": "gpu0"})'


def in_mib(nbytes: int) -> str:
    """A size in MiB, with a digit behind the point: sizes of one column that can be compared."""
    return f"{nbytes / MIB:.1f} MiB"


def in_ms(ns: int) -> str:
    """A time in milliseconds, with a digit behind the point."""
    return f"{ns / 1e6:.1f} ms"


@dataclass(frozen=True, slots=True)
class Score:
    """What a placement costs.

    Attributes:
        moved: pages that migrations carried over PCIe, by what made them move.
        in_place: pages of RAM that GPUs used over PCIe, each time they did.
        stopped_ns: how long the queues of a GPU stood still; of the GPU for which it was longest.
        process: the process that ran it, to look at.
        buffers: its buffers, by name.
    """

    moved: Mapping[str, int]
    in_place: int
    stopped_ns: int
    process: Process = field(repr=False, compare=False)
    buffers: Mapping[str, Buffer] = field(repr=False, compare=False)

    @property
    def carried_bytes(self) -> int:
        """Everything that went over PCIe."""
        return (sum(self.moved.values()) + self.in_place) * PAGE_SIZE

    @property
    def in_place_bytes(self) -> int:
        """What GPUs used in RAM."""
        return self.in_place * PAGE_SIZE

    def __str__(self) -> str:
        parts = [
            *((f"  moved by {why}", npages) for why, npages in self.moved.items()),
            ("  used in RAM", self.in_place),
        ]
        rows = [
            ("over PCIe", in_mib(self.carried_bytes)),
            *((what, in_mib(npages * PAGE_SIZE)) for what, npages in parts),
            ("queues stopped", in_ms(self.stopped_ns)),
        ]
        return table(rows)


def play(work: Workload, plan: Iterable[Call]) -> Score:
    """Run a workload on a placement.

    1. all buffers are in RAM, and each GPU has a queue; xnack is off
    2. the calls of the plan, one after the other; then the machine runs until it is idle
    3. round after round: the uses of GPUs in their order, then those of the CPU

    Args:
        work: the workload.
        plan: the calls, as in ``("weights", 0, 511, {"access": ["gpu0"], "prefetch": "gpu0"})``.

    Raises:
        InputError: something in the plan is no call, or there are too many.
        SvmError: what the driver answers to a call, or a GPU's fatal access.
    """
    calls = _checked(work, plan)
    p = Process(MACHINE, vram=VRAM_PAGES * PAGE_SIZE, payload=False)
    buffers = {name: p.mmap(npages * PAGE_SIZE, name=name, populate=True) for name, npages in work.buffers.items()}
    for gpu in p.machine.gpus:
        p.create_queue(gpu.index)
    for name, first, last, asked in calls:
        p.set_attr(buffers[name].pages(first, last - first + 1), **asked)
    p.run()
    in_place = sum(_round(p, buffers, work, number) for number in range(work.rounds))
    return Score(_moved(p), in_place, max(_stopped_ns(p).values(), default=0), p, buffers)


def _checked(work: Workload, plan: Iterable[Call]) -> list[Call]:
    try:
        calls = list(plan)
    except TypeError:
        raise InputError(f"the plan {plan!r}", allowed="a list of calls", hint=_FORM) from None
    if len(calls) > MOST_CALLS:
        raise InputError(f"a plan of {len(calls)} calls", allowed=f"{MOST_CALLS}", hint="join neighbouring pages")
    for call in calls:
        if not _is_call(call):
            raise InputError(f"the call {call!r}", allowed="(buffer, first page, last page, attributes)", hint=_FORM)
        if call[0] not in work.buffers:
            raise InputError(f"a buffer {call[0]!r}", allowed=", ".join(work.buffers))
    return calls


def _is_call(call: Any) -> bool:
    if not isinstance(call, tuple | list) or len(call) != 4:
        return False
    name, first, last, asked = call
    whole = (int, np.integer)
    return isinstance(name, str) and isinstance(first, whole) and isinstance(last, whole) and isinstance(asked, Mapping)


def _round(p: Process, buffers: Mapping[str, Buffer], work: Workload, number: int) -> int:
    """Run one round; returns how many pages of RAM its GPUs used."""
    now = [use for use in work.uses if number in use.rounds]
    used = sum(_gpus_use(p, buffers[use.buffer], use) for use in now if use.who != ("cpu",))
    for use in now:
        if use.who == ("cpu",):
            p.cpu_touch(buffers[use.buffer].pages(use.first, use.npages))
    p.run()
    return used


def _gpus_use(p: Process, buffer: Buffer, use: Use) -> int:
    span, used = buffer.pages(use.first, use.npages), 0
    for gpu in use.who:
        try:
            p.gpu(gpu).touch(span)
        except SvmError as error:
            pages = f"{use.buffer}, pages {use.first} to {use.last}"
            raise SvmError(f"{gpu} uses {pages}: {error}") from error
        used += int(np.count_nonzero(p.look.locations(span) == SYSMEM))
    return used


_WHY = {
    MigrateTrigger.PREFETCH: "calls",
    MigrateTrigger.PAGEFAULT_CPU: "CPU faults",
    MigrateTrigger.TTM_EVICTION: "a full VRAM",
}


def _moved(p: Process) -> dict[str, int]:
    triggers, npages = (p.log.field("migrate_end", name) for name in ("trigger", "npages"))
    return {why: int(npages[triggers == trigger].sum()) for trigger, why in _WHY.items()}


def _stopped_ns(p: Process) -> dict[int, int]:
    """For each GPU how long its queues stood still; stops of one GPU may overlap."""
    stopped: dict[int, int] = {}
    depth: dict[int, int] = {}
    since: dict[int, int] = {}
    for event in p.log.events("queue_eviction", "queue_restore"):
        gpu = event.fields["gpu"]
        stops = event.name == "queue_eviction"
        before, depth[gpu] = depth.get(gpu, 0), depth.get(gpu, 0) + (1 if stops else -1)
        if stops and not before:
            since[gpu] = event.time_ns
        elif not stops and not depth[gpu]:
            stopped[gpu] = stopped.get(gpu, 0) + event.time_ns - since[gpu]
    return stopped
