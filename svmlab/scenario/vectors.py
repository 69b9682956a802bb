"""Recorded answers of the driver's own C functions, replayed through the mechanisms that a process runs.

Each row of a vector file is one input and one answer. A row becomes a ``Driver`` with its VMAs, its VRAM layout and one
placed range; the mechanism runs as it does for a process; the events it wrote are compared with the recorded calls.
"""

from __future__ import annotations

import errno
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from svmlab.errors import DriverError
from svmlab.hardware.figures import Figure
from svmlab.hardware.injection import Hit, Injections
from svmlab.hardware.machine import Machine
from svmlab.hardware.parts import Device, Gpu
from svmlab.hardware.vram import Node, Vram
from svmlab.hardware.world import Blocking
from svmlab.mm import entries as pte
from svmlab.mm.address_space import AddressSpace
from svmlab.mm.vma import Protection, Vma, VmaKind
from svmlab.scenario.vector_rows import BestLocation, RamToVram, Trigger, VectorGpu, VramToRam
from svmlab.svm.behaviour_table import POSTED
from svmlab.svm.driver import Driver, System
from svmlab.svm.migrate_piece import Journey
from svmlab.svm.migration import ram_to_vram, trigger_migration, vram_to_ram
from svmlab.svm.ranges import Range
from svmlab.svm.vram_buffer import VramBuffer
from svmlab.uapi import SYSMEM, Flag, MigrateTrigger
from svmlab.units import PAGE_SIZE

__all__ = ["Answer", "replay_best_location", "replay_ram_to_vram", "replay_trigger", "replay_vram_to_ram"]

_RANGE_START = 0x100
_RAM_PAGES = 1 << 14


@dataclass(frozen=True, slots=True)
class Answer:
    """What the product answers to a row.

    Attributes:
        found: the answer, in the shape of the row's.
        rule: the rule or the step behind it, in words.
    """

    found: Any
    rule: str


def _machine(gpus: tuple[VectorGpu, ...], vram_pages: int = 1 << 9) -> Machine:
    def figure(pages: int) -> Figure:
        return Figure.exact(pages * PAGE_SIZE, "B", source="a recorded vector", evidence="assumed")

    device = Device("vector", (9, 0, 10), figure(vram_pages))
    return Machine(
        "vector",
        "the GPUs of a recorded vector",
        figure(_RAM_PAGES),
        tuple(Gpu(index, gpu.id, device, gpu.hive) for index, gpu in enumerate(gpus)),
    )


def _driver(machine: Machine, *, xnack: bool = False, behaviour: dict[str, str] | None = None) -> Driver:
    system = System(machine, behaviour={"base": POSTED, **(behaviour or {})}, payload=False)
    mm = AddressSpace(system.world, system.memory, system.costs, name="vector", pid=1)
    return Driver(system, mm, xnack=xnack)


def _bits(row_gpus: tuple[VectorGpu, ...], ids: tuple[int, ...]) -> int:
    return sum(1 << index for index, gpu in enumerate(row_gpus) if gpu.id in ids)


def _drain(driver: Driver, work: Blocking[Any]) -> tuple[int, Any]:
    """Run a mechanism to its end; returns 0 or the negative errno, and what it returned."""
    outcome: list[Any] = [None]

    def task() -> Blocking[None]:
        try:
            outcome[0] = yield from work
        except DriverError as error:
            outcome.append(-error.errno)

    driver.world.spawn("vector", task(), pid=1)
    driver.world.env.run()
    return (outcome[1] if len(outcome) > 1 else 0), outcome[0]


def replay_best_location(row: BestLocation) -> Answer:
    """Ask the product's policy.

    Kernel: svm_range_best_location (kfd_svm.c)
    """
    driver = _driver(_machine(row.gpus), xnack=row.xnack)
    range_ = Range(
        _RANGE_START,
        _RANGE_START,
        prefetch_loc=row.prefetch,
        access=_bits(row.gpus, row.access),
        in_place=_bits(row.gpus, row.access_in_place),
    )
    best = driver.behaviour.location_policy(driver.situation(range_))
    return Answer(best.location, best.rule)


