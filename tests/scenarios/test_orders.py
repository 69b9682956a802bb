"""Orders of a scenario: explored, told, saved, replayed, and refused where they do not fit."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from svmlab.cli import main
from svmlab.errors import InputError
from svmlab.resources import data_path
from svmlab.scenario.format import loads
from svmlab.scenario.orders import Following, parse_order
from svmlab.scenario.outcome import Watching, outcome_of
from svmlab.scenario.races import explore
from svmlab.scenario.result import Result
from svmlab.scenario.runner import Runner, load_scenario, process_of, run
from svmlab.scenario.session import Session

RACES = data_path("scenarios") / "races"
STORE = RACES / "prefetch-cpu-fault.toml"
HEAD = 'title = "t"\nmachine = "toy"\nram = "1 MiB"\nvram = "64 KiB"\n'
PREFETCH = """
[[step]]
do = "mmap"
name = "a"
size = "4 pages"
populate = true

[[step]]
do = "set_attr"
on = "a"
access = ["gpu0"]
prefetch = "gpu0"
wait = false
"""
READ = """
[[step]]
do = "cpu_read"
on = "a"
byte = 0
wait = false
"""


def go(*arguments: object):
    return CliRunner().invoke(main, ["race", *map(str, arguments)])


def replayed(scenario):
    """The outcome of the one order that a scenario carries."""
    process = process_of(scenario)
    session = Session(scenario, process)
    watching = Watching(Following(parse_order(scenario.head.order)), session)
    runner = Runner(session, Result(scenario.title, process), pick=watching)
    runner.run(scenario.steps)
    return outcome_of(runner, meanwhile=watching.seen)


def with_order(*lines: str) -> str:
    return HEAD + f"order = {json.dumps(lines)}\n" + PREFETCH + READ


def told(result) -> list[str]:
    wanted = ("migrate_setup", "migrate_end", "cpu_fault", "call_end")
    return [str(event) for event in result.process.log if event.name in wanted and event.task.name != "restore worker"]


def test_an_order_decides_who_goes_on():
    midst = run(loads(with_order("main: set_attr until after collecting", "main: cpu_read until it waits")))
    before = run(loads(with_order("main: cpu_read until its end")))
    assert told(midst)[1:] == [
        "attempt 1: 4 of 4 pages collected",
        "4 pages of [0x7e0000000, 0x7e0000003] moved RAM -> gpu0 (prefetch)",
        "set_attr(a) ends",
        "CPU touches page 0x7e0000000, which is in VRAM of gpu0",
        "attempt 1: 4 of 4 pages collected",
        "4 pages of [0x7e0000000, 0x7e0000003] moved gpu0 -> RAM (pagefault_cpu)",
        "cpu_read(a) ends",
    ]
    assert told(before).index("cpu_read(a) ends") < told(before).index("set_attr(a) ends")


def test_every_outcome_is_replayed_by_its_order(tmp_path):
    races = explore(RACES / "two-ranges-reclaimed.toml", behaviour="upstream", preemptions=1)
    for number, found in enumerate(races.found, start=1):
        races.save(number, tmp_path / "saved.toml")
        saved = load_scenario(tmp_path / "saved.toml")
        assert saved.head.behaviour == "upstream"
        assert saved.head.order == [stop.text for stop in found.order]
        assert run(saved).ok == (not found.outcome.wrong)
        assert replayed(saved) == found.outcome


def test_the_story_of_an_order_tells_who_did_what():
    races = explore(RACES / "two-ranges-reclaimed.toml", behaviour="upstream", preemptions=1)
    assert (
        races.story(1)
        == """\
  1. main: swap_out stops before the queues stop: the first invalidation is counted, and the queues still run
       range a is invalid (1), evictions 1
  2. main: swap_out #2 goes on to its end
       range b is invalid (1), evictions 2
       swap_out(b) ends
  3. main: swap_out goes on to its end
       queues on every GPU stop
       swap_out(a) ends
  4. restore worker goes on to its end
       gpu0 maps 4 pages of a
       gpu0 maps 4 pages of b
       queues on every GPU run again
       the restore worker is done"""
    )


def test_the_table_says_what_was_searched_and_what_is_wrong():
    done = go(RACES / "two-ranges-reclaimed.toml", "--behaviour", "upstream", "--preemptions", 1)
    assert done.output.splitlines()[:9] == [
        "Two ranges are reclaimed at the same time (upstream, xnack off)",
        "every order with at most 1 preemption: 34; 4 outcomes; something is wrong in 2 of them",
        "",
        "#  orders  least  given up  queues   where the pages are  what they hold",
        "1       1      1         0  running  a: cpu; b: cpu       a: 1; b: 2",
        "     WRONG for a moment: mapped pages are present: gpu0 maps 1 page to a frame that does not hold it: "
        "page 0 of b",
        "2       1      1         0  running  a: cpu; b: cpu       a: 1; b: 2",
        "     WRONG for a moment: mapped pages are present: gpu0 maps 1 page to a frame that does not hold it: "
        "page 0 of a",
        "3      20      0         0  running  a: cpu; b: cpu       a: 1; b: 2",
    ]
    assert done.exit_code == 1


def test_a_program_gets_an_object_for_each_file():
    done = go(STORE, RACES / "munmap-restore.toml", "--preemptions", 0, "--json")
    first, second = (json.loads(line) for line in done.output.splitlines())
    assert done.exit_code == 0
    assert (first["ok"], first["bound"], first["orders"]) == (True, 0, {"0": 3})
    assert [one["places"] for one in first["outcomes"]] == [["a: cpu"], ["a: gpu0"]]
    assert second["title"] == "A munmap and the restore worker"


def test_orders_with_more_preemptions_are_drawn_from_a_seed(monkeypatch):
    monkeypatch.setattr("svmlab.scenario.races.DRAWN", 20)
    monkeypatch.setattr("svmlab.scenario.races.EXHAUSTIVE", 1)
    one, same, other = (explore(STORE, preemptions=4, seed=seed) for seed in (1, 1, 2))
    assert (one.bound, one.drawn) == (1, 20)
    assert one.orders == same.orders != other.orders
    assert 1 < max(one.orders) <= 4
    assert "and 20 drawn with more (seed 1)" in str(one)


def test_memory_does_not_grow_with_the_orders():
    races = explore(STORE, preemptions=1)
    assert races.orders.total() > 50
    assert len(races.found) == 2
    assert sum(found.orders for found in races.found) == races.orders.total()


def test_the_shortest_order_of_each_outcome_is_kept():
    races = explore(STORE, preemptions=1)
    assert [found.preemptions for found in races.found] == [0, 0]
    assert [len(found.order) for found in races.found] == [3, 3]


REFUSED = {
    ("main: fork until its end",): "line 1 ('main: fork until its end'): 'main: fork' cannot go on; allowed: one of "
    "those that can: 'main: set_attr' (before process_info lock of main), 'main: cpu_read' (before a CPU access)",
    ("main: cpu_read until before reclaim",): "line 1 ('main: cpu_read until before reclaim'): 'main: cpu_read' "
    "cannot go on",
    ("main: set_attr until after collecting", "main: set_attr until after collecting (2)"): "line 2",
    ("main: cpu_read until its end",) * 2: "line 2",
}


@pytest.mark.parametrize("lines", REFUSED, ids=str)
def test_an_order_that_does_not_fit_is_refused_in_words(lines):
    with pytest.raises(InputError) as refused:
        run(loads(with_order(*lines)))
    assert REFUSED[lines] in str(refused.value)
    assert "svmlab race FILE finds orders that fit" in str(refused.value)


@pytest.mark.parametrize(
    "line", ["set_attr", "main: set_attr until the cows come home", "main: set_attr until its end (0)"]
)
def test_a_line_that_is_no_order_is_refused_before_anything_runs(line):
    with pytest.raises(InputError, match="order"):
        loads(with_order(line))


def test_nothing_to_explore_is_refused():
    with pytest.raises(InputError, match="no step goes on in the background; allowed: wait = false"):
        explore(data_path("scenarios") / "first-migration.toml")


@pytest.mark.parametrize("key", ['after = "1 ms"', 'do = "run"\nfor = "1 ms"'])
def test_time_that_should_pass_between_concurrent_steps_is_refused(key):
    step = f"\n[[step]]\n{key}\n" + ('do = "mark"\n' if "after" in key else "")
    with pytest.raises(InputError, match="time that passes; allowed: no time, while the order is explored"):
        explore(loads(HEAD + PREFETCH + step))


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--save", "x.toml"), "--save and --outcome of several scenarios"),
        (("--preemptions", -1), "Invalid value for '--preemptions'"),
    ],
)
def test_options_that_cannot_be_are_refused(options, says):
    done = go(STORE, STORE, *options)
    assert done.exit_code == 2
    assert says in done.output


def test_of_several_files_those_that_go_by_the_clock_are_passed_over_in_words():
    done = go(
        RACES / "changed-while-restoring.toml", STORE, RACES / "migrating-while-restoring.toml", "--preemptions", 0
    )
    first, second = done.stderr.splitlines()
    assert first.startswith("not explored: ")
    assert "changed-while-restoring.toml: no step goes on in the background; allowed: wait = false" in first
    assert "step 8 (expect), key after: time that passes" in second
    assert done.stdout.startswith("A prefetch and a CPU fault")
    assert done.exit_code == 0


def test_an_outcome_that_is_not_there_is_refused(tmp_path):
    done = go(STORE, "--preemptions", 0, "--outcome", 9, "--save", tmp_path / "saved.toml")
    assert done.exit_code == 2
    assert "outcome 9 of 'A prefetch and a CPU fault'; allowed: 1 to 2" in done.output
    assert not list(Path(tmp_path).iterdir())


def test_a_head_that_cannot_be_rewritten_is_refused(tmp_path):
    file = tmp_path / "odd.toml"
    text = STORE.read_text(encoding="utf-8").replace('title = "', 'behaviour = """\\\n  upstream"""\ntitle = "', 1)
    file.write_text(text, encoding="utf-8")
    races = explore(file, preemptions=0)
    with pytest.raises(InputError, match="its head cannot be rewritten"):
        races.save(1, tmp_path / "saved.toml")
    with pytest.raises(InputError, match="there is no such file"):
        explore(loads(HEAD + PREFETCH + READ), preemptions=0).save(1, tmp_path / "saved.toml")


def test_an_error_that_depends_on_the_order_may_happen_or_not():
    races = explore(RACES / "munmap-migration.toml", preemptions=0)
    assert races.ok
    assert {found.outcome.errors for found in races.found} == {(), ("step 5 set_attr: EFAULT",)}
