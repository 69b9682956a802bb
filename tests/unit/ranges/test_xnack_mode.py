"""Switching xnack: who may, what it answers, and the system memory that goes with it."""

import pytest

from svmlab.mm import Span
from svmlab.svm.behaviour_table import PRESETS

BASE = 0x1000
NEWER = PRESETS[1:]


@pytest.mark.parametrize("behaviour", PRESETS)
def test_the_mode_is_asked_for_and_switched(lab, behaviour):
    made = lab(behaviour)
    answers = [made.process.set_xnack(mode) for mode in ("query", "on", "query", "on", "off", "query")]
    assert answers == [False, True, True, True, False, False]


@pytest.mark.parametrize("behaviour", PRESETS)
@pytest.mark.parametrize("xnack", [False, True])
@pytest.mark.parametrize("gpu", [0, 2])
def test_a_user_queue_on_any_gpu_forbids_even_the_mode_that_is_set(lab, behaviour, xnack, gpu):
    made = lab(behaviour, xnack)
    made.process.create_queue(gpu)
    assert [made.error(made.process.set_xnack, mode) for mode in ("on", "off", "query")] == ["EBUSY", "EBUSY", None]
    made.process.destroy_queue(gpu)
    assert [made.error(made.process.set_xnack, mode) for mode in ("on", "off")] == [None, None]


@pytest.mark.parametrize("behaviour", PRESETS)
def test_a_gpu_that_cannot_retry_forbids_to_switch_on(lab, behaviour):
    made = lab(behaviour, machine="pcie-pair")
    assert [made.error(made.process.set_xnack, mode) for mode in ("on", "off", "query")] == ["EPERM", None, None]
    made.process.create_queue(0)
    assert made.error(made.process.set_xnack, "on") == "EBUSY", "queues are looked at first"


@pytest.mark.parametrize("behaviour", PRESETS)
def test_a_switch_leaves_ranges_as_they_are(lab, behaviour):
    made = lab(behaviour)
    (range_,) = made.register((BASE, BASE + 99), access=["gpu0"], granularity=3)
    before = (range_.access, range_.granularity, range_.mapped, range_.invalid)
    made.process.set_xnack("on")
    assert (range_.access, range_.granularity, range_.mapped, range_.invalid) == before
    assert made.log("attributes", "map_to_gpu", "unmap_from_gpu", "range_add") == []


@pytest.mark.parametrize("behaviour", NEWER)
def test_memory_is_reserved_with_xnack_off_alone(lab, behaviour):
    made = lab(behaviour)
    system = made.driver.system
    made.register((BASE, BASE + 99))
    counts = [system.reserved_pages]
    for mode in ("on", "on", "off", "off"):
        made.process.set_xnack(mode)
        counts.append(system.reserved_pages)
    assert counts == [100, 0, 0, 100, 100]
    made.process.set_xnack("on")
    made.map(BASE + 100, BASE + 149)
    made.set(BASE + 100, BASE + 149)
    assert system.reserved_pages == 0
    made.process.set_xnack("off")
    assert system.reserved_pages == 150


def test_the_posting_reserves_nothing(lab):
    made = lab("as-posted", ram="8 MiB")
    made.map(BASE, BASE + 4095)
    assert made.error(made.set, BASE, BASE + 4095) == "EFAULT", "because not all its pages can be had: RAM is full"
    assert made.ranges == [(BASE, BASE + 4095)]
    assert made.driver.system.reserved_pages == 0


@pytest.mark.parametrize("behaviour", NEWER)
def test_fifteen_sixteenths_of_ram_can_be_reserved_and_not_a_page_more(lab, behaviour):
    made = lab(behaviour, ram="64 MiB", payload=False)
    limit = 64 * 256 * 15 // 16
    made.map(BASE, BASE + limit)
    assert made.error(made.set, BASE, BASE + limit) == "ENOMEM"
    assert (made.ranges, made.driver.system.reserved_pages) == ([], 0)
    made.set(BASE, BASE + limit - 1)
    assert made.driver.system.reserved_pages == limit
    assert made.error(made.set, BASE + limit, BASE + limit) == "ENOMEM"
    made.set(BASE, BASE + limit - 1, granularity=3)
    made.set(BASE + 7, BASE + 70, granularity=2)
    assert made.driver.system.reserved_pages == limit, "changes and cuts need none"


@pytest.mark.parametrize("behaviour", NEWER)
def test_data_in_vram_counts_against_system_memory_all_the_same(lab, behaviour):
    made = lab(behaviour)
    made.map(BASE, BASE + 99)
    made.set(BASE, BASE + 99, access=["gpu0"], prefetch="gpu0")
    made.process.run()
    assert (made.at(BASE).vram_pages, made.driver.system.reserved_pages) == (100, 100)


@pytest.mark.parametrize("behaviour", NEWER)
def test_all_processes_share_the_limit(lab, behaviour):
    made = lab(behaviour, ram="64 MiB", payload=False)
    limit = made.driver.system.ram_limit_pages
    other = made.process.spawn("other")
    mapping = other.mmap(limit << 12)
    made.map(BASE, BASE + limit)
    made.set(BASE, BASE + limit // 2 - 1)
    assert made.error(other.set_attr, mapping) == "ENOMEM"
    other.set_attr(mapping.pages(0, limit - limit // 2))
    assert made.driver.system.reserved_pages == limit
    assert made.error(made.set, BASE + limit // 2, BASE + limit // 2) == "ENOMEM"
    other.exit()
    assert made.driver.system.reserved_pages == limit // 2
    made.set(BASE + limit // 2, BASE + limit // 2 + 9)


@pytest.mark.parametrize("behaviour", NEWER)
def test_a_switch_off_that_cannot_reserve_leaves_the_mode_on(lab, behaviour):
    made = lab(behaviour, xnack=True, ram="64 MiB", payload=False)
    limit = made.driver.system.ram_limit_pages
    made.map(BASE, BASE + limit)
    made.set(BASE, BASE + limit)
    assert made.error(made.process.set_xnack, "off") == "ENOMEM"
    assert (made.process.xnack, made.driver.system.reserved_pages) == (True, 0)
    made.process.munmap(Span.of_pages(BASE, BASE))
    made.process.run()
    assert made.process.set_xnack("off") is False
    assert made.driver.system.reserved_pages == limit


@pytest.mark.parametrize("behaviour", NEWER)
def test_pieces_that_wait_for_the_worker_are_reserved_for_by_a_switch(lab, behaviour):
    made = lab(behaviour, xnack=True)
    made.register((BASE, BASE + 99))
    switch = made.process.start.munmap(Span.of_pages(BASE + 20, BASE + 39))
    made.process.wait(switch)
    made.driver.xnack = True
    made.process.set_xnack("off")
    made.process.run()
    assert made.driver.system.reserved_pages == 80
