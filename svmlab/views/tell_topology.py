"""The sentences that tell a topology."""

from __future__ import annotations

from collections import Counter
from math import comb

from svmlab.views.scene import Diagram, Group, Wire
from svmlab.views.source import gpu_names, plural
from svmlab.views.tell import listed

__all__ = ["tell_topology"]


def tell_topology(diagram: Diagram, title: str) -> list[str]:
    """Tell how many GPUs there are in which hives, how fast they are linked, and who reaches whose VRAM."""
    return [_parts(diagram, title), _links(diagram), *diagram.notes[: len(diagram.nodes) > 1]]


def _parts(diagram: Diagram, title: str) -> str:
    counts = f"{plural(len(diagram.nodes), one='GPU')} and {plural(len(diagram.hosts), one='CPU node')}"
    return f"{title} has {counts}: {', '.join(f'{_members(group)} in {group.name}' for group in diagram.groups)}."


def _members(group: Group) -> str:
    return gpu_names(int(node.name.removeprefix("gpu")) for node in group.nodes)


def _links(diagram: Diagram) -> str:
    members = {node.name for node in diagram.nodes}
    hosts = [wire for wire in diagram.wires if not members.issuperset(wire.ends)]
    peers = [wire for wire in diagram.wires if members.issuperset(wire.ends)]
    told = f"Each GPU hangs on its CPU node by {_kinds(hosts)}" if hosts else "No link to a CPU node is known"
    return f"{told}; {_pairs(diagram, peers)}." if peers else f"{told}."


def _pairs(diagram: Diagram, wires: list[Wire]) -> str:
    """Whether all pairs that share a hive have a link of their own, and of which kind."""
    hives = (group for group in diagram.groups if group.name.startswith("hive"))
    pairs = sum(comb(len(group.nodes), 2) for group in hives)
    if len(wires) == pairs:
        return f"every pair in a hive is linked by {_kinds(wires)}"
    return f"{len(wires)} of {pairs} pairs in a hive are linked directly, by {_kinds(wires)}"


def _kinds(wires: list[Wire]) -> str:
    """The kinds of some links, the fastest first, with their numbers if they differ."""
    counts = Counter((wire.strength, wire.label) for wire in wires)
    if len(counts) == 1:
        return wires[0].label
    return listed(f"{label} ({count})" for (_, label), count in sorted(counts.items(), reverse=True))
