"""What holds for every test: no learner's state is touched, and the same examples are tried on every run.

``SVMLAB_ORDER=n`` shuffles modules, and the tests of each of them: no test may depend on what ran before it.
"""

from __future__ import annotations

import os
import random
import signal

import pytest
from hypothesis import settings

# Set before a test imports matplotlib: there is no screen, and a picture must not depend on one.
os.environ.setdefault("MPLBACKEND", "Agg")

# A shell starts what runs in its background with interrupts ignored, and what a test starts would inherit that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

settings.register_profile("svmlab", derandomize=True, deadline=None, database=None)
settings.load_profile("svmlab")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if seed := os.environ.get("SVMLAB_ORDER"):
        dice, modules = random.Random(seed), list({item.nodeid.partition("::")[0]: None for item in items})
        dice.shuffle(modules)
        dice.shuffle(items)
        items.sort(key=lambda item: modules.index(item.nodeid.partition("::")[0]))


@pytest.fixture(autouse=True)
def _own_state_folder(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SVMLAB_STATE", str(tmp_path_factory.mktemp("state")))
