"""The calls of a process as methods that run the simulation until the call returns."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, Unpack

from svmlab.hardware.machine import Machine
from svmlab.hardware.world import Blocking
from svmlab.mm.access import Bytes
from svmlab.svm.buffer_view import Buffer, SpanLike
from svmlab.svm.named_answer import answer_of, question_of
from svmlab.svm.named_request import Asked
from svmlab.svm.process_calls import Calls, MapOptions

__all__ = ["GpuView", "ProcessApi"]


class ProcessApi(ABC):
    """What a process can ask of the kernel, of the driver and of its GPUs.

    Attributes:
        calls: the mechanisms behind the methods.
    """

    calls: Calls

    @property
    @abstractmethod
    def machine(self) -> Machine:
        """The machine it runs on."""

    @abstractmethod
    def _call(self, name: str, work: Blocking[Any], span: SpanLike | None = None) -> Any:
        """Run a call to its end and return what it returns."""

    # memory management

    def mmap(self, size: int | str, **options: Unpack[MapOptions]) -> Buffer:
        """Map memory.

        Args:
            size: bytes, or ``"4 MiB"``; rounded up to pages.
            **options: ``name``; ``at`` (address); ``protection`` (``"rw"``, ``"r"``, ``"none"``); ``kind`` (anonymous,
                shared, file, file_private, hugetlb, heap, stack, device); ``file`` (name); ``populate`` (bool).

        Raises:
            DriverError: EINVAL for a bad size or address, EEXIST where something is mapped.
            InputError: an option that does not exist.
        """
        buffer: Buffer = self._call("mmap", self.calls.mmap(size, **options))
        return buffer

    def munmap(self, span: SpanLike) -> None:
        """Unmap what is mapped in a span."""
        self._call("munmap", self.calls.munmap(span), span)

    def discard(self, span: SpanLike) -> None:
        """Throw contents away: the next touch finds zeros (MADV_DONTNEED)."""
        self._call("discard", self.calls.discard(span), span)

    def pin(self, span: SpanLike) -> None:
        """Hold pages in RAM, as RDMA does."""
        self._call("pin", self.calls.pin(span), span)

    def unpin(self, span: SpanLike) -> None:
        """Let pinned pages go."""
        self._call("unpin", self.calls.unpin(span), span)

    def swap_out(self, span: SpanLike) -> None:
        """Write pages to swap, as reclaim does; pages in VRAM and pinned ones stay."""
        self._call("swap_out", self.calls.swap_out(span), span)

    def mprotect(self, span: SpanLike, protection: str) -> None:
        """Change what the CPU may do: ``"rw"``, ``"r"``, ``"none"``."""
        self._call("mprotect", self.calls.mprotect(span, protection), span)

    def mremap(self, span: SpanLike, to: int | str | None = None, *, name: str = "") -> Buffer:
        """Move a mapping, or part of one, to another address."""
        buffer: Buffer = self._call("mremap", self.calls.mremap(span, to, name=name), span)
        return buffer

    def cpu_read(self, span: SpanLike) -> Bytes:
        """Load bytes with the CPU; pages in VRAM come home."""
        data: Bytes = self._call("cpu_read", self.calls.cpu_read(span), span)
        return data

    def cpu_write(self, span: SpanLike, data: Any) -> None:
        """Store bytes with the CPU: a byte to repeat, bytes, or an array."""
        self._call("cpu_write", self.calls.cpu_write(span, data), span)

    def cpu_touch(self, span: SpanLike, *, write: bool = False) -> None:
        """Access every page of a span with the CPU."""
        self._call("cpu_touch", self.calls.cpu_touch(span, write=write), span)

    # the driver

    def set_attr(self, span: SpanLike, **asked: Unpack[Asked]) -> None:
        """Give a span attributes (AMDKFD_IOC_SVM, SET_ATTR), in the order prefetch, preferred, flags, access, ...

        Args:
            span: in whole pages.
            **asked: ``prefetch``, ``preferred`` (``"cpu"``, ``"gpu0"``, ``"undefined"``); ``access``,
                ``access_in_place``, ``no_access`` (lists of GPUs); ``set_flags``, ``clear_flags`` (lists of names);
                ``granularity`` (log2 of pages); ``raw`` (list of ``(type, value)``).

        Raises:
            DriverError: what the driver answers.
            InputError: a name that means nothing.

        Kernel: svm_range_set_attr (kfd_svm.c)
        """
        self._call("set_attr", self.calls.set_attr(span, **asked), span)

    def get_attr(self, span: SpanLike, raw: Sequence[tuple[int | str, int | str]]) -> list[tuple[int, int]]:
        """Ask for attributes of a span (GET_ATTR): ``(type, value)`` pairs; access is answered in the type."""
        answer: list[tuple[int, int]] = self._call("get_attr", self.calls.get_attr(span, raw), span)
        return answer

    def attributes(self, span: SpanLike) -> dict[str, Any]:
        """Ask for all attributes of a span, by the names that set_attr is asked with (GET_ATTR, one call).

        Args:
            span: in whole pages.

        Returns:
            ``prefetch``, ``preferred``, ``granularity``, ``set_flags``, ``access``, ``access_in_place``. Of a span that
            several ranges share, it is what they have in common.

        Raises:
            DriverError: EFAULT, some page of it is not mapped.
        """
        return answer_of(self.machine, self.get_attr(span, question_of(self.machine)))

    def set_xnack(self, mode: str | bool) -> bool:
        """Switch xnack ``"on"`` or ``"off"``, or ``"query"`` it; returns the mode afterwards."""
        return bool(self._call("set_xnack", self.calls.set_xnack(mode)))

    def create_queue(self, gpu: int | str) -> int:
        """Open a user queue on a GPU; returns its id."""
        return int(self._call("create_queue", self.calls.create_queue(gpu)))

    def destroy_queue(self, gpu: int | str) -> None:
        """Close the newest user queue on a GPU."""
        self._call("destroy_queue", self.calls.destroy_queue(gpu))

    def evict_vram(self, gpu: int | str) -> None:
        """Let the memory manager take back the VRAM of every SVM buffer on a GPU."""
        self._call("evict_vram", self.calls.evict_vram(gpu))

    # GPU work

    def gpu_read(self, gpu: int | str, span: SpanLike) -> Bytes:
        """Load bytes with a GPU, through its own page table."""
        data: Bytes = self._call("gpu_read", self.calls.gpu_read(gpu, span), span)
        return data

    def gpu_write(self, gpu: int | str, span: SpanLike, data: Any = None) -> None:
        """Store bytes with a GPU; without data it only touches the pages."""
        self._call("gpu_write", self.calls.gpu_write(gpu, span, data), span)

    def gpu_touch(self, gpu: int | str, span: SpanLike, *, write: bool = False, waves: int = 1) -> None:
        """Access every page of a span with a GPU; each of ``waves`` waves reports the faults it meets."""
        self._call("gpu_touch", self.calls.gpu_touch(gpu, span, write=write, waves=waves), span)

    def gpu_copy(self, gpu: int | str, source: SpanLike, target: SpanLike) -> None:
        """Copy bytes with a GPU."""
        self._call("gpu_copy", self.calls.gpu_copy(gpu, source, target), source)

    def gpu(self, gpu: int | str) -> GpuView:
        """A GPU, to read and write memory with."""
        return GpuView(self, gpu)


class GpuView:
    """A GPU as one process uses it.

    Attributes:
        gpu: by index, or as ``"gpu0"``.
    """

    def __init__(self, process: ProcessApi, gpu: int | str) -> None:
        self._process, self.gpu = process, gpu

    def read(self, span: SpanLike) -> Bytes:
        """Load bytes with the GPU, through its own page table; shape ``(bytes,)``."""
        return self._process.gpu_read(self.gpu, span)

    def write(self, span: SpanLike, data: Any = None) -> None:
        """Store bytes with the GPU: a byte to repeat, bytes, or an array."""
        self._process.gpu_write(self.gpu, span, data)

    def touch(self, span: SpanLike, *, write: bool = False, waves: int = 1) -> None:
        """Access every page of a span; each of ``waves`` waves that go side by side reports the faults it meets."""
        self._process.gpu_touch(self.gpu, span, write=write, waves=waves)

    def copy(self, source: SpanLike, target: SpanLike) -> None:
        """Copy bytes with the GPU."""
        self._process.gpu_copy(self.gpu, source, target)
