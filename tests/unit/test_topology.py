"""A KFD topology tree becomes a machine; what it does not tell is noted, what is damaged is one clear line."""

import errno
import gzip
import io
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from svmlab.errors import InputError
from svmlab.hardware import kfd_tree
from svmlab.hardware.machine import Machine
from svmlab.hardware.machine_file import load_machine, save_machine
from svmlab.hardware.parts import Endpoint
from svmlab.hardware.topology import import_topology

ARCHIVES = Path(__file__).resolve().parents[3] / "shared" / "real" / "topologies"
HIVE = 12609507387757274807

Files = dict[str, str]


def properties(**values: int) -> str:
    return "".join(f"{name} {value}\n" for name, value in values.items())


def link(source: int, target: int, *, kind: int = 2, weight: int = 20, mb_per_s: int = 32000) -> str:
    ends = {"node_from": source, "node_to": target}
    return properties(type=kind, version_major=0, **ends, weight=weight, min_bandwidth=312, max_bandwidth=mb_per_s)


def gpu_node(number: int, **changes: int) -> str:
    values = {
        "cpu_cores_count": 0,
        "simd_count": 416,
        "gfx_target_version": 90010,
        "vendor_id": 4098,
        "device_id": 29711,
        "location_id": 25344 + number,
        "hive_id": HIVE,
        "num_sdma_engines": 2,
        "num_sdma_xgmi_engines": 3,
        "local_mem_size": 0,
        "num_xcc": 1,
    }
    return properties(**values | changes)


def tree() -> Files:
    """One CPU node and two GPUs in a hive, as a current driver shows them."""
    return {
        "nodes/0/properties": properties(cpu_cores_count=64, simd_count=0, hive_id=0),
        "nodes/0/gpu_id": "0\n",
        "nodes/0/mem_banks/0/properties": properties(heap_type=0, size_in_bytes=(256 << 30) + 5, flags=0, width=72),
        "nodes/0/io_links/0/properties": link(0, 1),
        "nodes/0/io_links/1/properties": link(0, 2),
        "nodes/1/properties": gpu_node(1),
        "nodes/1/gpu_id": "51234\n",
        "nodes/1/name": "aldebaran\n",
        "nodes/1/mem_banks/0/properties": properties(heap_type=1, size_in_bytes=64 << 30, flags=0, width=4096),
        "nodes/1/io_links/0/properties": link(1, 0),
        "nodes/1/io_links/1/properties": link(1, 2, kind=11, weight=15, mb_per_s=50000),
        "nodes/2/properties": gpu_node(2),
        "nodes/2/gpu_id": "4321\n",
        "nodes/2/name": "aldebaran\n",
        "nodes/2/mem_banks/0/properties": properties(heap_type=2, size_in_bytes=32 << 30, flags=0, width=4096),
        "nodes/2/io_links/0/properties": link(2, 0),
        "nodes/2/io_links/1/properties": link(2, 1, kind=11, weight=15, mb_per_s=50000),
    }


def write_folder(root: Path, files: Files) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return root


def write_archive(path: Path, files: Files, prefix: str = "machine/topology/") -> Path:
    with tarfile.open(path, "w:gz") as archive:
        for name, text in files.items():
            add(archive, prefix + name, text.encode())
    return path


def add(archive: tarfile.TarFile, name: str, content: bytes = b"", **fields: object) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(content)
    for field, value in fields.items():
        setattr(member, field, value)
    archive.addfile(member, io.BytesIO(content))


def complaint_about(path: Path) -> str:
    with pytest.raises(InputError) as caught:
        import_topology(path)
    message = str(caught.value)
    assert "\n" not in message
    assert str(path) in message
    return message


Writer = Callable[[Path, Files], Path]
both_kinds = pytest.mark.parametrize(
    "write",
    [lambda p, f: write_folder(p / "t", f), lambda p, f: write_archive(p / "t.tar.gz", f)],
    ids=["folder", "tar"],
)


