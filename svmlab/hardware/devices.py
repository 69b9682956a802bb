"""GPU models by PCI device id, for what a topology tree leaves out."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Annotated

from pydantic import Field

from svmlab.hardware.machine_file import DeviceTable
from svmlab.hardware.parts import Device
from svmlab.hardware.schema import FileTable, parse_table, read_toml
from svmlab.resources import data_path

__all__ = ["KnownDevice", "known_device"]


@dataclass(frozen=True, slots=True)
class KnownDevice:
    """A whole GPU of a known model.

    Attributes:
        device: the model, unpartitioned.
        xccs: its compute dies; a partition with fewer of them has that share of the VRAM.
    """

    device: Device
    xccs: int


class _KnownTable(DeviceTable):
    xccs: Annotated[int, Field(ge=1, le=64)]


class _DevicesFile(FileTable):
    device: dict[Annotated[str, Field(pattern=r"^0x[0-9a-f]{4}$")], _KnownTable]


@cache
def _known() -> dict[int, KnownDevice]:
    path = data_path("devices.toml")
    table = parse_table(_DevicesFile, read_toml(path), path=path)
    return {int(key, 16): KnownDevice(row.device(), row.xccs) for key, row in table.device.items()}


def known_device(device_id: int) -> KnownDevice | None:
    """The model with this PCI device id, or None.

    >>> known_device(0x740F).device.name
    'AMD Instinct MI210'
    """
    return _known().get(device_id)
