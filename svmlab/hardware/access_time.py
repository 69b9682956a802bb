"""How long a GPU takes for a page, by where the page is: in its own VRAM, in RAM, or in another GPU's VRAM."""

from __future__ import annotations

from svmlab.hardware.costs import Costs
from svmlab.hardware.machine import Machine
from svmlab.hardware.memory import RAM
from svmlab.units import PAGE_SIZE, SEC

__all__ = ["AccessTimes"]


class AccessTimes:
    """The pace at which GPUs touch pages in place.

    Whole pages in address order, as a streaming kernel does: what lies behind a link moves at the bandwidth that large
    copies reach on it, in the direction in which the bytes go.

    >>> machine = Machine.find("mi300x-8")
    >>> times = AccessTimes(machine, Costs.load())
    >>> times.page_ns(0, 0, write=False), times.page_ns(0, RAM, write=False), times.page_ns(0, 1, write=False)
    (5, 98, 85)
    """

    def __init__(self, machine: Machine, costs: Costs) -> None:
        self._machine, self._costs = machine, costs
        self._known: dict[tuple[int, int, bool], int] = {}

    def page_ns(self, gpu: int, home: int, *, write: bool) -> int:
        """Time for one page.

        Args:
            gpu: index of the GPU that touches it.
            home: index of the GPU in whose VRAM the page is, ``RAM`` for system memory.
            write: bytes go from the GPU to the page, not from the page to the GPU.
        """
        key = gpu, home, write
        if key not in self._known:
            self._known[key] = self._page_ns(gpu, home, write=write)
        return self._known[key]

    def _page_ns(self, gpu: int, home: int, *, write: bool) -> int:
        if home == gpu:
            return self._costs.gpu_access_page_ns
        if home == RAM:
            bandwidth = self._costs.host_bandwidth(self._machine, gpu, to_vram=not write)
        else:
            source, target = (gpu, home) if write else (home, gpu)
            bandwidth = self._costs.peer_bandwidth(self._machine, source, target=target)
        return round(PAGE_SIZE * SEC / bandwidth.base)
