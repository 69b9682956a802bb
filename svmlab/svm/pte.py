"""What a GPU page table entry allows and how it caches, by GPU family."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import numpy.typing as npt

from svmlab.hardware.gpu import MTYPE_SHIFT, PteFlag
from svmlab.hardware.machine import Machine
from svmlab.uapi import Flag

__all__ = ["MTYPES", "entry_flags", "mtype"]

MTYPES = ("NC", "UC", "CC", "RW")
"""Memory types: non-coherent cached, uncached, cache coherent, cached read-write (AMDGPU_VM_MTYPE_*)."""


def mtype(machine: Machine, gpu: int, *, owner: int | None, flags: int) -> tuple[str, bool]:
    """Memory type of a mapping, and whether the GPU snoops.

    Args:
        machine: the machine.
        gpu: the GPU that maps, by index.
        owner: the GPU whose VRAM the page is in, None for RAM.
        flags: flags of the range.

    Returns:
        One of ``MTYPES``, and the snoop bit.

    Kernel: svm_range_get_pte_flags (kfd_svm.c)
    """
    coherent = bool(flags & (Flag.COHERENT | Flag.EXT_COHERENT))
    external = bool(flags & Flag.EXT_COHERENT)
    family = machine.gpu(gpu).device.target
    if family in ((9, 0, 8), (9, 0, 10)):
        return _arcturus_and_aldebaran(machine, gpu, owner, coherent)
    if family[:2] == (9, 4) or family[:2] == (9, 5):
        return _mi300(machine, gpu, owner, external), True
    if family[0] == 12:
        return "NC", owner is None
    return ("UC" if coherent else "NC"), owner is None


def _arcturus_and_aldebaran(machine: Machine, gpu: int, owner: int | None, coherent: bool) -> tuple[str, bool]:
    if owner == gpu:
        return ("CC" if coherent else "RW"), machine.gpu(gpu).cpu_connected
    return ("UC" if coherent else "NC"), owner is None or machine.same_hive(gpu, owner)


def _mi300(machine: Machine, gpu: int, owner: int | None, external: bool) -> str:
    newer = machine.gpu(gpu).device.target[:2] == (9, 5)
    if owner == gpu:
        return "CC" if external else "RW"
    if owner is not None:
        near = machine.same_hive(gpu, owner)
        if near and not external:
            return "NC"
        return "UC" if external or not newer else "NC"
    return "NC" if newer and not external else "UC"


@lru_cache(maxsize=256)
def entry_flags(machine: Machine, gpu: int, flags: int) -> npt.NDArray[np.uint8]:
    """Bits of a GPU's entries for the pages of a range.

    Args:
        machine, gpu: who maps.
        flags: flags of the range.

    Returns:
        ``PteFlag`` bits with the memory type above them, shape ``(2, 1 + GPUs)``, to be read only. Row 1 is for pages
        that may be written; the first column is for pages in RAM, the following for those in the VRAM of each GPU.
    """
    places = [_bits(machine, gpu, None, flags), *(_bits(machine, gpu, owner.index, flags) for owner in machine.gpus)]
    store = 0 if flags & Flag.GPU_RO else int(PteFlag.WRITEABLE)
    bits = np.array([places, [place | store for place in places]], np.uint8)
    bits.flags.writeable = False
    return bits


def _bits(machine: Machine, gpu: int, owner: int | None, flags: int) -> int:
    kind, snooped = mtype(machine, gpu, owner=owner, flags=flags)
    bits = PteFlag.VALID | PteFlag.READABLE
    bits |= PteFlag.SYSTEM if owner is None else PteFlag(0)
    bits |= PteFlag.SNOOPED if snooped else PteFlag(0)
    bits |= PteFlag.EXECUTABLE if flags & Flag.GPU_EXEC else PteFlag(0)
    return int(bits) | MTYPES.index(kind) << MTYPE_SHIFT
