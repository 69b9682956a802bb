"""A trace replayed: where pages were, and where it contradicts itself."""

from pathlib import Path

import pytest

import svmlab as sl
from svmlab.errors import InputError
from svmlab.resources import data_path
from svmlab.scenario.runner import load_scenario, run
from svmlab.trace.trace import trace_of

IN = "5 {} -1 @100(10) 0->8a3f 0:0 0", "6 {} -1 @100(10) 0->8a3f 0 0"
OUT = "5 {} -1 @100(10) 8a3f->0 0:0 2", "6 {} -1 @100(10) 8a3f->0 2 0"


def at(times, *lines):
    return [line.format(time) for time, line in zip(times, lines, strict=True)]


def because(trace):
    return [each.because for each in trace.replay().contradictions]


@pytest.mark.parametrize("path", sorted(data_path("scenarios").rglob("*.toml")), ids=lambda path: path.stem)
def test_a_simulation_does_not_contradict_itself(path: Path):
    assert because(trace_of(run(load_scenario(path)).process)) == []


def test_pages_are_where_the_simulation_has_them(process):
    replay = trace_of(process).replay()
    places = {(run.start, run.last): run.place for run in replay.residency[process.pid]}
    gpu = process.machine.gpus[0].gpu_id
    assert places == {(0x7E0000000, 0x7E00001FF): 0, (0x7E0000200, 0x7E00003FF): gpu}


def test_moments_show_every_move(process):
    moments = trace_of(process).replay().moments()
    gpu = process.machine.gpus[0].gpu_id
    assert [moment.tables["cpu"].tolist().count(gpu) for moment in moments] == [0, 1024, 512]
    assert sl.describe(sl.pagemap_over_time(moments)).startswith("CPU table: at ")


def test_there_and_back_is_no_contradiction(written):
    assert because(written(*at(range(4), *IN, *OUT))) == []


def test_pages_that_cannot_have_been_there_are_told(written):
    elsewhere = [line.replace("8a3f", "77b2") for line in IN]
    assert because(written(*at(range(4), *IN, *elsewhere))) == ["none of its pages was there; they were in gpu0"]
    assert because(written(*at(range(6), *IN, *OUT, *OUT))) == ["none of its pages was there; they were in RAM"]


def test_pages_that_are_there_already_are_no_contradiction(written):
    assert because(written(*at(range(4), *IN, *IN))) == []


def test_a_migration_that_failed_moves_nothing(written):
    assert because(written(*at(range(4), IN[0], IN[1].replace("0 0", "0 -12"), *IN))) == []


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        ((IN[1],), "it ends and has not begun"),
        ((IN[0], IN[0]), "the same began at event 0 and has not ended"),
        (("9 {} -1 8a3f 0", "a {} -1 8a3f 0", "a {} -1 8a3f 0"), "its queues were not stopped"),
        (("8 {} -1 @100(8a3f) U",), "it ends and has not begun"),
        (("7 {} -1 @100(8a3f) R", "7 {} -1 @100(8a3f) R"), "the same fault began at event 0 and has not ended"),
        (("7 {} -1 @100(8a3f) R", "8 {} -1 @100(8a3f) M"), "no page moved since it began"),
    ],
)
def test_what_cannot_follow_is_told(written, lines, told):
    assert because(written(*at(range(len(lines)), *lines))) == [told]


def test_a_log_that_begins_in_the_middle_may_begin_with_a_restore(written):
    assert because(written("a 1 -1 8a3f 0", "9 2 -1 8a3f 0")) == []


def test_stops_for_two_reasons_nest(written):
    assert because(written("9 1 -1 8a3f 0", "9 2 -1 8a3f 2", "a 3 -1 8a3f 0", "a 4 -1 8a3f 0")) == []


def test_a_trace_in_which_nothing_moves_has_no_page_map(written):
    with pytest.raises(InputError, match="no page moves"):
        written("9 1 -1 8a3f 0").replay().moments()