def replay_trigger(row: Trigger) -> Answer:
    """Let the product decide on a migration; the migration itself is scripted to succeed.

    Kernel: svm_range_trigger_migration (kfd_svm.c)
    """
    driver = _driver(_machine(row.gpus), xnack=row.xnack, behaviour={"prefetch_home": "absent"})
    driver.mm.insert(_vma(_RANGE_START, _RANGE_START + 1))
    range_ = Range(
        _RANGE_START,
        _RANGE_START,
        prefetch_loc=row.prefetch,
        access=_bits(row.gpus, row.access),
        in_place=_bits(row.gpus, row.access_in_place),
        actual_loc=row.actual,
        flags=int(Flag.HOST_ACCESS) if row.host_access else 0,
    )
    held = np.zeros(1, np.uint32)
    range_.page_array = held if row.validated else None
    if row.validate_result:
        driver.faults.order("hmm_fault", error=-row.validate_result)

    def succeed(driver: Driver, range_: Range, journey: Journey) -> Blocking[None]:
        range_.actual_loc = journey.target
        yield from ()

    result, migrated = _drain(driver, trigger_migration(driver, range_, to_gpu=succeed, home=succeed))
    validated = bool(result) or (range_.page_array is not None and range_.page_array is not held)
    found = {"result": result, "migrated": bool(migrated), "validates_ram": validated, "actual": range_.actual_loc}
    decided = driver.log.events("decision")
    return Answer(found, decided[0].text if decided else "")


def _vma(start: int, end: int) -> Vma:
    return Vma(start, end - 1, Protection.READ | Protection.WRITE, VmaKind.ANONYMOUS, "vector")


class _MissedPages(Injections):
    """For each call of migrate_vma_setup how many pages it misses, or the errno it returns."""

    def __init__(self, script: tuple[int, ...]) -> None:
        super().__init__()
        self._script = list(script)
        self._missed = 0

    def first(self, fault: str, occurrences: int = 1, *, gpu: int | None = None) -> Hit | None:
        if fault != "setup":
            return super().first(fault, occurrences, gpu=gpu)
        next_one = self._script.pop(0) if self._script else 0
        self._missed = max(0, next_one)
        return Hit(0, -next_one) if next_one < 0 else None

    def all(self, fault: str, occurrences: int, *, gpu: int | None = None) -> list[Hit]:
        return [Hit(index, 0) for index in range(min(self._missed, occurrences))]


def replay_ram_to_vram(row: RamToVram) -> Answer:
    """Move a range to VRAM as recorded.

    Kernel: svm_migrate_ram_to_vram (kfd_migrate.c)
    """
    driver = _driver(_machine(row.gpus, _vram_pages(row.vram_nodes)))
    driver.faults = _MissedPages(row.pages_missed)
    _fail(driver, "dma_map", row.dma_map_fails_at)
    _fail(driver, "copy", row.copy_fails_at)
    for start, end in row.vmas:
        driver.mm.insert(_vma(start, end))
    _populate(driver, row.start, row.last)
    range_ = Range(row.start, row.last, actual_loc=row.actual)
    gpu = driver.gpu_index(row.best)
    if row.vram_result:
        driver.faults.order("vram_alloc", count=len(row.vmas) + 1, error=-row.vram_result)
    elif gpu is not None:
        _place_buffer(driver, range_, gpu, row.vram_nodes)
        range_.offset = row.offset
    result, _ = _drain(driver, ram_to_vram(driver, range_, Journey(row.best, MigrateTrigger.PREFETCH)))
    held = int(driver.log.field("migrate_pages", "npages").sum())
    found = {"result": result, "actual": range_.actual_loc, "vram_pages_held": held, "calls": _calls(driver)}
    return Answer(found, _last_step(driver))


