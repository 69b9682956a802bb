"""A GPU's access in place: it costs what the link to the page costs, and the log's times show it."""

import pytest

from svmlab.hardware.access_time import AccessTimes
from svmlab.hardware.costs import Costs
from svmlab.hardware.machine import Machine
from svmlab.hardware.memory import RAM
from svmlab.svm.process import Process
from svmlab.units import PAGE_SIZE

PAGES = 64


def took_ns(p: Process) -> int:
    """The time of the last work on a GPU."""
    start, end = p.log.events("gpu_work_start", "gpu_work_end")[-2:]
    return end.time_ns - start.time_ns


def process(**options) -> Process:
    return Process("mi210-two-hives", vram="64 MiB", **options)


def placed(p: Process, access: list[str], **attributes):
    a = p.mmap(PAGES * PAGE_SIZE)
    a[:] = 1
    p.set_attr(a, access=access, **attributes)
    p.run()
    return a


def test_a_page_in_ram_takes_as_long_as_the_host_link_takes_for_its_bytes():
    p = process()
    a = placed(p, ["gpu0"])
    p.gpu(0).read(a)
    assert took_ns(p) == PAGES * round(PAGE_SIZE / 28), "28 GB/s are 28 bytes in a nanosecond"


def test_a_page_in_the_own_vram_takes_a_small_part_of_that():
    p = process()
    a = placed(p, ["gpu0"], prefetch="gpu0")
    p.gpu(0).read(a)
    assert took_ns(p) == PAGES * p.driver.costs.gpu_access_page_ns


def test_a_page_in_the_vram_of_a_peer_takes_as_long_as_the_xgmi_link():
    p = process()
    a = placed(p, ["gpu0", "gpu1"], prefetch="gpu0")
    p.gpu(1).read(a)
    assert took_ns(p) == PAGES * round(PAGE_SIZE / 39)


def test_a_span_of_which_half_is_in_vram_is_touched_at_two_paces():
    p = process()
    a = placed(p, ["gpu0"], prefetch="gpu0", granularity=0)
    a[: PAGES // 2 * PAGE_SIZE]
    p.run()
    p.gpu(0).read(a)
    times = p.driver.system.access_times
    assert took_ns(p) == PAGES // 2 * (times.page_ns(0, RAM, write=False) + times.page_ns(0, 0, write=False))


def test_a_store_goes_the_other_way_along_the_link_than_a_load():
    times = AccessTimes(Machine.find("mi300x-8"), Costs.load())
    assert times.page_ns(0, RAM, write=False) == round(PAGE_SIZE / 42.0)
    assert times.page_ns(0, RAM, write=True) == round(PAGE_SIZE / 55.2)


@pytest.mark.parametrize("name", ["mi100-hive4", "mi210-two-hives", "mi250x-node", "mi300x-8", "pcie-pair", "toy"])
def test_on_every_machine_the_own_vram_is_the_fastest_place(name: str):
    machine = Machine.find(name)
    times = AccessTimes(machine, Costs.load())
    places = [RAM, *(gpu.index for gpu in machine.gpus)]
    for gpu in machine.gpus:
        for write in (False, True):
            assert min(places, key=lambda home: times.page_ns(gpu.index, home, write=write)) == gpu.index
