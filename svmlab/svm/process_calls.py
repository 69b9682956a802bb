"""Every call a process can make, as a mechanism: arguments checked and put into the kernel's numbers, then the work."""

from __future__ import annotations

import errno
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypedDict, Unpack

from svmlab.errors import DriverError, InputError
from svmlab.hardware.world import Blocking
from svmlab.mm import access, syscalls
from svmlab.mm.span import Span
from svmlab.mm.vma import File, VmaKind, parse_protection
from svmlab.svm import calls, deferred, gpu_work, pressure
from svmlab.svm.attributes import Request
from svmlab.svm.buffer_view import Buffer, SpanLike, bytes_for, span_of
from svmlab.svm.driver import Driver
from svmlab.svm.named_request import Asked, Gpu, request_of
from svmlab.svm.set_attr import set_attr
from svmlab.units import parse_address, parse_size

if TYPE_CHECKING:
    from svmlab.svm.process import Process

__all__ = ["Calls", "MapOptions"]


class MapOptions(TypedDict, total=False):
    """What a mapping can be given besides its size.

    Attributes:
        name: what people call it.
        at: its address, an integer or ``"0x7f0000000000"``; default: the next free place.
        protection: ``"rw"`` (default), ``"r"`` or ``"none"``.
        kind: anonymous (default), shared, file, file_private, hugetlb, heap, stack or device.
        file: a file's name; two mappings of it share its pages.
        populate: fault every page in at once.
    """

    name: str | None
    at: int | str | None
    protection: str
    kind: str
    file: str | None
    populate: bool


