"""A machine answers what the driver asks of its hardware: ids, hives, links, the largest range, names of locations."""

import os
from dataclasses import FrozenInstanceError, replace
from pathlib import Path

import pytest

from svmlab.errors import InputError
from svmlab.hardware.figures import Figure
from svmlab.hardware.finder import preset_names
from svmlab.hardware.machine import Machine
from svmlab.hardware.parts import Device, Endpoint, Gpu, Link, Wire
from svmlab.uapi import SYSMEM, UNDEFINED

PRESETS = {"mi100-hive4", "mi210-two-hives", "mi250x-node", "mi300x-8", "pcie-pair", "toy"}


def figure(value: float, unit: str) -> Figure:
    return Figure.exact(value, unit, source="this test", evidence="assumed")


def gpu(index: int, gpu_id: int, **changes) -> Gpu:
    return Gpu(index, gpu_id, Device("test GPU", (9, 0, 10), figure(1, "GiB")), **changes)


def machine(*gpus: Gpu, **changes) -> Machine:
    return Machine("bench", "a machine of this test", figure(1, "GiB"), gpus, **changes)


def test_all_six_machines_are_shipped_and_are_named_as_their_file():
    assert set(preset_names()) == PRESETS
    assert {Machine.find(name).name for name in PRESETS} == PRESETS


def test_mi210_two_hives_has_gpu0_to_gpu3_in_the_first_hive():
    found = Machine.find("mi210-two-hives")
    assert list(found.hives.values()) == [(0, 1, 2, 3), (4, 5, 6, 7)]
    assert {gpu.vram_bytes for gpu in found.gpus} == {64 << 30}
    assert {gpu.family for gpu in found.gpus} == {"gfx90a"}


def test_mi250x_node_has_200_100_and_50_gb_per_s_between_dies_and_36_to_the_cpu():
    found = Machine.find("mi250x-node")
    peaks = {pair: found.peer_link(*pair).bandwidth_bytes_per_s for pair in [(0, 1), (0, 6), (0, 2)]}
    assert peaks == {(0, 1): 200 * 10**9, (0, 6): 100 * 10**9, (0, 2): 50 * 10**9}
    assert found.peer_link(0, 5).weight == 30, "two hops, 15 each"
    assert {found.host_link(g.index).bandwidth_bytes_per_s for g in found.gpus} == {36 * 10**9}
    assert all(g.cpu_connected for g in found.gpus)


def test_every_die_of_mi250x_has_at_most_seven_links_to_others_as_one_goes_to_the_cpu():
    found = Machine.find("mi250x-node")
    for die in found.gpus:
        own = [link for link in found.links if Endpoint("gpu", die.index) in (link.source, link.target)]
        peers = [link for link in own if link.source.kind == "gpu" and link.weight == 15]
        assert sum(link.bandwidth_bytes_per_s for link in peers) <= 7 * 50 * 10**9


@pytest.mark.parametrize("name", ["mi100-hive4", "mi300x-8"])
def test_in_a_full_hive_every_gpu_has_a_direct_link_to_every_other(name: str):
    found = Machine.find(name)
    count = len(found.gpus)
    assert list(found.hives.values()) == [tuple(range(count))]
    assert all(found.peer_link(a, b).kind == "xgmi" for a in range(count) for b in range(count) if a != b)


def test_gpus_of_a_pcie_pair_are_in_no_hive_and_do_not_reach_each_other():
    found = Machine.find("pcie-pair")
    assert (found.hives, found.peer_link(0, 1), found.near(0, 1)) == ({}, None, False)


def test_the_toy_machine_says_that_it_is_invented():
    found = Machine.find("toy")
    assert "invented" in found.title
    assert list(found.hives.values()) == [(0, 1)]
    assert found.gpu(2).hive_id == 0


@pytest.mark.parametrize("name", sorted(PRESETS))
def test_every_gpu_of_a_shipped_machine_has_a_link_to_its_cpu(name: str):
    found = Machine.find(name)
    assert all(found.host_link(g.index).source == Endpoint("cpu", g.cpu) for g in found.gpus)


def test_the_raw_hive_helper_says_no_for_a_gpu_and_itself_but_near_says_yes():
    found = machine(gpu(0, 7, hive_id=5), gpu(1, 8, hive_id=5), gpu(2, 9), gpu(3, 10))
    assert (found.same_hive(0, 1), found.same_hive(0, 0), found.same_hive(2, 3)) == (True, False, False)
    assert (found.near(0, 0), found.near(2, 2), found.near(0, 1), found.near(0, 2)) == (True, True, True, False)


@pytest.mark.parametrize(
    ("vram", "pages"),
    [
        ("8 KiB", 512),
        ("64 MiB", 512),
        ("127 MiB", 512),
        ("128 MiB", 1024),
        ("255 MiB", 1024),
        ("8 GiB", 65536),
        ("17163091968 B", 65536),
        ("32 GiB", 262144),
        ("192 GiB", 262144),
    ],
)
def test_the_largest_range_is_a_32nd_of_vram_between_2_mib_and_1_gib_and_a_power_of_two(vram: str, pages: int):
    assert Machine.find("toy").with_memory(vram=vram).max_range_pages == pages


def test_the_smallest_gpu_decides_the_largest_range():
    small = Gpu(1, 8, Device("small", (9, 0, 10), figure(256, "MiB")))
    assert machine(gpu(0, 7), small).max_range_pages == 2048


def test_with_memory_changes_a_copy_and_nothing_else():
    before = Machine.find("mi210-two-hives")
    after = before.with_memory(vram="64 MiB", ram="1 GiB")
    assert {g.vram_bytes for g in after.gpus} == {64 << 20}
    assert after.ram_bytes == 1 << 30
    assert before.gpus[0].vram_bytes == 64 << 30
    assert (after.links, after.hives) == (before.links, before.hives)
    assert before.with_memory() == before


