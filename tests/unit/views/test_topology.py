"""The topology of machines, as a scene and in words."""

import pytest

import svmlab as sl
from svmlab.errors import InputError
from svmlab.hardware.finder import preset_names
from svmlab.hardware.machine import Machine
from svmlab.hardware.parts import Gpu
from svmlab.views.describe import describe, table
from svmlab.views.draw_svg import svg
from svmlab.views.layout import lay_out
from svmlab.views.topology import topology


def diagram(machine):
    (found,) = topology(machine).panels
    return found


def crowd(count: int) -> Machine:
    """A machine of many GPUs in one hive, as partitioned ones are."""
    toy = Machine.find("toy")
    gpus = tuple(Gpu(index, 100 + index, toy.gpus[0].device, hive_id=7) for index in range(count))
    return Machine("crowd", "many partitions", toy.ram, gpus)


@pytest.mark.parametrize("name", ["toy", "mi210-two-hives", "mi250x-node"])
def test_a_machine_gives_a_known_scene(name, matches_golden):
    matches_golden(topology(name), f"topology-{name}")


def test_hives_are_groups_and_gpus_without_one_stand_apart():
    assert [(group.name, [node.name for node in group.nodes]) for group in diagram("toy").groups] == [
        ("hive A", ["gpu0", "gpu1"]),
        ("no hive", ["gpu2"]),
    ]


def test_neighbours_on_one_cpu_node_stand_side_by_side():
    gpus = [node.name for node in diagram("mi250x-node").nodes]
    cpus = [wire.ends[0] for gpu in gpus for wire in diagram("mi250x-node").wires if wire.ends[1] == gpu][:8]
    assert sorted(gpus) == [f"gpu{index}" for index in range(8)]
    assert "cpu3" in cpus


def test_a_link_is_as_strong_as_its_peak_and_knows_what_copies_reach():
    (host,) = [wire for wire in diagram("mi300x-8").wires if wire.ends == ("cpu0", "gpu0")]
    assert (host.style, host.strength, host.label) == ("pcie", 63_000_000_000, "PCIe 63 GB/s")
    assert dict(host.data) == {"weight": 20, "there": 42_000_000_000, "back": 55_200_000_000}


def test_all_pairs_of_a_hive_are_drawn_and_none_across():
    wires = [wire.ends for wire in diagram("mi210-two-hives").wires if wire.ends[0].startswith("gpu")]
    assert len(wires) == 12
    assert not [ends for ends in wires if (int(ends[0][3:]) < 4) != (int(ends[1][3:]) < 4)]


def test_what_is_not_drawn_is_counted():
    assert (
        "Not drawn, longer ways: 1 cpu to cpu by HyperTransport, 8 cpu to gpu by PCIe, 16 gpu to gpu by PCIe."
        in diagram("mi210-two-hives").notes
    )
    assert "Not drawn, longer ways: 16 gpu to gpu by xGMI." in diagram("mi250x-node").notes


SENTENCES = {
    "toy": (
        "toy has 3 GPUs and 1 CPU node: gpu0, gpu1 in hive A, gpu2 in no hive. "
        "Each GPU hangs on its CPU node by PCIe ~32 GB/s; every pair in a hive is linked by xGMI ~46 GB/s. "
        "A GPU reaches VRAM in its own hive only; beyond it pages go through RAM."
    ),
    "mi210-two-hives": (
        "mi210-two-hives has 8 GPUs and 2 CPU nodes: gpu0-gpu3 in hive A, gpu4-gpu7 in hive B. "
        "Each GPU hangs on its CPU node by PCIe 32 GB/s; every pair in a hive is linked by xGMI 50 GB/s. "
        "A GPU reaches VRAM in its own hive only; beyond it pages go through RAM."
    ),
    "mi250x-node": (
        "mi250x-node has 8 GPUs and 4 CPU nodes: gpu0-gpu7 in hive A. "
        "Each GPU hangs on its CPU node by xGMI 36 GB/s; 12 of 28 pairs in a hive are linked directly, by "
        "xGMI 200 GB/s (4), xGMI 100 GB/s (2) and xGMI 50 GB/s (6). "
        "Every GPU reaches the VRAM of every other."
    ),
}


@pytest.mark.parametrize("name", SENTENCES)
def test_a_machine_is_told_in_these_words(name):
    assert describe(topology(name)) == SENTENCES[name]


def test_the_sentence_about_reach_agrees_with_the_machine():
    for name in preset_names():
        machine = Machine.find(name)
        everybody = all(machine.near(0, gpu.index) for gpu in machine.gpus)
        assert ("Every GPU reaches" in describe(topology(name))) is everybody


def test_the_table_of_a_topology_is_its_links():
    assert table(topology("pcie-pair")).splitlines() == [
        "one end  other end  link",
        "cpu0     gpu0       PCIe 15.75 GB/s",
        "cpu0     gpu1       PCIe 15.75 GB/s",
    ]


@pytest.mark.parametrize("width_px", [500, 700, 1100])
@pytest.mark.parametrize("name", preset_names())
def test_no_text_of_a_topology_collides_or_leaves_the_paper(name, width_px, check_sheet):
    check_sheet(lay_out(topology(name), width_px))


@pytest.mark.parametrize("count", [1, 12, 13, 64])
def test_any_number_of_gpus_can_be_drawn(count, check_sheet):
    scene = topology(crowd(count))
    check_sheet(lay_out(scene))
    assert f"gpu{count - 1}" in [word.text for word in lay_out(scene).words]


def test_without_links_to_cpu_nodes_no_room_is_kept_for_them():
    scene = topology(crowd(4))
    assert "No link to a CPU node is known." in describe(scene)
    assert lay_out(scene).height < lay_out(topology("mi100-hive4")).height - 100


def test_a_wider_line_is_a_faster_link():
    lines = [line.width for line in lay_out(topology("mi250x-node")).lines if len(line.points) > 10]
    assert sorted(set(lines)) == [2, 4, 8]
    assert 'stroke-width="8"' in svg(topology("mi250x-node"))


def test_a_process_shows_the_machine_it_runs_on():
    assert sl.topology(sl.Process("toy")) == sl.topology("toy")


def test_what_is_no_machine_is_refused():
    with pytest.raises(InputError, match="no-such-machine.*--list"):
        topology("no-such-machine")
    with pytest.raises(InputError, match="a Machine, its name or file, or a Process"):
        topology(7)
