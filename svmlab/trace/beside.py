"""Two traces side by side: what each adds up to, so that a prediction can be held against a real log."""

from __future__ import annotations

from collections.abc import Iterator

from svmlab.hardware.describe import table
from svmlab.hardware.words import about, place_name
from svmlab.trace.summary import Summary
from svmlab.units import format_time

__all__ = ["beside"]


def beside(first: Summary, second: Summary, names: tuple[str, str]) -> str:
    """A table of two summaries; lines that differ are marked. Times never count: a model's have the right shape alone.

    Args:
        first, second: the summaries.
        names: what their columns are called.

    >>> import svmlab as sl
    >>> from svmlab.resources import data_path
    >>> trace = sl.read_trace(data_path("traces", "first-gpu-fault.smi")).summary()
    >>> print(beside(trace, trace, ("real", "predicted")).splitlines()[1])
       GPU page fault, RAM to gpu0  2 pieces, 4 MiB  2 pieces, 4 MiB
    """
    one, other = dict(_lines(first)), dict(_lines(second))
    rows = [("", "", *names)]
    for what in dict.fromkeys([*one, *other]):
        texts = one.get(what, "-"), other.get(what, "-")
        differ = texts[0] != texts[1] and not what.startswith(_TIMES)
        rows.append(("*" if differ else "", what, *texts))
    same = not any(row[0] for row in rows[1:])
    said = "Counts and bytes are the same." if same else "Lines with * differ in counts or bytes."
    return f"{table(rows)}\n{said}"


_TIMES = "time "


def _lines(found: Summary) -> Iterator[tuple[str, str]]:
    for move in found.moved:
        way = f"{move.trigger}, {place_name(move.source)} to {place_name(move.target)}"
        yield way, f"{move.pieces} pieces, {about(move.nbytes)}"
    for fault in found.faults:
        yield f"page faults of gpu{fault.gpu}", f"{fault.count}, {fault.migrated} with migration"
        yield f"{_TIMES}in page faults of gpu{fault.gpu}", format_time(fault.time_ns)
    for stop in found.stopped:
        why = ", ".join(f"{name} {count}" for name, count in stop.triggers.items())
        yield f"stops of queues on gpu{stop.gpu}", f"{stop.count} ({why})"
        yield f"{_TIMES}queues on gpu{stop.gpu} stood still", format_time(stop.time_ns)
    for unmapped in found.unmapped:
        yield f"gpu{unmapped.gpu} unmaps ({unmapped.trigger})", f"{unmapped.count}, {unmapped.npages} pages"
