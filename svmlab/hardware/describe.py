"""A machine told in text for people, and in plain data for programs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from svmlab.errors import InputError
from svmlab.hardware.figures import Figure
from svmlab.hardware.machine import Machine
from svmlab.hardware.parts import Gpu, Link, Wire
from svmlab.units import GIB, PAGE_SIZE, format_size

__all__ = ["capacity", "describe_machine", "hive_letter", "machine_as_dict", "rate", "renewed", "table"]


def renewed(document: str, part: str) -> str:
    r"""A document with a part of it made anew; the first and the last line of the part mark where it stands.

    Raises:
        InputError: the document has no such part.

    >>> renewed("a\n<!-- b -->\nold\n<!-- c -->\nd\n", "<!-- b -->\nnew\n<!-- c -->\n")
    'a\n<!-- b -->\nnew\n<!-- c -->\nd\n'
    """
    lines = part.splitlines(keepends=True)
    start, end = document.find(lines[0]), document.find(lines[-1])
    if not 0 <= start < end:
        raise InputError(
            "the document has no place for this", allowed=f"a line {lines[0].strip()}, later {lines[-1].strip()}"
        )
    return document[:start] + part + document[end + len(lines[-1]) :]


def table(rows: Sequence[Sequence[str]], indent: str = "") -> str:
    """Lay out rows of text in aligned columns.

    >>> print(table([("GPU", "VRAM"), ("gpu0", "64 GiB")]))
    GPU   VRAM
    gpu0  64 GiB
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)
    return "\n".join(f"{indent}{line}".rstrip() for line in lines)


def describe_machine(machine: Machine) -> str:
    """The machine in text: GPUs, hives, links, notes.

    Args:
        machine: what to describe.

    Returns:
        Several lines, without a final newline.
    """
    cpus = f"{machine.cpus} CPU node{'s' if machine.cpus > 1 else ''}"
    parts = [
        f"{machine.name}: {machine.title}",
        f"{_count(machine)}, {cpus}, RAM {_size(machine.ram)}, largest range {_pages(machine.max_range_pages)}",
        "",
        table([_GPU_HEAD, *(_gpu_row(machine, gpu) for gpu in machine.gpus)]),
        "",
        *_hive_lines(machine),
        "",
        *_link_lines(machine),
    ]
    if machine.notes:
        parts += ["", "Notes", *(f"  - {note}" for note in machine.notes)]
    return "\n".join(parts)


def machine_as_dict(machine: Machine) -> dict[str, Any]:
    """The machine as plain data, ready for JSON.

    Returns:
        ``name, title, ram_bytes, cpus, max_range_pages``, ``gpus`` (a list), ``hives`` (decimal id to GPU indices),
        ``links`` (a list; unknown bandwidths are 0) and ``notes``.
    """
    return {
        "name": machine.name,
        "title": machine.title,
        "ram_bytes": machine.ram_bytes,
        "cpus": machine.cpus,
        "max_range_pages": machine.max_range_pages,
        "gpus": [_gpu_dict(gpu) for gpu in machine.gpus],
        "hives": {str(hive): list(members) for hive, members in machine.hives.items()},
        "links": [_link_dict(link) for link in machine.links],
        "notes": list(machine.notes),
    }


_GPU_HEAD = ("GPU", "gpu_id", "Name", "Target", "Hive", "VRAM", "SDMA", "xnack", "Host link")


def _gpu_row(machine: Machine, gpu: Gpu) -> tuple[str, ...]:
    hives = list(machine.hives)
    return (
        f"gpu{gpu.index}",
        str(gpu.gpu_id),
        gpu.name,
        gpu.family,
        hive_letter(hives.index(gpu.hive_id)) if gpu.hive_id else "-",
        _size(gpu.device.vram),
        f"{gpu.sdma_engines}+{gpu.sdma_xgmi_engines}",
        "yes" if gpu.xnack_capable else "no",
        _host(machine, gpu),
    )


def _host(machine: Machine, gpu: Gpu) -> str:
    link = machine.host_link(gpu.index)
    return f"cpu{gpu.cpu}" + (f", {link.kind}, {rate(link.wire.peak)}" if link else ", no link known")


