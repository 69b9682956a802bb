"""The recorded answers of the driver's own functions, and the command that replays them."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from svmlab.cli import main
from svmlab.resources import data_path
from svmlab.scenario.verify import KINDS, verify

ROWS = {"best_location": 2224, "trigger_migration": 1500, "ram_to_vram": 600, "vram_to_ram": 400}


def shipped(kind: str) -> Path:
    return data_path("vectors", f"{kind}.jsonl")


def first_lines(kind: str, count: int) -> list[str]:
    return shipped(kind).read_text().splitlines()[:count]


def run(*args: str):
    return CliRunner().invoke(main, ["verify", *args])


@pytest.mark.parametrize("kind", KINDS)
def test_every_recorded_answer_is_reproduced(kind):
    report = verify(shipped(kind))
    assert (report.agree, report.differences) == (ROWS[kind], [])


def test_the_command_prints_one_line_a_file_and_ends_0():
    result = run(str(shipped("ram_to_vram")), str(shipped("vram_to_ram")))
    assert result.exit_code == 0
    assert [line.split(": ")[1] for line in result.output.splitlines()] == [
        "600 agree, 0 differ",
        "400 agree, 0 differ",
    ]


def falsified(kind: str, row: dict) -> dict:
    if kind == "best_location":
        row["best"] = 0 if row["best"] else row["gpus"][0]["id"]
    elif kind == "trigger_migration":
        row["expect"]["migrated"] = not row["expect"]["migrated"]
    else:
        row["expect"]["calls"].append(["finalize"])
    return row


@pytest.mark.parametrize("kind", KINDS)
def test_falsified_answers_are_reported_and_only_those(kind, tmp_path):
    lines = first_lines(kind, 20)
    for at in (2, 11):
        lines[at] = json.dumps(falsified(kind, json.loads(lines[at])))
    file = tmp_path / f"{kind}.jsonl"
    file.write_text("\n".join(lines))
    result = run(str(file), "--json")
    report = json.loads(result.output)["files"][0]
    assert result.exit_code == 1
    assert report["agree"] == 18
    assert [difference["line"] for difference in report["differences"]] == [3, 12]
    assert all(difference["expected"] != difference["found"] for difference in report["differences"])


def test_a_difference_is_told_with_input_expectation_finding_and_rule(tmp_path):
    file = tmp_path / "best_location.jsonl"
    file.write_text(json.dumps(falsified("best_location", json.loads(first_lines("best_location", 1)[0]))))
    result = run(str(file))
    assert result.exit_code == 1
    for word in ("0 agree, 1 differ", "line 1", "input", "expected 4098", "found    0", "rule     prefetch to RAM"):
        assert word in result.output


def test_a_file_of_another_name_is_replayed_by_kind(tmp_path):
    file = tmp_path / "mine.txt"
    file.write_text("\n".join(first_lines("best_location", 5)))
    assert run(str(file)).exit_code == 2
    assert run(str(file), "--kind", "best_location").exit_code == 0


GOOD = first_lines("best_location", 1)[0]
BAD_LINES = {
    "is not JSON": "{",
    "lacks a key": '{"xnack": true}',
    "has one key too many": GOOD[:-1] + ', "more": 1}',
    "has a text for a number": GOOD.replace('"prefetch":0', '"prefetch":"0"'),
    "has a GPU with id 0": GOOD.replace('"id":4098', '"id":0'),
    "is not UTF-8": "\udcff",
    "is a list": "[]",
}


@pytest.mark.parametrize("line", BAD_LINES.values(), ids=BAD_LINES)
def test_a_malformed_line_is_one_line_with_its_number(line, tmp_path):
    file = tmp_path / "best_location.jsonl"
    file.write_bytes(f"{GOOD}\n{line}\n".encode(errors="surrogateescape"))
    result = run(str(file))
    assert result.exit_code == 2
    assert f"{file}: line 2: " in result.stderr
    assert result.stderr.count("\n") == 1


def test_a_missing_or_empty_file_is_one_line(tmp_path):
    empty = tmp_path / "best_location.jsonl"
    empty.touch()
    for path in (empty, tmp_path / "vram_to_ram.jsonl", tmp_path):
        result = run(str(path), "--kind", "best_location")
        assert (result.exit_code, result.stderr.count("\n")) == (2, 1)


MUTANTS = {
    "best_location": ("svmlab/svm/policy.py", "bool(far)", "not far"),
    "trigger_migration": ("svmlab/svm/policy.py", "s.actual == SYSMEM and not s.flags & Flag.HOST_ACCESS", "False"),
    "ram_to_vram": ("svmlab/svm/migrate_piece.py", "ATTEMPTS = 4", "ATTEMPTS = 3"),
    "vram_to_ram": ("svmlab/svm/migration.py", "buffers.forget_location(range_)", "pass"),
}


@pytest.mark.parametrize("kind", MUTANTS)
def test_breaking_a_line_of_the_model_makes_the_replay_differ(kind, tmp_path):
    """One truth: what is replayed is the code that a process runs."""
    file, line, mutant = MUTANTS[kind]
    source = Path(__file__).parents[2]
    broken = (source / file).read_text().replace(line, mutant)
    assert broken != (source / file).read_text()
    module = file.removesuffix(".py").replace("/", ".")
    (tmp_path / "broken.py").write_text(broken)
    rows = tmp_path / f"{kind}.jsonl"
    rows.write_text("\n".join(first_lines(kind, 200)))
    script = (
        "import importlib.util, sys\n"
        f"spec = importlib.util.spec_from_file_location({module!r}, {str(tmp_path / 'broken.py')!r})\n"
        "module = importlib.util.module_from_spec(spec)\n"
        f"sys.modules[{module!r}] = module\n"
        "spec.loader.exec_module(module)\n"
        "from svmlab.cli import main\n"
        f"main(['verify', {str(rows)!r}])\n"
    )
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert result.returncode == 1, result.stderr
    assert ", 0 differ" not in result.stdout
