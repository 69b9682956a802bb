import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
LOCK = (ROOT / "requirements.lock").read_text(encoding="utf-8")
ENVIRONMENT = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))

EXTRAS = tuple(PROJECT["project"]["optional-dependencies"])
CONDA_NAMES = {"matplotlib": "matplotlib-base"}
# The versions for which repo2docker has a base environment.
BINDER_PYTHONS = {"3.11", "3.12", "3.13", "3.14"}


def requirements(*extras: str) -> list[Requirement]:
    lines = list(PROJECT["project"]["dependencies"])
    for extra in extras:
        lines += PROJECT["project"]["optional-dependencies"][extra]
    return [Requirement(line) for line in lines]


def pins() -> dict[str, list[Version]]:
    found: dict[str, list[Version]] = {}
    for name, version in re.findall(r"^([a-z0-9][\w.-]*)==([^\s;]+)", LOCK, re.MULTILINE):
        found.setdefault(canonicalize_name(name), []).append(Version(version))
    return found


def test_the_lock_names_no_host_and_sets_no_option_but_hashes():
    assert "://" not in LOCK
    assert set(re.findall(r"(?<!\S)--[a-z-]+", LOCK)) == {"--hash"}
    assert not re.search(r"\b(index|pypi|find-links)\b", LOCK, re.IGNORECASE)


def test_every_pin_of_the_lock_has_a_hash():
    entries = re.split(r"^(?=[a-z0-9])", LOCK, flags=re.MULTILINE)[1:]
    assert [entry.split()[0] for entry in entries if "--hash=sha256:" not in entry] == []


def test_the_lock_pins_every_dependency_to_a_version_that_pyproject_allows():
    locked = pins()
    unfit = [
        str(requirement)
        for requirement in requirements(*EXTRAS)
        if not (found := locked.get(canonicalize_name(requirement.name)))
        or not all(requirement.specifier.contains(version) for version in found)
    ]
    assert unfit == [], "run `make lock`"


def locked_for(*extras: str) -> str:
    command = [sys.executable, str(ROOT / ".ci/locked.py"), *extras]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def test_the_part_of_the_lock_for_all_extras_is_the_whole_lock():
    assert locked_for(*EXTRAS) == LOCK[LOCK.index("\n", LOCK.rindex("\n#") + 1) + 1 :]


@pytest.mark.parametrize("extra", EXTRAS)
def test_the_part_of_the_lock_for_an_extra_is_whole_entries_with_all_that_the_extra_names(extra: str):
    part = locked_for(extra)
    names = set(re.findall(r"^([a-z0-9][\w.-]*)==", part, re.MULTILINE))
    assert {canonicalize_name(requirement.name) for requirement in requirements(extra)} <= names
    assert part in LOCK or all(entry in LOCK for entry in re.split(r"^(?=[a-z0-9])", part, flags=re.MULTILINE))
    assert "setuptools" in names, "the package itself is built without anything unpinned"


def test_what_a_learner_installs_has_no_tools_of_the_developer():
    assert not re.search("^(playwright|mypy|ruff|sphinx|nbgrader)==", locked_for("lab"), re.MULTILINE)


def test_environment_yml_has_only_what_conda_and_binder_read():
    assert set(ENVIRONMENT) <= {"name", "channels", "dependencies", "variables"}
    assert ENVIRONMENT["name"] == "svmlab"
    assert ENVIRONMENT["channels"] == ["conda-forge"]
    assert not (ROOT / "binder").exists(), "a folder named binder would hide environment.yml"
    assert not (ROOT / ".binder").exists(), "a folder named .binder would hide environment.yml"


def test_environment_yml_agrees_with_pyproject():
    conda = [line for line in ENVIRONMENT["dependencies"] if isinstance(line, str)]
    pip = [line["pip"] for line in ENVIRONMENT["dependencies"] if isinstance(line, dict)]
    assert pip == [["-e ."]]
    expected = {
        CONDA_NAMES.get(requirement.name, requirement.name) + str(requirement.specifier)
        for requirement in requirements("lab")
    }
    others = {line for line in conda if line not in expected}
    assert expected - set(conda) == set()
    assert {line.partition("=")[0] for line in others} == {"python", "pip"}


def test_environment_yml_pins_a_python_that_pyproject_allows_and_binder_has():
    (pin,) = (line for line in ENVIRONMENT["dependencies"] if str(line).startswith("python="))
    version = pin.partition("=")[2]
    assert version in BINDER_PYTHONS
    assert SpecifierSet(PROJECT["project"]["requires-python"]).contains(version)


def test_every_package_folder_is_listed_for_the_wheel():
    folders = {
        path.parent.relative_to(ROOT).as_posix().replace("/", ".") for path in (ROOT / "svmlab").rglob("__init__.py")
    }
    assert set(PROJECT["tool"]["setuptools"]["packages"]) == folders | {"svmlab", "svmlab.data", "svmlab.notebooks"}


def test_every_dependency_has_its_reason_in_the_design():
    design = (ROOT / "DESIGN.md").read_text(encoding="utf-8")
    missing = [
        r.name for r in requirements(*EXTRAS) if not re.search(rf"^\| .*`{r.name}`.* \| .+ \|$", design, re.MULTILINE)
    ]
    assert missing == []


HEAVY = ("matplotlib", "ipywidgets", "simpy", "IPython")


@pytest.mark.parametrize("module", ["svmlab", "svmlab.units, svmlab.uapi, svmlab.errors, svmlab.resources, svmlab.log"])
def test_importing_svmlab_loads_no_heavy_library(module: str):
    code = f"import sys, {module}; print(*sorted(set({HEAVY!r}) & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True, text=True)
    assert done.stdout.split() == []