def _hive_lines(machine: Machine) -> Iterable[str]:
    rows = [(f"  {hive_letter(n)}", f"{hive:#x}", _members(who)) for n, (hive, who) in enumerate(machine.hives.items())]
    loners = [gpu.index for gpu in machine.gpus if not gpu.hive_id]
    if loners:
        rows.append(("  -", "no hive", _members(loners)))
    return ["Hives", table(rows)]


def _link_lines(machine: Machine) -> Iterable[str]:
    groups: dict[tuple[str, Wire], int] = {}
    for link in machine.links:
        ends = f"{link.source.kind}-{link.target.kind}"
        groups[ends, link.wire] = groups.get((ends, link.wire), 0) + 1
    if not groups:
        return ["Links", "  none known"]
    head = ("  Ends", "Kind", "Weight", "Links", "Peak", "Copy there", "Copy back")
    return [
        "Links",
        table([head, *(_link_row(ends, wire, count) for (ends, wire), count in sorted(groups.items(), key=_order))]),
    ]


def _order(group: tuple[tuple[str, Wire], int]) -> tuple[str, int, str]:
    (ends, wire), _ = group
    return ends, wire.weight, wire.kind


def _link_row(ends: str, wire: Wire, count: int) -> tuple[str, ...]:
    rates = (rate(figure) for figure in (wire.peak, wire.forward, wire.backward))
    return (f"  {ends}", wire.kind, str(wire.weight), str(count), *rates)


def _gpu_dict(gpu: Gpu) -> dict[str, Any]:
    return {
        "index": gpu.index,
        "gpu_id": gpu.gpu_id,
        "name": gpu.name,
        "family": gpu.family,
        "hive": gpu.hive_id,
        "vram_bytes": gpu.vram_bytes,
        "sdma_engines": gpu.sdma_engines,
        "sdma_xgmi_engines": gpu.sdma_xgmi_engines,
        "xnack_capable": gpu.xnack_capable,
        "cpu": gpu.cpu,
        "cpu_connected": gpu.cpu_connected,
    }


def _link_dict(link: Link) -> dict[str, Any]:
    wire = link.wire
    return {
        "source": str(link.source),
        "target": str(link.target),
        "kind": wire.kind,
        "weight": wire.weight,
        "bandwidth_bytes_per_s": link.bandwidth_bytes_per_s,
        "copy_there_bytes_per_s": wire.forward.whole if wire.forward else 0,
        "copy_back_bytes_per_s": wire.backward.whole if wire.backward else 0,
    }


def _count(machine: Machine) -> str:
    gpus = len(machine.gpus)
    hives = [len(members) for members in machine.hives.values()]
    text = f"{gpus} GPU{'s' if gpus > 1 else ''}"
    return (
        f"{text} in {len(hives)} hive{'s' if len(hives) > 1 else ''} ({' + '.join(map(str, hives))})"
        if hives
        else f"{text}, no hive"
    )


def hive_letter(number: int) -> str:
    """A for the first hive, B for the second, …; hives beyond Z get a number.

    >>> hive_letter(0), hive_letter(26)
    ('A', '26')
    """
    return chr(ord("A") + number) if number < 26 else str(number)


def _members(indices: Sequence[int]) -> str:
    """Runs of neighbours in short: ``gpu0-gpu3, gpu6``."""
    runs: list[list[int]] = []
    for index in indices:
        if runs and index == runs[-1][-1] + 1:
            runs[-1].append(index)
        else:
            runs.append([index])
    return ", ".join(f"gpu{run[0]}" + (f"-gpu{run[-1]}" if len(run) > 1 else "") for run in runs)


def _size(size: Figure) -> str:
    return capacity(size.whole) + (" (assumed)" if size.evidence == "assumed" else "")


def capacity(nbytes: int) -> str:
    """A size of memory in few digits; rounded where its exact value has many.

    >>> capacity(64 << 30), capacity(67_155_521_536)
    ('64 GiB', '62.54 GiB')
    """
    text = format_size(nbytes)
    return f"{nbytes / GIB:.2f} GiB" if text.endswith(" B") or len(text) > 9 else text


def _pages(pages: int) -> str:
    return f"{format_size(pages * PAGE_SIZE)} ({pages} pages)"


def rate(figure: Figure | None) -> str:
    """Bandwidth in GB/s; a question mark for one nobody knows, ``~`` for one that is assumed."""
    if figure is None:
        return "?"
    return f"{'~' if figure.evidence == 'assumed' else ''}{figure.base / 1e9:g} GB/s"
