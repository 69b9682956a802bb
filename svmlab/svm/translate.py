"""One page in every page table of a process: what its entry says, and which frame it names."""

from __future__ import annotations

from dataclasses import dataclass

from svmlab.hardware.frames import AnyPfns
from svmlab.hardware.gpu import ProcessDevice, PteFlag
from svmlab.mm import entries as pte
from svmlab.svm.driver import Driver
from svmlab.uapi import SYSMEM

__all__ = ["Entry", "entries_of"]

_CPU_ACCESS = {
    pte.EntryKind.NONE: "none",
    pte.EntryKind.ZERO: "read",
    pte.EntryKind.READ: "read",
    pte.EntryKind.WRITE: "read and write",
    pte.EntryKind.DEVICE: "none",
    pte.EntryKind.SWAP: "none",
}
_CPU_SAYS = {
    pte.EntryKind.NONE: "nothing",
    pte.EntryKind.ZERO: "the zero page",
    pte.EntryKind.DEVICE: "a device page",
    pte.EntryKind.SWAP: "a place in swap",
}


@dataclass(frozen=True, slots=True)
class Entry:
    """What one page table holds for one page.

    Attributes:
        gpu: whose table, by GPU index; -1: the CPU's.
        says: what the entry is: ``"nothing"``, ``"a frame"``, ``"the zero page"``, ``"a device page"``, ``"a migration
            entry"`` (whoever touches the page has to wait), ``"a place in swap"``.
        access: what its owner may do without a fault: ``"none"``, ``"read"`` or ``"read and write"``.
        location: where the frame is, 0 for RAM or a gpu id; -1 without a frame.
        frame: the frame's number, counted from 0 in its memory; -1 without a frame.
    """

    gpu: int
    says: str
    access: str
    location: int = -1
    frame: int = -1


def entries_of(driver: Driver, page: int) -> list[Entry]:
    """Look one page up in the CPU's page table and in that of every GPU.

    Args:
        driver: whose tables.
        page: the page; a look faults nothing in.
    """
    return [_cpu_entry(driver, page), *(_gpu_entry(driver, device, page) for device in driver.devices)]


def _cpu_entry(driver: Driver, page: int) -> Entry:
    entry = driver.mm.table.get(page, page)
    kind = pte.EntryKind(int(pte.kinds(entry, driver.memory)[0]))
    says, access = _CPU_SAYS.get(kind, "a frame"), _CPU_ACCESS[kind]
    if kind in (pte.EntryKind.NONE, pte.EntryKind.SWAP):
        return Entry(-1, says, access)
    if pte.migrating(entry, driver.memory)[0]:
        says, access = "a migration entry", "none"
    return Entry(-1, says, access, *_place(driver, pte.pfn_of(entry)))


def _gpu_entry(driver: Driver, device: ProcessDevice, page: int) -> Entry:
    flags = PteFlag(int(device.flags.get(page, page)[0]) & 63)
    if not flags & PteFlag.VALID:
        return Entry(device.gpu, "nothing", "none")
    access = "read and write" if flags & PteFlag.WRITEABLE else "read"
    return Entry(device.gpu, "a frame", access, *_place(driver, device.frames.get(page, page)))


def _place(driver: Driver, pfns: AnyPfns) -> tuple[int, int]:
    """Location of a frame, and its number there."""
    pfn, gpu = int(pfns[0]), int(driver.memory.gpu_of(pfns)[0])
    return (SYSMEM, pfn) if gpu < 0 else (driver.machine.gpu(gpu).gpu_id, pfn - int(driver.memory.vram_base[gpu]))
