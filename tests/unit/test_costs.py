"""The cost model: every constant is accounted for, and the published shapes come out."""

import dataclasses
import tomllib
from pathlib import Path

import numpy as np
import pytest

from svmlab.errors import InputError
from svmlab.hardware.copy_time import CopyLaw
from svmlab.hardware.costs import Costs
from svmlab.hardware.machine import Machine
from svmlab.hardware.parts import Endpoint, Link, Wire
from svmlab.resources import data_path

KEYS = {"what", "value", "unit", "low", "high", "source", "evidence"}
SHIPPED = tomllib.loads(data_path("costs.toml").read_text(encoding="utf-8"))["constant"]
MIB = 1 << 20


def gb_per_s(nbytes: int, ns: int) -> float:
    return nbytes / ns


def write(path: Path, constants: dict[str, dict]) -> Path:
    def literal(value: object) -> str:
        return f'"{value}"' if isinstance(value, str) else repr(value)

    tables = (
        f"[constant.{name}]\n" + "".join(f"{key} = {literal(value)}\n" for key, value in table.items())
        for name, table in constants.items()
    )
    path.write_text("\n".join(tables).replace("\\", "\\\\"), encoding="utf-8")
    return path


@pytest.mark.parametrize("name", sorted(SHIPPED))
def test_every_constant_has_value_unit_range_source_and_evidence(name: str):
    constant = SHIPPED[name]
    assert set(constant) == KEYS
    assert constant["low"] <= constant["value"] <= constant["high"]
    assert constant["evidence"] in ("doc", "note", "assumed")
    assert constant["low"] < constant["high"] or constant["evidence"] == "doc", "an unmeasured value has a range"


def test_every_constant_of_the_file_is_an_attribute_and_the_other_way_round():
    costs = Costs.load()
    names = {field.name for field in dataclasses.fields(costs)} - {"constants"}
    assert names == set(SHIPPED) == set(costs.constants)


def test_times_are_whole_nanoseconds():
    costs = Costs.load()
    assert all(type(getattr(costs, name)) is int for name in SHIPPED if name.endswith(("_ns", "_pages", "_per_s")))


@pytest.mark.parametrize("key", sorted(KEYS))
def test_a_constant_that_lacks_a_key_is_refused(key: str, tmp_path: Path):
    broken = {name: {k: v for k, v in table.items() if (name, k) != ("map_ns", key)} for name, table in SHIPPED.items()}
    with pytest.raises(InputError, match=f"constant.map_ns.{key} is missing"):
        Costs.load(write(tmp_path / "costs.toml", broken))


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"source": " "}, "constant.map_ns: a figure without a source"),
        ({"evidence": "hearsay"}, "constant.map_ns.evidence = 'hearsay'"),
        ({"unit": "GB/s"}, "constant.map_ns is in 'GB/s', which is no time; allowed: ns, us, ms, s"),
        ({"unit": "ns/page"}, "constant.map_ns is in 'ns/page', which is no time"),
        ({"value": -1}, "constant.map_ns: low 1, value -1"),
        ({"colour": "red"}, "constant.map_ns.colour: unknown key; allowed: value, unit"),
    ],
)
def test_a_constant_that_makes_no_sense_is_refused(change: dict, complaint: str, tmp_path: Path):
    broken = SHIPPED | {"map_ns": SHIPPED["map_ns"] | change}
    with pytest.raises(InputError) as caught:
        Costs.load(write(tmp_path / "costs.toml", broken))
    assert complaint in str(caught.value)


def test_a_missing_and_an_unknown_constant_are_refused(tmp_path: Path):
    without = {name: table for name, table in SHIPPED.items() if name != "map_ns"}
    with pytest.raises(InputError, match=r"constant\.map_ns is missing"):
        Costs.load(write(tmp_path / "costs.toml", without))
    with pytest.raises(InputError, match=r"constant\.nap_ns: unknown"):
        Costs.load(write(tmp_path / "costs.toml", SHIPPED | {"nap_ns": SHIPPED["map_ns"]}))


def test_a_learner_changes_a_constant_in_a_copy_that_says_so():
    costs = Costs.load()
    changed = costs.changed(restore_delay_ns="2 ms", map_page_ns=7, unknown_link_bytes_per_s=5e9)
    assert (changed.restore_delay_ns, changed.map_page_ns, changed.unknown_link_bytes_per_s) == (
        2_000_000,
        7,
        5 * 10**9,
    )
    assert changed.constants["map_page_ns"].figure.evidence == "assumed"
    assert costs.restore_delay_ns == 1_000_000


@pytest.mark.parametrize("change", [{"nap_ns": 1}, {"map_ns": -1}, {"map_ns": "soon"}])
def test_a_change_that_makes_no_sense_is_refused(change: dict):
    with pytest.raises(InputError):
        Costs.load().changed(**change)


def test_what_the_driver_documents_is_as_documented():
    costs = Costs.load()
    assert (costs.restore_delay_ns, costs.retry_fault_window_ns, costs.copy_window_pages) == (10**6, 2 * 10**6, 512)


