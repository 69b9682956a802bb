"""Digests of the traces of shipped scenarios, for whatever Python and numpy run this; standard library and svmlab only.

Prints one JSON object: versions, and for each scenario and seed a digest of all bytes of its trace in every format.
"""

from __future__ import annotations

import hashlib
import json
import platform
import sys
import tempfile
from pathlib import Path

import numpy as np

from svmlab.resources import data_path
from svmlab.scenario.format import Overrides
from svmlab.scenario.runner import load_scenario, run
from svmlab.trace.formats import FORMATS, write_trace

SEEDS = (0, 1, 2026)
"""0 breaks ties by order, the others by chance."""


def scenarios() -> list[Path]:
    """A scenario of each sort: the shipped ones, races, and some of every peer."""
    folder = data_path("scenarios")
    peers = [path for peer in sorted((folder / "peers").iterdir()) for path in sorted(peer.glob("**/*.toml"))[::6]]
    return [*sorted(folder.glob("*.toml")), *sorted((folder / "races").glob("*.toml")), *peers]


def digest(path: Path, seed: int, folder: Path) -> str:
    """A digest of what a scenario leaves: each format's file, and the bytes of the log itself."""
    process = run(load_scenario(path, Overrides(seed=seed))).process
    found = hashlib.sha256(np.ascontiguousarray(process.log.rows()).tobytes())
    for suffix in sorted(FORMATS):
        write_trace(process, folder / f"trace{suffix}")
        found.update((folder / f"trace{suffix}").read_bytes())
    return found.hexdigest()


def main() -> None:
    root = data_path("scenarios")
    with tempfile.TemporaryDirectory() as folder:
        digests = {
            f"{path.relative_to(root).as_posix()} seed {seed}": digest(path, seed, Path(folder))
            for path in scenarios()
            for seed in SEEDS
        }
    json.dump({"python": platform.python_version(), "numpy": np.__version__, "digests": digests}, sys.stdout)


if __name__ == "__main__":
    main()
