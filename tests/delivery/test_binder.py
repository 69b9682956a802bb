"""Binder reads this repository as we mean it: repo2docker's own detection and its Dockerfile, without building one."""

import os
import stat
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

# repo2docker imports a module under its old name.
pytestmark = pytest.mark.filterwarnings("ignore:pythonjsonlogger:DeprecationWarning")


@pytest.fixture
def pack(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(ROOT)
    from repo2docker.buildpacks import CondaBuildPack

    found = CondaBuildPack("linux/amd64")
    found.platform = "linux/amd64"
    return found


def test_binder_takes_environment_yml_and_its_python(pack):
    assert pack.detect()
    assert pack.binder_dir == ""
    assert pack.python_version == "3.12"


def test_no_other_file_decides_before_environment_yml(pack):
    from repo2docker.app import Repo2Docker

    first = next(kind for kind in Repo2Docker().buildpacks if kind("linux/amd64").detect())
    assert first is type(pack)


def test_the_dockerfile_installs_the_environment_and_runs_post_build(pack):
    rendered = pack.render({})
    assert 'env update -p ${NB_PYTHON_PREFIX} --file "environment.yml"' in rendered
    assert "RUN ./postBuild" in rendered
    # `-e .` needs the sources before the environment is made.
    assert rendered.index("COPY --chown=1000:1000 src/ ${REPO_DIR}/") < rendered.index("environment.yml")


def test_post_build_can_be_executed_and_runs_here(tmp_path: Path):
    import subprocess
    import sys

    assert (ROOT / "postBuild").stat().st_mode & stat.S_IXUSR
    path = os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"]))
    done = subprocess.run(
        [ROOT / "postBuild"], cwd=ROOT, env={**os.environ, "PATH": path}, check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
