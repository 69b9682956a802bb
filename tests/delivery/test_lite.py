"""The site of `make lite` holds the course and svmlab. No test runs it: its Python comes from a host of its own."""

import json
import zipfile
from pathlib import Path

import nbformat
import pytest

from svmlab.course.execution import execute
from svmlab.resources import notebooks_path

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def site() -> Path:
    folder = ROOT / "out" / "lite"
    if not (folder / "index.html").is_file():
        pytest.fail("there is no site: run `make lite`", pytrace=False)
    return folder


def test_the_site_lists_every_notebook_for_learners(site: Path):
    listed = json.loads((site / "api" / "contents" / "all.json").read_text(encoding="utf-8"))["content"]
    assert {each["path"] for each in listed} == {path.name for path in notebooks_path().glob("*.ipynb")}


def test_the_site_installs_svmlab_from_its_own_wheel_which_any_python_can_use(site: Path):
    known = json.loads((site / "pypi" / "all.json").read_text(encoding="utf-8"))
    (wheel,) = (site / "pypi").glob("svmlab-*-py3-none-any.whl")
    ((release,),) = known["svmlab"]["releases"].values()
    assert release["url"].endswith(wheel.name)
    assert "svmlab/__init__.py" in zipfile.ZipFile(wheel).namelist()


def test_the_kernel_of_the_site_is_the_one_that_its_notebooks_name(site: Path):
    settings = json.loads((site / "jupyter-lite.json").read_text(encoding="utf-8"))["jupyter-config-data"]
    names = {
        nbformat.read(path, as_version=4).metadata.kernelspec.name for path in sorted((site / "files").glob("*.ipynb"))
    }
    assert names == {settings["defaultKernelName"]} == {"python"}


def test_every_notebook_gets_svmlab_first_and_the_cell_does_nothing_where_it_is(site: Path, tmp_path: Path):
    first = {
        next(cell.source for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code")
        for path in (site / "files").glob("*.ipynb")
    }
    (cell,) = first
    assert "%pip install" in cell
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell, id="get-svmlab")])
    execute(notebook, tmp_path)
    assert notebook.cells[0].outputs == []
    guide = (ROOT / "docs" / "without-installing.md").read_text(encoding="utf-8")
    assert cell in guide, "the guide shows the same cell"
