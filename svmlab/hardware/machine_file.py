"""Machine descriptions as TOML files: reading, and writing what reads back as the same machine."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Annotated, TypeVar

from pydantic import Field

from svmlab.errors import InputError
from svmlab.hardware.figures import Figure
from svmlab.hardware.machine import Machine
from svmlab.hardware.parts import Device, Endpoint, Gpu, Link, LinkKind, Wire
from svmlab.hardware.schema import FigureTable, FileTable, in_file, parse_table, read_toml

__all__ = ["DeviceTable", "dump_machine", "load_machine", "save_machine"]

V = TypeVar("V")

_HIVE = r"0x[0-9a-f]{1,16}"
_Count = Annotated[int, Field(ge=0, le=1024)]


class DeviceTable(FileTable):
    """``[device.KEY]``: a model of GPU."""

    name: Annotated[str, Field(min_length=1)]
    gfx: Annotated[list[Annotated[int, Field(ge=0, le=255)]], Field(min_length=3, max_length=3)]
    vram: FigureTable
    vram_bandwidth: FigureTable | None = None
    sdma_engines: _Count
    sdma_xgmi_engines: _Count
    xnack_capable: bool

    def device(self) -> Device:
        """The model that the table describes."""
        major, minor, stepping = self.gfx
        return Device(
            name=self.name,
            target=(major, minor, stepping),
            vram=self.vram.figure(),
            vram_bandwidth=_figure(self.vram_bandwidth),
            sdma_engines=self.sdma_engines,
            sdma_xgmi_engines=self.sdma_xgmi_engines,
            xnack_capable=self.xnack_capable,
        )


class _WireTable(FileTable):
    """``[wire.KEY]``: what links of one sort have in common."""

    kind: LinkKind
    weight: Annotated[int, Field(ge=0, le=65535)]
    peak: FigureTable | None = None
    forward: FigureTable | None = None
    backward: FigureTable | None = None

    def wire(self) -> Wire:
        return Wire(self.kind, self.weight, _figure(self.peak), _figure(self.forward), _figure(self.backward))


class _GpuTable(FileTable):
    """``[[gpu]]``: one GPU, in the driver's order."""

    id: int
    device: str
    hive: Annotated[str, Field(pattern=rf"^{_HIVE}$")] = "0x0"
    cpu: int = 0
    cpu_connected: bool = False


class _MachineFile(FileTable):
    """The whole file."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
    title: Annotated[str, Field(min_length=1, max_length=200)]
    notes: list[str] = Field(default_factory=list)
    cpus: Annotated[int, Field(ge=1, le=1024)]
    ram: FigureTable
    device: dict[str, DeviceTable]
    wire: dict[str, _WireTable] = Field(default_factory=dict)
    gpu: list[_GpuTable]
    links: dict[str, list[str]] = Field(default_factory=dict)


def load_machine(path: Path) -> Machine:
    """Read a machine from a TOML file.

    Args:
        path: the file.

    Raises:
        InputError: the file cannot be read, or a key is unknown, missing, of the wrong type or out of its domain.

    >>> from svmlab.resources import data_path
    >>> load_machine(data_path("machines", "toy.toml")).hives
    {23567: (0, 1)}
    """
    table = parse_table(_MachineFile, read_toml(path), path=path)
    try:
        return Machine(
            name=table.name,
            title=table.title,
            ram=table.ram.figure(),
            gpus=tuple(_gpus(table)),
            links=tuple(_links(table)),
            cpus=table.cpus,
            notes=tuple(table.notes),
        )
    except InputError as error:
        raise in_file(path, error) from error


def save_machine(machine: Machine, path: Path) -> None:
    """Write a machine to a TOML file, which reads back as an equal machine.

    Raises:
        InputError: the path does not end in ``.toml``, or it cannot be written.
    """
    if path.suffix != ".toml":
        raise InputError(f"{path} is no place for a machine", allowed="a path that ends in .toml")
    try:
        path.write_text(dump_machine(machine), encoding="utf-8")
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}") from error


def dump_machine(machine: Machine) -> str:
    """The text of a machine's TOML file."""
    devices = _keys((gpu.device for gpu in machine.gpus), lambda device: device.name)
    wires = _keys((link.wire for link in machine.links), lambda wire: wire.kind)
    blocks = [
        _head(machine),
        *(_device(key, device) for device, key in devices.items()),
        *(_wire(key, wire) for wire, key in wires.items()),
        *(_gpu(gpu, devices[gpu.device]) for gpu in machine.gpus),
        _link_lists(machine.links, wires),
    ]
    return "\n\n".join(block for block in blocks if block) + "\n"


def _figure(table: FigureTable | None) -> Figure | None:
    return None if table is None else table.figure()