@pytest.mark.parametrize("size", [0, "0 B", 4095, "1 B", "5000 TiB", "-1", "lots"])
def test_a_memory_size_that_cannot_be_is_refused(size: int | str):
    with pytest.raises(InputError):
        Machine.find("toy").with_memory(vram=size)
    with pytest.raises(InputError):
        Machine.find("toy").with_memory(ram=size)


def test_locations_have_names_and_names_have_locations():
    found = Machine.find("mi210-two-hives")
    names = ["cpu", "undefined", *(f"gpu{g.index}" for g in found.gpus)]
    numbers = [SYSMEM, UNDEFINED, *(g.gpu_id for g in found.gpus)]
    assert [found.location(name) for name in names] == numbers
    assert [found.location_name(number) for number in numbers] == names


@pytest.mark.parametrize("name", ["", "gpu", "gpu8", "gpu00", "gpu-1", "GPU0", "cpu0", "gpu٣", "gpu99999"])
def test_an_unknown_location_name_is_refused_and_the_known_ones_are_told(name: str):
    with pytest.raises(InputError, match=r"allowed: .*gpu0 to gpu7"):
        Machine.find("mi210-two-hives").location(name)


def test_an_unknown_location_number_is_refused_and_the_ids_are_told():
    with pytest.raises(InputError, match=r"4711 is no location on toy; allowed: .*101 \(gpu0\)"):
        Machine.find("toy").location_name(4711)


def test_a_gpu_is_found_by_its_id_and_an_unknown_id_finds_none():
    found = Machine.find("toy")
    assert [found.by_id(number) for number in (101, 103, 0, 4711)] == [found.gpu(0), found.gpu(2), None, None]


@pytest.mark.parametrize("index", [-1, 3])
def test_an_index_that_the_machine_has_not_is_refused(index: int):
    with pytest.raises(InputError, match=f"toy has no gpu{index}; allowed: gpu0 to gpu2"):
        Machine.find("toy").gpu(index)


def test_machines_are_values():
    assert Machine.find("toy") == Machine.find("toy")
    assert hash(Machine.find("toy")) == hash(Machine.find("toy"))
    with pytest.raises(FrozenInstanceError):
        Machine.find("toy").name = "mine"


def test_links_are_sorted_and_found_from_either_end():
    pcie, xgmi = Wire("pcie"), Wire("xgmi", 15)
    ends = Endpoint("gpu", 0), Endpoint("gpu", 1)
    host = Link(Endpoint("cpu", 0), ends[0], pcie)
    found = machine(gpu(0, 7), gpu(1, 8), links=(Link(*ends, xgmi), host))
    assert found.links == (host, Link(*ends, xgmi))
    assert found.link(*ends) == found.link(*reversed(ends)) == found.peer_link(1, 0)
    assert found.host_link(1) is None


@pytest.mark.parametrize(
    ("gpus", "changes", "complaint"),
    [
        ([], {}, "0 GPUs"),
        ([gpu(0, 0)], {}, "gpu_id 0"),
        ([gpu(0, UNDEFINED)], {}, "gpu_id 4294967295"),
        ([gpu(0, 7), gpu(1, 7)], {}, "gpu_id 7"),
        ([gpu(1, 7)], {}, "calls itself gpu1"),
        ([gpu(0, 7, cpu=1)], {}, "hangs on cpu1"),
        ([gpu(0, 7)], {"links": (Link(Endpoint("cpu", 0), Endpoint("gpu", 1), Wire("pcie")),)}, "gpu1, which does not"),
        ([gpu(0, 7)], {"links": (Link(Endpoint("cpu", 0), Endpoint("gpu", 0), Wire("pcie")),) * 2}, "twice"),
        ([gpu(index, index + 1) for index in range(65)], {}, "65 GPUs"),
    ],
)
def test_a_machine_that_cannot_be_is_refused(gpus: list[Gpu], changes: dict, complaint: str):
    with pytest.raises(InputError, match=complaint):
        machine(*gpus, **changes)


def test_a_link_names_its_ends_in_order():
    with pytest.raises(InputError, match="cpu before gpu"):
        Link(Endpoint("gpu", 0), Endpoint("cpu", 0), Wire("pcie"))


@pytest.mark.parametrize(
    "change",
    [{"unit": "furlongs"}, {"low": 2}, {"high": 0}, {"value": float("nan")}, {"evidence": "hearsay"}, {"source": " "}],
)
def test_a_figure_without_sound_evidence_is_refused(change: dict):
    with pytest.raises(InputError):
        replace(figure(1, "GiB"), **change)


def test_a_figure_of_the_wrong_kind_is_refused():
    with pytest.raises(InputError, match="VRAM of test GPU is in 'GB/s', which is no size"):
        Device("test GPU", (9, 0, 10), figure(1, "GB/s"))


@pytest.mark.parametrize("name", ["", "mi210", "no/such/path.toml", "x" * 5000, "a\0b"])
def test_a_machine_that_is_nowhere_is_refused_with_what_there_is(name: str):
    with pytest.raises(InputError, match="a name that `svmlab machine --list` shows"):
        Machine.find(name)


def test_a_pipe_is_no_machine_and_is_not_read(tmp_path: Path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(InputError, match="there is no machine"):
        Machine.find("pipe", base=tmp_path)


def test_a_misspelt_name_gets_the_nearest_one_as_a_hint():
    with pytest.raises(InputError, match="try: mi210-two-hives"):
        Machine.find("mi210-two-hive")
