"""Description files that are shipped: checked here, so that a kernel need not, unless somebody changed them."""

import hashlib
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from svmlab.errors import InputError
from svmlab.hardware.costs import Costs
from svmlab.hardware.description import read_description
from svmlab.hardware.machine import Machine
from svmlab.hardware.schema import check
from svmlab.resources import data_path

DATA = data_path()
SHIPPED = sorted([DATA / "costs.toml", DATA / "devices.toml", *(DATA / "machines").glob("*.toml")])


def kind_of(path: Path) -> str:
    return path.relative_to(DATA).parts[0]


def test_the_list_of_checked_files_is_that_of_the_files_that_are_shipped():
    lines = {hashlib.sha256(path.read_bytes()).hexdigest(): path.relative_to(DATA).as_posix() for path in SHIPPED}
    listed = dict(line.split() for line in (DATA / "checked.sha256").read_text(encoding="ascii").splitlines())
    assert listed == lines, "cd data && sha256sum costs.toml devices.toml machines/*.toml > checked.sha256"


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_what_is_shipped_is_as_its_schema_wants_it(path: Path):
    check(tomllib.loads(path.read_text(encoding="utf-8")), kind_of(path), path)


def test_a_shipped_file_that_somebody_changed_is_checked(tmp_path: Path):
    path = tmp_path / "costs.toml"
    path.write_bytes((DATA / "costs.toml").read_bytes() + b"[constant.map_ns.extra]\nmood = 1\n")
    with pytest.raises(InputError, match=r"constant\.map_ns\.extra: unknown key"):
        Costs.load(path)


def test_a_shipped_file_of_another_kind_is_refused():
    with pytest.raises(InputError, match=r"costs\.toml: .* is missing"):
        read_description(DATA / "costs.toml", "machines")
    with pytest.raises(InputError, match="toml: "):
        Machine.find(DATA / "devices.toml")


def test_a_process_on_a_shipped_machine_loads_no_library_that_checks_files():
    code = "import sys, svmlab as sl; p = sl.Process('toy'); p.run(); print(*{'pydantic', 'click'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.split() == []
