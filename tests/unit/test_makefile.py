import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
TARGETS = set(" ".join(re.findall(r"^\.PHONY: (.+)$", MAKEFILE, re.MULTILINE)).split())


def make(*arguments: str) -> str:
    if shutil.which("make") is None:
        pytest.skip("there is no make here")
    done = subprocess.run(
        ["make", "--no-print-directory", *arguments], cwd=ROOT, check=True, capture_output=True, text=True
    )
    return done.stdout


def test_make_without_a_target_lists_every_target_with_a_text():
    lines = dict(re.findall(r"^make ([a-z-]+) +(\S.*)$", make(), re.MULTILINE))
    assert set(lines) == TARGETS
    assert min(len(text) for text in lines.values()) > 15


def test_make_help_says_the_same():
    assert make("help") == make()


def test_only_help_system_deps_and_clean_do_without_the_virtual_environment():
    rules = dict(re.findall(r"^([a-z-]+):(?: (.*))?$", MAKEFILE, re.MULTILINE))
    assert {name for name in TARGETS if name != "setup" and "setup" not in rules[name].split()} == {
        "help",
        "system-deps",
        "clean",
    }


def test_no_target_but_system_deps_installs_system_packages():
    rules = re.split(r"^(?=[a-z-]+:)", MAKEFILE, flags=re.MULTILINE)
    assert [rule.partition(":")[0] for rule in rules if "apt-get install" in rule] == ["system-deps"]


def test_the_gate_runs_the_same_targets_as_a_contributor():
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    called = set(re.findall(r"^ *phase .*\bmake ([a-z-]+)(?: SEED=1)?$", script, re.MULTILINE))
    assert called == {"system-deps", "setup", "lint", "test", "soak", "delivery", "coverage", "reproducible"}
    assert (ROOT / ".ci" / "run").stat().st_mode & 0o111