class Calls:
    """The mechanisms behind the methods of a process; each checks its arguments when called and returns the work.

    Args:
        process: who calls.
    """

    def __init__(self, process: Process) -> None:
        self.process = process

    @property
    def _driver(self) -> Driver:
        return self.process.driver

    def mmap(self, size: int | str, **options: Unpack[MapOptions]) -> Blocking[Buffer]:
        """See ``Process.mmap``."""
        unknown = sorted(options.keys() - MapOptions.__annotations__.keys())
        if unknown:
            raise InputError(f"mmap has no option {unknown[0]!r}", allowed=", ".join(MapOptions.__annotations__))
        kind, file, at = _kind(options.get("kind", "anonymous")), options.get("file"), options.get("at")
        if (kind in (VmaKind.FILE, VmaKind.FILE_PRIVATE)) != (file is not None):
            raise InputError(
                f"a {kind.value} mapping with file={file!r}",
                allowed="a file's name for file and file_private, none for the others",
            )
        return self._mmap(
            syscalls.Mapping(
                parse_size(size),
                None if at is None else parse_address(at),
                parse_protection(options.get("protection", "rw")),
                kind,
                options.get("name") or "",
                self._file(file),
                bool(options.get("populate", False)),
            )
        )

    def _mmap(self, mapping: syscalls.Mapping) -> Blocking[Buffer]:
        span = yield from syscalls.mmap(self._driver.mm, mapping)
        return Buffer(self.process, Span(span.address, mapping.nbytes), mapping.name)

    def _file(self, name: str | None) -> File | None:
        files = self._driver.system.files
        return None if name is None else files.setdefault(name, File(name))

    def munmap(self, span: SpanLike) -> Blocking[None]:
        """See ``Process.munmap``."""
        return syscalls.munmap(self._driver.mm, span_of(span))

    def discard(self, span: SpanLike) -> Blocking[None]:
        """See ``Process.discard``."""
        return syscalls.discard(self._driver.mm, span_of(span))

    def pin(self, span: SpanLike) -> Blocking[None]:
        """See ``Process.pin``."""
        return syscalls.pin(self._driver.mm, span_of(span))

    def unpin(self, span: SpanLike) -> Blocking[None]:
        """See ``Process.unpin``."""
        return syscalls.unpin(self._driver.mm, span_of(span))

    def swap_out(self, span: SpanLike) -> Blocking[None]:
        """See ``Process.swap_out``."""
        return syscalls.swap_out(self._driver.mm, span_of(span))

    def mprotect(self, span: SpanLike, protection: str) -> Blocking[None]:
        """See ``Process.mprotect``."""
        return syscalls.mprotect(self._driver.mm, span_of(span), parse_protection(protection))

    def mremap(self, span: SpanLike, to: int | str | None = None, *, name: str = "") -> Blocking[Buffer]:
        """See ``Process.mremap``."""
        given = span_of(span)
        label = name or (span.name if isinstance(span, Buffer) else "")
        return self._mremap(given, None if to is None else parse_address(to), label)

    def _mremap(self, span: Span, to: int | None, name: str) -> Blocking[Buffer]:
        moved = yield from syscalls.mremap(self._driver.mm, span, to)
        return Buffer(self.process, Span(moved.address, span.nbytes), name)

    def set_attr(self, span: SpanLike, **asked: Unpack[Asked]) -> Blocking[None]:
        """See ``Process.set_attr``."""
        return self._set_attr(span_of(span), request_of(self._driver.machine, asked))

    def _set_attr(self, span: Span, request: Request) -> Blocking[None]:
        yield from self._driver.world.sleep(self._driver.costs.ioctl_ns)
        yield from set_attr(self._driver, span, request)

    def get_attr(self, span: SpanLike, raw: Sequence[tuple[int | str, int | str]]) -> Blocking[list[tuple[int, int]]]:
        """See ``Process.get_attr``."""
        return self._get_attr(span_of(span), request_of(self._driver.machine, {"raw": raw}))

    def _get_attr(self, span: Span, request: Request) -> Blocking[list[tuple[int, int]]]:
        yield from self._driver.world.sleep(self._driver.costs.ioctl_ns)
        return (yield from calls.get_attr(self._driver, span, request))

    def set_xnack(self, mode: str | bool) -> Blocking[bool]:
        """See ``Process.set_xnack``."""
        numbers: dict[str | bool, int] = {"on": 1, "off": 0, "query": -1, True: 1, False: 0}
        if mode not in numbers:
            raise InputError(f"xnack mode {mode!r}", allowed='"on", "off", "query"')
        return self._set_xnack(numbers[mode])

    def _set_xnack(self, mode: int) -> Blocking[bool]:
        return bool((yield from calls.set_xnack_mode(self._driver, mode)))

    def cpu_read(self, span: SpanLike) -> Blocking[access.Bytes]:
        """See ``Process.cpu_read``."""
        return self._cpu(span_of(span), access.load, write=False)

    def cpu_write(self, span: SpanLike, data: Any) -> Blocking[None]:
        """See ``Process.cpu_write``."""
        given = span_of(span)
        contents = bytes_for(given, data)
        return self._cpu(given, lambda mm, where: access.store(mm, where, contents), write=True)

    def cpu_touch(self, span: SpanLike, *, write: bool = False) -> Blocking[None]:
        """See ``Process.cpu_touch``."""
        return self._cpu(span_of(span), lambda mm, where: access.touch(mm, where, write=write), write=write)

    def _cpu(self, span: Span, work: Any, *, write: bool) -> Blocking[Any]:
        driver = self._driver
        yield from driver.world.point("before a CPU access")
        event = driver.emit.cpu_access(span.start, span.last, write=int(write), npages=span.npages)
        for device in driver.devices:
            device.settle()
        with driver.log.because(event):
            return (yield from work(driver.mm, span))

    def gpu_read(self, gpu: Gpu, span: SpanLike) -> Blocking[access.Bytes]:
        """See ``Process.gpu_read``."""
        device = self.process.device(gpu)
        return self._on_queue(device.gpu, gpu_work.gpu_read(self._driver, device, span_of(span)))

    def gpu_write(self, gpu: Gpu, span: SpanLike, data: Any = None) -> Blocking[None]:
        """See ``Process.gpu_write``."""
        device, given = self.process.device(gpu), span_of(span)
        contents = None if data is None else bytes_for(given, data)
        return self._on_queue(device.gpu, gpu_work.gpu_write(self._driver, device, given, data=contents))

    def gpu_touch(self, gpu: Gpu, span: SpanLike, *, write: bool = False, waves: int = 1) -> Blocking[None]:
        """See ``Process.gpu_touch``."""
        device, given = self.process.device(gpu), span_of(span)
        if waves < 1:
            raise InputError(f"{waves} waves", allowed="1 or more")
        work = gpu_work.gpu_touch(self._driver, device, given, write=write, waves=waves)
        return self._on_queue(device.gpu, work)

    def gpu_copy(self, gpu: Gpu, source: SpanLike, target: SpanLike) -> Blocking[None]:
        """See ``Process.gpu_copy``."""
        device, origin, destination = self.process.device(gpu), span_of(source), span_of(target)
        size = min(origin.nbytes, destination.nbytes)
        return self._on_queue(
            device.gpu,
            gpu_work.gpu_copy(self._driver, device, Span(origin.address, size), Span(destination.address, size)),
        )

    def _on_queue(self, gpu: int, work: Blocking[Any]) -> Blocking[Any]:
        """Run work on a queue of the GPU; where there is none, one lives as long as the work."""
        device = self._driver.devices[gpu]
        own = None if device.queues else device.create_queue()
        try:
            return (yield from work)
        finally:
            if own in device.queues:  # the process may have ended meanwhile
                device.queues.remove(own)

    def create_queue(self, gpu: Gpu) -> Blocking[int]:
        """See ``Process.create_queue``."""
        return self._create_queue(self.process.device(gpu).gpu)

    def _create_queue(self, gpu: int) -> Blocking[int]:
        yield from self._driver.world.sleep(self._driver.costs.ioctl_ns)
        return self._driver.devices[gpu].create_queue()

    def destroy_queue(self, gpu: Gpu) -> Blocking[None]:
        """See ``Process.destroy_queue``."""
        device = self.process.device(gpu)
        if not device.queues:
            raise InputError(f"gpu{device.gpu} has no queue of {self.process.name}", hint="create_queue first")
        return self._destroy_queue(device.gpu)

    def _destroy_queue(self, gpu: int) -> Blocking[None]:
        yield from self._driver.world.sleep(self._driver.costs.ioctl_ns)
        self._driver.devices[gpu].queues.pop()

    def evict_vram(self, gpu: Gpu) -> Blocking[None]:
        """See ``Process.evict_vram``."""
        return pressure.evict_vram(self._driver.system, self.process.device(gpu).gpu)

    def fork(self, name: str = "child", *, exit_child: bool = False) -> Blocking[Process]:
        """See ``Process.fork``."""
        return self._fork(name, exit_child)

    def _fork(self, name: str, exit_child: bool) -> Blocking[Process]:
        child = self.process.spawn(name)
        yield from syscalls.fork(self._driver.mm, child.driver.mm)
        if exit_child:
            yield from child.calls.exit()
        return child

    def exit(self) -> Blocking[None]:
        """See ``Process.exit``."""
        return self._exit()

    def _exit(self) -> Blocking[None]:
        """Workers first, then the memory, then the ranges, which lose their pages without a notification."""
        driver = self._driver
        if driver.exited:
            raise DriverError(errno.ESRCH, f"process {driver.name} has ended before")
        driver.exited = True
        for device in driver.devices:
            device.queues.clear()
        if driver.restore_running is not None:
            yield driver.restore_running
        yield from deferred.flush(driver)
        for device in driver.devices:
            device.close()
        yield from syscalls.release(driver.mm)
        for range_ in list(driver.svms.with_children()):
            deferred.remove_range(driver, range_)
        driver.say("process_end", driver.name)


def _kind(text: str) -> VmaKind:
    try:
        return VmaKind(text)
    except ValueError:
        raise InputError(f"a mapping of kind {text!r}", allowed=", ".join(kind.value for kind in VmaKind)) from None
