"""The same bytes of trace from every Python that runs here, with the lowest and the newest numpy that it can have.

Which Pythons there are is found by running everything that is called python3, on the PATH and where pyenv keeps its
own. Each gets two temporary environments from the package index; one that cannot be had is skipped aloud. Exit code 1:
two environments differ, or there were not two to compare.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
NUMPY = {"lowest": ["--resolution", "lowest-direct"], "newest": []}
_ASK = (
    "import sys, ensurepip, venv; print(sys.implementation.name, *sys.version_info[:3], sys.base_prefix, sep='|'); "
    "sys.exit(sys.version_info < (3, 11))"
)


def candidates() -> Iterator[Path]:
    """Everything here that is called python3 or python3.N."""
    folders = [Path(folder) for folder in os.environ.get("PATH", "").split(os.pathsep) if folder]
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"), "versions")
    for folder in [Path(sys.base_prefix, "bin"), *folders, *sorted(pyenv.glob("*/bin"))]:
        yield from (path for path in sorted(folder.glob("python3*")) if path.name[6:].replace(".", "").isdigit())


def pythons() -> dict[str, Path]:
    """Those that really run and are new enough, one for each version."""
    found: dict[str, Path] = {}
    for path in candidates():
        try:
            done = subprocess.run([path, "-c", _ASK], check=False, capture_output=True, text=True, timeout=60)
        except (OSError, subprocess.TimeoutExpired) as error:
            print(f"skipped {path}: it does not run ({error})")
            continue
        if done.returncode == 0:
            name, *version, _ = done.stdout.strip().split("|")
            found.setdefault(f"{name} {'.'.join(version)}", path)
    return found


def environment(python: Path, which: str, folder: Path) -> Path:
    """An environment with the runtime dependencies; its Python.

    Raises:
        subprocess.CalledProcessError: it cannot be had.
    """
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    numpy = next(each for each in project["dependencies"] if each.startswith("numpy"))
    uv("venv", "--python", str(python), str(folder))
    inside = folder / "bin" / "python"
    install = ("pip", "install", "--python", str(inside), "--only-binary", ":all:")
    uv(*install, *(each for each in project["dependencies"] if each != numpy))
    uv(*install, *NUMPY[which], numpy)
    return inside


def uv(*arguments: str) -> None:
    subprocess.run([sys.executable, "-m", "uv", *arguments], check=True, capture_output=True, text=True)


def traces(python: Path) -> dict[str, Any]:
    """What traces.py prints there; neither the state of a learner nor the order of hashes may play a part."""
    settings = {"PYTHONPATH": str(ROOT), "PYTHONHASHSEED": "random", "PYTHONDONTWRITEBYTECODE": "1"}
    program = [python, Path(__file__).with_name("traces.py")]
    done = subprocess.run(program, check=True, capture_output=True, text=True, env=os.environ | settings)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def all_traces() -> Iterator[dict[str, Any]]:
    """The traces of every environment that can be had.

    Raises:
        subprocess.CalledProcessError: svmlab fails in one of them.
    """
    with tempfile.TemporaryDirectory() as folder:
        for name, python in pythons().items():
            for which in NUMPY:
                try:
                    inside = environment(python, which, Path(folder, f"{name} {which}"))
                except subprocess.CalledProcessError as error:
                    last = (error.stderr or "").strip().splitlines()[-1:]
                    print(f"skipped {name} with the {which} numpy: {' '.join(last)}")
                    continue
                found = traces(inside)
                count = len(found["digests"])
                print(f"ran     {name} ({python}) with numpy {found['numpy']}: {count} traces", flush=True)
                yield found


def differences(found: list[dict[str, Any]]) -> Iterator[str]:
    """Where the traces of one environment are not those of the first."""
    first, *others = found
    for other in others:
        for name in sorted(first["digests"].keys() | other["digests"].keys()):
            if first["digests"].get(name) != other["digests"].get(name):
                yield f"{name}: {_called(other)} and {_called(first)}"


def _called(found: dict[str, Any]) -> str:
    return f"Python {found['python']} with numpy {found['numpy']}"


def main() -> int:
    found = list(all_traces())
    if len(found) < 2:
        print("There are not two environments here to compare.")
        return 1
    different = list(differences(found))
    for line in different:
        print(f"DIFFER  {line}")
    print(f"{len(found)} environments, {len(different)} differences")
    return 1 if different else 0


if __name__ == "__main__":
    sys.exit(main())