@both_kinds
def test_a_tree_becomes_a_machine_without_a_note(write: Writer, tmp_path: Path):
    machine = import_topology(write(tmp_path, tree()))
    assert machine.name == "t"
    assert machine.title == "2 x AMD Instinct MI210"
    assert machine.ram_bytes == 256 << 30, "rounded down to whole pages"
    assert machine.hives == {HIVE: (0, 1)}
    assert [(g.gpu_id, g.vram_bytes, g.sdma_engines, g.sdma_xgmi_engines, g.family) for g in machine.gpus] == [
        (51234, 64 << 30, 2, 3, "gfx90a"),
        (4321, 32 << 30, 2, 3, "gfx90a"),
    ]
    found = [(str(k.source), str(k.target), k.kind, k.weight, k.bandwidth_bytes_per_s) for k in machine.links]
    assert found == [
        ("cpu0", "gpu0", "pcie", 20, 32 * 10**9),
        ("cpu0", "gpu1", "pcie", 20, 32 * 10**9),
        ("gpu0", "gpu1", "xgmi", 15, 50 * 10**9),
    ]
    assert machine.notes == ()


@both_kinds
def test_an_imported_machine_reads_back_from_its_file(write: Writer, tmp_path: Path):
    machine = import_topology(write(tmp_path, tree()))
    save_machine(machine, tmp_path / "saved.toml")
    assert load_machine(tmp_path / "saved.toml") == machine


@pytest.mark.parametrize("place", ["", "topology/", "machine/", "machine/topology/"])
def test_the_tree_may_lie_in_a_folder_of_its_own(place: str, tmp_path: Path):
    files = {place + name: text for name, text in tree().items()}
    assert len(import_topology(write_folder(tmp_path / "t", files)).gpus) == 2
    assert len(import_topology(write_archive(tmp_path / "t.tar.gz", tree(), prefix=f"./{place}")).gpus) == 2


def test_the_tree_may_be_reached_through_a_link_as_in_sysfs(tmp_path: Path):
    write_folder(tmp_path / "devices" / "virtual", tree())
    (tmp_path / "class").symlink_to(tmp_path / "devices" / "virtual")
    assert len(import_topology(tmp_path / "class").gpus) == 2


def test_an_unpacked_tar_without_gzip_works_too(tmp_path: Path):
    packed = write_archive(tmp_path / "t.tar.gz", tree())
    plain = tmp_path / "t.tar"
    plain.write_bytes(gzip.decompress(packed.read_bytes()))
    assert import_topology(plain) == import_topology(packed)


def test_a_gpu_hangs_on_the_cpu_that_is_nearest(tmp_path: Path):
    files = tree() | {
        "nodes/3/properties": properties(cpu_cores_count=64, simd_count=0),
        "nodes/0/io_links/2/properties": link(0, 3, kind=1, weight=32, mb_per_s=0),
        "nodes/0/p2p_links/0/properties": link(0, 2, weight=52, mb_per_s=0),
        "nodes/2/io_links/0/properties": link(2, 3),
        "nodes/0/io_links/1/properties": link(0, 2, weight=52, mb_per_s=0),
    }
    machine = import_topology(write_folder(tmp_path, files))
    assert [(g.cpu, machine.host_link(g.index).weight) for g in machine.gpus] == [(0, 20), (1, 20)]
    assert machine.link(Endpoint("cpu", 0), Endpoint("cpu", 1)).kind == "hypertransport"


def test_xgmi_to_the_cpu_makes_a_gpu_cpu_connected(tmp_path: Path):
    files = tree()
    files |= {f"nodes/{n}/io_links/0/properties": link(n, 0, kind=11, weight=15) for n in (1, 2)}
    files |= {f"nodes/0/io_links/{n - 1}/properties": link(0, n, kind=11, weight=15) for n in (1, 2)}
    assert all(g.cpu_connected for g in import_topology(write_folder(tmp_path, files)).gpus)


@pytest.mark.parametrize(
    ("version", "family", "capable"),
    [
        (90000, "gfx900", False),
        (90008, "gfx908", False),
        (90010, "gfx90a", True),
        (90402, "gfx942", True),
        (110000, "gfx1100", False),
    ],
)
def test_only_some_families_let_a_process_choose_xnack(version: int, family: str, capable: bool, tmp_path: Path):
    files = tree() | {"nodes/1/properties": gpu_node(1, gfx_target_version=version)}
    gpu = import_topology(write_folder(tmp_path, files)).gpu(0)
    assert (gpu.family, gpu.xnack_capable) == (family, capable)


