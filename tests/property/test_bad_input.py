"""Whatever a file holds, svmlab uses it or says in one line why not; it looks no further than that file, and no longer.

Logs have a test of their own beside the readers of logs.
"""

import ast
import json
import os
import re
import resource
import subprocess
import sys
import tarfile
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import svmlab
from svmlab.cli import main
from svmlab.course import state
from svmlab.course.report import report
from svmlab.errors import InputError
from svmlab.hardware.machine import Machine
from svmlab.resources import data_path
from svmlab.scenario.actions import ACTIONS
from svmlab.scenario.format import load
from svmlab.scenario.sweep import load_sweep
from svmlab.scenario.sweep_rows import Kept
from svmlab.scenario.verify import verify

GIB = 1 << 30


def packed(files: dict[str, bytes], mode: str = "w:gz") -> bytes:
    out = BytesIO()
    with tarfile.open(fileobj=out, mode=mode) as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, BytesIO(content))
    return out.getvalue()


GPU = b"simd_count 416\ngfx_target_version 90010\nvendor_id 4098\ndevice_id 29711\nhive_id 0\nnum_sdma_engines 2\n"
LINK = b"type 2\nnode_from 0\nnode_to 1\nweight 20\nmax_bandwidth 32000\n"
TREE = {
    "topology/nodes/0/properties": b"cpu_cores_count 64\nsimd_count 0\n",
    "topology/nodes/0/mem_banks/0/properties": b"heap_type 0\nsize_in_bytes 274877906944\n",
    "topology/nodes/0/io_links/0/properties": LINK,
    "topology/nodes/1/properties": GPU,
    "topology/nodes/1/gpu_id": b"51234\n",
}
SWEEP = (
    b'title = "t"\nmachine = "toy"\n[sweep]\nseed = [1, 2]\nstep.1.size = ["4 KiB"]\n[[step]]\ndo = "mmap"\nsize = 1\n'
)
LEARNER = b"\n".join(
    json.dumps(entry).encode()
    for entry in (
        {"what": "prediction", "id": "00.1", "answers": {"a": "yes", "b": 3}},
        {"what": "check", "id": "00.1", "verdict": "right"},
        {"what": "hint", "id": "00.1", "level": 2},
        {"what": "survey", "id": "before", "answers": {"queues": "all"}},
    )
)


def read_tree_file(path: Path) -> object:
    """The content takes the place of a node's properties in a tree that is whole otherwise."""
    content = path.read_bytes()
    for name, whole in {**TREE, "topology/nodes/1/properties": content}.items():
        file = path.parent / "tree" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(whole)
    return Machine.find(path.parent / "tree")


def read_kept_rows(path: Path) -> object:
    (path.parent / "s.toml").write_bytes(SWEEP)
    path.rename(path.parent / "rows.csv.partial")
    return Kept(path.parent / "rows.csv", load_sweep(path.parent / "s.toml"))


def read_state(path: Path) -> object:
    path.rename(path.parent / "course.jsonl")
    return state.kept(path.parent)


def some_rows(kind: str) -> bytes:
    return b"".join(data_path("vectors", f"{kind}.jsonl").read_bytes().splitlines(keepends=True)[:4])


def shipped(*parts: str) -> bytes:
    return data_path(*parts).read_bytes()


Reader = tuple[str, Callable[[Path], object], bytes]
READERS: dict[str, Reader] = {
    "machine": ("x.toml", Machine.find, shipped("machines", "toy.toml")),
    "tree": ("x", read_tree_file, GPU),
    "archive": ("x.tar.gz", Machine.find, packed(TREE)),
    "tar": ("x.tar", Machine.find, packed(TREE, "w:")),
    "scenario": ("x.toml", load, shipped("scenarios", "starter.toml")),
    "scenario with an order": ("x.toml", load, shipped("scenarios", "races", "faulting-while-restoring.toml")),
    "sweep": ("x.toml", lambda path: load_sweep(path, known=ACTIONS).scenario(1), SWEEP),
    "rows of a sweep": ("x.csv.partial", read_kept_rows, b'{"svmlab sweep": "1"}\n{"n": 1, "seed": 1}\n'),
    "best_location": ("best_location.jsonl", verify, some_rows("best_location")),
    "trigger_migration": ("trigger_migration.jsonl", verify, some_rows("trigger_migration")),
    "ram_to_vram": ("ram_to_vram.jsonl", verify, some_rows("ram_to_vram")),
    "vram_to_ram": ("vram_to_ram.jsonl", verify, some_rows("vram_to_ram")),
    "learner": ("x.jsonl", read_state, LEARNER),
}
"""Every kind of file the product reads: its name, what reads it, and one that is good."""
TOKENS = [
    b"\x00", b"\xff\xfe", b"\xed\xa0\x80", b"\x1b[31m", b"9" * 5000, b"-1", b"1e999", b"nan", b"inf",
    b"18446744073709551616", b"true", b"null", b"[]", b"{}", b"[[", b"]]", b'"', b"'''", b"=", b".", b",", b"#",
    b"\r", b"\n", b"../", b"/etc/passwd", b"gpu0", b"[" * 3000, b'{"a":' * 3000,
]  # fmt: skip


