"""The tracks of what hardware does: queues, copy engines, page tables of GPUs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial

import numpy as np

from svmlab.uapi import EvictionTrigger
from svmlab.units import format_time
from svmlab.views.excerpt import Excerpt, Ids, Spans
from svmlab.views.scene import Bar, data
from svmlab.views.source import gpu_names, plural
from svmlab.views.track import Item, Piece, Track, Words, failure, make_bars, make_marks

__all__ = ["copy_engines", "mapping", "queues"]


def queues(x: Excerpt) -> Iterator[Track]:
    """What each GPU works on and when its queues are stopped; GPUs with the same fate share a lane."""
    work = x.pairs("gpu_work_start", "gpu_work_end", "memory_exception", key="task")
    stops = x.pairs("queue_eviction", "queue_restore", key="gpu", nested=True)
    alike: dict[tuple[Item, ...], list[int]] = {}
    for gpu in sorted({*x.gpus(work.opens), *x.gpus(stops.opens), *x.gpus(x.ids("memory_exception"))}):
        items = _queue_items(x, x.of_gpu(work, gpu), x.of_gpu(stops, gpu))
        fatal = make_marks(x, "memory_exception", style="trouble", tell="MEMORY_EXCEPTION", gpu=gpu)
        alike.setdefault((*items, *fatal), []).append(gpu)
    for together, members in alike.items():
        yield Track(f"queues {gpu_names(members)}", together)


def copy_engines(x: Excerpt) -> Iterator[Track]:
    """The batches that each GPU's copy engine moves, with their windows counted."""
    copies = x.lasting("copy")
    npages = x.values(copies.opens, "npages")
    copies = copies.amounting(npages=npages, batches=np.ones_like(npages), windows=_windows_of(x, copies.opens))
    for gpu in sorted({*x.gpus(copies.opens), *x.gpus(x.ids("copy_failed"))}):
        bars = make_bars(x, x.of_gpu(copies, gpu), style="copy", tell=_batch)
        refused = make_marks(x, "copy_failed", style="trouble", tell="copy refused", gpu=gpu)
        yield Track(f"SDMA gpu{gpu}", (*bars, *refused))


def mapping(x: Excerpt) -> Iterator[Track]:
    """Page tables of GPUs: faults, new mappings, lost mappings."""
    faults = x.pairs("page_fault_start", "page_fault_end", key="task")
    bars = make_bars(x, faults, style="fault", tell=partial(_fault, x))
    marks = make_marks(x, "unmap_from_gpu", style="unmap", tell=lambda ids: f"unmap {gpu_names(x.gpus(ids))}")
    marks += make_marks(x, "page_fault_dropped", style="trouble", tell="fault dropped")
    yield Track("GPU mapping", (*bars, *_mappings(x, 1 if bars else 0), *marks))


def _queue_items(x: Excerpt, work: Spans, stops: Spans) -> Iterator[Item]:
    bars = make_bars(x, work, style="work", tell=partial(_work, x))
    yield from bars
    yield from make_bars(x, stops, style="stopped", tell=partial(_stop, x), depth=1 if bars else 0)


def _work(x: Excerpt, piece: Piece) -> Words:
    verb = "writes" if x.value(piece.opens, "write") else "reads"
    words = verb + failure(x, piece.closes)
    npages = x.npages(piece.opens)
    return Words(f"{words} {plural(npages, one='page')}", words, data(work=verb, npages=npages))


def _stop(x: Excerpt, piece: Piece) -> Words:
    trigger = EvictionTrigger(x.value(piece.opens, "trigger")).name.lower()
    length = format_time(piece.length)
    label = f"stopped {length}" if piece.closes >= 0 else f"still stopped after {length}"
    return Words(label, "", data(trigger=trigger))


def _windows_of(x: Excerpt, copies: Ids) -> Ids:
    """How many windows each copy has: they stand in the log between it and the next copy."""
    windows, every = x.ids("copy_window"), x.ids("copy")
    edges = np.searchsorted(windows, np.append(every, x.until))
    return np.diff(edges)[np.searchsorted(every, copies)]


def _batch(piece: Piece) -> Words:
    npages, windows = piece.amounts["npages"], piece.amounts["windows"]
    return Words(f"{plural(npages, one='page')} in {plural(windows, one='window')}", plural(npages, one="page"))


def _fault(x: Excerpt, piece: Piece) -> Words:
    gpu = gpu_names([x.value(piece.opens, "gpu")])
    return Words(f"fault of {gpu}", gpu, data(fault=gpu))


def _mappings(x: Excerpt, depth: int) -> list[Bar]:
    """One bar for all the GPUs that one task gives the same pages, at one time or one after the other."""
    maps = x.lasting("map_to_gpu")
    groups = np.split(np.arange(len(maps)), _fresh_maps(x, maps))
    members = {int(maps.opens[group[0]]): group for group in groups if len(group)}

    def tell(piece: Piece) -> Words:
        gpus = x.gpus(maps.opens[members[piece.opens]])
        npages = x.value(piece.opens, "npages")
        words = f"{gpu_names(gpus)} map{'s' * (len(gpus) == 1)} {plural(npages, one='page')}"
        return Words(words, gpu_names(gpus), data(gpus=gpu_names(gpus), mapped=npages))

    firsts = np.array([group[0] for group in groups if len(group)], np.intp)
    ends = np.array([maps.end[group].max() for group in groups if len(group)], np.int64)
    return make_bars(x, replace(maps.where(firsts), end=ends), style="map", tell=tell, depth=depth)


def _fresh_maps(x: Excerpt, maps: Spans) -> Ids:
    """Where a mapping does not follow the one before it: another task, other pages, or a pause."""
    who = np.stack([x.log.column(name)[maps.opens] for name in ("task", "start", "last")])
    pause = maps.start[1:] - maps.end[:-1] > maps.end[:-1] - maps.start[:-1]
    return np.flatnonzero((who[:, 1:] != who[:, :-1]).any(axis=0) | pause) + 1