def test_vram_comes_from_mem_banks_else_from_local_mem_size_else_from_the_model(tmp_path: Path):
    files = {name: text for name, text in tree().items() if "/mem_banks/" not in name}
    files["nodes/1/properties"] = gpu_node(1, local_mem_size=16 << 30)
    machine = import_topology(write_folder(tmp_path, files))
    assert [g.vram_bytes >> 30 for g in machine.gpus] == [16, 64]
    assert [g.device.vram.evidence for g in machine.gpus] == ["doc", "assumed"]
    assert machine.ram_bytes == 256 << 30
    assert [note for note in machine.notes if "VRAM" in note]
    assert [note for note in machine.notes if "RAM;" in note and "256 GiB for each CPU node" in note]


def test_a_partition_has_its_share_of_the_vram_of_the_whole_gpu(tmp_path: Path):
    files = {name: text for name, text in tree().items() if "/mem_banks/" not in name}
    files |= {
        f"nodes/{n}/properties": gpu_node(n, device_id=0x74A1, gfx_target_version=90402, num_xcc=2) for n in (1, 2)
    }
    gpu = import_topology(write_folder(tmp_path, files)).gpu(0)
    assert (gpu.name, gpu.vram_bytes >> 30) == ("AMD Instinct MI300X (1 of 4 partitions)", 48)


def test_an_unknown_model_is_called_by_its_name_file_and_its_vram_is_assumed(tmp_path: Path):
    files = {name: text for name, text in tree().items() if name != "nodes/1/mem_banks/0/properties"}
    files["nodes/1/properties"] = gpu_node(1, device_id=1)
    files["nodes/1/name"] = "novel\x1b[31m\n"
    machine = import_topology(write_folder(tmp_path, files))
    assert (machine.gpu(0).name, machine.gpu(0).vram_bytes >> 30) == ("novel[31m", 16)
    assert any("unknown model" in note for note in machine.notes)


def test_gpu_ids_that_are_missing_are_derived_distinct_and_the_same_every_time(tmp_path: Path):
    files = {name: text for name, text in tree().items() if not name.endswith("gpu_id")}
    machine = import_topology(write_folder(tmp_path / "a", files))
    again = import_topology(write_folder(tmp_path / "b" / "a", files))
    ids = [g.gpu_id for g in machine.gpus]
    assert ids == [g.gpu_id for g in again.gpus]
    assert len(set(ids)) == 2
    assert all(0 < number < 1 << 17 for number in ids)
    assert any("gpu_id" in note for note in machine.notes)


def test_a_repeated_gpu_id_is_raised_by_one_as_the_driver_does(tmp_path: Path):
    files = tree() | {"nodes/2/gpu_id": "51234\n"}
    machine = import_topology(write_folder(tmp_path, files))
    assert [g.gpu_id for g in machine.gpus] == [51234, 51235]
    assert "nodes/2/gpu_id repeats 51234; 51235 is used" in machine.notes


def test_a_tree_of_an_old_driver_has_no_hive_and_a_link_copied_from_a_neighbour(tmp_path: Path):
    old = properties(simd_count=256, cpu_cores_count=0, device_id=26720, local_mem_size=17163091968)
    files = {
        "nodes/0/properties": properties(cpu_cores_count=20, simd_count=0),
        "nodes/1/properties": old,
        "nodes/1/io_links/0/properties": link(1, 0, mb_per_s=0),
        "nodes/2/properties": old,
        "nodes/2/io_links/0/properties": link(1, 0, mb_per_s=0),
    }
    machine = import_topology(write_folder(tmp_path, files))
    assert (machine.hives, len(machine.links)) == ({}, 2)
    assert {g.family for g in machine.gpus} == {"gfx900"}
    assert any("nodes/2/io_links/0/properties says node_from 1" in note for note in machine.notes)


