"""`svmlab machine` as people and programs use it."""

import json
from importlib.metadata import version
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from svmlab.cli import main
from svmlab.errors import InputError
from svmlab.hardware import topology
from svmlab.hardware.finder import preset_names
from svmlab.hardware.machine import Machine

ARCHIVE = Path(__file__).resolve().parents[3] / "shared" / "real" / "topologies" / "mi210-8gpu-two-hives.tar.gz"


def svmlab(*arguments: str) -> Result:
    result = CliRunner().invoke(main, list(arguments))
    assert result.exception is None or isinstance(result.exception, SystemExit), result.output
    return result


def refused(*arguments: str) -> str:
    result = svmlab(*arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith("svmlab: ")
    assert result.stderr.count("\n") == 1
    return result.stderr


MI210 = """\
mi210-two-hives: Eight MI210 in two xGMI hives of four
8 GPUs in 2 hives (4 + 4), 2 CPU nodes, RAM 512 GiB (assumed), largest range 1 GiB (262144 pages)

GPU   gpu_id  Name                Target  Hive  VRAM    SDMA  xnack  Host link
gpu0  28959   AMD Instinct MI210  gfx90a  A     64 GiB  2+3   yes    cpu0, pcie, 32 GB/s
gpu1  21397   AMD Instinct MI210  gfx90a  A     64 GiB  2+3   yes    cpu0, pcie, 32 GB/s
gpu2  20057   AMD Instinct MI210  gfx90a  A     64 GiB  2+3   yes    cpu0, pcie, 32 GB/s
gpu3  10112   AMD Instinct MI210  gfx90a  A     64 GiB  2+3   yes    cpu0, pcie, 32 GB/s
gpu4  30312   AMD Instinct MI210  gfx90a  B     64 GiB  2+3   yes    cpu1, pcie, 32 GB/s
gpu5  65077   AMD Instinct MI210  gfx90a  B     64 GiB  2+3   yes    cpu1, pcie, 32 GB/s
gpu6  34127   AMD Instinct MI210  gfx90a  B     64 GiB  2+3   yes    cpu1, pcie, 32 GB/s
gpu7  36083   AMD Instinct MI210  gfx90a  B     64 GiB  2+3   yes    cpu1, pcie, 32 GB/s

Hives
  A  0xaefdf8293fefa6b7  gpu0-gpu3
  B  0xfb11632c00f4d272  gpu4-gpu7

Links
  Ends     Kind            Weight  Links  Peak     Copy there  Copy back
  cpu-cpu  hypertransport  32      1      ?        ?           ?
  cpu-gpu  pcie            20      8      32 GB/s  ~28 GB/s    ~28 GB/s
  cpu-gpu  pcie            52      8      ?        ?           ?
  gpu-gpu  xgmi            15      12     50 GB/s  ~39 GB/s    ~39 GB/s
  gpu-gpu  pcie            72      16     ?        ?           ?
"""


def test_a_shipped_machine_is_told_as_aligned_text():
    assert svmlab("machine", "mi210-two-hives").stdout.startswith(MI210)


@pytest.mark.parametrize("name", preset_names())
def test_every_shipped_machine_can_be_told(name: str):
    result = svmlab("machine", name)
    assert result.exit_code == 0
    assert f"gpu{len(Machine.find(name).gpus) - 1}" in result.stdout


def test_gpus_outside_every_hive_are_told_apart():
    assert "  A  0x5c0f   gpu0-gpu1\n  -  no hive  gpu2\n" in svmlab("machine", "toy").stdout


def test_json_has_gpus_hives_links_and_notes():
    told = json.loads(svmlab("machine", "toy", "--json").stdout)
    assert told["name"] == "toy"
    assert told["gpus"][2] == {
        "index": 2,
        "gpu_id": 103,
        "name": "toy GPU",
        "family": "gfx90a",
        "hive": 0,
        "vram_bytes": 8 << 30,
        "sdma_engines": 2,
        "sdma_xgmi_engines": 1,
        "xnack_capable": True,
        "cpu": 0,
        "cpu_connected": False,
    }
    assert told["hives"] == {str(0x5C0F): [0, 1]}
    assert told["links"][0] == {
        "source": "cpu0",
        "target": "gpu0",
        "kind": "pcie",
        "weight": 20,
        "bandwidth_bytes_per_s": 32 * 10**9,
        "copy_there_bytes_per_s": 26 * 10**9,
        "copy_back_bytes_per_s": 26 * 10**9,
    }
    assert told["notes"] == ["everything about this machine is invented"]
    assert {str(gpu["hive"]) for gpu in told["gpus"] if gpu["hive"]} == set(told["hives"])


def test_a_real_topology_archive_is_told_as_8_gpus_in_two_hives_of_four():
    if not ARCHIVE.is_file():
        pytest.skip(f"{ARCHIVE} is not here")
    assert "8 GPUs in 2 hives (4 + 4)" in svmlab("machine", str(ARCHIVE)).stdout


def test_save_writes_a_file_that_is_the_same_machine(tmp_path: Path):
    saved = tmp_path / "mine.toml"
    first = svmlab("machine", "mi250x-node", "--save", str(saved))
    assert first.exit_code == 0
    assert svmlab("machine", str(saved)).stdout == first.stdout


def test_list_names_every_shipped_machine():
    lines = svmlab("machine", "--list").stdout.splitlines()
    assert [line.split()[0] for line in lines] == list(preset_names())


def test_without_a_name_it_tells_the_running_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    node = tmp_path / "topology" / "nodes" / "0"
    node.mkdir(parents=True)
    (node / "properties").write_text("simd_count 4\ndevice_id 29711\n", encoding="utf-8")
    monkeypatch.setattr(topology, "RUNNING_MACHINE", tmp_path / "topology")
    assert svmlab("machine").stdout.startswith("this-machine: 1 x AMD Instinct MI210\n1 GPU, no hive, 1 CPU node")


def test_without_a_name_and_without_an_amd_gpu_it_says_what_to_try(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(topology, "RUNNING_MACHINE", tmp_path / "nowhere")
    message = refused("machine")
    assert "this machine shows no KFD topology" in message
    assert "try: name a machine: svmlab machine --list" in message


def test_what_cannot_be_used_is_one_line_and_exit_code_2(tmp_path: Path):
    assert "there is no machine 'mi210-two-hive'" in refused("machine", "mi210-two-hive")
    (tmp_path / "bad.tar.gz").write_bytes(b"no archive")
    assert "no readable archive" in refused("machine", str(tmp_path / "bad.tar.gz"))
    (tmp_path / "bad.toml").write_text("name = 3\n", encoding="utf-8")
    assert "bad.toml: name = 3: input should be a valid string" in refused("machine", str(tmp_path / "bad.toml"))
    assert "ends in .toml" in refused("machine", "toy", "--save", str(tmp_path / "toy.json"))


def test_no_control_character_of_a_file_reaches_the_terminal(tmp_path: Path):
    (tmp_path / "bad.toml").write_text('"\\u001b[31m\\n" = 3\n', encoding="utf-8")
    assert "\x1b" not in refused("machine", str(tmp_path / "bad.toml"))


def test_debug_shows_where_an_error_came_from():
    result = CliRunner().invoke(main, ["--debug", "machine", "nowhere"])
    assert isinstance(result.exception, InputError)


def test_an_unknown_option_is_exit_code_2():
    assert svmlab("machine", "--colour").exit_code == 2


def test_the_version_is_that_of_the_package():
    try:
        installed = version("svmlab")
    except ModuleNotFoundError:
        pytest.skip("svmlab is not installed here")
    assert installed in svmlab("--version").stdout


def test_the_topology_can_be_drawn(tmp_path: Path):
    told = svmlab("machine", "toy", "--plot", str(tmp_path / "toy.svg"))
    assert told.exit_code == 0
    assert told.stdout.endswith(f"beyond it pages go through RAM.\nthe topology is in {tmp_path / 'toy.svg'}\n")
    assert "<desc>toy has 3 GPUs" in (tmp_path / "toy.svg").read_text(encoding="utf-8")


def test_json_beside_a_picture_stays_json(tmp_path: Path):
    assert json.loads(svmlab("machine", "toy", "--json", "--plot", str(tmp_path / "a.png")).stdout)["name"] == "toy"
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")


def test_a_picture_of_an_unknown_kind_or_place_is_refused(tmp_path: Path):
    assert ".png or .svg" in refused("machine", "toy", "--plot", str(tmp_path / "toy.gif"))
    assert "mkdir -p" in refused("machine", "toy", "--plot", str(tmp_path / "none" / "toy.png"))
