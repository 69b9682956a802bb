"""The topology: CPU nodes above, hives as frames, GPUs in them, links as lines as wide as they are fast."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import combinations
from typing import TYPE_CHECKING, Any

from svmlab.errors import InputError
from svmlab.hardware.describe import capacity, hive_letter, rate
from svmlab.hardware.machine import Machine
from svmlab.hardware.parts import Gpu, Link
from svmlab.views.scene import Diagram, Group, Node, Scene, Wire, data
from svmlab.views.source import plural
from svmlab.views.style import WIRES

if TYPE_CHECKING:
    from svmlab.hardware.figures import Figure
    from svmlab.svm.process import Process

__all__ = ["LONERS", "REACH", "topology"]

LONERS = "no hive"
"""The name of the group of GPUs that are in no hive."""
REACH = {
    "all": "Every GPU reaches the VRAM of every other.",
    "hive": "A GPU reaches VRAM in its own hive only; beyond it pages go through RAM.",
    "none": "No GPU reaches the VRAM of another: between them pages go through RAM.",
}
"""What follows from the hives for the driver."""


def topology(machine: Machine | Process | str) -> Scene:
    """Picture a machine: its CPU nodes, hives, GPUs and links.

    Args:
        machine: a machine, its name or file, or a process that runs on it.

    Returns:
        A scene with one diagram. A frame is a hive: its GPUs reach each other's VRAM. GPUs stand in it by the CPU node
        they hang on. Drawn are the links to the own CPU node and, in a hive, those whose bandwidth is known; a note
        counts the others.

    Raises:
        InputError: there is no such machine.

    >>> from svmlab.views import describe
    >>> print(describe(topology("pcie-pair")))
    pcie-pair has 2 GPUs and 1 CPU node: gpu0, gpu1 in no hive. Each GPU hangs on its CPU node by PCIe 15.75 GB/s. \
No GPU reaches the VRAM of another: between them pages go through RAM.
    """
    found = _machine(machine)
    wires = (*_host_wires(found), *_peer_wires(found))
    groups = tuple(_group(found, name, members) for name, members in _hives(found))
    diagram = Diagram(_hosts(found), groups, wires, tuple(_notes(found, wires)), kind="topology")
    return Scene("topology", found.name, (diagram,))


def _machine(given: Any) -> Machine:
    machine = getattr(given, "machine", given)
    if isinstance(machine, Machine):
        return machine
    if not isinstance(machine, str):
        raise InputError(f"{given!r} has no topology", allowed="a Machine, its name or file, or a Process")
    return Machine.find(machine)


def _hives(machine: Machine) -> Iterator[tuple[str, list[Gpu]]]:
    for number, members in enumerate(machine.hives.values()):
        yield f"hive {hive_letter(number)}", _by_cpu(machine, members)
    loners = [gpu.index for gpu in machine.gpus if not gpu.hive_id]
    if loners:
        yield LONERS, _by_cpu(machine, loners)


def _by_cpu(machine: Machine, members: Any) -> list[Gpu]:
    """Neighbours on one CPU node stand side by side; otherwise in the driver's order."""
    gpus = [machine.gpu(index) for index in members]
    first = {gpu.cpu: gpu.index for gpu in reversed(gpus)}
    return sorted(gpus, key=lambda gpu: (first[gpu.cpu], gpu.index))


def _hosts(machine: Machine) -> tuple[Node, ...]:
    ram = f"RAM {_size(machine.ram)}" if machine.cpus == 1 else "RAM"
    return tuple(Node(f"cpu{index}", "cpu", (ram,)) for index in range(machine.cpus))


def _group(machine: Machine, name: str, members: list[Gpu]) -> Group:
    nodes = tuple(Node(f"gpu{gpu.index}", f"gpu{gpu.index}", (_size(gpu.device.vram),)) for gpu in members)
    return Group(name, nodes, _linked(machine, members) if name != LONERS else "reaches no other VRAM")


def _linked(machine: Machine, members: list[Gpu]) -> str:
    """How the GPUs of a hive are linked, in a few words."""
    pairs = list(combinations(sorted(gpu.index for gpu in members), 2))
    links = [machine.peer_link(*pair) for pair in pairs]
    labels = Counter(_label(link) for link in links if link is not None and link.wire.peak is not None)
    whole = len(labels) == 1 and labels.total() == len(pairs)
    if whole and len(pairs) > 1:
        return f"every pair linked by {next(iter(labels))}"
    if whole:
        return f"linked by {next(iter(labels))}"
    return f"{labels.total()} of {plural(len(pairs), one='pair')} linked directly" if pairs else "one GPU"


def _host_wires(machine: Machine) -> Iterator[Wire]:
    for gpu in machine.gpus:
        link = machine.host_link(gpu.index)
        if link is not None:
            yield _wire(link)


def _peer_wires(machine: Machine) -> Iterator[Wire]:
    for a, b in combinations(range(len(machine.gpus)), 2):
        link = machine.peer_link(a, b)
        if link is not None and link.wire.peak is not None and machine.same_hive(a, b):
            yield _wire(link)


def _wire(link: Link) -> Wire:
    wire = link.wire
    rates = {name: figure.whole if figure else 0 for name, figure in (("there", wire.forward), ("back", wire.backward))}
    held = data(weight=wire.weight, **rates)
    return Wire((str(link.source), str(link.target)), link.kind, link.bandwidth_bytes_per_s, _label(link), held)


def _label(link: Link) -> str:
    return WIRES[link.kind].name + (f" {rate(link.wire.peak)}" if link.wire.peak else ", bandwidth unknown")


def _size(size: Figure) -> str:
    return f"{'~' if size.evidence == 'assumed' else ''}{capacity(size.whole)}"


def _notes(machine: Machine, wires: tuple[Wire, ...]) -> Iterator[str]:
    if len(machine.gpus) > 1:
        yield REACH[_reach(machine)]
    lone = [f"cpu{cpu}" for cpu in range(machine.cpus) if all(gpu.cpu != cpu for gpu in machine.gpus)]
    if lone:
        yield f"No GPU hangs on {', '.join(lone)}."
    ends = {wire.ends for wire in wires}
    left_out = Counter(map(_way, (link for link in machine.links if (str(link.source), str(link.target)) not in ends)))
    if left_out:
        yield f"Not drawn, longer ways: {', '.join(f'{count} {way}' for way, count in left_out.items())}."
    if machine.cpus > 1:
        yield f"RAM of all CPU nodes together: {_size(machine.ram)}."
    if any("~" in text for text in (_size(machine.ram), *(wire.label for wire in wires))):
        yield "~ marks an assumption."


def _reach(machine: Machine) -> str:
    sizes = [len(members) for members in machine.hives.values()]
    if not sizes or max(sizes) == 1:
        return "none"
    return "all" if max(sizes) == len(machine.gpus) else "hive"


def _way(link: Link) -> str:
    return f"{link.source.kind} to {link.target.kind} by {WIRES[link.kind].name}"
