import os
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest

from svmlab.errors import InputError
from svmlab.resources import data_path, notebooks_path

ROOT = Path(__file__).resolve().parents[2]
DATA = ROOT / "data"


NOTEBOOKS = ROOT / "notebooks"


def files_of(folder: Path, *patterns: str) -> set[str]:
    return {
        path.relative_to(folder.parent).as_posix()
        for pattern in patterns
        for path in folder.glob(pattern)
        if path.is_file()
    }


def shipped_files() -> set[str]:
    return files_of(DATA, "**/*") | files_of(NOTEBOOKS, "*.ipynb", "solutions/*.ipynb", "source/*.py")


def test_in_a_checkout_the_data_is_the_folder_beside_the_package():
    assert data_path() == DATA
    assert data_path("machines") == DATA / "machines"


def test_in_a_checkout_the_notebooks_are_the_folder_beside_the_package():
    assert notebooks_path() == NOTEBOOKS
    with pytest.raises(InputError, match=r"'99.ipynb' is not shipped .* allowed: .*00_start_here.ipynb"):
        notebooks_path("99.ipynb")


def test_a_file_that_is_not_shipped_is_refused_with_what_there_is():
    with pytest.raises(InputError, match=r"'no-such-folder' is not shipped .* allowed: .*machines"):
        data_path("no-such-folder")


def test_a_path_that_leads_out_of_the_data_folder_is_refused():
    with pytest.raises(InputError, match="is not below data/"):
        data_path("..", "pyproject.toml")


def run(command: list[str], **options: Any) -> str:
    done = subprocess.run(command, check=False, capture_output=True, text=True, **options)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from a copy of what a commit holds, for a build leaves files in its source folder."""
    source, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        (source / name).write_bytes((ROOT / name).read_bytes())
    for folder in ("svmlab", "data", "notebooks"):
        for path in (ROOT / folder).rglob("*"):
            if path.is_file() and not {"__pycache__", ".svmlab"} & set(path.parts):
                copy = source / path.relative_to(ROOT)
                copy.parent.mkdir(parents=True, exist_ok=True)
                copy.write_bytes(path.read_bytes())
    pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    run([*pip, "--wheel-dir", str(out), str(source)])
    return next(out.glob("svmlab-*.whl"))


@pytest.mark.slow
def test_the_wheel_holds_every_module_every_data_file_and_every_notebook(wheel: Path):
    names = set(zipfile.ZipFile(wheel).namelist())
    modules = {path.relative_to(ROOT).as_posix() for path in (ROOT / "svmlab").rglob("*.py")}
    assert (modules | {"svmlab/py.typed"}) - names == set()
    assert {f"svmlab/{name}" for name in shipped_files()} - names == set()


@pytest.mark.slow
def test_an_installed_wheel_finds_its_data_and_its_notebooks(wheel: Path, tmp_path: Path):
    zipfile.ZipFile(wheel).extractall(tmp_path)
    code = """
from svmlab.resources import data_path, notebooks_path
for folder in (data_path(), notebooks_path()):
    for path in folder.rglob("*"):
        if path.is_file():
            print(path.relative_to(folder.parent).as_posix())
"""
    environment = {**os.environ, "PYTHONPATH": str(tmp_path), "PYTHONSAFEPATH": "1"}
    found = run([sys.executable, "-c", code], cwd=tmp_path, env=environment)
    assert set(found.splitlines()) == shipped_files()


@pytest.mark.slow
def test_an_installed_wheel_hands_out_the_course_and_finds_everything(wheel: Path, tmp_path: Path):
    zipfile.ZipFile(wheel).extractall(tmp_path / "site")
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "site"), "PYTHONSAFEPATH": "1"}
    lab = [sys.executable, "-c", "from svmlab.cli import main; main()", "lab", "--workdir", "work"]
    told = run([*lab, "--check"], cwd=tmp_path, env=environment)
    assert told.splitlines()[-1].startswith("everything is there")
    run([*lab, "--reset", "00"], cwd=tmp_path, env=environment)
    (first,) = (tmp_path / "work").glob("*.ipynb")
    assert first.read_bytes() == (NOTEBOOKS / first.name).read_bytes()
