"""GPU models by PCI device id, for what a topology tree leaves out."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from svmlab.hardware.description import read_description
from svmlab.hardware.machine_file import device_of
from svmlab.hardware.parts import Device
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


@cache
def _known() -> dict[int, KnownDevice]:
    table = read_description(data_path("devices.toml"), "devices.toml")
    return {int(key, 16): KnownDevice(device_of(row), row["xccs"]) for key, row in table["device"].items()}


def known_device(device_id: int) -> KnownDevice | None:
    """The model with this PCI device id, or None.

    >>> known_device(0x740F).device.name
    'AMD Instinct MI210'
    """
    return _known().get(device_id)
