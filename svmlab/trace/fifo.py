"""What a reader misses: the driver keeps 1,024 bytes for each reader, and drops what does not fit without a word."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

from svmlab.log import Event

__all__ = ["FIFO_BYTES", "what_a_reader_gets"]

FIFO_BYTES = 1024
"""Room for the lines that wait for a reader (MAX_KFIFO_SIZE)."""


def what_a_reader_gets(
    lines: Iterable[tuple[Event, str]], gpus: tuple[int, ...], every_ns: int
) -> Iterator[tuple[Event, str]]:
    """The lines that reach somebody who reads every GPU's file at regular times, and empties it.

    Args:
        lines: events with their lines, in order of emission.
        gpus: KFD ids by index.
        every_ns: how often, in ns; the first time at this time.

    Kernel: kfd_smi_event_add (kfd_smi_events.c)

    >>> from svmlab.trace.trace import trace_of
    >>> from svmlab.trace.smi import smi_lines
    >>> import svmlab as sl
    >>> p = sl.Process("toy")
    >>> a = p.mmap("512 KiB", name="a")
    >>> for number in range(20):
    ...     p.set_attr(a, access=["gpu0"], prefetch=("gpu0", "cpu")[number % 2])
    ...     p.run()
    >>> lines, gpus = list(smi_lines(trace_of(p))), tuple(gpu.gpu_id for gpu in p.machine.gpus)
    >>> [len(list(what_a_reader_gets(lines, gpus, every))) < len(lines) for every in (10**6, 10**9)]
    [False, True]
    """
    filled: Counter[int] = Counter()
    reads = 0
    for event, line in lines:
        if event.time_ns // every_ns > reads:
            reads = event.time_ns // every_ns
            filled.clear()
        gpu = _gpu(event, gpus)
        if filled[gpu] + len(line) + 1 <= FIFO_BYTES:
            filled[gpu] += len(line) + 1
            yield event, line


def _gpu(event: Event, gpus: tuple[int, ...]) -> int:
    """The index of the GPU whose readers get an event: of a migration the one that pages go to, or else leave."""
    if "gpu" in event.fields:
        return event.fields["gpu"]
    return gpus.index(event.fields["target"] or event.fields["source"])