def test_mi300x_64_mib_copies_reach_the_published_bandwidths():
    costs, machine = Costs.load(), Machine.find("mi300x-8")
    size = 64 * MIB
    assert gb_per_s(size, costs.copy_ns(machine, 0, to_vram=True, nbytes=size)) == pytest.approx(42.0, rel=1e-4)
    assert gb_per_s(size, costs.copy_ns(machine, 0, to_vram=False, nbytes=size)) == pytest.approx(55.2, rel=1e-4)
    xgmi = costs.copy_law(costs.peer_bandwidth(machine, 0, target=5))
    assert gb_per_s(size, xgmi.time_ns(size)) == pytest.approx(48.4, rel=1e-4)


def test_mi300x_1_mib_copies_are_clearly_slower_and_take_as_long_as_measured():
    costs, machine = Costs.load(), Machine.find("mi300x-8")
    xgmi = costs.copy_law(costs.peer_bandwidth(machine, 0, target=5))
    assert 29_000 <= xgmi.time_ns(MIB) <= 32_000, "MI300X acceptance guide: 29-32 us"
    assert gb_per_s(MIB, costs.copy_ns(machine, 0, to_vram=True, nbytes=MIB)) < 0.8 * 42.0


def test_bandwidth_grows_with_the_size_of_the_copy_up_to_its_limit():
    sizes = np.array([4 << 10, 64 << 10, 1 << 20, 2 << 20, 64 << 20, 1 << 30])
    speeds = sizes / CopyLaw(28e9, start_ns=8000, shape_per_kib=0.07292).time_ns(sizes)
    assert (np.diff(speeds) > 0).all()
    assert speeds[-1] == pytest.approx(28.0, rel=0.01)


def test_without_a_start_the_law_is_the_published_curve():
    law = CopyLaw(13.75e9, start_ns=0, shape_per_kib=0.07292)
    assert law.time_ns(2 * MIB) == pytest.approx(152_500, rel=0.01), "one window over PCIe 3: 152 us"


def test_an_array_of_sizes_takes_what_its_elements_take():
    costs, machine = Costs.load(), Machine.find("toy")
    sizes = np.array([0, 1, 4096, 2 * MIB, 64 * MIB])
    times = costs.copy_ns(machine, 0, to_vram=True, nbytes=sizes)
    assert times.dtype == np.int64
    assert times.tolist() == [costs.copy_ns(machine, 0, to_vram=True, nbytes=int(size)) for size in sizes]
    assert times[0] == 0


@pytest.mark.parametrize("law", [(0, 0, 1), (1e9, 0, 0), (1e13, 8000, 1)])
def test_a_copy_law_that_cannot_be_is_refused(law: tuple[float, int, float]):
    with pytest.raises(InputError):
        CopyLaw(*law)


def test_a_measured_bandwidth_beats_the_peak_and_the_peak_beats_nothing():
    costs, toy = Costs.load(), Machine.find("toy")
    ends = Endpoint("cpu", 0), Endpoint("gpu", 0)
    wire = toy.host_link(0).wire
    peak_only = Machine("m", "t", toy.ram, toy.gpus, (Link(*ends, Wire("pcie", 20, wire.peak)),))
    bare = Machine("m", "t", toy.ram, toy.gpus)
    found = [costs.host_bandwidth(machine, 0, to_vram=True) for machine in (toy, peak_only, bare)]
    assert [round(figure.base / 1e9, 2) for figure in found] == [26.0, 27.2, 13.75]
    assert [figure.evidence for figure in found[1:]] == ["assumed", "assumed"]


def test_a_link_has_a_bandwidth_for_each_direction():
    costs, machine = Costs.load(), Machine.find("pcie-pair")
    there, back = (costs.host_bandwidth(machine, 0, to_vram=to_vram).value for to_vram in (True, False))
    assert (there, back) == (13.75, 14.28)


def fault_driven_migration(npages: int) -> dict[str, int]:
    """What a GPU fault costs on an MI250X die whose range is in RAM, no queue being stopped (xnack on)."""
    costs, machine = Costs.load(), Machine.find("mi250x-node")
    windows = -(-npages // costs.copy_window_pages)
    wire = costs.copy_ns(machine, 0, to_vram=True, nbytes=costs.copy_window_pages * 4096) * windows
    per_page = costs.migrate_collect_page_ns + costs.migrate_pages_page_ns + costs.migrate_finalize_page_ns
    return {
        "cpu_update": costs.migrate_collect_ns + per_page * npages,
        "sdma_setup": costs.dma_map_page_ns * npages + (costs.sdma_job_ns + costs.gart_update_ns) * windows,
        "alloc": costs.vram_alloc_ns + costs.vram_alloc_node_ns,
        "wire": wire,
        "rest": costs.gpu_fault_ns
        + costs.fence_wait_ns
        + costs.hmm_fault_page_ns * npages
        + costs.map_ns
        + costs.map_page_ns * npages
        + costs.tlb_flush_light_ns,
    }


@pytest.mark.parametrize("npages", [512, 2048, 8192, 262144])
def test_page_tables_setup_and_allocation_are_most_of_a_fault_driven_migration(npages: int):
    parts = fault_driven_migration(npages)
    total = sum(parts.values())
    share = (parts["cpu_update"] + parts["sdma_setup"] + parts["alloc"]) / total
    assert 0.70 <= share <= 0.82, "Cooper, Scogland, Ge, ICS'24: about 76 %"
    assert parts["wire"] / total < 0.5
