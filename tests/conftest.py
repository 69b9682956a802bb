"""What holds for every test: no learner's state is touched, and the same examples are tried on every run."""

from __future__ import annotations

import os

import pytest
from hypothesis import settings

# Set before a test imports matplotlib: there is no screen, and a picture must not depend on one.
os.environ.setdefault("MPLBACKEND", "Agg")

settings.register_profile("svmlab", derandomize=True, deadline=None, database=None)
settings.load_profile("svmlab")


@pytest.fixture(autouse=True)
def _own_state_folder(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SVMLAB_STATE", str(tmp_path_factory.mktemp("state")))
