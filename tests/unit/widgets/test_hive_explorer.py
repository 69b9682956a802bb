"""HiveExplorer: machine and words chosen, the place of the pages read."""

import pytest

from svmlab.widgets import HiveExplorer


@pytest.fixture
def start(read):
    return read(HiveExplorer())


def test_machine_decision_and_page_map_stand_together(start):
    pages, machine, path = start.pictures
    assert pages.startswith("Where the pages of a are")
    assert "mi210-two-hives" in machine
    assert path.startswith("The pages of a belong on gpu1")


@pytest.mark.parametrize(
    ("machine", "prefetch", "access", "where"),
    [
        ("mi210-two-hives", "gpu3", "gpu0", "on gpu3"),
        ("mi210-two-hives", "gpu4", "gpu0", "in RAM"),
        ("mi300x-8", "gpu4", "gpu0, gpu7", "on gpu4"),
        ("pcie-pair", "gpu1", "gpu0", "in RAM"),
        ("pcie-pair", "gpu1", "gpu1", "on gpu1"),
        ("toy", "cpu", "gpu0", "in RAM"),
    ],
)
def test_a_hive_decides_how_far_a_prefetch_counts(start, machine, prefetch, access, where):
    lab = start.lab
    lab.machine.value, lab.prefetch.value, lab.access.value = machine, prefetch, access
    assert start.refused == ""
    assert start.headline.startswith(f"The pages of a belong {where}")


@pytest.mark.parametrize(
    ("name", "words", "told"),
    [
        ("prefetch", "gpu9", "'gpu9' is no location on mi210-two-hives"),
        (
            "access",
            "gpu0 gpu8",
            '\'gpu8\' is no location on mi210-two-hives; allowed: "cpu", "undefined", gpu0 to gpu7',
        ),
        ("access", "cpu", "access for 'cpu'; allowed: GPUs, as in gpu0 gpu1; try: leave it out"),
    ],
)
def test_words_that_mean_nothing_are_refused_in_words(start, name, words, told):
    before = start.lab.view.value
    getattr(start.lab, name).value = words
    assert start.refused.startswith(f"Not done: {told}")
    assert start.lab.view.value == before


def test_a_machine_without_that_gpu_refuses_and_the_next_good_word_helps(start):
    start.lab.prefetch.value = "gpu5"
    start.lab.machine.value = "toy"
    assert "'gpu5' is no location on toy" in start.refused
    start.lab.prefetch.value = "gpu2"
    assert start.refused == ""


def test_nothing_may_be_asked_for(start):
    start.lab.prefetch.value = start.lab.access.value = ""
    assert start.headline.startswith("The pages of a stay where they are")
    assert "Mapping: mapped to no GPU" in start.said


def test_the_twin_compares_neighbours_of_gpu0_on_every_machine(start):
    (panel,) = start.lab.summary().tables
    for row in panel.rows:
        assert (row.cells[4].text == "RAM") == (row.cells[3].text == "not in its hive")
    assert len({row.cells[0].text for row in panel.rows}) == 6
