"""What every mechanism gets as its first argument: the driver's view of one process on a shared machine."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import simpy

from svmlab.errors import InputError
from svmlab.hardware.access_time import AccessTimes
from svmlab.hardware.costs import Costs
from svmlab.hardware.frames import Frames
from svmlab.hardware.gpu import ProcessDevice
from svmlab.hardware.injection import Injections
from svmlab.hardware.machine import Machine
from svmlab.hardware.memory import Memory
from svmlab.hardware.sdma import SdmaEngines
from svmlab.hardware.tell import tell
from svmlab.hardware.vram import Vram
from svmlab.hardware.world import Blocking, TaskProcess, World
from svmlab.mm.address_space import AddressSpace
from svmlab.mm.locks import LockClass, Mutex
from svmlab.svm.behaviour import Behaviour
from svmlab.svm.behaviour_table import DEFAULT_PRESET
from svmlab.svm.decision import Situation
from svmlab.svm.queue_state import QueueState
from svmlab.svm.ranges import Range, RangeList
from svmlab.svm.vram_buffer import VramBuffer
from svmlab.uapi import NotifierEvent
from svmlab.units import PAGE_SIZE

if TYPE_CHECKING:
    from svmlab.mm.vma import File

__all__ = ["Driver", "System"]


class System:
    """One machine at work: what all processes share.

    Args:
        machine: a machine, or the name or path of one.
        behaviour: a preset, or a preset with overrides.
        payload: keep the bytes of pages; without, page state only.
        world: time and tasks; default: a world of its own.
        costs: the cost model; default: the shipped one.

    Attributes:
        access_times: the pace at which GPUs touch pages in place.
        vrams, engines: allocator and copy engines of each GPU, by index.
        buffers: VRAM buffers by number, the one used longest ago first.
        drivers: the processes, by pid.
        files: page caches by file name.
        reserved_pages: system memory reserved by ranges of all processes.
        xnack: the mode that new processes start in.
    """

    def __init__(
        self,
        machine: Machine | str,
        *,
        behaviour: str | Mapping[str, str] | Behaviour = DEFAULT_PRESET,
        payload: bool = True,
        world: World | None = None,
        costs: Costs | None = None,
    ) -> None:
        self.machine = _known(Machine.find(machine) if isinstance(machine, str) else machine)
        self.behaviour = Behaviour.of(behaviour)
        self.costs = costs or Costs.load()
        self.access_times = AccessTimes(self.machine, self.costs)
        self.world = world or World()
        self.memory = Memory(self.machine, payload=payload)
        self.memory.device_page_free = self._page_free
        self.vrams = [Vram(gpu.vram_bytes // PAGE_SIZE) for gpu in self.machine.gpus]
        self.engines = [SdmaEngines(self.machine, gpu.index, self.costs, self.world.log) for gpu in self.machine.gpus]
        self.faults = Injections()
        self.buffers: dict[int, VramBuffer] = {}
        self.drivers: dict[int, Driver] = {}
        self.files: dict[str, File] = {}
        self.reserved_pages = 0
        self.xnack = False
        self.next_buffer = 1
        self.world.log.tell = lambda event: tell(self.machine, event)

    @property
    def ram_limit_pages(self) -> int:
        """System memory that ranges may reserve: 15/16 of RAM.

        Kernel: amdgpu_amdkfd_gpuvm_init_mem_limits (amdgpu_amdkfd_gpuvm.c)
        """
        return self.memory.ram_pages - (self.memory.ram_pages >> 4)

    def _page_free(self, pfns: Frames) -> None:
        self.behaviour.buffer_life(self, pfns)


@lru_cache(maxsize=64)
def _known(machine: Machine) -> Machine:
    """Equal machines are one, so that what is remembered about a machine is found without comparing all of it."""
    return machine


class Driver:
    """The driver's state for one process (struct kfd_process with its svm_range_list).

    Attributes:
        system: the machine.
        mm: the process's address space.
        svms: its ranges.
        devices: its process-devices, by GPU index.
        xnack: whether its GPUs take faults.
        stopping: happens when an invalidation that stops the queues has done so; None while none does.
        restore_queued: the restore worker waits for its time.
        restore_running: happens when the restore worker that runs now is done; None while none runs.
        restore_trouble: the range that the last pass could not restore, the errno, and how many passes ended so in a
            row; None if the last pass met no error.
        queue_state: where the restore stands; only ``eviction`` changes it, by the table of ``queue_state``.
        invalidate: what the notifiers of the ranges call; set when the process opens the driver.
        walking: tasks inside an HMM walk that accepts no page in VRAM (faulting_task), by id.
        emit: appends an event of this process to the log.
    """

    def __init__(self, system: System, mm: AddressSpace, *, xnack: bool) -> None:
        self.system, self.mm, self.xnack = system, mm, xnack
        self.world, self.log, self.machine = system.world, system.world.log, system.machine
        self.memory, self.costs, self.faults = system.memory, system.costs, system.faults
        self.behaviour, self.vrams, self.engines = system.behaviour, system.vrams, system.engines
        self.pid, self.name = mm.pid, mm.name
        self.emit = self.log.emitter(mm.pid)
        self._situations: dict[tuple[int, ...], Situation] = {}  # few differ, however many ranges there are
        self.svms = RangeList(system.world, mm.name)
        self.devices = [ProcessDevice(system.world, gpu.index) for gpu in self.machine.gpus]
        self.process_info_lock = Mutex(system.world, LockClass.PROCESS_INFO, f"process_info lock of {mm.name}")
        self.stopping: simpy.Event | None = None
        self.restore_queued = False
        self.restore_trouble: tuple[Range, int, int] | None = None
        self.queue_state = QueueState.RUN
        self.restore_running: simpy.Event | None = None
        self.restore_worker: TaskProcess | None = None
        self.deferred_worker: TaskProcess | None = None
        self.walking: set[int] = set()
        self.exited = False
        self.invalidate: Callable[[Driver, Range, NotifierEvent, tuple[int, int]], Blocking[None]] | None = None
        system.drivers[mm.pid] = self

    @property
    def now(self) -> int:
        """Virtual time in ns."""
        return self.world.env._now  # type: ignore[return-value]  # asking the environment costs four times as much

    @property
    def gpus(self) -> int:
        """Bits of all GPUs of the process (bitmap_supported)."""
        return (1 << len(self.devices)) - 1

    def gpu_index(self, gpu_id: int) -> int | None:
        """GPU index of a gpu id, None for an unknown one."""
        gpu = self.machine.by_id(gpu_id)
        return None if gpu is None else gpu.index

    def situation(self, range_: Range) -> Situation:
        """What policy may know of a range."""
        seen = (
            self.xnack,
            range_.prefetch_loc,
            range_.preferred_loc,
            range_.actual_loc,
            range_.access,
            range_.in_place,
            range_.flags,
            range_.mapped,
        )
        situation = self._situations.get(seen)
        if situation is None:
            situation = self._situations[seen] = Situation(self.machine, *seen)
        return situation

    def say(self, name: str, text: str, start: int = -1, last: int = -1, **fields: Any) -> int:
        """Append an event with a text."""
        return self.emit(name, start, last, text=text, **fields)

    def check_gpu(self, index: int) -> ProcessDevice:
        """The process-device of a GPU.

        Raises:
            InputError: the machine has no such GPU.
        """
        if not 0 <= index < len(self.devices):
            raise InputError(f"gpu{index}", allowed=f"gpu0 to gpu{len(self.devices) - 1}")
        return self.devices[index]
