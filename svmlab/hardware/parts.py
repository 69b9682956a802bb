"""The parts of a machine: GPUs and their models, ends, wires and links. All of them are frozen values."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal, get_args

from svmlab.errors import InputError
from svmlab.hardware.figures import Figure
from svmlab.units import PAGE_SIZE, TIB, format_size

__all__ = [
    "LARGEST_MEMORY",
    "LINK_KINDS",
    "Device",
    "Endpoint",
    "Gpu",
    "Link",
    "LinkKind",
    "Wire",
    "check_memory",
    "gfx_name",
]

LinkKind = Literal["pcie", "xgmi", "hypertransport", "other"]
LINK_KINDS: tuple[str, ...] = get_args(LinkKind)

LARGEST_MEMORY = 1024 * TIB
"""Far above any machine; a description that says more is damaged."""


def check_memory(size: Figure, what: str) -> None:
    """Refuse what cannot be the capacity of a memory.

    Raises:
        InputError: it is no size, no whole number of pages, 0, or more than ``LARGEST_MEMORY``.
    """
    size.require("size", what)
    if not PAGE_SIZE <= size.whole <= LARGEST_MEMORY or size.whole % PAGE_SIZE:
        limits = f"a multiple of {PAGE_SIZE} bytes, up to {format_size(LARGEST_MEMORY)}"
        raise InputError(f"{what} is {size.value:.15g} {size.unit}", allowed=limits)


def gfx_name(target: tuple[int, int, int]) -> str:
    """Name a gfx target as the compilers do: minor and stepping are one hexadecimal digit each.

    >>> gfx_name((9, 0, 10)), gfx_name((9, 4, 2)), gfx_name((11, 0, 0))
    ('gfx90a', 'gfx942', 'gfx1100')
    """
    major, minor, stepping = target
    return f"gfx{major}{minor:x}{stepping:x}"


@dataclass(frozen=True, slots=True, order=True)
class Endpoint:
    """One end of a link.

    Attributes:
        kind: ``"cpu"`` (a NUMA node with cores and RAM) or ``"gpu"``.
        index: which one, from 0.

    >>> Endpoint.parse("gpu3"), str(Endpoint("cpu", 0))
    (Endpoint(kind='gpu', index=3), 'cpu0')
    """

    kind: Literal["cpu", "gpu"]
    index: int

    @classmethod
    def parse(cls, text: str) -> Endpoint:
        """Read ``"cpu0"`` or ``"gpu3"``.

        Raises:
            InputError: the text is neither.
        """
        match = re.fullmatch(r"(cpu|gpu)(\d{1,3})", text)
        if match is None:
            raise InputError(f"{text!r} is no end of a link", allowed='"cpu0", "cpu1", … or "gpu0", "gpu1", …')
        return cls("cpu" if match[1] == "cpu" else "gpu", int(match[2]))

    def __str__(self) -> str:
        return f"{self.kind}{self.index}"


@dataclass(frozen=True, slots=True)
class Device:
    """A model of GPU (or one partition or die of it that the driver shows as a GPU): what all of its kind share.

    Attributes:
        name: as its maker calls it.
        target: gfx target as (major, minor, stepping).
        vram: capacity.
        vram_bandwidth: peak, or None where it is not known.
        sdma_engines: copy engines for the host link.
        sdma_xgmi_engines: further copy engines, for xGMI.
        xnack_capable: it can retry a page fault, so a process may turn xnack on.
    """

    name: str
    target: tuple[int, int, int]
    vram: Figure
    vram_bandwidth: Figure | None = None
    sdma_engines: int = 2
    sdma_xgmi_engines: int = 0
    xnack_capable: bool = True

    def __post_init__(self) -> None:
        check_memory(self.vram, f"the VRAM of {self.name}")
        if self.vram_bandwidth is not None:
            self.vram_bandwidth.require("bandwidth", f"the VRAM bandwidth of {self.name}")


@dataclass(frozen=True, slots=True)
class Gpu:
    """One GPU as the driver numbers it.

    Attributes:
        index: gpuidx, the small number used in bitmaps; ``machine.gpus[index]`` is this GPU.
        gpu_id: the id that user space passes to the driver, never 0.
        device: the model.
        hive_id: GPUs with the same non-zero id reach each other's VRAM over xGMI; 0 is no hive.
        cpu: the CPU node it hangs on.
        cpu_connected: its link to the CPU is coherent xGMI, not PCIe (MI250X on Frontier).
    """

    index: int
    gpu_id: int
    device: Device
    hive_id: int = 0
    cpu: int = 0
    cpu_connected: bool = False

    @property
    def name(self) -> str:
        """The model's name."""
        return self.device.name

    @property
    def family(self) -> str:
        """The gfx target's name, for example ``"gfx90a"``."""
        return gfx_name(self.device.target)

    @property
    def target(self) -> tuple[int, int, int]:
        """The gfx target as numbers, for example ``(9, 0, 10)``."""
        return self.device.target

    @property
    def vram_bytes(self) -> int:
        """Capacity of its VRAM."""
        return self.device.vram.whole

    @property
    def vram_bandwidth(self) -> Figure | None:
        """Peak bandwidth of its VRAM, or None where it is not known."""
        return self.device.vram_bandwidth

    @property
    def sdma_engines(self) -> int:
        """Copy engines for the host link."""
        return self.device.sdma_engines

    @property
    def sdma_xgmi_engines(self) -> int:
        """Further copy engines, for xGMI."""
        return self.device.sdma_xgmi_engines

    @property
    def xnack_capable(self) -> bool:
        """It can retry a page fault."""
        return self.device.xnack_capable


@dataclass(frozen=True, slots=True)
class Wire:
    """What links of one sort have in common.

    Attributes:
        kind: what it is made of.
        weight: NUMA distance as KFD reports it (15 for one xGMI hop, 20 and more over PCIe), 0 where it is not known.
        peak: bandwidth of one direction, or None where it is not known.
        forward: what a large copy from source to target reaches (from the CPU: RAM to VRAM), or None.
        backward: what a large copy from target to source reaches (to the CPU: VRAM to RAM), or None.
    """

    kind: LinkKind
    weight: int = 0
    peak: Figure | None = None
    forward: Figure | None = None
    backward: Figure | None = None

    def __post_init__(self) -> None:
        for what in ("peak", "forward", "backward"):
            figure: Figure | None = getattr(self, what)
            if figure is not None:
                figure.require("bandwidth", f"{what} of a {self.kind} link")


@dataclass(frozen=True, slots=True)
class Link:
    """A wire between two ends; the source is a CPU rather than a GPU, or else the lower index."""

    source: Endpoint
    target: Endpoint
    wire: Wire

    def __post_init__(self) -> None:
        if not self.source < self.target:
            raise InputError(
                f"a link from {self.source} to {self.target}", allowed="cpu before gpu, lower before higher"
            )

    @property
    def kind(self) -> LinkKind:
        """What the wire is made of."""
        return self.wire.kind

    @property
    def weight(self) -> int:
        """NUMA distance, 0 where it is not known."""
        return self.wire.weight

    @property
    def bandwidth_bytes_per_s(self) -> int:
        """Peak of one direction, 0 where it is not known."""
        return 0 if self.wire.peak is None else self.wire.peak.whole