def _gpus(table: _MachineFile) -> Iterator[Gpu]:
    devices = {key: device.device() for key, device in table.device.items()}
    for index, row in enumerate(table.gpu):
        if row.device not in devices:
            raise InputError(f"gpu.{index}.device: {row.device!r} is not described", allowed=", ".join(devices))
        yield Gpu(index, row.id, devices[row.device], int(row.hive, 16), row.cpu, row.cpu_connected)


def _links(table: _MachineFile) -> Iterator[Link]:
    wires = {key: wire.wire() for key, wire in table.wire.items()}
    for key, pairs in table.links.items():
        if key not in wires:
            raise InputError(f"links.{key}: there is no wire {key!r}", allowed=", ".join(wires))
        for pair in pairs:
            yield Link(*_ends(pair, key), wires[key])


def _ends(pair: str, key: str) -> tuple[Endpoint, Endpoint]:
    match = re.fullmatch(r"([a-z]+\d+)-([a-z]+\d+)", pair)
    if match is None:
        raise InputError(f"links.{key}: {pair!r} is no pair of ends", allowed='"cpu0-gpu0", "gpu0-gpu1", …')
    return Endpoint.parse(match[1]), Endpoint.parse(match[2])


def _keys(values: Iterable[V], name: Callable[[V], str]) -> dict[V, str]:
    """Give each distinct value a key that TOML can write bare."""
    keys: dict[V, str] = {}
    for value in values:
        base = re.sub(r"[^a-z0-9]+", "-", name(value).lower()).strip("-") or "part"
        same = sum(key == base or key.startswith(f"{base}--") for key in keys.values())
        keys.setdefault(value, f"{base}--{same + 1}" if same else base)
    return keys


def _text(text: str) -> str:
    # A JSON string is a TOML basic string, save for DEL, which TOML wants escaped.
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _number(value: float) -> str:
    return str(int(value)) if float(value).is_integer() else repr(float(value))


def _inline(figure: Figure) -> str:
    numbers = ", ".join(f"{key} = {_number(getattr(figure, key))}" for key in ("low", "high"))
    return (
        f"{{ value = {_number(figure.value)}, unit = {_text(figure.unit)}, {numbers}, "
        f"evidence = {_text(figure.evidence)}, source = {_text(figure.source)} }}"
    )


def _head(machine: Machine) -> str:
    notes = "".join(f"    {_text(note)},\n" for note in machine.notes)
    return (
        f"name = {_text(machine.name)}\ntitle = {_text(machine.title)}\ncpus = {machine.cpus}\n"
        f"ram = {_inline(machine.ram)}\n" + (f"notes = [\n{notes}]" if notes else "notes = []")
    )


def _device(key: str, device: Device) -> str:
    bandwidth = device.vram_bandwidth
    lines = [
        f"[device.{key}]",
        f"name = {_text(device.name)}",
        f"gfx = {list(device.target)}",
        f"vram = {_inline(device.vram)}",
        *([] if bandwidth is None else [f"vram_bandwidth = {_inline(bandwidth)}"]),
        f"sdma_engines = {device.sdma_engines}",
        f"sdma_xgmi_engines = {device.sdma_xgmi_engines}",
        f"xnack_capable = {str(device.xnack_capable).lower()}",
    ]
    return "\n".join(lines)


def _wire(key: str, wire: Wire) -> str:
    figures = {"peak": wire.peak, "forward": wire.forward, "backward": wire.backward}
    known = [f"{what} = {_inline(figure)}" for what, figure in figures.items() if figure is not None]
    return "\n".join([f"[wire.{key}]", f'kind = "{wire.kind}"', f"weight = {wire.weight}", *known])


def _gpu(gpu: Gpu, device: str) -> str:
    lines = [f"[[gpu]] # {gpu.index}", f"id = {gpu.gpu_id}", f"device = {_text(device)}", f'hive = "{gpu.hive_id:#x}"']
    return "\n".join([*lines, f"cpu = {gpu.cpu}", f"cpu_connected = {str(gpu.cpu_connected).lower()}"])


def _link_lists(links: tuple[Link, ...], wires: dict[Wire, str]) -> str:
    pairs: dict[str, list[str]] = {}
    for link in links:
        pairs.setdefault(wires[link.wire], []).append(f'"{link.source}-{link.target}"')
    return "\n".join(["[links]", *(f"{key} = [\n{_wrapped(ends)}]" for key, ends in pairs.items())]) if pairs else ""


def _wrapped(items: list[str]) -> str:
    rows = (items[first : first + 8] for first in range(0, len(items), 8))
    return "".join(f"    {', '.join(row)},\n" for row in rows)
