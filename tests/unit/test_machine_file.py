"""A machine file says exactly what it means: it reads back equal, and what is wrong with it is one line."""

import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from svmlab.errors import InputError
from svmlab.hardware.finder import preset_names
from svmlab.hardware.machine import Machine
from svmlab.hardware.machine_file import dump_machine, load_machine, save_machine
from svmlab.resources import data_path

GOOD = """
name = "mine"
title = "A machine of this test"
cpus = 1
ram = { value = 1, unit = "GiB", low = 1, high = 1, evidence = "assumed", source = "this test" }
[device.small]
name = "small GPU"
gfx = [9, 0, 10]
vram = { value = 64, unit = "MiB", low = 64, high = 64, evidence = "assumed", source = "this test" }
sdma_engines = 2
sdma_xgmi_engines = 0
xnack_capable = true
[wire.host]
kind = "pcie"
weight = 20
[[gpu]]
id = 7
device = "small"
[links]
host = ["cpu0-gpu0"]
"""


@pytest.mark.parametrize("name", preset_names())
def test_a_saved_machine_reads_back_as_the_same_machine(name: str, tmp_path: Path):
    machine = Machine.find(name)
    save_machine(machine, tmp_path / "copy.toml")
    assert load_machine(tmp_path / "copy.toml") == machine
    assert Machine.find("copy.toml", base=tmp_path) == machine


def test_a_machine_with_other_memory_reads_back_too(tmp_path: Path):
    machine = Machine.find("mi300x-8").with_memory(vram="65540 KiB", ram="3 pages")
    save_machine(machine, tmp_path / "copy.toml")
    assert load_machine(tmp_path / "copy.toml") == machine


def test_text_that_toml_must_escape_survives(tmp_path: Path):
    machine = Machine(
        "odd", 'a "title"\\\n\t\x7f …', Machine.find("toy").ram, Machine.find("toy").gpus, notes=("'", "#")
    )
    save_machine(machine, tmp_path / "odd.toml")
    assert load_machine(tmp_path / "odd.toml") == machine


def test_two_models_of_the_same_name_stay_apart(tmp_path: Path):
    toy = Machine.find("toy")
    mixed = toy.with_memory(vram="1 GiB").gpus[:1] + toy.gpus[1:]
    machine = Machine("mixed", "two sizes of one model", toy.ram, mixed, toy.links)
    save_machine(machine, tmp_path / "mixed.toml")
    assert load_machine(tmp_path / "mixed.toml") == machine


