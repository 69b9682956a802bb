"""The logs that are shipped: simulated, saying so, and what their scenarios still give."""

import re

import pytest

import svmlab as sl
from svmlab.resources import data_path
from svmlab.scenario.runner import load_scenario, run

README = (data_path("traces") / "README.md").read_text(encoding="utf-8")
SAMPLES = re.findall(r"^\| `([^`]+)` \| ([^|]+) \| `([^`]+)` \|$", README, re.MULTILINE)


def test_the_readme_lists_every_sample():
    assert {name for name, _, _ in SAMPLES} == {path.name for path in data_path("traces").iterdir()} - {"README.md"}


@pytest.mark.parametrize(("name", "form", "scenario"), SAMPLES)
def test_a_sample_is_what_its_scenario_gives_and_says_that_it_is_simulated(name, form, scenario, tmp_path):
    sample = data_path("traces", name)
    reader = form.partition(" read every ")[2] or None
    process = run(load_scenario(data_path("scenarios", scenario))).process
    sl.write_trace(process, tmp_path / name, reader=reader)
    assert (tmp_path / name).read_bytes() == sample.read_bytes()
    trace = sl.read_trace(sample)
    assert trace.report.unknown == 0
    assert trace.report.told()[0] == (
        "The file says: svmlab wrote this from a simulation: no driver did, and times are virtual."
    )
    assert bool(trace.replay().contradictions) == bool(reader), "only where lines were lost"