def test_a_tree_without_cpu_node_gets_one_and_says_so(tmp_path: Path):
    files = {
        "nodes/0/properties": gpu_node(0),
        "nodes/0/mem_banks/0/properties": tree()["nodes/1/mem_banks/0/properties"],
    }
    machine = import_topology(write_folder(tmp_path, files))
    assert (machine.cpus, machine.links) == (1, ())
    assert any("no CPU node" in note for note in machine.notes)


def test_a_gpu_that_a_container_may_not_use_is_left_out_with_a_note(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    read = kfd_tree._read_file

    def read_or_refuse(path: Path) -> bytes:
        if path.parts[-3:] == ("nodes", "1", "properties"):
            raise PermissionError(errno.EPERM, "Operation not permitted", str(path))
        return read(path)

    monkeypatch.setattr(kfd_tree, "_read_file", read_or_refuse)
    machine = import_topology(write_folder(tmp_path, tree()))
    assert [g.gpu_id for g in machine.gpus] == [4321]
    assert any("node 1 is hidden" in note for note in machine.notes)


def test_a_file_that_may_not_be_read_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def refuse(path: Path) -> bytes:
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr(kfd_tree, "_read_file", refuse)
    assert "Permission denied" in complaint_about(write_folder(tmp_path, tree()))


DAMAGE = {
    "no simd_count": ({"nodes/1/properties": "cpu_cores_count 0\n"}, "nodes/1/properties: no simd_count"),
    "an empty file": ({"nodes/1/properties": ""}, "nodes/1/properties is empty"),
    "a name without number": ({"nodes/1/properties": "simd_count\n"}, "line 1 is 'simd_count'"),
    "a word for a number": ({"nodes/1/properties": "simd_count many\n"}, "line 1 is 'simd_count many'"),
    "a negative number": ({"nodes/1/properties": "simd_count -4\n"}, "line 1 is 'simd_count -4'"),
    "a digit that is not ASCII": ({"nodes/1/properties": "simd_count ٣\n"}, "line 1 is"),
    "65 bits": ({"nodes/1/properties": f"simd_count {1 << 64}\n"}, "is too large"),
    "thousands of digits": ({"nodes/1/properties": f"simd_count {'9' * 5000}\n"}, "is too large"),
    "a binary file": ({"nodes/1/properties": "\0\0\0"}, "line 1 is"),
    "a gpu_id that is a word": ({"nodes/1/gpu_id": "first\n"}, "nodes/1/gpu_id holds 'first'"),
    "a gpu_id of 33 bits": ({"nodes/1/gpu_id": f"{1 << 32}\n"}, "nodes/1/gpu_id: 4294967296 is too large"),
    "a memory bank of an exabyte": (
        {"nodes/1/mem_banks/0/properties": properties(heap_type=1, size_in_bytes=1 << 60)},
        "nodes/1/mem_banks/0/properties: size_in_bytes is 1152921504606846976",
    ),
    "a memory bank without size": ({"nodes/1/mem_banks/0/properties": "heap_type 1\n"}, "no size_in_bytes"),
    "a link to nowhere": (
        {"nodes/1/io_links/1/properties": link(1, 9)},
        "a link to node 9; allowed: nodes that are there: 2, 0",
    ),
    "a link to itself": ({"nodes/1/io_links/1/properties": link(1, 1)}, "a link to node 1"),
    "a link without target": ({"nodes/1/io_links/0/properties": "type 2\nnode_from 1\n"}, "no node_to"),
    "a link of absurd weight": ({"nodes/1/io_links/0/properties": link(1, 0, weight=1 << 20)}, "weight is 1048576"),
    "no GPU": ({f"nodes/{n}/properties": properties(simd_count=0) for n in (1, 2)}, "0 GPUs in it; allowed: 1 to 64"),
    "a huge file": ({"nodes/1/name": "x" * 70000}, "nodes/1/name is too large"),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_tree_is_one_line_that_names_the_file(damage: str, tmp_path: Path):
    change, complaint = DAMAGE[damage]
    assert complaint in complaint_about(write_folder(tmp_path / "t", tree() | change))


def test_a_node_without_properties_is_refused(tmp_path: Path):
    files = {name: text for name, text in tree().items() if name != "nodes/2/properties"}
    assert "nodes/2/properties is missing" in complaint_about(write_folder(tmp_path / "t", files))
    assert "nodes/2/properties is missing" in complaint_about(write_archive(tmp_path / "t.tar.gz", files))


def test_text_that_is_not_utf_8_is_refused(tmp_path: Path):
    write_folder(tmp_path, tree())
    (tmp_path / "nodes/1/properties").write_bytes(b"simd_count 4\xff\n")
    assert "byte 12 is not UTF-8" in complaint_about(tmp_path)


def test_a_folder_or_archive_without_a_tree_is_refused(tmp_path: Path):
    (tmp_path / "empty").mkdir()
    assert "no KFD topology in it" in complaint_about(tmp_path / "empty")
    (tmp_path / "bare" / "nodes").mkdir(parents=True)
    assert "no KFD topology in it" in complaint_about(tmp_path / "bare")
    assert "no KFD topology in it" in complaint_about(write_archive(tmp_path / "t.tar.gz", {"readme": "hello"}))


def test_two_trees_in_one_place_are_refused(tmp_path: Path):
    write_folder(tmp_path / "t" / "one", tree())
    write_folder(tmp_path / "t" / "two", tree())
    assert "more than one KFD topology" in complaint_about(tmp_path / "t")
    both = {f"{place}/{name}": text for place in ("one", "two") for name, text in tree().items()}
    assert "more than one KFD topology" in complaint_about(write_archive(tmp_path / "t.tar.gz", both, prefix=""))


@pytest.mark.parametrize(
    "content",
    [b"", b"\x1f\x8b", b"hello", b"\x1f\x8b" + b"x" * 100, bytes(range(256)) * 16],
    ids=["empty", "magic", "text", "bad", "noise"],
)
def test_what_is_no_archive_is_refused(content: bytes, tmp_path: Path):
    path = tmp_path / "t.tar.gz"
    path.write_bytes(content)
    assert "no readable archive" in complaint_about(path)


@pytest.mark.parametrize("kept", [0.1, 0.5, 0.9, 0.99])
def test_a_truncated_archive_is_refused(kept: float, tmp_path: Path):
    path = write_archive(tmp_path / "t.tar.gz", tree())
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * kept)])
    assert "no readable archive" in complaint_about(path)


