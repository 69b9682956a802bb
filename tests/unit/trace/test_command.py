"""``svmlab trace``, as its user meets it."""

import json

import pytest
from click.testing import CliRunner

from svmlab.cli import main
from svmlab.resources import data_path


def sample(name):
    return str(data_path("traces", name))


def svmlab(*arguments):
    done = CliRunner().invoke(main, arguments)
    return done.exit_code, done.output


def test_the_summary_and_the_timeline_in_words():
    code, told = svmlab("trace", sample("first-migration.smi"))
    assert code == 0
    assert "first-migration.smi: kernel SMI text" in told
    assert "3 migrations move 1024 pages from RAM to gpu0 (prefetch)" in told


def test_smi_text_and_a_runtime_log_of_one_run_give_the_same_summary(tmp_path):
    told = []
    for ending in ("smi", "rocr"):
        path = str(tmp_path / f"x.{ending}")
        assert svmlab("run", str(data_path("scenarios", "stop-and-go.toml")), "--trace", path)[0] == 0
        told.append(svmlab("trace", path)[1].splitlines())
    assert told[0][0] != told[1][0], "the format"
    assert told[0][1:] == told[1][1:]


def test_replay_ends_with_1_where_the_log_contradicts_itself():
    assert svmlab("trace", sample("to-and-fro.smi"), "--replay")[0] == 0
    code, told = svmlab("trace", sample("lost-lines.smi"), "--replay")
    assert code == 1
    assert "The log contradicts itself" in told


def test_events_have_the_numbers_that_why_takes():
    _, told = svmlab("trace", sample("first-gpu-fault.smi"), "--events")
    assert "     3      1.473 ms  fault of gpu0 on 0x7e0000003 is served" in told
    _, why = svmlab("trace", sample("first-gpu-fault.smi"), "--why", "3")
    assert "Inferred from triggers and times" in why


def test_json_is_one_object():
    _, told = svmlab("trace", sample("lost-lines.smi"), "--json", "--replay")
    found = json.loads(told)
    assert found["format"] == "kernel SMI text"
    assert found["contradictions"][0].keys() == {"event", "because"}


@pytest.mark.parametrize("view", ["timeline", "pagemap", "counters"])
def test_pictures_and_other_formats_are_written(tmp_path, view):
    code, told = svmlab(
        *("trace", sample("to-and-fro.smi"), "--plot", str(tmp_path / "x.svg"), "--view", view),
        *("--to", str(tmp_path / "x.json")),
    )
    assert code == 0
    assert f"the {view} is in" in told
    assert "<svg" in (tmp_path / "x.svg").read_text()
    assert svmlab("trace", str(tmp_path / "x.json"))[0] == 0


def test_against_marks_what_differs_in_counts_and_never_times():
    code, told = svmlab("trace", sample("to-and-fro.smi"), "--against", sample("to-and-fro.smi"))
    assert (code, told.splitlines()[-1]) == (0, "Counts and bytes are the same.")
    _, told = svmlab("trace", sample("first-migration.smi"), "--against", sample("to-and-fro.smi"))
    marked = [line.split("  ")[0] for line in told.splitlines() if line.startswith("*")]
    assert marked
    assert told.splitlines()[-1] == "Lines with * differ in counts or bytes."
    assert not [line for line in told.splitlines() if line.startswith("*") and " time " in line]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("trace", "nowhere.smi"), "there is no file nowhere.smi"),
        (("trace", "README.md"), "none of them is an event"),
        (("run", "data/scenarios/stop-and-go.toml", "--reader", "1 ms"), "--reader '1 ms' without lines to read"),
        (("run", "data/scenarios/stop-and-go.toml", "--trace", "x.txt"), "a name that ends in .smi"),
    ],
)
def test_what_cannot_be_is_told_in_one_line_with_exit_code_2(arguments, told):
    done = CliRunner().invoke(main, arguments)
    assert (done.exit_code, done.output.count("\n")) == (2, 1)
    assert told in done.output
