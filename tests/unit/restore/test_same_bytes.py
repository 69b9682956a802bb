"""The same scenario with the same seed leaves the same log, byte for byte, in any process at any time."""

import os
import subprocess
import sys

import pytest

from svmlab.resources import data_path

SCENARIOS = (
    "first-migration.toml",
    "there-and-back.toml",
    "stop-and-go.toml",
    "races/changed-while-restoring.toml",
    "races/migrating-while-restoring.toml",
    "races/faulting-while-restoring.toml",
    "peers/kfdtest/EvictSystemRangeTest.toml",
    "first-gpu-fault.toml",
)
DIGESTS = """
import hashlib, sys
from svmlab.scenario.format import Overrides
from svmlab.scenario.runner import load_scenario, run

for path in sys.argv[2:]:
    log = run(load_scenario(path, Overrides(seed=int(sys.argv[1])))).process.log
    digest = hashlib.sha256()
    for event in log:
        who = event.task.id, event.task.name, event.cause, event.pid
        row = event.time_ns, event.name, who, event.start, event.last, event.text, event.fields
        digest.update(repr(row).encode())
    print(len(log), digest.hexdigest())
"""


def digests(seed, hash_seed):
    """Length and digest of the log of each scenario, from a fresh process with its own order of hashing."""
    files = [str(data_path("scenarios") / name) for name in SCENARIOS]
    done = subprocess.run(
        [sys.executable, "-c", DIGESTS, str(seed), *files],
        env={**os.environ, "PYTHONHASHSEED": hash_seed},
        check=True,
        capture_output=True,
        text=True,
    )
    return done.stdout.split("\n")[:-1]


@pytest.mark.parametrize("seed", [0, 7])
def test_the_same_seed_gives_the_same_bytes_of_log_in_a_fresh_process(seed):
    first, second = digests(seed, "1"), digests(seed, "2")
    assert first == second
    assert len(set(first)) == len(SCENARIOS), "each scenario has a log of its own"


def test_another_seed_lets_others_go_first(story):
    """Two tasks want the svms lock at one instant."""

    def order(seed):
        made = story(seed=seed)
        made.map("a", 4, at=0x100)
        made.map("b", 4, at=0x200)
        made.process.start.set_attr(made.span("a", 0, 4), granularity=3)
        made.process.start.set_attr(made.span("b", 0, 4), granularity=3)
        made.process.run()
        return [event.start for event in made.process.log.events("attributes", since=made.mark)]

    assert {tuple(order(seed)) for seed in range(1, 20)} == {(0x100, 0x200), (0x200, 0x100)}
    assert order(0) == [0x100, 0x200], "without a seed: in the order they began"