@st.composite
def damaged(draw: st.DrawFn, whole: bytes) -> bytes:
    """Something that was a good file before it was cut, doubled, overwritten and mixed up."""
    content = bytearray(whole)
    for _ in range(draw(st.integers(1, 4))):
        start, end = sorted((draw(st.integers(0, len(content))), draw(st.integers(0, len(content)))))
        match draw(st.sampled_from(["cut", "end", "token", "byte", "double"])):
            case "cut":
                del content[start : min(end, start + 40)]
            case "end":
                del content[end:]
            case "token":
                content[start:start] = draw(st.sampled_from(TOKENS))
            case "byte":
                content[start : start + 1] = draw(st.binary(min_size=1, max_size=3))
            case "double":
                content[start:start] = content[start : min(end, start + 400)]
    return bytes(content)


def one_line(read: Callable[[], object]) -> str:
    """The line that something is refused with, or nothing if it is used; any other end is a defect."""
    try:
        read()
    except InputError as error:
        told = str(error)
        assert told.isprintable() or told.replace("\n", " ").isprintable()
        assert 0 < len(told) < 3000
        return told
    return ""


@pytest.mark.parametrize("kind", READERS)
def test_a_good_file_is_used(kind: str, tmp_path: Path):
    name, read, whole = READERS[kind]
    (tmp_path / name).write_bytes(whole)
    told = one_line(lambda: read(tmp_path / name))
    assert told == "" or (kind == "rows of a sweep" and "is not of this sweep" in told)


@pytest.mark.parametrize("kind", READERS)
@settings(deadline=None, suppress_health_check=list(HealthCheck), max_examples=60)
@given(data=st.data())
def test_a_damaged_file_is_used_or_refused_in_one_line(kind: str, data, tmp_path_factory):
    name, read, whole = READERS[kind]
    folder = tmp_path_factory.mktemp("bad")
    (folder / name).write_bytes(data.draw(damaged(whole)))
    one_line(lambda: read(folder / name))


@pytest.mark.parametrize("kind", READERS)
@settings(deadline=None, suppress_health_check=list(HealthCheck), max_examples=30)
@given(content=st.binary(max_size=400))
def test_any_bytes_are_used_or_refused_in_one_line(kind: str, content: bytes, tmp_path_factory):
    name, read, _ = READERS[kind]
    folder = tmp_path_factory.mktemp("bad")
    (folder / name).write_bytes(content)
    one_line(lambda: read(folder / name))


VALUES = [
    "0",
    "1",
    "2",
    "8",
    "255",
    "511",
    "512",
    "513",
    "4096",
    "1048576",
    "-1",
    "4294967295",
    "true",
    "null",
    "[]",
    "[[0,1]]",
]
VECTORS = ["best_location", "trigger_migration", "ram_to_vram", "vram_to_ram"]


