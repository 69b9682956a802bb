"""What things cost: every duration and bandwidth of the simulation, each with where it comes from.

The numbers live in ``data/costs.toml``; nothing else in svmlab may hold a duration. Most were never measured: they are
named assumptions with a range, and the figure of each says so.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from svmlab.errors import InputError
from svmlab.hardware.copy_time import CopyLaw
from svmlab.hardware.description import in_file, read_description
from svmlab.hardware.figures import Figure
from svmlab.hardware.machine import Machine
from svmlab.hardware.parts import Link
from svmlab.resources import data_path
from svmlab.units import parse_time

__all__ = ["Constant", "Costs"]

_ENDINGS = {
    "_page_ns": ("time per page", "ns/page"),
    "_ns": ("time", "ns"),
    "_pages": ("pages", "pages"),
    "_per_kib": ("per KiB", "1/KiB"),
    "_ratio": ("ratio", "ratio"),
    "_bytes_per_s": ("bandwidth", "B/s"),
}


@dataclass(frozen=True, slots=True)
class Constant:
    """One constant of the cost model.

    Attributes:
        figure: the number and its evidence.
        what: what is paid for, in one sentence.
    """

    figure: Figure
    what: str


@dataclass(frozen=True)
class Costs:
    """The constants of the cost model, and the copy-time law they parametrise.

    ``_ns`` is a duration, ``_page_ns`` one for each page; ``costs.constants[name]`` has range, source and evidence.

    >>> costs = Costs.load()
    >>> costs.restore_delay_ns, costs.constants["restore_delay_ns"].figure.evidence
    (1000000, 'doc')
    """

    restore_delay_ns: int
    retry_fault_window_ns: int
    copy_window_pages: int

    ioctl_ns: int
    mm_syscall_ns: int
    cpu_fault_page_ns: int
    cpu_device_fault_ns: int
    cpu_access_page_ns: int
    ram_alloc_page_ns: int
    zero_page_ns: int
    swap_page_ns: int

    migrate_collect_ns: int
    migrate_collect_page_ns: int
    migrate_pages_page_ns: int
    migrate_finalize_page_ns: int
    dma_map_page_ns: int
    vram_alloc_ns: int
    vram_alloc_node_ns: int

    sdma_job_ns: int
    gart_update_ns: int
    fence_wait_ns: int
    copy_start_ns: int
    copy_shape_per_kib: float
    link_efficiency_ratio: float
    unknown_link_bytes_per_s: int

    notifier_ns: int
    queue_evict_ns: int
    queue_restore_ns: int
    hmm_fault_page_ns: int
    map_ns: int
    map_page_ns: int
    unmap_ns: int
    tlb_flush_heavy_ns: int
    tlb_flush_light_ns: int
    gpu_fault_ns: int
    duplicate_fault_ns: int
    gpu_access_page_ns: int

    constants: Mapping[str, Constant] = field(repr=False, compare=False)

    @classmethod
    def load(cls, path: str | os.PathLike[str] | None = None) -> Costs:
        """Read the constants.

        Args:
            path: a TOML file; the shipped ``data/costs.toml`` by default.

        Raises:
            InputError: a constant is missing, unknown, of a wrong unit, or lacks one of its keys.
        """
        return _shipped() if path is None else cls._read(Path(path))

    @classmethod
    def _read(cls, file: Path) -> Costs:
        table = read_description(file, "costs.toml")
        try:
            return cls._from({name: Constant(Figure.of(row), row["what"]) for name, row in table["constant"].items()})
        except InputError as error:
            raise in_file(file, error) from error

    def changed(self, **values: int | float | str) -> Costs:
        """A copy with other values, as assumptions of whoever makes it.

        Args:
            **values: constants by name, in the unit of the name's ending; a time may be text, ``"2 ms"``.

        Raises:
            InputError: there is no such constant, or the value is negative.

        >>> Costs.load().changed(restore_delay_ns="2 ms").restore_delay_ns
        2000000
        """
        constants = dict(self.constants)
        for name, value in values.items():
            if name not in constants:
                raise InputError(f"there is no constant {name!r}", allowed=", ".join(constants))
            number = parse_time(value) if isinstance(value, str) else value
            figure = Figure.exact(number, _measures(name)[1], source="set by the user", evidence="assumed")
            constants[name] = dataclasses.replace(constants[name], figure=figure)
        return self._from(constants)

    @classmethod
    def without_time(cls) -> Costs:
        """The shipped constants, but nothing takes time except the restore delay, which puts the worker last.

        >>> Costs.without_time().ioctl_ns, Costs.without_time().restore_delay_ns
        (0, 1000000)
        """
        return _timeless()

    def host_bandwidth(self, machine: Machine, gpu_index: int, *, to_vram: bool) -> Figure:
        """What large copies between RAM and a GPU's VRAM reach.

        Args:
            machine: where.
            gpu_index: which GPU.
            to_vram: RAM to VRAM, or else VRAM to RAM.

        Returns:
            The measured figure of the link, else a share of its peak, else an assumption.
        """
        return self._bandwidth(machine.host_link(gpu_index), to_vram)

    def peer_bandwidth(self, machine: Machine, source: int, *, target: int) -> Figure:
        """What large copies from one GPU's VRAM to another's reach; choices as in ``host_bandwidth``."""
        return self._bandwidth(machine.peer_link(source, target), source < target)

    def copy_law(self, bandwidth: Figure) -> CopyLaw:
        """How long copies take on a link that reaches this bandwidth."""
        return CopyLaw(bandwidth.base, self.copy_start_ns, self.copy_shape_per_kib)

    @overload
    def copy_ns(self, machine: Machine, gpu_index: int, *, to_vram: bool, nbytes: int) -> int: ...
    @overload
    def copy_ns(
        self, machine: Machine, gpu_index: int, *, to_vram: bool, nbytes: NDArray[np.int64]
    ) -> NDArray[np.int64]: ...
    def copy_ns(
        self, machine: Machine, gpu_index: int, *, to_vram: bool, nbytes: int | NDArray[np.int64]
    ) -> int | NDArray[np.int64]:
        """Duration of copies between RAM and a GPU's VRAM on an idle engine, each from its start to its fence.

        Args:
            machine: where.
            gpu_index: which GPU.
            to_vram: RAM to VRAM, or else VRAM to RAM.
            nbytes: size of one copy, or an array of sizes.

        Returns:
            ns as an integer, or an array of them.

        >>> from svmlab.hardware.machine import Machine
        >>> Costs.load().copy_ns(Machine.find("mi300x-8"), 0, to_vram=True, nbytes=2 << 20)
        57888
        """
        return self.copy_law(self.host_bandwidth(machine, gpu_index, to_vram=to_vram)).time_ns(nbytes)

    def _bandwidth(self, link: Link | None, forward: bool) -> Figure:
        if link is not None:
            measured = link.wire.forward if forward else link.wire.backward
            if measured is not None:
                return measured
            if link.wire.peak is not None:
                peak, share = link.wire.peak, self.constants["link_efficiency_ratio"].figure
                return Figure(
                    peak.value * share.value,
                    peak.unit,
                    peak.low * share.low,
                    peak.high * share.high,
                    f"{share.value:g} of the peak ({peak.source})",
                    "assumed",
                )
        return self.constants["unknown_link_bytes_per_s"].figure

    @classmethod
    def _from(cls, constants: Mapping[str, Constant]) -> Costs:
        names = [item.name for item in dataclasses.fields(cls) if item.name != "constants"]
        unknown = [name for name in constants if name not in names]
        missing = [name for name in names if name not in constants]
        if unknown or missing:
            said = f"constant.{unknown[0]}: unknown" if unknown else f"constant.{missing[0]} is missing"
            raise InputError(said, allowed=", ".join(names))
        for name, constant in constants.items():
            constant.figure.require(_measures(name)[0], f"constant.{name}")
        values: dict[str, Any] = {name: _value(name, constants[name].figure) for name in names}
        return cls(**values, constants=MappingProxyType(dict(constants)))


@cache
def _shipped() -> Costs:
    return Costs._read(data_path("costs.toml"))


@cache
def _timeless() -> Costs:
    times = {name for name in _shipped().constants if _measures(name)[1].startswith("ns")} - {"restore_delay_ns"}
    return _shipped().changed(**dict.fromkeys(times, 0))


def _measures(name: str) -> tuple[str, str]:
    """What a constant measures and in which unit, told by the end of its name; the longest ending comes first."""
    return next(measure for ending, measure in _ENDINGS.items() if name.endswith(ending))


def _value(name: str, figure: Figure) -> int | float:
    """Times, sizes and rates are whole numbers; a shape or a share is not."""
    return figure.base if _measures(name)[0] in ("per KiB", "ratio") else figure.whole
