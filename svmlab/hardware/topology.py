"""From a KFD topology tree to a machine.

Every AMD machine shows its tree under /sys/class/kfd/kfd/topology. Old drivers write fewer properties, archives leave
files out, containers hide GPUs: what is missing is derived or assumed, and each time the machine's notes say so. What
contradicts itself is refused.
"""

from __future__ import annotations

import re
from pathlib import Path

from svmlab.errors import InputError
from svmlab.hardware.description import in_file
from svmlab.hardware.figures import Figure
from svmlab.hardware.kfd_links import read_links
from svmlab.hardware.kfd_nodes import CpuNode, GpuNode, read_nodes
from svmlab.hardware.kfd_tree import read_tree
from svmlab.hardware.machine import MAX_GPUS, Machine
from svmlab.hardware.parts import Endpoint, Gpu, Link

__all__ = ["RUNNING_MACHINE", "import_topology"]

RUNNING_MACHINE = Path("/sys/class/kfd/kfd/topology")
"""Where a running machine shows its own tree."""

_ASSUMED_RAM_GIB = 256


def import_topology(path: Path) -> Machine:
    """Read a machine from its KFD topology tree.

    Args:
        path: the ``topology`` folder, its parent, a folder that holds one of them, or a ``.tar.gz`` of any of these.

    Returns:
        The machine, GPUs in node order; ``notes`` tells what the tree did not say.

    Raises:
        InputError: no tree, a damaged one, or one without a GPU; one line that names the file.

    Kernel: kfd_topology_add_device (kfd_topology.c)
    """
    tree = read_tree(path)
    notes = [
        f"node {node} is hidden by the system (device list of a container); it is left out"
        for node in sorted(tree.hidden)
    ]
    gpus, cpus = read_nodes(tree, notes)
    if not 1 <= len(gpus) <= MAX_GPUS:
        raise InputError(f"{path}: {len(gpus)} GPUs in it", allowed=f"1 to {MAX_GPUS} nodes with simd_count above 0")
    ends = {node.number: Endpoint("gpu", index) for index, node in enumerate(gpus)}
    ends |= {node.number: Endpoint("cpu", index) for index, node in enumerate(cpus)}
    links = read_links(tree, ends, notes=notes)
    ram, chips = _ram(cpus, notes), _gpus(gpus, links, notes)
    try:
        return Machine(_name(path), _title(gpus), ram, chips, links, max(1, len(cpus)), tuple(notes))
    except InputError as error:
        raise in_file(path, error) from error


def _gpus(nodes: list[GpuNode], links: tuple[Link, ...], notes: list[str]) -> tuple[Gpu, ...]:
    ids = _distinct_ids(nodes, notes)
    return tuple(_gpu(index, node, ids[index], links) for index, node in enumerate(nodes))


def _gpu(index: int, node: GpuNode, gpu_id: int, links: tuple[Link, ...]) -> Gpu:
    hosts = [link for link in links if link.target == Endpoint("gpu", index) and link.source.kind == "cpu"]
    if not hosts:
        return Gpu(index, gpu_id, node.device, node.hive_id)
    nearest = min(hosts, key=lambda link: link.weight)
    return Gpu(index, gpu_id, node.device, node.hive_id, nearest.source.index, nearest.kind == "xgmi")


def _distinct_ids(nodes: list[GpuNode], notes: list[str]) -> list[int]:
    """Give every GPU an id of its own; on a collision the driver adds one, and so does this.

    Kernel: kfd_generate_gpu_id (kfd_topology.c)
    """
    ids: list[int] = []
    written = {node.gpu_id for node in nodes}
    for node in nodes:
        gpu_id = wanted = node.gpu_id or node.derived_id
        # A derived id makes room for those that the driver gave.
        while gpu_id in ids or (not node.gpu_id and gpu_id in written):
            gpu_id += 1
        ids.append(gpu_id)
        if node.gpu_id and gpu_id != wanted:
            notes.append(f"nodes/{node.number}/gpu_id repeats {wanted}; {gpu_id} is used")
    if not all(node.gpu_id for node in nodes):
        notes.append(
            "the tree does not tell every gpu_id; missing ones are derived from PCI location and serial number"
        )
    return ids


def _ram(cpus: list[CpuNode], notes: list[str]) -> Figure:
    if not cpus:
        notes.append("the tree has no CPU node; one is assumed")
    nbytes = sum(node.ram_bytes for node in cpus)
    if nbytes:
        return Figure.exact(nbytes, "B", source="mem_banks of the CPU nodes")
    notes.append(f"the tree does not tell the RAM; {_ASSUMED_RAM_GIB} GiB for each CPU node are assumed")
    size = _ASSUMED_RAM_GIB * max(1, len(cpus))
    return Figure(size, "GiB", size / 4, size * 16, "the tree has no mem_banks", "assumed")


def _name(path: Path) -> str:
    if path.absolute() == RUNNING_MACHINE:
        return "this-machine"
    stem = re.sub(r"(\.tar)?(\.gz)?(\.tgz)?$", "", path.absolute().name)
    return re.sub(r"[^A-Za-z0-9._-]+", "-", stem).strip("-._")[:64] or "machine"


def _title(gpus: list[GpuNode]) -> str:
    counts: dict[str, int] = {}
    for node in gpus:
        counts[node.device.name] = counts.get(node.device.name, 0) + 1
    return " + ".join(f"{count} x {name}" for name, count in counts.items())