def places(row: object, path: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    """Where a row has values, and lists of them."""
    inner = row.items() if isinstance(row, dict) else enumerate(row) if isinstance(row, list) else ()
    return [*([path] if path else []), *(place for key, value in inner for place in places(value, (*path, key)))]


@pytest.mark.parametrize("kind", VECTORS)
@settings(deadline=None, suppress_health_check=list(HealthCheck), max_examples=60)
@given(data=st.data())
def test_a_row_whose_values_contradict_each_other_is_replayed_or_refused(kind: str, data, tmp_path_factory):
    row = json.loads(data.draw(st.sampled_from(some_rows(kind).splitlines())))
    for _ in range(data.draw(st.integers(1, 3))):
        *way, last = data.draw(st.sampled_from(places(row)))
        at = row
        for key in way:
            at = at[key]
        at[last] = json.loads(data.draw(st.sampled_from(VALUES)))
    file = tmp_path_factory.mktemp("row") / f"{kind}.jsonl"
    file.write_text(json.dumps(row) + "\n", encoding="utf-8")
    one_line(lambda: verify(file))


CONTRADICTIONS = [
    ("ram_to_vram", {"last": 0}, "a range of"),
    ("ram_to_vram", {"last": 1 << 20}, "pages; 1 to 8192 are allowed"),
    ("ram_to_vram", {"vmas": [[9, 3]]}, "vmas: the one at page 9 is empty, or overlaps another"),
    ("ram_to_vram", {"vram_nodes": []}, "vram_nodes: they hold fewer pages than offset and the range need"),
    (
        "ram_to_vram",
        {"vram_nodes": [[8, 600], [9, 600]]},
        "vram_nodes: the one at page 9 is empty, or overlaps another",
    ),
    ("vram_to_ram", {"in_vram": [[0, 1, 9000]]}, "in_vram: pages behind the end of the range"),
    (
        "vram_to_ram",
        {"in_vram": [[0, 1, 1], [1, 1, 1]]},
        "VRAM of in_vram: the one at page 1 is empty, or overlaps another",
    ),
]


@pytest.mark.parametrize(("kind", "change", "told"), CONTRADICTIONS, ids=[told[:40] for *_, told in CONTRADICTIONS])
def test_what_contradicts_itself_in_a_row_is_told(kind: str, change: dict[str, object], told: str, tmp_path: Path):
    row = json.loads(some_rows(kind).splitlines()[0]) | change
    (tmp_path / f"{kind}.jsonl").write_text(json.dumps(row) + "\n", encoding="utf-8")
    with pytest.raises(InputError, match=r"line 1: .*" + re.escape(told)):
        verify(tmp_path / f"{kind}.jsonl")


def test_a_message_is_never_as_long_as_a_damaged_file(tmp_path: Path):
    text = shipped("machines", "toy.toml").replace(b'unit = "GB/s"', b'unit = "' + b"[" * 9000 + b'"', 1)
    (tmp_path / "x.toml").write_bytes(text)
    assert 900 < len(one_line(lambda: Machine.find(tmp_path / "x.toml"))) < 1200


# through the program, with its exit codes, in little memory

BOUND = 3 * GIB
COMMANDS = {
    "machine": (["machine", "x.toml"], "x.toml"),
    "archive": (["machine", "x.tar.gz"], "x.tar.gz"),
    "scenario": (["run", "x.toml"], "x.toml"),
    "sweep": (["sweep", "x.toml", "--out", "rows.csv"], "x.toml"),
    "race": (["race", "x.toml"], "x.toml"),
    "compare": (["compare", "x.toml", "x.toml"], "x.toml"),
    "vectors": (["verify", "x.jsonl", "--kind", "ram_to_vram"], "x.jsonl"),
}
"""What reads a file, and the file."""


def sparse(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(20 * GIB)


def bomb(path: Path) -> None:
    """Archives within an archive are not opened; this one is a gigabyte of zeros in a megabyte."""
    import gzip

    with gzip.open(path, "wb", compresslevel=1) as out:
        member = tarfile.TarInfo("nodes/0/properties")
        member.size = GIB
        out.write(member.tobuf())
        for _ in range(256):
            out.write(bytes(1 << 20))


DAMAGE: dict[str, Callable[[Path], object]] = {
    "is not there": lambda path: None,
    "is empty": lambda path: path.write_bytes(b""),
    "is a folder": lambda path: path.mkdir(),
    "is no text": lambda path: path.write_bytes(bytes(range(256)) * 40),
    "is no UTF-8": lambda path: path.write_bytes(b'title = "\xe9"\n'),
    "is of another kind": lambda path: path.write_bytes(b"<html></html>\n"),
    "is 20 GiB of nothing": sparse,
    "is a bomb": bomb,
    "is a link to itself": lambda path: path.symlink_to(path),
    "is a number": lambda path: path.write_bytes(b"9" * 100_000),
    "is deep": lambda path: path.write_bytes(b"x = " + b"[" * 100_000),
}


def limited() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (BOUND, BOUND))


def svmlab_in(folder: Path, arguments: list[str]) -> subprocess.CompletedProcess[str]:
    # One thread in the libraries that numpy brings: each takes address space for its own stack.
    known = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", "from svmlab.cli import main; main()", *arguments]
    return subprocess.run(
        command, cwd=folder, env=known, check=False, capture_output=True, text=True, preexec_fn=limited
    )


@pytest.mark.slow
@pytest.mark.parametrize("damage", DAMAGE)
def test_what_cannot_be_used_is_one_line_and_exit_code_2_whoever_reads_it(damage: str, tmp_path: Path):
    wrong = {}
    for what, (arguments, name) in COMMANDS.items():
        folder = tmp_path / what
        folder.mkdir()
        DAMAGE[damage](folder / name)
        done = svmlab_in(folder, arguments)
        left = {path.name for path in folder.iterdir()} - {name}
        if (done.returncode, done.stdout, done.stderr.count("\n"), left) != (2, "", 1, set()):
            wrong[what] = (done.returncode, done.stdout[-300:], done.stderr[-300:], left)
    assert wrong == {}


# what the product does not do

SOURCES = sorted(Path(svmlab.__file__).parent.rglob("*.py"))
FORBIDDEN = {
    "pickle",
    "marshal",
    "shelve",
    "dill",
    "joblib",
    "socket",
    "ssl",
    "urllib",
    "http",
    "requests",
    "ftplib",
    "smtplib",
}
CALLS = {"eval", "exec", "compile", "__import__"}
ALLOWED = {("log/emitter.py", "exec")}
"""The methods of a log are written by program from the table of kinds of event; no file has a part in it."""


def uses(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names} & FORBIDDEN
        elif isinstance(node, ast.ImportFrom):
            found |= {(node.module or "").split(".")[0]} & FORBIDDEN
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            found |= {node.func.id} & CALLS
    return found


def test_no_module_evaluates_text_unpickles_or_opens_a_connection():
    root = Path(svmlab.__file__).parent
    found = {(path.relative_to(root).as_posix(), name) for path in SOURCES for name in uses(path)}
    assert found == ALLOWED


WATCHED = """
import json, os, sys
told = []
def watch(event, arguments):
    if event == "open":
        path, mode, flags = arguments
        writes = isinstance(flags, int) and flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
        if writes and path != os.devnull:
            told.append(f"writes {path}")
    elif event.split(".")[0] in ("socket", "subprocess", "shutil") or event in ("os.remove", "os.rename", "os.mkdir"):
        told.append(f"{event} {arguments[:1]}")
sys.addaudithook(watch)
from svmlab.cli import main
try:
    main(sys.argv[1:])
except SystemExit as end:
    assert not end.code, end.code
print(json.dumps(told), file=sys.stderr)
"""
FIRST = str(data_path("scenarios", "first-migration.toml"))
QUIET = [
    ["machine", "toy"],
    ["machine", "--list"],
    ["run", FIRST],
    ["run", FIRST, "--json"],
    ["compare", FIRST, FIRST],
    ["behaviours"],
]


def watched(folder: Path, *arguments: str) -> list[str]:
    """What a command writes, removes, starts or connects to."""
    known = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        [sys.executable, "-c", WATCHED, *arguments], cwd=folder, env=known, check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stderr.splitlines()[-1])