@pytest.mark.parametrize(
    "name", ["../nodes/1/properties", "/nodes/1/properties", "a/../../nodes/1/name", "..", "a\\..\\b"]
)
def test_an_archive_member_that_leaves_its_folder_is_refused(name: str, tmp_path: Path):
    path = write_archive(tmp_path / "t.tar.gz", tree())
    with tarfile.open(path, "w:gz") as archive:
        add(archive, name, b"simd_count 4\n")
    assert "leaves the archive's folder" in complaint_about(path)


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE])
def test_a_link_in_an_archive_is_never_followed(kind: bytes, tmp_path: Path):
    secret = tmp_path / "secret"
    secret.write_text("simd_count 4\n", encoding="utf-8")
    path = tmp_path / "t.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        add(archive, "nodes/0/gpu_id", b"0\n")
        add(archive, "nodes/0/properties", type=kind, linkname=str(secret))
    assert "nodes/0/properties is missing" in complaint_about(path)


def test_a_link_in_a_folder_is_not_followed_out_of_it(tmp_path: Path):
    write_folder(tmp_path / "elsewhere", tree())
    write_folder(tmp_path / "t", {"nodes/0/properties": tree()["nodes/0/properties"]})
    (tmp_path / "t/nodes/1").symlink_to(tmp_path / "elsewhere/nodes/1")
    assert "0 GPUs in it" in complaint_about(tmp_path / "t")
    (tmp_path / "t/nodes/2").mkdir()
    (tmp_path / "t/nodes/2/properties").symlink_to(tmp_path / "elsewhere/nodes/2/properties")
    assert "nodes/2/properties is missing" in complaint_about(tmp_path / "t")


