"""How each step is done: one small function a step, and the one table of the steps this version knows."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from svmlab.mm import Span
from svmlab.scenario import steps as s
from svmlab.scenario.attributes import AttributeKeys, compare, question, raw_list
from svmlab.scenario.contents import Bytes, difference, expected_bytes, told
from svmlab.scenario.looks import look
from svmlab.scenario.session import Actor, Session
from svmlab.scenario.spans import SpanKeys
from svmlab.scenario.values import errno_of, gpu_index
from svmlab.svm.buffer_view import Buffer, SpanLike
from svmlab.units import PAGE_SIZE

if TYPE_CHECKING:
    from svmlab.svm.handle import Handle

__all__ = ["ACTIONS", "OVER", "Begun", "Finding"]

Finding = tuple[str, str]
"""What was expected, and what was found instead."""


@dataclass(frozen=True, slots=True)
class Begun:
    """A step that has begun.

    Attributes:
        handle: the call that goes on; None for a step that takes no time and is over.
        judge: what to do with the call's result: take note of it, or say what is wrong with it.
        found: what is wrong, of a step that is over.
        after_error: whether ``judge`` has its say even when the call fails.
    """

    handle: Handle | None = None
    judge: Callable[[Any], Iterable[Finding] | None] | None = None
    found: tuple[Finding, ...] = ()
    after_error: bool = False


OVER = Begun()
"""A step that took no time and found nothing wrong."""


def _at(actor: Actor, keys: SpanKeys) -> SpanLike:
    """A step's span; one given by a mapping's name carries it into the log."""
    span = actor.span(keys)
    return span if keys.on is None else Buffer(actor.process, span, keys.on)


def _mmap(session: Session, actor: Actor, step: s.Mmap) -> Begun:
    file = step.file
    if file is None and step.kind in ("file", "file_private"):
        file = session.new_file_name()
    handle = actor.process.start.mmap(
        step.size,
        name=step.name,
        at=step.at,
        protection=step.protection,
        kind=step.kind,
        file=file,
        populate=step.populate,
    )
    return Begun(handle, lambda buffer: actor.add(Span(buffer.address, buffer.nbytes), step.name))


def _mm(_: Session, actor: Actor, step: s.MmStep) -> Begun:
    return Begun(getattr(actor.process.start, step.do)(_at(actor, step)))


def _mprotect(_: Session, actor: Actor, step: s.Mprotect) -> Begun:
    return Begun(actor.process.start.mprotect(_at(actor, step), step.protection))


def _mremap(_: Session, actor: Actor, step: s.Mremap) -> Begun:
    span = actor.span(step)
    handle = actor.process.start.mremap(_at(actor, step), to=step.to, name=step.name or "")
    return Begun(handle, lambda buffer: actor.moved(span, buffer.address, name=step.name))


def _fork(session: Session, actor: Actor, step: s.Fork) -> Begun:
    handle = actor.process.start.fork(step.name, exit_child=step.exit_child)
    return Begun(handle, lambda child: session.add(step.name, actor.forked(child)))


def _process(session: Session, actor: Actor, step: s.CreateProcess) -> Begun:
    session.add(step.name, Actor(actor.process.spawn(step.name)))
    return OVER


def _exit(_: Session, actor: Actor, __: s.Exit) -> Begun:
    return Begun(actor.process.start.exit())


def _set_attr(session: Session, actor: Actor, step: s.SetAttr) -> Begun:
    keys = {key: getattr(step, key) for key in step.given(*AttributeKeys.model_fields)}
    if step.raw is not None:
        keys["raw"] = raw_list(step.raw, session.machine)
    return Begun(actor.process.start.set_attr(_at(actor, step), **keys))


def _get_attr(session: Session, actor: Actor, step: s.GetAttr) -> Begun:
    machine, wanted = session.machine, step.expect
    if wanted is None:
        return Begun(actor.process.start.get_attr(_at(actor, step), raw_list(step.raw or [], machine)))
    handle = actor.process.start.get_attr(_at(actor, step), question(wanted, machine))
    return Begun(handle, lambda answer: compare(wanted, answer, machine=machine))


def _cpu_write(_: Session, actor: Actor, step: s.CpuAccess) -> Begun:
    if not step.has_contents:
        return Begun(actor.process.start.cpu_touch(_at(actor, step), write=True))
    return Begun(actor.process.start.cpu_write(_at(actor, step), _data(actor, step)))


def _cpu_read(_: Session, actor: Actor, step: s.CpuAccess) -> Begun:
    if not step.has_contents:
        return Begun(actor.process.start.cpu_touch(_at(actor, step)))
    return Begun(actor.process.start.cpu_read(_at(actor, step)), _compares(actor, step))


def _gpu_write(_: Session, actor: Actor, step: s.GpuAccess) -> Begun:
    data = _data(actor, step) if step.has_contents else None
    return Begun(actor.process.start.gpu_write(step.gpu, _at(actor, step), data))


def _gpu_read(_: Session, actor: Actor, step: s.GpuAccess) -> Begun:
    handle = actor.process.start.gpu_read(step.gpu, _at(actor, step))
    return Begun(handle, _compares(actor, step) if step.has_contents else None)


def _data(actor: Actor, step: s.CpuAccess | s.GpuAccess) -> Bytes:
    return expected_bytes(step, actor.named(step, actor.span(step)))


def _compares(actor: Actor, step: s.CpuAccess | s.GpuAccess) -> Callable[[Any], Iterable[Finding]]:
    pieces = actor.named(step, actor.span(step))

    def judge(found: Any) -> Iterable[Finding]:
        wrong = difference(step, pieces, found=found)
        return [(told(step), wrong)] if wrong else []

    return judge


def _gpu_copy(_: Session, actor: Actor, step: s.GpuCopy) -> Begun:
    size = step.source.size if step.source.size is not None else step.target.size
    if size is None:
        # Neither gives one: the end that is a mapping's name has a size of its own.
        size = actor.span(step.source if step.source.on is not None else step.target).nbytes
    source, target = actor.span(step.source, nbytes=size), actor.span(step.target, nbytes=size)
    return Begun(actor.process.start.gpu_copy(step.gpu, source, target))


def _queue(_: Session, actor: Actor, step: s.QueueStep) -> Begun:
    return Begun(getattr(actor.process.start, step.do)(step.gpu))


def _set_xnack(_: Session, actor: Actor, step: s.SetXnack) -> Begun:
    def judge(_: Any) -> Iterable[Finding]:
        mode = "on" if actor.process.xnack else "off"
        return [(f"xnack {step.expect}", f"xnack {mode}")] if step.expect not in (None, mode) else []

    return Begun(actor.process.start.set_xnack(step.mode), judge, after_error=True)


def _inject(_: Session, actor: Actor, step: s.Inject) -> Begun:
    error = None if step.error is None else errno_of(step.error)
    actor.process.inject(step.fault, nth=step.nth, count=step.count, gpu=step.gpu, error=error)
    return OVER


def _vram_layout(session: Session, actor: Actor, step: s.VramLayout) -> Begun:
    pages = session.machine.gpu(gpu_index(step.gpu)).vram_bytes // PAGE_SIZE
    # Without a list: as it was at first, one free run that starts above page 0.
    actor.process.vram_layout(step.gpu, [(1, pages - 1)] if step.free is None else step.free)
    return OVER


def _evict_vram(_: Session, actor: Actor, step: s.EvictVram) -> Begun:
    return Begun(actor.process.start.evict_vram(step.gpu))


def _run(_: Session, actor: Actor, step: s.Run) -> Begun:
    actor.process.run(for_ns=step.time, limit_ns=step.limit)
    return OVER


def _mark(session: Session, _: Actor, __: s.Mark) -> Begun:
    session.set_mark()
    return OVER


def _expect(session: Session, actor: Actor, step: s.Expect) -> Begun:
    return Begun(found=tuple(look(step, session=session, actor=actor)))


ACTIONS: dict[str, Callable[[Session, Actor, Any], Begun]] = {
    "mmap": _mmap,
    "munmap": _mm,
    "discard": _mm,
    "pin": _mm,
    "unpin": _mm,
    "swap_out": _mm,
    "mprotect": _mprotect,
    "mremap": _mremap,
    "fork": _fork,
    "process": _process,
    "exit": _exit,
    "set_attr": _set_attr,
    "get_attr": _get_attr,
    "cpu_write": _cpu_write,
    "cpu_read": _cpu_read,
    "gpu_write": _gpu_write,
    "gpu_read": _gpu_read,
    "gpu_copy": _gpu_copy,
    "create_queue": _queue,
    "destroy_queue": _queue,
    "set_xnack": _set_xnack,
    "inject": _inject,
    "vram_layout": _vram_layout,
    "evict_vram": _evict_vram,
    "run": _run,
    "mark": _mark,
    "expect": _expect,
}
"""The steps this version knows; a file that uses another one is refused before anything runs."""
