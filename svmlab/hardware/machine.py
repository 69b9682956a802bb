"""A machine: GPUs, their memory, their hives, and the wires between them.

A machine is described once (a file in ``data/machines``, a KFD topology tree) and never changes; what happens on it
lives elsewhere.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from os import PathLike

from svmlab.errors import InputError
from svmlab.hardware.figures import Figure
from svmlab.hardware.parts import Endpoint, Gpu, Link, check_memory
from svmlab.uapi import SYSMEM, UNDEFINED
from svmlab.units import parse_size

__all__ = ["MAX_GPUS", "Machine"]

MAX_GPUS = 64
"""Kernel: MAX_GPU_INSTANCE (kfd_priv.h)."""


@dataclass(frozen=True, slots=True)
class Machine:
    """A machine with one or more AMD GPUs.

    Attributes:
        name: short name, as in ``data/machines``.
        title: one line for people.
        ram: system memory of all CPU nodes together.
        gpus: in the driver's order, ``gpus[i].index == i``.
        links: every known link, each pair of ends once, sorted by their ends.
        cpus: number of CPU nodes.
        notes: what was assumed, derived or odd, one sentence each.

    >>> machine = Machine.find("mi210-two-hives")
    >>> machine.near(0, 3), machine.near(0, 4), machine.max_range_pages
    (True, False, 262144)
    """

    name: str
    title: str
    ram: Figure
    gpus: tuple[Gpu, ...]
    links: tuple[Link, ...] = ()
    cpus: int = 1
    notes: tuple[str, ...] = ()
    _by_ends: dict[tuple[Endpoint, Endpoint], Link] = field(init=False, repr=False, compare=False)
    _by_id: dict[int, Gpu] = field(init=False, repr=False, compare=False)
    _reach: dict[int, int] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        check_memory(self.ram, f"the RAM of {self.name}")
        _check_gpus(self)
        _check_links(self)
        # A frozen dataclass leaves no other way to put its own fields in order.
        object.__setattr__(self, "links", tuple(sorted(self.links, key=lambda link: (link.source, link.target))))
        object.__setattr__(self, "_by_ends", {(link.source, link.target): link for link in self.links})
        object.__setattr__(self, "_by_id", {gpu.gpu_id: gpu for gpu in self.gpus})
        object.__setattr__(self, "_reach", _reach_by_location(self))

    def __hash__(self) -> int:
        """Equal machines have equal names, and hashing all of their links would take longer than any decision."""
        return hash(self.name)

    @classmethod
    def find(cls, name_or_path: str | PathLike[str], base: str | PathLike[str] | None = None) -> Machine:
        """Load a machine by the name or the path of its description.

        Args:
            name_or_path: a name in ``data/machines``, a ``.toml`` file, or a KFD topology tree (folder or ``.tar.gz``).
            base: the folder that relative paths start at; the working directory by default.

        Raises:
            InputError: there is no such machine, or its description is damaged.
        """
        # Only here: the readers build Machines, so they import this module.
        from svmlab.hardware.finder import find_machine

        return find_machine(name_or_path, base)

    def __repr__(self) -> str:
        return f"<Machine {self.name}: {len(self.gpus)} GPUs>"

    @property
    def ram_bytes(self) -> int:
        """System memory of all CPU nodes together."""
        return self.ram.whole

    @property
    def hives(self) -> dict[int, tuple[int, ...]]:
        """Hive id to the indices of its GPUs; GPUs in no hive are left out."""
        ids = dict.fromkeys(gpu.hive_id for gpu in self.gpus if gpu.hive_id)
        return {hive: tuple(gpu.index for gpu in self.gpus if gpu.hive_id == hive) for hive in ids}

    @property
    def max_range_pages(self) -> int:
        """Largest number of pages a new SVM range may have: 1/32 of the smallest VRAM, 2 MiB to 1 GiB, a power of two.

        Kernel: svm_range_set_max_pages (kfd_svm.c)
        """
        pages = min(min(max(gpu.vram_bytes >> 17, 1 << 9), 1 << 18) for gpu in self.gpus)
        return 1 << (pages.bit_length() - 1)

    def gpu(self, index: int) -> Gpu:
        """The GPU with this index (gpuidx).

        Raises:
            InputError: the machine has no such GPU.
        """
        if not 0 <= index < len(self.gpus):
            raise InputError(f"{self.name} has no gpu{index}", allowed=self._gpu_names())
        return self.gpus[index]

    def by_id(self, gpu_id: int) -> Gpu | None:
        """The GPU with this id, or None.

        Kernel: kfd_process_gpuidx_from_gpuid (kfd_process.c)
        """
        return self._by_id.get(gpu_id)

    def same_hive(self, a: int, b: int) -> bool:
        """Two *different* GPUs share a hive; false for a GPU and itself, as the driver's raw helper has it.

        Kernel: amdgpu_xgmi_same_hive (amdgpu_xgmi.h)
        """
        hive = self.gpu(a).hive_id
        return a != b and hive != 0 and hive == self.gpu(b).hive_id

    def near(self, a: int, b: int) -> bool:
        """The same GPU, or two of one hive.

        Kernel: svm_nodes_in_same_hive (kfd_svm.h)
        """
        return a == b or self.same_hive(a, b)

    def reach(self, location: int) -> int:
        """Bits of the GPUs that reach memory at a location: those near the GPU that owns it, or all where none does."""
        return self._reach.get(location, self._reach[SYSMEM])

    def host_link(self, index: int) -> Link | None:
        """The link between this GPU and the CPU node it hangs on, or None where none is known."""
        return self.link(Endpoint("cpu", self.gpu(index).cpu), Endpoint("gpu", index))

    def peer_link(self, a: int, b: int) -> Link | None:
        """The link between two GPUs, or None where none is known."""
        return self.link(Endpoint("gpu", self.gpu(a).index), Endpoint("gpu", self.gpu(b).index))

    def link(self, a: Endpoint, b: Endpoint) -> Link | None:
        """The link between two ends, in either order, or None where none is known."""
        return self._by_ends.get((min(a, b), max(a, b)))

    def with_memory(self, vram: int | str | None = None, ram: int | str | None = None) -> Machine:
        """A copy with other memory sizes.

        Args:
            vram: usable VRAM of every GPU, in bytes or as ``"64 MiB"``; None keeps what it has.
            ram: system memory, likewise.

        Raises:
            InputError: a size is no whole number of pages, or 0.
        """
        gpus, memory = self.gpus, self.ram
        if vram is not None:
            size = _override(vram, "vram")
            gpus = tuple(replace(gpu, device=replace(gpu.device, vram=size)) for gpu in gpus)
        if ram is not None:
            memory = _override(ram, "ram")
        return replace(self, gpus=gpus, ram=memory)

    def location_name(self, location: int) -> str:
        """Name a location as scenario files do: ``"cpu"``, ``"gpu0"``, …, ``"undefined"``.

        Raises:
            InputError: no GPU of this machine has that id.
        """
        if location in (SYSMEM, UNDEFINED):
            return "cpu" if location == SYSMEM else "undefined"
        gpu = self.by_id(location)
        if gpu is None:
            ids = ", ".join(f"{gpu.gpu_id} (gpu{gpu.index})" for gpu in self.gpus)
            raise InputError(
                f"{location} is no location on {self.name}", allowed=f"0 (cpu), 0xffffffff (undefined), {ids}"
            )
        return f"gpu{gpu.index}"

    def location(self, name: str) -> int:
        """The location number that a name stands for: 0, a gpu id or 0xffffffff.

        Raises:
            InputError: the name means nothing on this machine.
        """
        fixed = {"cpu": SYSMEM, "undefined": UNDEFINED}
        if name in fixed:
            return fixed[name]
        match = re.fullmatch(r"gpu(0|[1-9]\d{0,2})", name)
        if match is None or int(match[1]) >= len(self.gpus):
            raise InputError(
                f"{name!r} is no location on {self.name}", allowed=f'"cpu", "undefined", {self._gpu_names()}'
            )
        return self.gpus[int(match[1])].gpu_id

    def _gpu_names(self) -> str:
        return "gpu0" if len(self.gpus) == 1 else f"gpu0 to gpu{len(self.gpus) - 1}"


def _override(size: int | str, what: str) -> Figure:
    figure = Figure.exact(parse_size(size), "B", source=f"set by the {what} override", evidence="assumed")
    check_memory(figure, what)
    return figure


def _check_gpus(machine: Machine) -> None:
    if not 1 <= len(machine.gpus) <= MAX_GPUS:
        raise InputError(f"{machine.name} has {len(machine.gpus)} GPUs", allowed=f"1 to {MAX_GPUS}")
    seen: set[int] = set()
    for index, gpu in enumerate(machine.gpus):
        if gpu.index != index:
            raise InputError(f"GPU number {index} of {machine.name} calls itself gpu{gpu.index}", allowed=f"gpu{index}")
        if not 0 < gpu.gpu_id < UNDEFINED or gpu.gpu_id in seen:
            raise InputError(
                f"gpu{index} of {machine.name} has gpu_id {gpu.gpu_id}", allowed="1 to 0xfffffffe, each once"
            )
        if not 0 <= gpu.cpu < machine.cpus:
            raise InputError(
                f"gpu{index} of {machine.name} hangs on cpu{gpu.cpu}", allowed=f"cpu0 to cpu{machine.cpus - 1}"
            )
        seen.add(gpu.gpu_id)


def _reach_by_location(machine: Machine) -> dict[int, int]:
    """Bits of the GPUs that reach RAM, and the VRAM of each GPU."""
    reach = {SYSMEM: (1 << len(machine.gpus)) - 1}
    for owner in machine.gpus:
        reach[owner.gpu_id] = sum(1 << gpu.index for gpu in machine.gpus if machine.near(gpu.index, owner.index))
    return reach


def _check_links(machine: Machine) -> None:
    counts = {"cpu": machine.cpus, "gpu": len(machine.gpus)}
    seen: set[tuple[Endpoint, Endpoint]] = set()
    for link in machine.links:
        pair = (link.source, link.target)
        missing = [str(end) for end in pair if end.index >= counts[end.kind]]
        if missing:
            raise InputError(f"a link of {machine.name} ends at {missing[0]}, which does not exist")
        if pair in seen:
            raise InputError(f"{machine.name} links {link.source} and {link.target} twice", allowed="one link a pair")
        seen.add(pair)
