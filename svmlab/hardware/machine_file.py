"""Machine descriptions as TOML files: reading, and writing what reads back as the same machine."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, TypeVar

from svmlab.errors import InputError
from svmlab.hardware.description import in_file, read_description
from svmlab.hardware.figures import Figure
from svmlab.hardware.machine import Machine
from svmlab.hardware.parts import Device, Endpoint, Gpu, Link, Wire

__all__ = ["device_of", "dump_machine", "load_machine", "save_machine"]

V = TypeVar("V")


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
    table = read_description(path, "machines")
    try:
        return Machine(
            name=table["name"],
            title=table["title"],
            ram=Figure.of(table["ram"]),
            gpus=tuple(_gpus(table)),
            links=tuple(_links(table)),
            cpus=table["cpus"],
            notes=tuple(table.get("notes", ())),
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


def device_of(table: dict[str, Any]) -> Device:
    """The model of GPU that a table ``[device.KEY]`` describes."""
    major, minor, stepping = table["gfx"]
    return Device(
        name=table["name"],
        target=(major, minor, stepping),
        vram=Figure.of(table["vram"]),
        vram_bandwidth=_figure(table, "vram_bandwidth"),
        sdma_engines=table["sdma_engines"],
        sdma_xgmi_engines=table["sdma_xgmi_engines"],
        xnack_capable=table["xnack_capable"],
    )


def _figure(table: dict[str, Any], key: str) -> Figure | None:
    return Figure.of(table[key]) if key in table else None


def _gpus(table: dict[str, Any]) -> Iterator[Gpu]:
    devices = {key: device_of(row) for key, row in table["device"].items()}
    for index, row in enumerate(table["gpu"]):
        device, hive = row["device"], int(row.get("hive", "0x0"), 16)
        if device not in devices:
            raise InputError(f"gpu.{index}.device: {device!r} is not described", allowed=", ".join(devices))
        yield Gpu(index, row["id"], devices[device], hive, row.get("cpu", 0), row.get("cpu_connected", False))


def _wire_of(table: dict[str, Any]) -> Wire:
    figures = {key: _figure(table, key) for key in ("peak", "forward", "backward")}
    return Wire(table["kind"], table["weight"], **figures)


def _links(table: dict[str, Any]) -> Iterator[Link]:
    wires = {key: _wire_of(row) for key, row in table.get("wire", {}).items()}
    for key, pairs in table.get("links", {}).items():
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
