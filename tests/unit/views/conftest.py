"""Logs for the tests of the views, written by hand in the order and with the times a run would give."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from svmlab.log import Log, Task
from svmlab.resources import data_path
from svmlab.scenario.format import Overrides
from svmlab.scenario.runner import load_scenario, run
from svmlab.svm.decision import Considered, Decision
from svmlab.svm.process import Process
from svmlab.uapi import MigrateTrigger, NotifierEvent, UnmapTrigger
from svmlab.units import USEC
from svmlab.views.catalogue import VIEWS, largest
from svmlab.views.compare import two_runs
from svmlab.views.decision import decision_path
from svmlab.views.pagemap import pagemap_of
from svmlab.views.pagemap_time import pagemap_over_time
from svmlab.views.range_strip import range_strip
from svmlab.views.scene import Scene, stack
from svmlab.views.sheet import Drawing, Word
from svmlab.views.snapshot import snapshot
from svmlab.views.source import Source
from svmlab.views.timeline import timeline

BUFFER = 0x7E0000000
NPAGES = 1024
GPU_ID = 0x8A3F
STEPS = (
    "collect and unmap RAM pages",
    "allocate VRAM",
    "copy with SDMA",
    "move page structures",
    "finalize",
    "restore: map and resume",
)


@dataclass
class Scribe:
    """Emits events at times of its own choosing, in the name of any task."""

    _now: int = 0
    log: Log = field(init=False)

    def __post_init__(self) -> None:
        self.log = Log(self)
        self.as_task("somebody")

    def as_task(self, name: str, pid: int = 1) -> Task:
        """Go on in the name of a task; the same name is the same task."""
        found = [task for task in self.log.tasks if task.name == name and task.pid == pid]
        self.log.task = found[0] if found else self.log.new_task(name, pid=pid)
        return self.log.task

    def at(self, us: float, name: str, pages: int = NPAGES, *, text: str = "", **fields: int) -> int:
        """Emit one event at ``us`` microseconds about the first pages of the buffer."""
        self._now = int(us * USEC)
        return self.log.emit(name, BUFFER, BUFFER + pages - 1, text=text, **fields)

    def step(self, us: float, number: int) -> None:
        """Emit one of the six steps."""
        self.at(us, "step", text=STEPS[number - 1], number=number)

    def copy(self, us: float, npages: int, *, gpu: int = 0, windows_us: int = 75) -> None:
        """Submit one batch and its windows of 512 pages."""
        count = -(-npages // 512)
        self._now = int(us * USEC)
        length = count * windows_us * USEC
        self.log.emit("copy", BUFFER, BUFFER + npages - 1, gpu=gpu, to_vram=1, npages=npages, duration_ns=length)
        times = self._now + np.arange(count, dtype=np.int64) * windows_us * USEC
        pages = BUFFER + np.arange(count, dtype=np.int64) * 512
        self.log.extend(
            "copy_window", times, start=pages, last=pages + 511, gpu=gpu, npages=512, duration_ns=windows_us * USEC
        )

    @property
    def source(self) -> Source:
        """The log with the names of a machine whose gpu0 has ``GPU_ID``."""
        return Source(self.log, 1, location_name)


def location_name(location: int) -> str:
    """Names as Machine.location_name gives them."""
    return {0: "cpu", GPU_ID: "gpu0", GPU_ID + 1: "gpu1"}[location]


def first_migration(gpus: int = 8, *, restored: bool = True) -> Scribe:
    """One prefetch to gpu0 on a machine with some GPUs, up to the restore worker's end or to its delay."""
    s = Scribe()
    s.as_task("app")
    s.at(0, "cpu_access", write=1, npages=NPAGES)
    s.at(1, "populate", npages=NPAGES)
    s.at(40, "call_start", text="set_attr(a)")
    s.at(41, "attributes", nattr=2)
    s.at(42, "range_add")
    s.at(43, "decision", location=GPU_ID, text="the preferred location is accessible")
    s.at(44, "migrate_start", target=GPU_ID, trigger=MigrateTrigger.PREFETCH)
    s.step(44, 1)
    s.at(46, "notifier", event=NotifierEvent.MIGRATE)
    s.at(46, "evict", invalid=1, evicted_ranges=1)
    for gpu in range(gpus):
        s.at(46 + 12, "queue_eviction", gpu=gpu)
    s.at(60, "restore_scheduled", delay_ns=1_000_000)
    s.at(130, "migrate_setup", npages=NPAGES, cpages=NPAGES)
    s.step(130, 2)
    s.at(138, "vram_alloc", npages=NPAGES, nodes=1)
    s.step(138, 3)
    s.at(139, "dma_map", npages=NPAGES)
    s.copy(140, NPAGES // 2)
    s.copy(215, NPAGES // 2)
    s.at(290, "fence_wait")
    s.step(290, 4)
    s.at(296, "migrate_pages", npages=NPAGES)
    s.step(296, 5)
    s.at(330, "migrate_finalize", npages=NPAGES)
    s.at(331, "dma_unmap", npages=NPAGES)
    s.at(332, "migrate_end", target=GPU_ID, trigger=MigrateTrigger.PREFETCH, npages=NPAGES)
    s.at(334, "call_end", text="set_attr(a)")
    if restored:
        restore(s, gpus)
    return s


def restore(s: Scribe, gpus: int, us: float = 1060) -> None:
    """The restore worker maps the buffer on every GPU and lets the queues run."""
    s.as_task("restore worker")
    s.at(us, "restore_start", evicted_ranges=1)
    s.step(us + 1, 6)
    s.at(us + 2, "restore_range", invalid=1)
    for gpu in range(gpus):
        s.at(us + 3 + 12 * gpu, "map_to_gpu", gpu=gpu, npages=NPAGES, vram_pages=NPAGES, duration_ns=12_000)
    for gpu in range(gpus):
        s.at(us + 5 + 12 * gpus, "queue_restore", gpu=gpu)
    s.at(us + 6 + 12 * gpus, "restore_end", done=1)


def there_and_back() -> Scribe:
    """The buffer goes to gpu0; then the CPU touches it, and two granules come home while gpu0 works."""
    s = first_migration(2)
    s.as_task("gpu0 queue 1")
    s.at(1300, "gpu_work_start", gpu=0, queue=1)
    s.as_task("app")
    s.at(1400, "cpu_access", 1, npages=1)
    for at, granule in ((1402, 0), (1700, 1)):
        come_home(s, at, granule)
    s.at(2010, "cpu_access", 1, npages=1)
    restore(s, 2, 2430)
    s.as_task("gpu0 queue 1")
    s.at(2600, "gpu_work_end", gpu=0, queue=1)
    return s


def come_home(s: Scribe, us: float, granule: int) -> None:
    """A CPU fault moves one granule of 512 pages back to RAM."""
    s.at(us, "cpu_fault", 1, gpu=0)
    s.at(us + 1, "lock_wait", 1, text="svms.lock")
    s.at(us + 20, "lock_acquired", 1, text="svms.lock", waited_ns=19_000)
    s.at(us + 21, "migrate_start", 512, source=GPU_ID, trigger=MigrateTrigger.PAGEFAULT_CPU)
    s.step(us + 21, 1)
    s.at(us + 22, "notifier", 512, event=NotifierEvent.MIGRATE)
    if granule == 0:
        for gpu in range(2):
            s.at(us + 23, "queue_eviction", gpu=gpu)
        s.at(us + 24, "restore_scheduled", delay_ns=1_000_000)
    s.at(us + 30, "unmap_from_gpu", 512, gpu=0, trigger=UnmapTrigger.MMU_NOTIFY_MIGRATE)
    s.step(us + 60, 3)
    s.copy(us + 62, 512)
    s.step(us + 140, 5)
    s.at(us + 160, "migrate_end", 512, source=GPU_ID, trigger=MigrateTrigger.PAGEFAULT_CPU, npages=512)


def busy(batches: int, windows: int = 1) -> Scribe:
    """One migration whose VRAM is in so many pieces that each gets a batch of its own."""
    s = Scribe()
    s.as_task("app")
    s.at(0, "call_start", text="set_attr(a)")
    s.at(1, "migrate_start", target=GPU_ID)
    s.step(1, 3)
    for number in range(batches):
        s.copy(2 + number * 80 * windows, 512 * windows)
    end = 2 + batches * 80 * windows
    s.at(end, "migrate_end", target=GPU_ID, npages=512 * windows * batches)
    s.at(end + 1, "call_end", text="set_attr(a)")
    return s


def gpu_faults(dropped: int) -> Scribe:
    """GPU work that faults: some faults are dropped, then one is served, then an access is fatal."""
    s = Scribe()
    s.as_task("gpu0 queue 1")
    s.at(0, "gpu_work_start", gpu=0, queue=1)
    for number in range(dropped):
        s.at(10 + number * 17, "page_fault_dropped", 1, gpu=0, text="the range was mapped less than 2 ms ago")
    begin = 20 + dropped * 17
    s.at(begin, "page_fault_start", 1, gpu=0)
    s.at(begin + 90, "map_to_gpu", 512, gpu=0, npages=512, duration_ns=9_000)
    s.at(begin + 100, "page_fault_end", 1, gpu=0)
    s.at(begin + 130, "memory_exception", 1, gpu=0)
    return s


def half_moved() -> Scene:
    """A page map: half of the buffer is on gpu0, which maps it; seven more GPUs map nothing."""
    cpu, gpu0, idle = (np.full(NPAGES, value, np.int64) for value in (0, -1, -1))
    cpu[512:] = gpu0[512:] = GPU_ID
    tables = {"cpu": cpu, "gpu0": gpu0, **{f"gpu{index}": idle for index in range(1, 8)}}
    return pagemap_of(tables, location_name, title="Where the pages of a are")


def prefetch_decision() -> Decision:
    """The third rule fires, two were passed over, one was not asked."""
    considered = (
        Considered("xnack on", "xnack is off"),
        Considered("prefetch to RAM", "the prefetch location is gpu0"),
    )
    return Decision(GPU_ID, "prefetch location", "all accessors reach it", considered, ("preferred location",))


def all_scenes() -> dict[str, Scene]:
    """One scene of every kind, and crowded ones."""
    scenes = {name: timeline(make().source) for name, make in LOGS.items()}
    scenes["map"] = half_moved()
    scenes["decision"] = decision_path(prefetch_decision(), location_name, of="The pages of a")
    scenes["widget"] = stack("first look", "Where and why", scenes["map"], scenes["pending"], scenes["decision"])
    return scenes


LOGS: dict[str, Callable[[], Scribe]] = {
    "first": first_migration,
    "pending": lambda: first_migration(restored=False),
    "back": there_and_back,
    "busy": lambda: busy(300),
    "faults": lambda: gpu_faults(100),
    "empty": Scribe,
}

SCENARIOS = {"first-migration": None, "first-gpu-fault": 5, "stop-and-go": None}
"""Shipped scenarios that every view must picture, and after how many steps: None for all of them."""

GOLDEN = Path(__file__).parent / "golden"


@pytest.fixture
def logs() -> SimpleNamespace:
    """Everything above, for tests to build on."""
    return SimpleNamespace(**globals())


@pytest.fixture(scope="session")
def scenes() -> dict[str, Scene]:
    """``all_scenes``, made once: scenes cannot change."""
    return all_scenes()


@pytest.fixture(scope="session")
def runs() -> dict[str, Process]:
    """Processes at the end of three scenarios that are shipped; they are looked at and never go on."""
    names = ("first-migration", "there-and-back", "first-gpu-fault")
    return {name: run(load_scenario(data_path("scenarios", f"{name}.toml"))).process for name in names}


@cache
def finished(scenario: str, behaviour: str | None = None, steps: int | None = None) -> Process:
    """The process of one of ``SCENARIOS`` at its end, or after so many steps and what they set going."""
    loaded = load_scenario(data_path("scenarios", f"{scenario}.toml"), Overrides(behaviour=behaviour))
    return run(replace(loaded, steps=loaded.steps[: steps or SCENARIOS[scenario]])).process


def beside_upstream(scenario: str) -> Scene:
    """The run of a scenario beside the same under another preset."""
    names = ("as-intended", "upstream")
    return two_runs(finished(scenario), finished(scenario, names[1]), names=names)


@cache
def picture(view: str, scenario: str) -> Scene:
    """The scene of a view of a scenario, made once."""
    if view in OF_SEVERAL:
        return OF_SEVERAL[view](scenario)
    return VIEWS[view].make(finished(scenario))


def moment_by_moment(scenario: str) -> Scene:
    """Where the pages are before and after the calls of a scenario."""
    processes = [finished(scenario, steps=count) for count in MOMENTS[scenario]]
    return pagemap_over_time([snapshot(process, largest(process)) for process in processes])


def ranges_changed(scenario: str) -> Scene:
    """The ranges early and late in a scenario."""
    early, late = (finished(scenario, steps=count) for count in MOMENTS[scenario][:2])
    return range_strip(late, largest(late), before=range_strip(early, largest(early)))


OF_SEVERAL = {"two-runs": beside_upstream, "pagemap-over-time": moment_by_moment, "ranges-changed": ranges_changed}
"""Views of more than one run or moment, which the catalogue cannot hold; they come on top of it."""
MOMENTS = {"first-migration": (2, 7, 15), "first-gpu-fault": (2, 4, 6), "stop-and-go": (2, 4, 9)}
"""After how many steps they look."""


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """``pictured`` is every view of every scenario: a name and a scene; a view joins when it is in the catalogue."""
    if "pictured" in metafunc.fixturenames:
        names = [(view, scenario) for view in (*VIEWS, *OF_SEVERAL) for scenario in SCENARIOS]
        metafunc.parametrize("pictured", names, ids=["-of-".join(name) for name in names], indirect=True)


@pytest.fixture
def pictured(request: pytest.FixtureRequest) -> SimpleNamespace:
    """One view of one scenario."""
    view, scenario = request.param
    return SimpleNamespace(name=f"{scenario}/{view}", view=view, scene=picture(view, scenario))


@pytest.fixture
def matches_golden() -> Callable[[Scene, str], None]:
    """Compare a scene with the data in ``golden/NAME.json``; with SVMLAB_GOLDEN=write, write it instead."""

    def compare(scene: Scene, name: str) -> None:
        path = GOLDEN / f"{name}.json"
        if os.environ.get("SVMLAB_GOLDEN") == "write":
            path.parent.mkdir(exist_ok=True, parents=True)
            path.write_text(json.dumps(scene.to_dict(), indent=1) + "\n", encoding="utf-8")
        assert path.exists(), "a new view: write its golden scenes with SVMLAB_GOLDEN=write, and look at them"
        assert scene.to_dict() == json.loads(path.read_text(encoding="utf-8"))

    return compare


ASCENT, DESCENT = 0.74, 0.21
"""Of a letter, in font sizes."""


def box(word: Word) -> tuple[float, float, float, float]:
    """The box around a word: left, top, right, bottom."""
    return (word.x, word.y - ASCENT * word.size, word.x + word.width, word.y + DESCENT * word.size)


def collisions(words: list[Word]) -> list[tuple[str, str]]:
    """Pairs of words whose boxes overlap by more than rounding."""
    ordered = sorted((box(word), word.text) for word in words)
    return [
        (text, other)
        for at, (a, text) in enumerate(ordered)
        for b, other in ordered[at + 1 :]
        if b[0] < a[2] - 0.5 and a[1] < b[3] - 0.5 and b[1] < a[3] - 0.5
    ]


@pytest.fixture(scope="session")
def check_sheet() -> Callable[[Drawing], None]:
    """Demand that no text of a drawing collides or leaves the paper."""

    def check(sheet: Drawing) -> None:
        assert collisions(sheet.words) == []
        boxes = {word.text: box(word) for word in sheet.words}
        outside = {
            text: (left, top, right, bottom)
            for text, (left, top, right, bottom) in boxes.items()
            if left < 0 or right > sheet.width + 1 or top < 0 or bottom > sheet.height
        }
        assert outside == {}

    return check
