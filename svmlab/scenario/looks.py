"""What ``expect`` looks at, one small function a key; nothing here changes anything."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from svmlab.log import Event
from svmlab.mm.entries import EntryKind
from svmlab.scenario.attributes import compare, question
from svmlab.scenario.contents import difference, told
from svmlab.scenario.event_log import compare_log, seen_events
from svmlab.scenario.expectations import LogEntry
from svmlab.scenario.session import Actor, Session
from svmlab.scenario.steps import Expect
from svmlab.scenario.values import gpu_index
from svmlab.svm.look import NOWHERE, SWAPPED
from svmlab.units import PAGE_SHIFT, format_size, format_time

__all__ = ["look"]

Found = Iterator[tuple[str, str]]
"""Differences: what was expected and what was found."""

_SHOWN = 12


def look(step: Expect, *, session: Session, actor: Actor) -> Found:
    """Compare everything an ``expect`` step names.

    Args:
        step: what must hold.
        session: the run.
        actor: the process looked at.

    Yields:
        What was expected and what was found, for each thing that does not hold.
    """
    if step.has_contents:
        yield from _contents(actor, step)
    for key, compare_key in _KEYS.items():
        if getattr(step, key) is not None:
            yield from compare_key(session, actor, step)


def _contents(actor: Actor, step: Expect) -> Found:
    span = actor.span(step)
    wrong = difference(step, actor.named(step, span), found=actor.process.look.content(span))
    if wrong:
        yield told(step), wrong


def _location(session: Session, actor: Actor, step: Expect) -> Found:
    names = {NOWHERE: "none", SWAPPED: "swapped"}
    locations = actor.process.look.locations(actor.span(step))
    found = {names.get(one) or session.machine.location_name(one): count for one, count in _counted(locations)}
    wanted = step.location
    if isinstance(wanted, dict):
        if {name: count for name, count in wanted.items() if count} != found:
            yield f"location = {_pages(wanted)}", f"location = {_pages(found)}"
    elif set(found) - {str(wanted)}:
        yield f"location = {wanted}", f"location = {_pages(found)}"


def _counted(values: npt.NDArray[Any]) -> list[tuple[int, int]]:
    """Each value and how often it occurs."""
    found, counts = np.unique(values, return_counts=True)
    return list(zip(found.tolist(), counts.tolist(), strict=True))


def _pages(counts: dict[str, int]) -> str:
    return ", ".join(f"{name}: {count} pages" for name, count in sorted(counts.items())) or "no page"


def _cpu_entry(_: Session, actor: Actor, step: Expect) -> Found:
    kinds = actor.process.look.cpu_entries(actor.span(step))
    found = {EntryKind(kind).name.lower(): count for kind, count in _counted(kinds)}
    if set(found) - {str(step.cpu_entry)}:
        yield f"cpu_entry = {step.cpu_entry}", f"cpu_entry = {_pages(found)}"


def _mapped(_: Session, actor: Actor, step: Expect) -> Found:
    wanted = set(step.mapped or [])
    for index, maps in sorted(actor.process.look.mapped(actor.span(step)).items()):
        name, count = f"gpu{index}", int(np.count_nonzero(maps))
        if step.gpu not in (None, name):
            continue
        if name in wanted and count < len(maps):
            yield (
                f"{name} maps every page",
                f"{name} maps {count} of {len(maps)} pages to the frames that hold them now",
            )
        elif name not in wanted and count:
            yield f"{name} maps no page", f"{name} maps {count} of {len(maps)} pages"


def _ranges(_: Session, actor: Actor, step: Expect) -> Found:
    first = actor.base(step) >> PAGE_SHIFT
    found = [(one.start - first, one.npages) for one in actor.process.look.ranges(actor.span(step))]
    if isinstance(step.ranges, int):
        if step.ranges != len(found):
            yield f"{step.ranges} ranges", f"{len(found)} ranges: {_runs(found)}"
    elif found != list(step.ranges or []):
        yield f"ranges = {_runs(step.ranges or [])}", f"ranges = {_runs(found)}"


def _runs(runs: list[tuple[int, int]]) -> str:
    told = [f"[{start}, {npages}]" for start, npages in runs[:_SHOWN]]
    return ", ".join([*told, *(["..."] if len(runs) > _SHOWN else [])]) or "none"


def _attributes(session: Session, actor: Actor, step: Expect) -> Found:
    if step.attributes is not None:
        answer = actor.process.look.attributes(actor.span(step), question(step.attributes, session.machine))
        yield from compare(step.attributes, answer, machine=session.machine)


def _actual(session: Session, actor: Actor, step: Expect) -> Found:
    found = sorted({session.machine.location_name(one) for one in actor.process.look.actual(actor.span(step))})
    if found != [step.actual]:
        yield f"actual = {step.actual}", f"actual = {', '.join(found) or 'nothing: there is no range'}"


def _queues(_: Session, actor: Actor, step: Expect) -> Found:
    found = actor.process.look.queues(None if step.gpu is None else gpu_index(step.gpu))
    if found != step.queues:
        yield f"queues = {step.queues}", f"queues = {found}"


def _seen(session: Session, actor: Actor, step: Expect) -> list[Event]:
    since, pid = session.mark.event, actor.process.pid
    return seen_events(session.main.log, session.machine, since=since, pid=pid, gpu=step.gpu)


def _events(session: Session, actor: Actor, step: Expect) -> Found:
    counts = Counter(event.name for event in _seen(session, actor, step))
    for name, between in (step.events or {}).items():
        if not between.holds(counts[name]):
            yield f"{name}: {between.told()}", f"{name}: {counts[name]}"


def _log(session: Session, actor: Actor, step: Expect) -> Found:
    def first_page(entry: LogEntry) -> int | None:
        if entry.address is not None:
            return entry.address >> PAGE_SHIFT
        if entry.on is None:
            return None
        return (actor.mapping(entry.on).address + (entry.offset or 0)) >> PAGE_SHIFT

    yield from compare_log(step.log or [], _seen(session, actor, step), machine=session.machine, first_page=first_page)


def _counters(session: Session, actor: Actor, step: Expect) -> Found:
    for gpu, wanted in (step.counters or {}).items():
        counters = actor.process.look.counters(gpu_index(gpu), since=session.mark.event)
        for name in wanted.given(*type(wanted).model_fields):
            between = getattr(wanted, name)
            if not between.holds(counters[name]):
                yield f"{name} of {gpu}: {between.told()}", f"{name} of {gpu}: {counters[name]}"


def _elapsed(session: Session, _: Actor, step: Expect) -> Found:
    elapsed = session.now - session.mark.time_ns
    if step.elapsed is not None and not step.elapsed.holds(elapsed):
        yield f"elapsed: {step.elapsed.told(format_time)}", f"elapsed: {format_time(elapsed)}"


def _vram_used(_: Session, actor: Actor, step: Expect) -> Found:
    for gpu, between in (step.vram_used or {}).items():
        used = actor.process.look.vram_used(gpu_index(gpu))
        if not between.holds(used):
            yield f"VRAM used on {gpu}: {between.told(format_size)}", f"VRAM used on {gpu}: {format_size(used)}"


def _consistent(_: Session, actor: Actor, step: Expect) -> Found:
    broken = actor.process.broken_invariants()
    if step.consistent and broken:
        yield "every invariant holds", "; ".join(broken[:_SHOWN])
    elif not step.consistent and not broken:
        yield "some invariant is broken", "every invariant holds"


_KEYS: dict[str, Callable[[Session, Actor, Expect], Found]] = {
    "location": _location,
    "cpu_entry": _cpu_entry,
    "mapped": _mapped,
    "ranges": _ranges,
    "attributes": _attributes,
    "actual": _actual,
    "queues": _queues,
    "events": _events,
    "log": _log,
    "counters": _counters,
    "elapsed": _elapsed,
    "vram_used": _vram_used,
    "consistent": _consistent,
}
