"""The links of a KFD topology tree: two directed records for each become one link."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from svmlab.errors import InputError
from svmlab.hardware.figures import Figure
from svmlab.hardware.kfd_properties import read_properties
from svmlab.hardware.kfd_tree import KfdTree
from svmlab.hardware.parts import Endpoint, Link, LinkKind, Wire

__all__ = ["read_links"]

_KINDS: dict[int, LinkKind] = {1: "hypertransport", 2: "pcie", 11: "xgmi"}
"""Kernel: CRAT_IOLINK_TYPE_PCIEXPRESS, CRAT_IOLINK_TYPE_XGMI (kfd_crat.h)"""
_LARGEST_MB_PER_S = 10**9


class _Record(NamedTuple):
    """One directed record."""

    pair: tuple[Endpoint, Endpoint]
    kind: LinkKind
    weight: int
    mb_per_s: int


def read_links(tree: KfdTree, ends: Mapping[int, Endpoint], *, notes: list[str]) -> tuple[Link, ...]:
    """Read the links, each pair of ends once.

    Args:
        tree: the texts.
        ends: node number to end of a link.
        notes: what is odd is added here.

    Raises:
        InputError: a link is damaged, leads to its own node, or to one that is neither there nor hidden.

    Kernel: kfd_parse_subtype_iolink (kfd_crat.c)
    """
    records: dict[tuple[Endpoint, Endpoint], _Record] = {}
    for record in _records(tree, ends, notes):
        other = records.setdefault(record.pair, record)
        # A driver may tell the bandwidth in one direction only.
        if record.kind == other.kind and record.mb_per_s > other.mb_per_s:
            records[record.pair] = record
    return tuple(Link(*pair, _wire(record)) for pair, record in sorted(records.items()))


def _records(tree: KfdTree, ends: Mapping[int, Endpoint], notes: list[str]) -> Iterator[_Record]:
    # io_links come first: where both tell of a pair, they are the direct path.
    paths = [path for kind in ("io_links", "p2p_links") for node in tree.nodes for path in tree.below(node, kind)]
    for path in paths:
        record = _record(tree, path, ends, notes)
        if record is not None:
            yield record


def _record(tree: KfdTree, path: str, ends: Mapping[int, Endpoint], notes: list[str]) -> _Record | None:
    link = read_properties(tree, path)
    source, target = int(path.split("/")[1]), link.need("node_to")
    if link.need("node_from") != source:
        notes.append(
            f"{path} says node_from {link.need('node_from')}; it is in the folder of node {source}, which is used"
        )
    if target in tree.hidden:
        return None
    if target not in ends or target == source:
        known = ", ".join(str(node) for node in ends if node != source)
        raise InputError(f"{link.where}: a link to node {target}", allowed=f"nodes that are there: {known}")
    pair = (min(ends[source], ends[target]), max(ends[source], ends[target]))
    kind = _KINDS.get(link.need("type"), "other")
    return _Record(pair, kind, link.need("weight", most=65535), link.get("max_bandwidth", 0, most=_LARGEST_MB_PER_S))


def _wire(record: _Record) -> Wire:
    if not record.mb_per_s:
        return Wire(record.kind, record.weight)
    peak = Figure.exact(record.mb_per_s, "MB/s", source="max_bandwidth in the KFD topology")
    return Wire(record.kind, record.weight, peak)