def replay_vram_to_ram(row: VramToRam) -> Answer:
    """Move a range home as recorded.

    Kernel: svm_migrate_vram_to_ram (kfd_migrate.c)
    """
    nodes = tuple((first, npages) for _, first, npages in row.in_vram)
    driver = _driver(_machine(row.gpus, _vram_pages(nodes)))
    for fault, at in (
        ("setup", row.setup_fails_at),
        ("ram_alloc", row.ram_alloc_fails_at),
        ("dma_map", row.dma_map_fails_at),
        ("copy", row.copy_fails_at),
    ):
        _fail(driver, fault, at)
    for start, end in row.vmas:
        driver.mm.insert(_vma(start, end))
    _populate(driver, row.start, row.last)
    range_ = Range(row.start, row.last, actual_loc=row.actual)
    gpu = driver.gpu_index(row.actual) or 0
    _place_buffer(driver, range_, gpu, nodes)
    for offset, first, npages in row.in_vram:
        _put_in_vram(driver, range_, (gpu, row.start + offset, first, npages))
    result, _ = _drain(driver, vram_to_ram(driver, range_, Journey(SYSMEM, MigrateTrigger.PREFETCH)))
    return Answer({"result": result, "actual": range_.actual_loc, "calls": _calls(driver)}, _last_step(driver))


def _fail(driver: Driver, fault: str, at: int) -> None:
    if at:
        driver.faults.order(fault, nth=at)


def _vram_pages(nodes: tuple[Node, ...]) -> int:
    return max((first + npages for first, npages in nodes), default=0) + 1


def _populate(driver: Driver, start: int, last: int) -> None:
    """Every page of the range is in RAM, writable."""
    frames = driver.memory.alloc_ram(last - start + 1)
    driver.mm.table.set(start, pte.make(frames, write=True))


def _place_buffer(driver: Driver, range_: Range, gpu: int, nodes: tuple[Node, ...]) -> None:
    """Give the range VRAM with exactly these nodes."""
    buffer = VramBuffer(1, gpu, 1, list(nodes), sum(npages for _, npages in nodes), ranges=[range_], cleared=False)
    driver.vrams[gpu] = Vram.from_nodes(nodes)
    driver.vrams[gpu].claim(nodes)
    driver.system.buffers[1] = buffer
    range_.buffer, range_.has_vram = buffer, True


def _put_in_vram(driver: Driver, range_: Range, run: tuple[int, int, int, int]) -> None:
    gpu, page, first, npages = run
    frames = np.arange(npages, dtype=np.uint32) + np.uint32(driver.memory.vram_base[gpu] + first)
    driver.memory.put(pte.pfn_of(driver.mm.table.get(page, page + npages - 1)))
    driver.memory.references[frames] = 1
    driver.mm.table.set(page, pte.make(frames, write=True))


_CALLS: dict[str, Callable[[Any], list[Any]]] = {
    "migrate_setup": lambda e: [
        "setup",
        e.start,
        e.npages,
        -e.fields["error"] if e.fields["error"] else e.fields["cpages"],
    ],
    "copy_failed": lambda e: ["copy_failed"],
    "put_ram_pages": lambda e: ["put_ram_pages", e.fields["npages"]],
    "migrate_pages": lambda e: ["pages", e.fields["npages"]],
    "fence_wait": lambda e: ["fence"],
    "migrate_finalize": lambda e: ["finalize"],
    "dma_unmap": lambda e: ["dma_unmap", e.fields["npages"]],
    "vram_free": lambda e: ["vram_free"],
}


def _calls(driver: Driver) -> list[list[Any]]:
    """The events of a migration as the recorder wrote its calls."""
    calls: list[list[Any]] = []
    for event in driver.log.events("step", "vram_alloc", "copy", *_CALLS):
        if event.name == "step":
            if event.fields["number"] == 2 and driver.log.events("migrate_start")[-1].fields["source"] == SYSMEM:
                calls.append(["alloc", 0])
        elif event.name == "vram_alloc":
            calls[-1] = ["alloc", -event.fields["error"]]
        elif event.name == "copy":
            ends = [event.start, event.fields["vram_page"]]
            calls.append(["copy", *(ends if event.fields["to_vram"] else reversed(ends)), event.fields["npages"]])
        else:
            calls.append(_CALLS[event.name](event))
    return calls


def _last_step(driver: Driver) -> str:
    steps = driver.log.events("step")
    return f"step {steps[-1].fields['number']}: {steps[-1].text}" if steps else errno.errorcode.get(errno.ENODEV, "")
