"""The VRAM map: what is where in the memory of one GPU, who holds it, and in how many pieces the rest is free."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain, groupby
from typing import TYPE_CHECKING

from svmlab.units import PAGE_SIZE
from svmlab.views.breaks import find_breaks
from svmlab.views.scene import Axis, Bar, Chart, Lane, Mark, Scene, data
from svmlab.views.source import about, plural
from svmlab.views.vram_state import Holder, Part, Stretch, VramState, vram_state

if TYPE_CHECKING:
    from svmlab.svm.process import Process

__all__ = ["vram_map"]

_LANES = 10
"""Holders with a lane of their own; the others, who hold less, share one."""
_PARTS = 100
"""Where a lane has more pieces than this, those shorter than this part of the VRAM are drawn together."""


def vram_map(thing: Process | VramState, gpu: int | str = 0) -> Scene:
    """Picture the VRAM of one GPU: its nodes and who holds them, the gaps between them, and page 0.

    Args:
        thing: a Process, or a ``VramState`` that was taken before.
        gpu: which GPU of the process's machine, by index or as ``"gpu0"``; a state knows its own.

    Returns:
        A scene with one chart along VRAM addresses, in bytes: a lane with everything, then one for each holder. Long
        free pieces are cut out of the axis, so that a buffer of 2 MiB can be seen in 64 GB.

    Raises:
        InputError: the machine has no such GPU, or the pieces of a state overlap or lie outside of the VRAM.

    >>> from svmlab import Process, show
    >>> p = Process("toy", vram="64 MiB")
    >>> a = p.mmap("3 MiB", name="a")
    >>> p.set_attr(a, access=["gpu0"], prefetch="gpu0")
    >>> show(vram_map(p, "gpu0"))
    3 MiB of the 64 MiB of gpu0 are held: 3 MiB by a in 2 nodes.
    61 MiB are free in 2 gaps, the largest of 60 MiB; page 0 is reserved.
    """
    state = thing if isinstance(thing, VramState) else vram_state(thing, gpu)
    stretches = state.stretches()
    everything, holders = Lane(f"gpu{state.gpu}, all"), _holders(state)
    bars = chain(_everything(state, everything.name, stretches), *(_held(state, holder) for holder in holders))
    notes = ("" if holder in state.holders else "those who hold least" for holder in holders)
    lanes = (everything, *(Lane(holder.name, note) for holder, note in zip(holders, notes, strict=True)))
    held = sum(holder.npages for holder in state.holders) * PAGE_SIZE
    title = f"VRAM of gpu{state.gpu}: {about(held)} of {about(state.npages * PAGE_SIZE)} are held"
    page_0 = Mark(everything.name, 0, "reserved", "page 0 is reserved")
    marks = (page_0,) if stretches and stretches[0].end == 1 else ()
    return Scene("VRAM map", title, (Chart(_axis(state, stretches), lanes, tuple(bars), marks, kind="VRAM map"),))


def _axis(state: VramState, stretches: list[Stretch]) -> Axis:
    edges = {edge * PAGE_SIZE for one in stretches for edge in (one.start, one.end)}
    shown = [(one.start * PAGE_SIZE, one.end * PAGE_SIZE) for one in stretches if one.kind == "held"]
    return Axis(0, state.npages * PAGE_SIZE, "bytes", "address", find_breaks(edges, shown))


def _shortest(state: VramState, count: int) -> int:
    """Pieces shorter than this, in pages, are drawn together with their neighbours."""
    return state.npages // _PARTS if count > _PARTS else 0


def _everything(state: VramState, lane: str, stretches: list[Stretch]) -> Iterator[Bar]:
    """The lane with everything but page 0, which is too small for a bar; one bar counts short pieces that crowd."""
    shortest = _shortest(state, len(stretches))
    wide = [one for one in stretches if one.end > 1]
    crowds = groupby(enumerate(wide), key=lambda at: at[0] if at[1].npages >= shortest else -1)
    for _, members in crowds:
        yield _crowd(state, lane, [one for _, one in members])


def _crowd(state: VramState, lane: str, members: list[Stretch]) -> Bar:
    gaps = [one.npages for one in members if one.kind == "free"]
    npages = sum(one.npages for one in members if one.kind == "held")
    known = data(held=npages, free=sum(gaps), gaps=len(gaps), largest=max(gaps, default=0))
    first, last = members[0], members[-1]
    size = about(first.npages * PAGE_SIZE)
    label, short, style = f"{first.kind} {size}", f"{first.kind} {size}", first.kind
    if len(members) > 1:
        label, short, style = f"{about(npages * PAGE_SIZE)} held, {plural(len(gaps), one='gap')}", "", "small"
    elif first.kind == "held":
        short, style = size, f"gpu{state.gpu}"
    return Bar(lane, first.start * PAGE_SIZE, last.end * PAGE_SIZE, style, label, short, data=known)


def _holders(state: VramState) -> list[Holder]:
    """Those with a lane of their own, by address; of too many, those who hold least are put together below them."""
    ranked = sorted(state.holders, key=lambda holder: -holder.npages)
    own, others = (ranked, []) if len(ranked) <= _LANES else (ranked[: _LANES - 1], ranked[_LANES - 1 :])
    named = sorted(own, key=lambda holder: min(holder.nodes, default=(0, 0)))
    if others:
        nodes, empty = (chain.from_iterable(parts) for parts in zip(*((o.nodes, o.empty) for o in others), strict=True))
        named.append(Holder(f"{len(others)} others", tuple(nodes), tuple(empty)))
    return named


def _held(state: VramState, holder: Holder) -> Iterator[Bar]:
    """The nodes of one holder; of too many, those that lie close together become one bar."""
    parts = sorted(holder.parts(), key=lambda part: part.start)
    shortest, crowd = _shortest(state, len(parts)), list[Part]()
    for part in parts:
        if crowd and part.start - crowd[-1].end >= shortest:
            yield _nodes(state, holder, crowd)
            crowd = []
        crowd.append(part)
    if crowd:
        yield _nodes(state, holder, crowd)


def _nodes(state: VramState, holder: Holder, parts: list[Part]) -> Bar:
    npages = sum(part.npages for part in parts)
    empty = sum(part.npages for part in parts if part.empty)
    size = about(npages * PAGE_SIZE)
    label, style = f"{size} in {len(parts)} pieces", "small" if empty else f"gpu{state.gpu}"
    if len(parts) == 1:
        pages = f"page {parts[0].page}" if npages == 1 else f"pages {parts[0].page}-{parts[0].page + npages - 1}"
        label, style = f"{size}: {pages}", "empty" if empty else style
    begun = {start for start, _ in holder.nodes} & {part.start for part in parts}
    known = data(held=npages, empty=empty, nodes=len(begun))
    start, end = parts[0].start * PAGE_SIZE, parts[-1].end * PAGE_SIZE
    return Bar(holder.name, start, end, style, label, size, data=known)
