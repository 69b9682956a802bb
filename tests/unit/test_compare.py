"""Two runs compared: the first event in which they differ, and the decision point behind it."""

import json
from types import SimpleNamespace

import pytest
from click.testing import CliRunner

import svmlab as sl
from svmlab.cli import main
from svmlab.errors import InputError
from svmlab.log import Log
from svmlab.resources import data_path
from svmlab.scenario.format import Overrides, loads
from svmlab.scenario.runner import load_scenario
from svmlab.scenario.two_runs import run_both
from svmlab.trace.compare import compare
from svmlab.views.describe import describe

FIRST, FAULT, BACK = (
    str(data_path("scenarios", f"{name}.toml")) for name in ("first-migration", "first-gpu-fault", "there-and-back")
)
HEAD = 'title = "t"\nmachine = "mi210-two-hives"\nvram = "64 MiB"\n'
MOVED = """
[[step]]
do = "mmap"
name = "a"
size = "4 pages"
populate = true

[[step]]
do = "set_attr"
on = "a"
access = ["gpu0", "{other}"]
prefetch = "gpu0"
"""


def log_of(*rows, shift_ns=0):
    """A log of calls at given times."""
    clock = SimpleNamespace(_now=0)
    log = Log(clock)
    log.task = log.new_task("app", pid=1)
    for time_ns, text in rows:
        clock._now = time_ns + shift_ns
        log.emit("call_start", text=text)
    return log


def both(path, second, first=None):
    return run_both(load_scenario(path, Overrides(behaviour=first)), load_scenario(path, Overrides(behaviour=second)))


def test_a_run_equals_itself_done_again_also_in_its_times():
    runs = [sl.Process("toy") for _ in range(2)]
    for p in runs:
        a = p.mmap("64 KiB", name="a")
        a[:] = 7
        p.set_attr(a, access=["gpu0"], prefetch="gpu0")
        p.run()
    found = compare(*runs, times=True)
    assert (found.equal, found.same) == (True, len(runs[0].log))
    assert str(found) == f"the same {found.same} events"


def test_the_first_difference_is_found_whatever_follows():
    found = compare(log_of((0, "a"), (1, "b"), (2, "c")), log_of((0, "a"), (1, "x"), (2, "c")))
    assert (found.same, found.first.text, found.second.text) == (1, "b", "x")


def test_a_run_that_ends_early_differs_where_it_is_over():
    found = compare(log_of((0, "a")), log_of((0, "a"), (1, "b")))
    assert (found.same, found.first, found.second.text) == (1, None, "b")
    assert "first   is over" in str(found)


def test_times_count_only_when_asked_for():
    logs = log_of((0, "a"), (1, "b")), log_of((0, "a"), (1, "b"), shift_ns=5)
    assert compare(*logs).equal
    assert compare(*logs, times=True).same == 0


def test_strings_and_tasks_are_compared_by_name_and_not_by_number():
    one, other = log_of((0, "b"), (1, "a"), (2, "b")), log_of((0, "a"), (1, "b"), (2, "b"))
    assert compare(one, other).same == 0
    assert compare(one, log_of((0, "b"), (1, "a"), (2, "b"))).equal


def test_gpus_of_two_machines_are_the_same_if_their_names_are():
    runs = [sl.Process(machine, vram="64 MiB") for machine in ("mi210-two-hives", "mi100-hive4")]
    for p in runs:
        a = p.mmap("4 KiB", name="a")
        a[:] = 7
        p.set_attr(a, access=["gpu0"], prefetch="gpu0")
    started = [p.log.events("migrate_start")[0] for p in runs]
    assert started[0].fields["target"] != started[1].fields["target"]
    assert compare(*runs).same > started[0].id


def test_the_reason_of_a_decision_with_the_same_outcome_is_no_difference():
    found = both(FIRST, "upstream").found
    assert found.first.name == "migrate_start"
    decisions = [event.log.events("decision")[0] for event in (found.first, found.second)]
    assert decisions[0].text != decisions[1].text


def test_what_has_no_log_is_refused_in_words():
    with pytest.raises(InputError, match="a Process, a Trace or a Log"):
        compare(Log(), 7)


@pytest.mark.parametrize(
    ("path", "second", "slot", "step"),
    [(FIRST, "upstream", "vram_alloc", 5), (BACK, "as-posted", "gpu_to_gpu", 7)],
    ids=["first-migration", "there-and-back"],
)
def test_the_decision_point_behind_a_difference_makes_it_alone(path, second, slot, step):
    made = both(path, second)
    assert (made.behind.slot.name, made.behind.alone, made.step.n) == (slot, True, step)
    alone = both(path, {"base": "as-intended", slot: made.behind.second})
    assert alone.found.same == made.found.same


def test_a_choice_that_cannot_stand_alone_is_named_as_the_last_one_asked():
    made = both(FAULT, "as-posted")
    assert (made.behind.slot.name, made.behind.alone) == ("gpu_fault", False)
    assert "the last one asked" in str(made)


def test_where_scenarios_differ_that_and_the_last_rule_are_told():
    near, far = (loads(HEAD + MOVED.format(other=other)) for other in ("gpu1", "gpu4"))
    made = run_both(near, far)
    assert made.behind is None
    assert made.found.first.name == made.found.second.name == "attributes" or made.found.first.name == "decision"
    assert any(line.startswith("step 2: set_attr") for line in made.unlike)
    assert "the last rule before it in the second: best location" in str(made)


def test_two_runs_on_one_axis_are_marked_where_they_part_and_told():
    made = both(BACK, "as-posted")
    scene = sl.two_runs(made.first.process, made.second.process, names=("as-intended", "as-posted"))
    first, second = scene.charts
    assert first.axis == second.axis
    (at,), (also,) = ([mark.at for mark in chart.marks if not mark.lane] for chart in (first, second))
    assert (at, also) == (made.found.first.time_ns, made.found.second.time_ns)
    assert "as-posted: " in describe(scene)
    assert "It parts at 1.594 ms" in describe(scene)


def test_the_command_tells_the_difference_with_exit_code_1_and_no_difference_with_0(tmp_path):
    picture = tmp_path / "both.svg"
    done = CliRunner().invoke(main, ["compare", BACK, "--behaviour", "as-posted", "--plot", str(picture)])
    assert done.exit_code == 1, done.output
    assert "behind it is gpu_to_gpu" in done.output
    assert "first difference" in picture.read_text(encoding="utf-8")
    same = CliRunner().invoke(main, ["compare", BACK, BACK, "--times"])
    assert (same.exit_code, same.output.splitlines()[-1][:9]) == (0, "the same ")


def test_the_command_compares_one_scenario_under_two_behaviours_or_modes_for_a_program():
    done = CliRunner().invoke(main, ["compare", FIRST, "--behaviour", "as-posted", "--behaviour", "upstream", "--json"])
    found = json.loads(done.output)
    assert (done.exit_code, found["equal"]) == (1, False)
    assert found["slot"] in sl.Behaviour().choices
    modes = CliRunner().invoke(main, ["compare", FIRST, "--xnack", "off", "--xnack", "on"])
    assert "xnack: off in the first, on in the second" in modes.output


def test_the_command_refuses_one_run_and_three():
    for given in ([FIRST], [FIRST, FIRST, FIRST], [FIRST, *["--behaviour", "upstream"] * 3]):
        done = CliRunner().invoke(main, ["compare", *given])
        assert done.exit_code == 2
        assert "two" in done.output
