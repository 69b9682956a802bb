"""Faults put into a copy of the model on purpose, one line at a time: the suite must notice every one (`make mutants`).

Nothing in the checkout is changed. With numbers as arguments only those mutants are tried.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.util import cache_from_source
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TABLE = Path(__file__).with_name("mutants.toml")
PATIENCE_S = 300
"""A mutant whose tests take longer has made something go on for ever."""
_COPIED = ("svmlab", "tests", "data", "pyproject.toml")


@dataclass(frozen=True)
class Mutant:
    """One fault.

    Attributes:
        what: what goes wrong, in words.
        file: which file of the package, from the checkout's root.
        old: a line that stands exactly once in it.
        new: the line in its place.
        tests: files and folders of tests of which one must fail.
    """

    what: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...]

    def applied(self, text: str) -> str:
        """A module's text with the fault in it.

        Raises:
            ValueError: the line is not there exactly once.
        """
        lines = text.splitlines()
        if lines.count(self.old) != 1:
            raise ValueError(f"{self.file}: {lines.count(self.old)} times {self.old.strip()!r}")
        lines[lines.index(self.old)] = self.new
        return "\n".join(lines) + "\n"


def load() -> list[Mutant]:
    """All mutants, in the order of the table."""
    rows = tomllib.loads(TABLE.read_text(encoding="utf-8"))["mutant"]
    return [Mutant(**{**row, "tests": tuple(row["tests"])}) for row in rows]


def killer(mutant: Mutant, copy: Path) -> str:
    """The test that fails with a mutant in place; an empty text if none does."""
    path = copy / mutant.file
    text = path.read_text(encoding="utf-8")
    try:
        path.write_text(mutant.applied(text), encoding="utf-8")
        # two versions of a module may have one size and one time of change
        Path(cache_from_source(str(path))).unlink(missing_ok=True)
        return _first_failure(mutant.tests, copy)
    finally:
        path.write_text(text, encoding="utf-8")
        Path(cache_from_source(str(path))).unlink(missing_ok=True)


def _first_failure(tests: Iterable[str], copy: Path) -> str:
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", "--tb=no", "-rfE", *tests]
    env = {**os.environ, "PYTHONPATH": str(copy)}
    try:
        done = subprocess.run(
            command, cwd=copy, env=env, check=False, capture_output=True, text=True, timeout=PATIENCE_S
        )
    except subprocess.TimeoutExpired:
        return f"(after {PATIENCE_S} s the tests still ran)"
    if done.returncode == 0:
        return ""
    failed = re.search(r"^(?:FAILED|ERROR) (.+?)(?: - .*)?$", done.stdout, re.MULTILINE)
    if failed is None:
        raise RuntimeError(f"pytest ended {done.returncode} without a failure:\n{done.stdout[-2000:]}{done.stderr}")
    return failed[1]


def main(numbers: list[int]) -> int:
    """Try the mutants and print who killed each; returns how many survived."""
    survived = 0
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder).resolve()
        for name in _COPIED:
            source = ROOT / name
            skipped = shutil.ignore_patterns("__pycache__")
            shutil.copytree(source, copy / name, ignore=skipped) if source.is_dir() else shutil.copy(source, copy)
        for number, mutant in enumerate(load(), 1):
            if numbers and number not in numbers:
                continue
            test = killer(mutant, copy)
            survived += not test
            print(f"{number:3}  {'killed  ' if test else 'SURVIVED'}  {mutant.file}: {mutant.what}", flush=True)
            print(f"               {'by ' + test if test else 'not by ' + ', '.join(mutant.tests)}", flush=True)
    print(f"{len(numbers) or len(load())} mutants, {survived} survived")
    return survived


if __name__ == "__main__":
    sys.exit(1 if main([int(number) for number in sys.argv[1:]]) else 0)
