"""DefectLab: a slot chosen, the bytes on both sides read."""

import re

import pytest

from svmlab.svm.behaviour_table import DEFAULT_PRESET, POSTED, SLOTS
from svmlab.widgets import DefectLab
from svmlab.widgets.trials import TRIALS, run


@pytest.fixture(scope="module")
def lab():
    return DefectLab()


@pytest.mark.parametrize("trial", TRIALS, ids=lambda trial: trial.slot)
def test_as_posted_somebody_reads_wrong_bytes_and_as_intended_nobody_does(trial):
    posted, intended = run(trial, POSTED), run(trial, DEFAULT_PRESET)
    assert (intended.gpu, intended.cpu) == (trial.wanted, trial.wanted)
    assert (posted.gpu, posted.cpu) != (trial.wanted, trial.wanted)


@pytest.mark.parametrize("trial", TRIALS, ids=lambda trial: trial.slot)
def test_the_page_names_the_defect_and_both_options(lab, read, trial):
    lab.defect.value = trial.slot
    reader, tag = read(lab), SLOTS[trial.slot].options[trial.option(POSTED).name].tag
    assert reader.headline.startswith(", ".join(re.findall(r"[DX]\d+", tag)) + f": {trial.title}")
    assert trial.option(POSTED).says in reader.said
    assert trial.option(DEFAULT_PRESET).says in reader.said


def test_two_mappings_of_one_range_land_on_each_other_as_posted(lab, read):
    lab.reset.click()
    assert "as posted gpu0 reads 8 of 8 pages wrong and the CPU 4, as intended none" in read(lab).headline


def test_wrong_bytes_stand_out(lab):
    (panel,) = lab._bytes(next(trial for trial in TRIALS if trial.slot == "piece_place")).tables
    assert [cell.style for cell in panel.rows[0].cells] == ["", "", "trouble", "trouble", "", ""]
    assert [cell.text for cell in panel.rows[0].cells] == ["0", "1", "5", "5", "1", "1"]


def test_the_page_map_is_of_the_chosen_side_before_anybody_reads(lab, read):
    lab.defect.value = "fence_error"
    lab.shown.value = POSTED
    assert "CPU table: 8 pages on gpu0" in read(lab).said
    lab.shown.value = DEFAULT_PRESET
    assert "CPU table: 8 pages in RAM" in read(lab).said