def test_nothing_is_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = write_archive(tmp_path / "t.tar.gz", tree())
    monkeypatch.chdir(tmp_path)
    import_topology(path)
    assert [entry.name for entry in tmp_path.iterdir()] == ["t.tar.gz"]


def test_an_archive_that_unpacks_to_too_much_is_refused_before_it_is_unpacked(tmp_path: Path):
    path = tmp_path / "bomb.tar.gz"
    with gzip.open(path, "wb", compresslevel=1) as file:
        member = tarfile.TarInfo("padding")
        member.size = 1 << 40
        file.write(member.tobuf())
        for _ in range(160):
            file.write(bytes(1 << 20))
    assert path.stat().st_size < 2 << 20
    assert "more than 128 MiB when unpacked" in complaint_about(path)


def test_a_member_that_claims_to_be_huge_is_refused_by_its_claim(tmp_path: Path):
    path = tmp_path / "bomb.tar.gz"
    with gzip.open(path, "wb") as file:
        member = tarfile.TarInfo("nodes/0/properties")
        member.size = 1 << 40
        file.write(member.tobuf())
    assert "is too large" in complaint_about(path)


def test_an_archive_with_too_many_members_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(kfd_tree, "_MOST_MEMBERS", 5)
    assert "too many members" in complaint_about(write_archive(tmp_path / "t.tar.gz", tree()))


def test_a_tree_with_too_many_files_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(kfd_tree, "_MOST_FILES", 5)
    assert "more than 5 files" in complaint_about(write_folder(tmp_path, tree()))
    assert "too many members" in complaint_about(write_archive(tmp_path / "t.tar.gz", tree()))


def real(name: str) -> Machine:
    path = ARCHIVES / f"{name}.tar.gz"
    if not path.is_file():
        pytest.skip(f"{path} is not here")
    return Machine.find(path)


def test_the_real_mi210_machine_has_8_gpus_in_two_hives_of_four():
    machine = real("mi210-8gpu-two-hives")
    assert machine.hives == {HIVE: (0, 1, 2, 3), 18091350218769748594: (4, 5, 6, 7)}
    assert [g.cpu for g in machine.gpus] == [0] * 4 + [1] * 4
    assert machine.peer_link(0, 3).weight == 15
    assert machine.peer_link(0, 4).weight == 72


def test_the_shipped_mi210_machine_is_the_real_one():
    shipped, machine = Machine.find("mi210-two-hives"), real("mi210-8gpu-two-hives")
    for found in (shipped, machine):
        assert [(g.gpu_id, g.hive_id, g.cpu, g.vram_bytes, g.sdma_xgmi_engines) for g in found.gpus] == [
            (g.gpu_id, g.hive_id, g.cpu, g.vram_bytes, g.sdma_xgmi_engines) for g in machine.gpus
        ]
        assert [(k.source, k.target, k.kind, k.weight, k.bandwidth_bytes_per_s) for k in found.links] == [
            (k.source, k.target, k.kind, k.weight, k.bandwidth_bytes_per_s) for k in machine.links
        ]


def test_the_real_mi300_machine_has_63_partitions_in_one_hive():
    machine = real("mi300-cpx-64-partitions")
    assert list(machine.hives.values()) == [tuple(range(63))]
    assert {g.vram_bytes >> 30 for g in machine.gpus} == {24}
    assert len({g.gpu_id for g in machine.gpus}) == 63


def test_the_real_older_machine_has_two_gpus_and_no_hive():
    machine = real("older-3-nodes")
    assert (len(machine.gpus), machine.hives, machine.ram_bytes) == (2, {}, 67155521536)
    assert {g.vram_bytes for g in machine.gpus} == {17163091968}
    assert [g.gpu_id for g in machine.gpus] == [13261, 13262]


@pytest.mark.parametrize("name", ["mi210-8gpu-two-hives", "mi300-cpx-64-partitions", "older-3-nodes"])
def test_every_real_machine_reads_back_from_its_file(name: str, tmp_path: Path):
    machine = real(name)
    save_machine(machine, tmp_path / "saved.toml")
    assert load_machine(tmp_path / "saved.toml") == machine
