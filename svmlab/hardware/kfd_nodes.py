"""The nodes of a KFD topology tree: what each is, and what its files say about it."""

from __future__ import annotations

import zlib
from dataclasses import dataclass

from svmlab.hardware.devices import KnownDevice, known_device
from svmlab.hardware.figures import Figure
from svmlab.hardware.kfd_properties import Properties, read_number, read_properties
from svmlab.hardware.kfd_tree import KfdTree
from svmlab.hardware.parts import LARGEST_MEMORY, Device
from svmlab.uapi import UNDEFINED
from svmlab.units import PAGE_SIZE, format_size

__all__ = ["CpuNode", "GpuNode", "read_nodes"]

_SYSTEM_HEAPS = (0,)
_VRAM_HEAPS = (1, 2)
_ASSUMED_VRAM_GIB = 16
_ASSUMED_TARGET = (9, 0, 0)
# Kernel: KFD_SUPPORT_XNACK_PER_PROCESS (kfd_priv.h). The macro compares hardware versions; these are the gfx targets of
# the same parts. Older GPUs retry only when the whole driver is loaded with noretry=0, which is not its default.
_XNACK_TARGETS = frozenset({(9, 0, 10), (9, 4, 0), (9, 4, 1), (9, 4, 2), (9, 5, 0)})


@dataclass(frozen=True, slots=True)
class CpuNode:
    """A node without GPU.

    Attributes:
        number: its folder's name.
        ram_bytes: its system memory, 0 where the tree does not tell.
    """

    number: int
    ram_bytes: int


@dataclass(frozen=True, slots=True)
class GpuNode:
    """A node with a GPU.

    Attributes:
        number: its folder's name.
        gpu_id: as the driver wrote it, 0 where the tree does not tell.
        derived_id: an id made from what identifies the GPU, 1 to 0xffff; the same for the same tree.
        hive_id: the hive, 0 for none and for drivers that do not know hives.
        device: the model.
    """

    number: int
    gpu_id: int
    derived_id: int
    hive_id: int
    device: Device


def read_nodes(tree: KfdTree, notes: list[str]) -> tuple[list[GpuNode], list[CpuNode]]:
    """Read every node, GPUs and CPUs apart, in node order.

    Args:
        tree: the texts.
        notes: what is assumed is added here.

    Raises:
        InputError: a file is missing or damaged.
    """
    gpus: list[GpuNode] = []
    cpus: list[CpuNode] = []
    for number in tree.nodes:
        properties = read_properties(tree, f"nodes/{number}/properties")
        if properties.need("simd_count"):
            gpus.append(_gpu_node(tree, number, properties, notes))
        else:
            cpus.append(CpuNode(number, _heap_bytes(tree, number, _SYSTEM_HEAPS)))
    return gpus, cpus


def _heap_bytes(tree: KfdTree, node: int, heaps: tuple[int, ...]) -> int:
    banks = [read_properties(tree, path) for path in tree.below(node, "mem_banks")]
    sizes = [bank.need("size_in_bytes", most=LARGEST_MEMORY) for bank in banks if bank.need("heap_type") in heaps]
    return sum(sizes) // PAGE_SIZE * PAGE_SIZE


def _gpu_node(tree: KfdTree, number: int, properties: Properties, notes: list[str]) -> GpuNode:
    return GpuNode(
        number,
        gpu_id=read_number(tree, f"nodes/{number}/gpu_id", most=UNDEFINED - 1),
        derived_id=_derived_id(number, properties),
        hive_id=properties.get("hive_id", 0),
        device=_device(tree, number, properties, notes),
    )


def _derived_id(number: int, properties: Properties) -> int:
    """A stand-in for the driver's 16-bit hash, which takes in more than a tree shows.

    Kernel: kfd_generate_gpu_id (kfd_topology.c)
    """
    keys = ("domain", "location_id", "device_id", "unique_id")
    identity = " ".join(str(properties.get(key, 0)) for key in keys)
    return zlib.crc32(f"{number} {identity}".encode()) % 0xFFFF + 1


def _device(tree: KfdTree, number: int, properties: Properties, notes: list[str]) -> Device:
    known = known_device(properties.get("device_id", 0))
    parts = _partitions(properties, known)
    target = _target(properties, known, notes)
    return Device(
        name=_model_name(tree, number, properties, known) + (f" (1 of {parts} partitions)" if parts > 1 else ""),
        target=target,
        vram=_vram(tree, number, properties, notes),
        vram_bandwidth=known.device.vram_bandwidth if known and parts == 1 else None,
        sdma_engines=properties.get("num_sdma_engines", known.device.sdma_engines if known else 2, most=1024),
        sdma_xgmi_engines=properties.get("num_sdma_xgmi_engines", 0, most=1024),
        xnack_capable=target in _XNACK_TARGETS,
    )


def _partitions(properties: Properties, known: KnownDevice | None) -> int:
    """Into how many GPUs the driver splits the whole one; each shows its own share of the compute dies."""
    dies = properties.get("num_xcc", 0)
    return known.xccs // dies if known and 0 < dies < known.xccs else 1


def _model_name(tree: KfdTree, number: int, properties: Properties, known: KnownDevice | None) -> str:
    if known:
        return known.device.name
    written = "".join(c for c in tree.files.get(f"nodes/{number}/name", "") if c.isprintable()).strip()[:64]
    return written or f"AMD GPU {properties.get('device_id', 0):#06x}"


def _target(properties: Properties, known: KnownDevice | None, notes: list[str]) -> tuple[int, int, int]:
    version = properties.get("gfx_target_version", 0, most=999999)
    if version:
        return version // 10000, version // 100 % 100, version % 100
    target = known.device.target if known else _ASSUMED_TARGET
    _note(
        notes, f"the tree does not tell every gfx target; {'.'.join(map(str, target))} is assumed where it is missing"
    )
    return target


def _vram(tree: KfdTree, number: int, properties: Properties, notes: list[str]) -> Figure:
    """What the tree says, else what is known of the model, else an assumption that the notes tell."""
    written = _heap_bytes(tree, number, _VRAM_HEAPS)
    if written:
        return Figure.exact(written, "B", source="mem_banks of the GPU's node")
    local = properties.get("local_mem_size", 0, most=LARGEST_MEMORY) // PAGE_SIZE * PAGE_SIZE
    if local:
        return Figure.exact(local, "B", source="local_mem_size of the GPU's node")
    known = known_device(properties.get("device_id", 0))
    if known is None:
        _note(notes, f"the tree does not tell the VRAM of an unknown model; {_ASSUMED_VRAM_GIB} GiB are assumed")
        return Figure(_ASSUMED_VRAM_GIB, "GiB", 1, 288, "the tree has no mem_banks, the model is unknown", "assumed")
    share = known.device.vram.whole // _partitions(properties, known) // PAGE_SIZE * PAGE_SIZE
    _note(
        notes, f"the tree does not tell the VRAM; {format_size(share)} are assumed for this model ({known.device.name})"
    )
    return Figure(share, "B", share / 2, share, f"no mem_banks in the tree; {known.device.vram.source}", "assumed")


def _note(notes: list[str], text: str) -> None:
    if text not in notes:
        notes.append(text)