@pytest.mark.parametrize("arguments", QUIET, ids=" ".join)
def test_a_command_that_writes_no_file_writes_none_and_connects_to_nothing(arguments: list[str], tmp_path: Path):
    assert watched(tmp_path, *arguments) == []
    assert list(tmp_path.iterdir()) == []


def test_a_command_writes_the_files_it_was_asked_for_and_no_other(tmp_path: Path):
    files = {"--plot": "a.svg", "--trace": "a.json"}
    asked = [word for pair in files.items() for word in pair]
    assert watched(tmp_path, "run", FIRST, *asked) == ["writes a.svg", "writes a.json"]
    assert watched(tmp_path, "machine", "toy", "--save", "toy.toml") == ["writes toy.toml"]
    assert watched(tmp_path, "new", "mine.toml") == ["writes mine.toml"]
    assert {path.name for path in tmp_path.iterdir()} == {"a.svg", "a.json", "toy.toml", "mine.toml"}


def test_every_command_that_reads_a_file_is_in_the_table():
    takes_files = {name for name in main.list_commands(None) if name not in OTHERS}
    assert takes_files == {arguments[0] for arguments, _ in COMMANDS.values()}


OTHERS = {"new", "peers", "behaviours", "bench", "completion", "lab", "release", "course", "trace"}
"""They read nothing of a user's, or (course, trace, lab) have tables of their own."""


DAMAGED_LINES = [
    "[]",
    "3",
    '{"what": "check"}',
    '{"what": "check", "id": 3, "verdict": "right"}',
    '{"what": "hint", "id": "a", "level": "x"}',
    '{"what": "survey", "id": "before", "answers": {"a": [1]}}',
    '{"what": "x", "id": "a"}',
    "\udcff",
    "9" * 5000,
    "[" * 3000,
]


@pytest.mark.parametrize("line", DAMAGED_LINES, ids=range(len(DAMAGED_LINES)))
def test_a_damaged_line_of_a_learner_is_counted_and_the_others_stay(line: str, tmp_path: Path):
    content = LEARNER + b"\n" + line.encode(errors="surrogateescape") + b"\n"
    (tmp_path / "course.jsonl").write_bytes(content)
    found = state.kept(tmp_path)
    assert (len(found.entries), found.damaged) == (4, 1)
    assert report([tmp_path]).damaged == 1