def figures(value: Any, where: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Every table that holds a value, and every bare number that should have been one."""
    if isinstance(value, dict) and "value" in value:
        yield where, value
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield from figures(inner, f"{where}.{key}")


@pytest.mark.parametrize(
    "path", [*data_path("machines").glob("*.toml"), data_path("devices.toml")], ids=lambda p: p.stem
)
def test_every_figure_of_a_shipped_file_has_unit_range_source_and_evidence(path: Path):
    found = dict(figures(tomllib.loads(path.read_text(encoding="utf-8"))))
    assert any(where.endswith(".vram") for where in found)
    for where, figure in found.items():
        assert set(figure) == {"value", "unit", "low", "high", "source", "evidence"}, where
        assert figure["low"] <= figure["value"] <= figure["high"], where
        assert figure["evidence"] in ("doc", "note", "assumed"), where
        assert len(figure["source"]) > 5, where


def test_what_is_recalled_or_invented_is_marked_as_assumed():
    for path in [*data_path("machines").glob("*.toml"), data_path("devices.toml")]:
        for where, figure in figures(tomllib.loads(path.read_text(encoding="utf-8"))):
            if "recalled" in figure["source"] or "invented" in figure["source"]:
                assert figure["evidence"] == "assumed", (path.stem, where)


def test_the_good_file_of_the_next_test_is_good(tmp_path: Path):
    path = tmp_path / "mine.toml"
    path.write_text(GOOD, encoding="utf-8")
    assert load_machine(path).gpu(0).vram_bytes == 64 << 20


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ("cpus = 1", "cpus = 1\ncolour = 3", "colour: unknown key; allowed: name, title, notes, cpus, ram"),
        ("weight = 20", "weight = 20\nlength = 3", "wire.host.length: unknown key; allowed: kind, weight, peak"),
        ('unit = "GiB", low', 'unit = "GiB", mood = 1, low', "ram.mood: unknown key; allowed: value, unit, low"),
        ('name = "mine"\n', "", "name is missing"),
        (
            'evidence = "assumed", source = "this test" }\n[device',
            'source = "this test" }\n[device',
            "ram.evidence is missing",
        ),
        ("cpus = 1", 'cpus = "one"', "cpus = 'one': input should be a valid integer"),
        ("cpus = 1", "cpus = true", "cpus = True: input should be a valid integer"),
        ("cpus = 1", "cpus = 0", "cpus = 0: input should be greater than or equal to 1"),
        ("id = 7", "id = 7.0", "gpu.0.id = 7.0: input should be a valid integer"),
        ("id = 7", "id = -7", "gpu0 of mine has gpu_id -7; allowed: 1 to 0xfffffffe"),
        ('unit = "MiB"', 'unit = "MB"', "device.small.vram: 'MB' is not a unit; allowed: ns"),
        ('unit = "MiB"', 'unit = "GB/s"', "the VRAM of small GPU is in 'GB/s', which is no size; allowed: B, KiB"),
        ("value = 64", "value = nan", "device.small.vram.value = nan: input should be a finite number"),
        ("value = 64", "value = 1e999", "device.small.vram.value = inf: input should be a finite number"),
        ("value = 64", f"value = {10**400}", "device.small.vram.value = 1000"),
        ("value = 64", "value = 65", "device.small.vram: low 64, value 65, high 64 are out of order"),
        ('kind = "pcie"', 'kind = "string"', "wire.host.kind = 'string': input should be 'pcie', 'xgmi'"),
        ('device = "small"', 'device = "large"', "gpu.0.device: 'large' is not described; allowed: small"),
        ('"cpu0-gpu0"', '"cpu0-gpu1"', "a link of mine ends at gpu1, which does not exist"),
        ('"cpu0-gpu0"', '"gpu0-cpu0"', "a link from gpu0 to cpu0; allowed: cpu before gpu"),
        ('"cpu0-gpu0"', '"cpu0 gpu0"', "links.host: 'cpu0 gpu0' is no pair of ends"),
        ('"cpu0-gpu0"', '"cpu0-tpu0"', "'tpu0' is no end of a link"),
        ('host = ["cpu0', 'guest = ["cpu0', "links.guest: there is no wire 'guest'; allowed: host"),
        ('name = "mine"', 'name = "my machine"', "name = 'my machine': string should match pattern"),
        ("cpus = 1", "cpus = ", "not TOML: Invalid value"),
        ("gfx = [9, 0, 10]", "gfx = [9, 0]", "device.small.gfx = [9, 0]: list should have at least 3 items"),
    ],
)
def test_what_is_wrong_with_a_file_is_one_line_with_file_and_key(old: str, new: str, complaint: str, tmp_path: Path):
    assert GOOD.count(old) == 1, "the change must mean one place"
    path = tmp_path / "mine.toml"
    path.write_text(GOOD.replace(old, new), encoding="utf-8")
    with pytest.raises(InputError) as caught:
        load_machine(path)
    message = str(caught.value)
    assert complaint in message
    assert message.startswith(f"{path}: ")
    assert "\n" not in message


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"\xff", "line 1: not UTF-8 text"),
        (b"a = " + b"[" * 5000, "nested too deeply"),
        (b"a = " + b"9" * 5000, "not TOML"),
        (b"#" * (5 << 20), "too large"),
    ],
)
def test_a_file_that_is_no_text_or_no_toml_is_refused(content: bytes, complaint: str, tmp_path: Path):
    path = tmp_path / "mine.toml"
    path.write_bytes(content)
    with pytest.raises(InputError, match=complaint):
        load_machine(path)


def test_a_file_that_cannot_be_read_or_written_is_refused(tmp_path: Path):
    (tmp_path / "folder.toml").mkdir()
    with pytest.raises(InputError, match="Is a directory"):
        load_machine(tmp_path / "folder.toml")
    with pytest.raises(InputError, match="No such file"):
        save_machine(Machine.find("toy"), tmp_path / "nowhere" / "toy.toml")
    with pytest.raises(InputError, match=r"ends in \.toml"):
        save_machine(Machine.find("toy"), tmp_path / "toy.json")


def test_the_text_of_a_machine_is_the_same_every_time():
    assert dump_machine(Machine.find("mi250x-node")) == dump_machine(Machine.find("mi250x-node"))
