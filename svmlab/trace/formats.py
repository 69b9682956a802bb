"""The formats of traces, by the ending of a file's name: one table for whoever writes or reads one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any, BinaryIO

from svmlab.errors import InputError
from svmlab.log import Event
from svmlab.trace.chrome import write_chrome
from svmlab.trace.chrome_in import read_chrome
from svmlab.trace.csv_file import write_csv
from svmlab.trace.fifo import what_a_reader_gets
from svmlab.trace.reading import Dialect, read_rows
from svmlab.trace.rocr import ROCR, rocr_lines
from svmlab.trace.smi import SMI, smi_lines
from svmlab.trace.trace import SIMULATION, Trace, trace_of, trace_of_rows
from svmlab.units import format_time, parse_time

__all__ = ["FORMATS", "Format", "format_of", "read_stream", "read_trace", "write_trace"]


@dataclass(frozen=True, slots=True)
class Format:
    """One format of a trace.

    Attributes:
        name: what it is, in words.
        write: writes a trace to a file.
        read: reads what is open for reading, the path being its name; None: svmlab only writes it.
    """

    name: str
    write: Callable[[Trace, Path], None]
    read: Callable[[BinaryIO, Path], Trace] | None = None


def write_trace(thing: Any, path: str | PathLike[str], *, reader: int | str | None = None) -> None:
    """Write what the driver did to a file, in the format that the ending of its name says.

    Args:
        thing: a Process or a Trace.
        path: ``.smi`` (the kernel's event lines), ``.rocr`` (the runtime's log), ``.json`` (Chrome, for Perfetto; with
            all events and their causes) or ``.csv`` (all events, for spreadsheets and data frames).
        reader: how often somebody reads the kernel's lines, in ns or as ``"10 ms"``; what does not fit the driver's
            1,024 bytes meanwhile is lost. None: nothing is. Only with ``.smi``.

    Raises:
        InputError: another ending, ``thing`` has no trace, or a reader that cannot be.
    """
    trace, target = trace_of(thing), Path(path)
    form = format_of(target)
    if reader is None:
        form.write(trace, target)
        return
    every_ns = parse_time(reader)
    if target.suffix != ".smi" or not every_ns:
        raise InputError(f"a reader every {reader} of {target}", allowed="1 ns or more, of a file that ends in .smi")
    told = f"# somebody read every {format_time(every_ns)}; what did not fit the driver's 1,024 bytes is lost"
    got = what_a_reader_gets(smi_lines(trace), trace.gpus, every_ns)
    _write_lines(target, [*_head(trace), told], got)


def read_trace(path: str | PathLike[str]) -> Trace:
    """Read a trace: of a simulation, or what a real driver or runtime wrote.

    Args:
        path: the file; if the ending of its name says nothing, its first lines do.

    Returns:
        The trace. Lines that are not known are counted in its ``report`` and left out.

    Raises:
        InputError: there is no such file, or nothing in it is known.

    >>> import svmlab as sl
    >>> from svmlab.resources import data_path
    >>> trace = sl.read_trace(data_path("traces", "first-migration.smi"))
    >>> trace
    <Trace first-migration.smi: 38 events, kernel SMI text>
    >>> print(trace.summary())  # doctest: +ELLIPSIS
    38 driver events in ...
    """
    source = Path(path)
    if not source.is_file():
        raise InputError(f"there is no file {source}", hint="svmlab run SCENARIO.toml --trace x.smi writes one")
    with source.open("rb") as stream:
        return read_stream(stream, source)


def read_stream(stream: BinaryIO, source: Path) -> Trace:
    """Read a trace from what is open for reading, a file or bytes in memory; as ``read_trace``.

    Args:
        stream: the bytes, from their beginning.
        source: a name: its ending may say the format, and messages and the trace have it.
    """
    found = FORMATS[source.suffix] if source.suffix in FORMATS else _by_look(stream)
    if found.read is None:
        raise InputError(f"{source} to read: svmlab only writes {found.name}", allowed=", ".join(_READABLE))
    trace = found.read(stream, source)
    if not len(trace) and trace.report.unknown:
        raise InputError(
            f"{source} has {trace.report.lines} lines, and none of them is an event of {found.name}",
            allowed="lines such as " + " or ".join(_EXAMPLES),
        )
    return trace


def format_of(path: Path) -> Format:
    """The format that the ending of a name says.

    Raises:
        InputError: it says none.
    """
    if path.suffix not in FORMATS:
        known = ", ".join(f"{suffix} ({each.name})" for suffix, each in FORMATS.items())
        raise InputError(f"{path} as a trace", allowed=f"a name that ends in {known}")
    return FORMATS[path.suffix]


def _by_look(stream: BinaryIO) -> Format:
    """The format that the first bytes of a file look like."""
    first = stream.read(1 << 16)
    stream.seek(0)
    if first.lstrip()[:1] in (b"{", b"["):
        return FORMATS[".json"]
    if first.startswith(b"id,time_ns,event,"):
        return FORMATS[".csv"]
    return FORMATS[".rocr" if b"ROCr HMM event" in first else ".smi"]


_EXAMPLES = (
    "'9 81234567891000 -4242 8a3f 0' (.smi)",
    "'ROCr HMM event: 81234567891000 QUEUE_EVICTION SVM GPU0(0x55d0c8b0a0f0)' (.rocr)",
)


def _write_lines(path: Path, head: Iterable[str], lines: Iterable[tuple[Event, str]]) -> None:
    with path.open("w", encoding="utf-8", newline="\n") as out:
        out.writelines(f"{line}\n" for line in head)
        out.writelines(f"{line}\n" for _, line in lines)


def _text(name: str, dialect: Dialect, lines: Callable[[Trace], Iterable[tuple[Event, str]]], *, ids: bool) -> Format:
    def write(trace: Trace, path: Path) -> None:
        _write_lines(path, _head(trace), lines(trace))

    def read(stream: BinaryIO, path: Path) -> Trace:
        rows, report = read_rows(stream, dialect)
        return trace_of_rows(rows, report, origin=name, path=path, numbered=not ids)

    return Format(name, write, read)


def _head(trace: Trace) -> Iterator[str]:
    """Says that no driver wrote this, and which GPU is which."""
    if trace.origin == SIMULATION:
        yield "# svmlab wrote this from a simulation: no driver did, and times are virtual"
    else:
        yield f"# svmlab wrote this from {trace.title} ({trace.origin})"
    yield "# gpus: " + " ".join(f"{gpu:x}" for gpu in trace.gpus)


FORMATS = {
    ".smi": _text("kernel SMI text", SMI, smi_lines, ids=True),
    ".rocr": _text("runtime log", ROCR, rocr_lines, ids=False),
    ".json": Format("Chrome JSON", write_chrome, read_chrome),
    ".csv": Format("CSV", write_csv),
}
"""By the ending of a file's name."""
_READABLE = tuple(suffix for suffix, each in FORMATS.items() if each.read)
