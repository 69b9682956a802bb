"""What is built for others: a wheel from the sdist, in an environment with nothing else but what the lock allows."""

import os
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
import venv
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
NO_WRITING = 0o555

pytestmark = pytest.mark.slow


def run(*command: str | Path, **options: Any) -> str:
    done = subprocess.run(list(map(str, command)), check=False, capture_output=True, text=True, **options)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return done.stdout


@pytest.fixture(scope="module")
def sdist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from what a commit would hold."""
    source, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("sdist")
    listed = run("git", "ls-files", "--cached", "--others", "--exclude-standard", "-z", cwd=ROOT)
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_file():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, source / name)
    run(sys.executable, "-m", "uv", "build", "--sdist", "--no-build-isolation", "--offline", "--out-dir", out, source)
    return next(out.glob("svmlab-*.tar.gz"))


@pytest.fixture(scope="module")
def installed(sdist: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bin folder of an environment that was empty before the wheel and what it depends on."""
    home = tmp_path_factory.mktemp("home")
    with tarfile.open(sdist) as packed:
        packed.extractall(home, filter="data")
    (source,) = home.glob("svmlab-*")
    pip = (sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir", home)
    run(*pip, source)
    venv.create(home / "venv")
    own = home / "venv" / "bin"
    (home / "locked.txt").write_text(run(sys.executable, ROOT / ".ci" / "locked.py", "lab"), encoding="utf-8")
    install = (sys.executable, "-m", "uv", "pip", "install", "--quiet", "--python", own / "python")
    run(*install, "--require-hashes", "-r", home / "locked.txt")
    run(*install, "--no-deps", next(home.glob("svmlab-*.whl")))
    return own


def elsewhere(tmp_path: Path) -> dict[str, Any]:
    """Run in a folder that holds nothing, with nothing of this checkout in sight."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "VIRTUAL_ENV"))}
    return {"cwd": tmp_path, "env": {**kept, "SVMLAB_STATE": str(tmp_path / "state")}}


def test_there_is_one_version_number(sdist: Path, installed: Path, tmp_path: Path):
    assert f"svmlab-{VERSION}.tar.gz" == sdist.name
    assert (
        run(installed / "python", "-c", "import svmlab; print(svmlab.__version__)", **elsewhere(tmp_path))
        == f"{VERSION}\n"
    )
    assert VERSION in run(installed / "svmlab", "--version", **elsewhere(tmp_path))
    assert yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))["version"] == VERSION
    changes = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert re.search(r"^## (\S+)", changes, re.MULTILINE)[1] == VERSION
    numbered = run("git", "grep", "-lF", f'"{VERSION}"', "--", "*.py", "*.toml", "*.cfg", cwd=ROOT).split()
    assert numbered == ["pyproject.toml"]


def test_a_shipped_scenario_runs_from_the_wheel(installed: Path, tmp_path: Path):
    where = "from svmlab.resources import data_path; print(data_path('scenarios', 'first-migration.toml'))"
    scenario = run(installed / "python", "-c", where, **elsewhere(tmp_path)).strip()
    assert ROOT not in Path(scenario).parents
    assert "ok" in run(installed / "svmlab", "run", scenario, **elsewhere(tmp_path))


def test_lab_finds_everything_it_needs_in_the_wheel(installed: Path, tmp_path: Path):
    assert "everything is there" in run(installed / "svmlab", "lab", "--check", **elsewhere(tmp_path))


def test_an_install_that_nobody_may_write_to_serves_a_class(installed: Path, tmp_path: Path):
    """One install for many learners: what each of them does goes to a folder of theirs."""
    package = next(installed.parent.glob("lib/python*/site-packages/svmlab"))
    before = {path: path.stat().st_mtime_ns for path in package.rglob("*")}
    for path in (package, *package.rglob("*")):
        path.chmod(path.stat().st_mode & NO_WRITING)
    try:
        for learner in ("ada", "max"):
            (tmp_path / learner).mkdir()
            code = "from svmlab.course import check; check('00.w1', 64)"
            assert "right" in run(installed / "python", "-B", "-c", code, **elsewhere(tmp_path / learner))
            assert (tmp_path / learner / "state" / "course.jsonl").is_file()
    finally:
        for path in (package, *package.rglob("*")):
            path.chmod(path.stat().st_mode | 0o200)
    assert {path: path.stat().st_mtime_ns for path in package.rglob("*")} == before
