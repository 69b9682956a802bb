"""A process: the one object a learner holds."""

from __future__ import annotations

import errno as _errno
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any

from svmlab.errors import InputError, SvmError, SvmTimeoutError
from svmlab.hardware.costs import Costs
from svmlab.hardware.exploring import ExplorableEnvironment
from svmlab.hardware.gpu import ProcessDevice
from svmlab.hardware.machine import Machine
from svmlab.hardware.world import Blocking, World
from svmlab.log import Log
from svmlab.mm.address_space import AddressSpace
from svmlab.svm import cpu_fault, eviction, gpu_fault, invariants, pressure
from svmlab.svm.behaviour import Behaviour
from svmlab.svm.behaviour_table import DEFAULT_PRESET
from svmlab.svm.buffer_view import Buffer, SpanLike, span_of
from svmlab.svm.driver import Driver, System
from svmlab.svm.explain import Explanation, RangeTable, explain
from svmlab.svm.handle import Handle
from svmlab.svm.look import Look
from svmlab.svm.process_api import ProcessApi
from svmlab.svm.process_calls import Calls
from svmlab.svm.progress import DEFAULT_LIMIT_NS, run_until
from svmlab.units import parse_time

__all__ = ["Process", "Start"]

_MECHANISMS = (gpu_fault, pressure)  # imported for the options they register


class Process(ProcessApi):
    """A process on a simulated machine.

    Its methods run the simulation until the call returns; ``process.start.<call>(...)`` returns a handle to a call that
    goes on concurrently. Work left in the background (the restore worker, deferred work) goes on with ``run``.

    Args:
        machine: a machine, its name in ``data/machines``, a ``.toml`` file or a KFD topology tree.
        xnack: whether its GPUs take page faults.
        vram, ram: other sizes for every GPU's VRAM and for system memory, in bytes or as ``"64 MiB"``.
        behaviour: a preset, or ``{"base": preset, slot: option, ...}``.
        payload: keep the bytes of pages; without, page state only.
        seed: breaks ties between what may happen at one instant; 0: in the order it was scheduled.
        name: its name in the log.
        explorable: on a machine where nothing takes time, so that somebody else can choose who goes on.

    Attributes:
        driver: the driver's state for this process.
        pid: its number.
        start: the same calls, concurrent.

    Raises:
        InputError: no such machine, size or behaviour.

    >>> p = Process("toy")
    >>> a = p.mmap("64 KiB", name="a")
    >>> a[:] = 7
    >>> p.set_attr(a, access=["gpu0"], prefetch="gpu0")
    >>> p.run()
    >>> p.look.locations(a.span).tolist() == [p.driver.machine.gpus[0].gpu_id] * 16
    True
    >>> int(p.gpu(0).read(a)[0]), a[0]
    (7, 7)
    """

    def __init__(
        self,
        machine: Machine | str = "toy",
        *,
        xnack: bool = False,
        vram: int | str | None = None,
        ram: int | str | None = None,
        behaviour: str | Mapping[str, str] | Behaviour = DEFAULT_PRESET,
        payload: bool = True,
        seed: int = 0,
        name: str = "main",
        explorable: bool = False,
    ) -> None:
        described = Machine.find(machine) if isinstance(machine, str) else machine
        unable = [gpu for gpu in described.gpus if not gpu.xnack_capable]
        if xnack and unable:
            raise InputError(
                f"xnack on {described.name}: its {unable[0].name} cannot retry page faults", hint="xnack=False"
            )
        world = World(env=ExplorableEnvironment(initial_time=0)) if explorable else World(seed)
        system = System(
            described.with_memory(vram=vram, ram=ram),
            behaviour=behaviour,
            payload=payload,
            world=world,
            costs=Costs.without_time() if explorable else None,
        )
        system.xnack = xnack
        self._open(system, _address_space(system, name))

    def _open(self, system: System, mm: AddressSpace) -> None:
        self.driver = Driver(system, mm, xnack=system.xnack)
        self.driver.invalidate = eviction.invalidate
        self.calls, self.start = Calls(self), Start(self)
        self.driver.say("process_start", mm.name)

    def __repr__(self) -> str:
        mode = "on" if self.xnack else "off"
        return f"<Process {self.name} on {self.machine.name}, xnack {mode}, {self.driver.behaviour.base}>"

    @property
    def name(self) -> str:
        """Its name."""
        return self.driver.name

    @property
    def pid(self) -> int:
        """Its number, from 1."""
        return self.driver.pid

    @property
    def log(self) -> Log:
        """The log of the machine, which all its processes write."""
        return self.driver.log

    @property
    def machine(self) -> Machine:
        """The machine it runs on."""
        return self.driver.machine

    @property
    def xnack(self) -> bool:
        """Whether its GPUs take page faults now."""
        return self.driver.xnack

    @property
    def now(self) -> int:
        """Virtual time in ns."""
        return self.driver.now

    @property
    def look(self) -> Look:
        """What can be seen without touching anything."""
        return Look(self.driver)

    def device(self, gpu: int | str) -> ProcessDevice:
        """The process-device of a GPU, by index or as ``"gpu0"``.

        Raises:
            InputError: the machine has no such GPU.
        """
        if isinstance(gpu, str):
            found = self.machine.by_id(self.machine.location(gpu))
            if found is None:
                raise InputError(f"{gpu!r} is no GPU", allowed="gpu0, gpu1, ...")
            gpu = found.index
        return self.driver.check_gpu(gpu)

    # time, tests and other processes

    def run(self, *, for_ns: int | str | None = None, limit_ns: int = DEFAULT_LIMIT_NS) -> None:
        """Let the machine run: until nothing is left to do, or for a while.

        Args:
            for_ns: how long, in ns or as ``"3 ms"``; None: until idle.
            limit_ns: how long a machine may do nothing but start over.

        Raises:
            SvmTimeoutError: it re-schedules for ever.
        """
        self._outside()
        if for_ns is not None:
            self.driver.world.run_for(parse_time(for_ns))
        else:
            run_until(self.driver.world, lambda: False, limit_ns)

    def advance(self, ns: int | str) -> None:
        """Let a stretch of virtual time pass."""
        self.run(for_ns=ns)

    def wait(self, handle: Handle, limit_ns: int = DEFAULT_LIMIT_NS) -> Any:
        """Run until a call that goes on concurrently has ended; returns its result.

        Raises:
            SvmError: what the call failed with.
            SvmTimeoutError: nothing but starting over happened for ``limit_ns``, or nothing is left to happen.
        """
        self._outside()
        run_until(self.driver.world, lambda: handle.done, limit_ns)
        if not handle.done:
            raise SvmTimeoutError(f"{handle.name} waits for something that will never happen", hint="look at p.log")
        return handle.result()

    def inject(
        self, fault: str, *, nth: int = 1, count: int = 1, gpu: int | str | None = None, error: int | str | None = None
    ) -> None:
        """Make a step of the driver fail: the ``nth`` of its kind from now, ``count`` times in a row."""
        number = getattr(_errno, error) if isinstance(error, str) else error
        index = None if gpu is None else self.device(gpu).gpu
        self.driver.faults.order(fault, nth=nth, count=count, gpu=index, error=number)

    def vram_layout(self, gpu: int | str, free: Iterable[Sequence[int]]) -> None:
        """Make these ``[first page, pages]`` the only free VRAM of a GPU, to force fragments."""
        self.driver.vrams[self.device(gpu).gpu].force_layout((int(first), int(count)) for first, count in free)

    def spawn(self, name: str) -> Process:
        """One more process on the same machine, with its own memory and queues."""
        other = Process.__new__(Process)
        system = self.driver.system
        other._open(system, _address_space(system, name))
        return other

    def fork(self, name: str = "child", *, exit_child: bool = False) -> Process:
        """A child that shares every page copy-on-write and has no ranges."""
        child: Process = self._call("fork", self.calls.fork(name, exit_child=exit_child))
        return child

    def exit(self) -> None:
        """End the process: workers are stopped, memory and ranges go."""
        self._call("exit", self.calls.exit())

    # answers

    def ranges(self, span: SpanLike | None = None) -> RangeTable:
        """The SVM ranges (of a span) as a table."""
        return RangeTable(self.driver, self.look.ranges(None if span is None else span_of(span)))

    def why(self, span: SpanLike) -> Explanation:
        """What would happen to a span now and why, with the alternatives that lost."""
        return explain(self.driver, span_of(span))

    def broken_invariants(self) -> list[str]:
        """Every invariant of the model that does not hold, as a sentence; normally none."""
        for device in self.driver.devices:
            device.settle()
        return invariants.broken(self.driver)

    def broken_now(self) -> list[str]:
        """As ``broken_invariants``, in the midst of calls: only what the CPU and the GPUs can reach is looked at."""
        return invariants.broken(self.driver, invariants.AT_ANY_MOMENT)

    def begin(self, name: str, work: Blocking[Any], span: SpanLike | None = None) -> Handle:
        """Start a call as a task of its own, and run it up to its first sleep."""
        driver = self.driver
        handle = Handle(driver.world, name)
        start, last = (-1, -1) if span is None else (int(span_of(span).start), int(span_of(span).last))
        label = f"{name}({span.name})" if isinstance(span, Buffer) and span.name else name

        def task() -> Blocking[None]:
            begun = driver.say("call_start", label, start, last)
            with driver.log.because(begun):
                yield from handle.follow(work)
            failed = handle.error
            text = f"{label} ({failed.name})" if failed and not failed.errno else label
            driver.say("call_end", text, start, last, error=failed.errno if failed else 0, cause=begun)

        driver.world.begin(driver.world.spawn(f"{self.name}: {name}", task(), pid=self.pid))
        return handle

    def _call(self, name: str, work: Blocking[Any], span: SpanLike | None = None) -> Any:
        return self.wait(self.begin(name, work, span))

    def _outside(self) -> None:
        if self.driver.world.inside_a_task():
            raise SvmError(f"{self.name}: a blocking call from inside the simulation", hint="process.start.<call>(...)")


class Start:
    """The calls of a process, started and left to go on: ``process.start.set_attr(...)`` returns a handle."""

    def __init__(self, process: Process) -> None:
        self._process = process

    def __getattr__(self, name: str) -> Callable[..., Handle]:
        if name.startswith("_") or not hasattr(Calls, name):
            raise AttributeError(f"a process has no call {name!r}")

        def begin(*given: Any, **options: Any) -> Handle:
            work = getattr(self._process.calls, name)(*given, **options)
            span = given[0] if given and isinstance(given[0], SpanLike) else None
            return self._process.begin(name, work, span)

        return begin


def _address_space(system: System, name: str) -> AddressSpace:
    pid = max(system.drivers, default=0) + 1
    mm = AddressSpace(system.world, system.memory, system.costs, name=name, pid=pid)
    mm.migrate_to_ram = partial(cpu_fault.migrate_to_ram, system)
    return mm
