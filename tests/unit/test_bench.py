"""The bench harness: pairs in turn, medians, goals, and what the command prints."""

import json
import re
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from svmlab.bench import command, faults, growth, log, memory, migration, ranges, report, traces, views
from svmlab.bench.harness import Case, measure
from svmlab.bench.report import render
from svmlab.errors import InputError
from svmlab.log import Log


class Work:
    """Two works on one clock, each taking as long as its list says, call by call."""

    def __init__(self, subject, base):
        self.now, self.calls, self.times = 0, [], {"subject": list(subject), "base": list(base)}

    def does(self, name):
        def work():
            self.calls.append(name)
            self.now += self.times[name].pop(0)

        return work

    def row(self, goal, pairs):
        case = Case("a case", "another", goal, self.does("subject"), self.does("base"), 2)
        return measure(case, pairs=pairs, clock=lambda: self.now)


def test_the_ratio_is_the_median_over_pairs_and_the_first_pair_only_warms_up():
    work = Work([900, 30, 20, 10, 60, 20, 20, 40], [1, 10, 10, 10, 10, 10, 10, 10])
    assert work.row(goal=2.0, pairs=7) == {
        "name": "a case",
        "ratio": 2.0,
        "goal": 2.0,
        "met": True,
        "spread": (1.0, 6.0),
        "base": "another",
        "ms": 10 / 1e6,
    }


def test_subject_and_base_take_turns_in_beginning():
    work = Work([1] * 4, [1] * 4)
    work.row(goal=1.0, pairs=3)
    assert work.calls == ["subject", "base", "base", "subject", "subject", "base", "base", "subject"]


def test_a_missed_goal_is_told():
    row = Work([2] * 8, [1] * 8).row(goal=1.5, pairs=7)
    assert (row["met"], row["ratio"]) == (False, 2.0)
    assert render([row]).splitlines()[1].split() == [
        "MISSED",
        "2.00",
        "1.5",
        "2.00-2.00",
        "0.00",
        "us",
        "a",
        "case",
        "another",
    ]


@pytest.fixture(scope="module")
def small():
    """The real cases, small enough for a test: what they do, not how fast."""
    return list(ranges.cases(many=2_000, few=1_000))


def test_a_split_case_cuts_two_ranges_with_every_call(small):
    _, split = small
    process = ranges.process_with(1_000)
    before = len(process.log.events("range_remove"))
    assert split.goal == 4.0
    case = ranges._split(process, process, many=1_000, few=1_000)
    case.subject()
    removed = process.log.events("range_remove")[before:]
    assert (len(removed), case.calls) == (2 * case.calls, ranges.SPLITS)
    assert len(process.ranges()) == 1_000 + 2 * case.calls
    assert process.broken_invariants() == []


def test_the_lookup_case_finds_what_its_base_finds(small):
    lookup, _ = small
    assert (lookup.goal, lookup.calls) == (1.5, ranges.LOOKUPS)
    row = measure(lookup, pairs=1)
    assert row["ratio"] > 0


def test_the_cases_of_the_views_draw_what_they_say_against_their_goals():
    slider, figure, reduction, keeping = views.cases(bars=20, many_bars=60, pages=5_120)
    assert [case.goal for case in (slider, figure, reduction, keeping)] == [0.25, 2.0, 3.0, 1.3]
    assert slider.subject().count("<rect ") >= 20
    assert slider.baseline().startswith(b"\x89PNG")
    figure.subject()
    figure.baseline()
    (chart,) = reduction.subject().charts
    assert sum(bar.end - bar.start for bar in chart.bars) == 5_120
    assert reduction.baseline() == 2
    assert (len(keeping.subject().tables["gpu0"]), sum(map(len, keeping.baseline()))) == (5_120, 7 * 5_120)


def test_the_command_prints_rows_as_a_table_or_as_json_and_fails_on_a_missed_goal(monkeypatch):
    def rows(what, *, pairs):
        met = what == "ranges"
        yield {"name": what, "ratio": 1.0, "goal": 1.5, "met": met, "spread": (0.9, 1.1), "base": "b", "ms": 12.0}

    monkeypatch.setattr(command, "run", rows)
    good = CliRunner().invoke(command.bench, ["ranges", "--json"])
    assert (good.exit_code, [row["name"] for row in json.loads(good.output)["rows"]]) == (0, ["ranges"])
    bad = CliRunner().invoke(command.bench, ["all"])
    assert bad.exit_code == 1
    assert "MISSED" in bad.output
    assert CliRunner().invoke(command.bench, ["nothing"]).exit_code == 2


def test_all_is_every_group(monkeypatch):
    class Few:
        @staticmethod
        def cases():
            yield Case("one", "other", 9.0, lambda: sum(range(500)), lambda: sum(range(500)), 1)

    monkeypatch.setattr(command, "MODULES", {"first": "f", "second": "s"})
    monkeypatch.setattr(command, "import_module", lambda name: Few)
    assert [row["name"] for row in command.run("all", pairs=7)] == ["one", "one"]
    assert len(list(command.run("second", pairs=7))) == 1


@pytest.mark.parametrize(("number", "goal", "events"), [(0, 4.0, {"migrate_end": 0}), (1, 12.0, {"migrate_end": 5})])
def test_a_case_of_faults_serves_each_page_once_and_its_base_is_as_many_cycles(number, goal, events):
    case = list(faults.cases(faults=5, rounds=4))[number]
    row = measure(case, pairs=1)
    assert (case.goal, case.calls) == (goal, 5)
    assert row["ratio"] > 0
    process = faults.process_with(5, migrates=bool(number))
    faults.served(process, 5)()
    counts = {"page_fault_end": 5, "page_fault_dropped": 0, "map_to_gpu": 5, **events}
    assert {name: process.log.count(name) for name in counts} == counts
    assert process.broken_invariants() == []


def test_the_cases_of_traces_read_every_line_and_write_every_event():
    smi, rocr, *writing = traces.cases(lines=300, events=500)
    assert [case.goal for case in (smi, rocr, *writing)] == [3.0, 3.0, 0.2, 1.0]
    for case, pattern in ((smi, traces._SMI), (rocr, traces._ROCR)):
        trace = case.subject()
        assert (len(trace), trace.report.unknown) == (300, 0)
        lines = traces.lines_of(".smi" if case is smi else ".rocr", 300)
        assert all(pattern.match(line) for line in lines), "the base looks at the same"
        assert len(set(lines)) == 300


def test_every_module_with_cases_can_be_asked_for():
    folder = Path(command.__file__).parent
    with_cases = {
        path.stem
        for path in folder.glob("*.py")
        if re.search("^def (cases|rows)", path.read_text(encoding="utf-8"), re.M)
    }
    assert {name.rpartition(".")[2] for name in command.MODULES.values()} == with_cases


def test_what_is_prepared_before_a_call_is_not_timed():
    work = Work([10] * 8, [10] * 8)
    prepared = []

    def prepare():
        prepared.append(len(work.calls))
        work.now += 1000

    case = Case("a case", "another", 1.0, work.does("subject"), work.does("base"), 1, prepare)
    row = measure(case, pairs=7, clock=lambda: work.now)
    assert (row["ratio"], prepared) == (1.0, list(range(16)))


def test_a_module_may_measure_by_itself(monkeypatch):
    class Rows:
        @staticmethod
        def rows(pairs):
            yield {"name": f"{pairs} of one"}

    monkeypatch.setattr(command, "MODULES", {"first": "f"})
    monkeypatch.setattr(command, "import_module", lambda name: Rows)
    assert list(command.run("all", pairs=7)) == [{"name": "7 of one"}]


def frames_before_and_after(case):
    """Where the pages are before the subject and after it."""
    mover = case.subject.__self__
    case.prepare()
    before = mover.frames()
    case.subject()
    return mover.process, before, mover.frames()


@pytest.fixture(scope="module")
def moves():
    """The real cases of migration, 8 MiB small."""
    return list(migration.cases(8 << 20, 8 << 20))


def test_every_case_of_migration_moves_every_page_to_vram_in_batches_as_its_name_says(moves):
    batches = []
    for case in moves:
        process, before, after = frames_before_and_after(case)
        memory = process.driver.memory
        assert (before < memory.vram_start).all()
        assert (memory.gpu_of(after) == 0).all()
        batches.append(process.log.field("copy", "npages")[-1])
        assert process.broken_invariants() == []
    assert batches == [2048, 512, 2048, 2048]


def test_the_bases_of_migration_copy_the_same_bytes(moves):
    for case in moves[:3]:
        mover = case.subject.__self__
        case.prepare()
        mover.process.cpu_write(mover.buffer, (np.arange(mover.buffer.nbytes) // 4096 % 251).astype(np.uint8))
        ram = mover.frames()
        case.subject()
        there, pages = mover.frames(), mover.contents()
        moved = pages[there].copy()
        pages[there] = 0
        pages[ram] = moved  # what a base copies lies where it lay before
        case.baseline()
        assert (pages[there] == moved).all()


def test_the_goals_of_migration_are_those_of_the_design(moves):
    assert [case.goal for case in moves] == [1.25, 1.2, 1.25, 5.0]


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc/self")
@pytest.mark.parametrize(
    ("what", "mib", "goal"), [("mapped", 32 << 10, 5.2), *((what, 512, 64) for what in memory.TRANSIENTS)]
)
def test_page_state_and_what_bulk_work_takes_for_a_while_are_small(what, mib, goal):
    assert memory._row(what, mib << 20, 1, "a name")["ratio"] <= goal


ROWS = [
    {"name": "a", "ratio": 1.0, "goal": 1.5, "met": True, "spread": (0.9, 1.12), "base": "b", "ms": 12.0},
    {"name": "c", "ratio": 3.0, "goal": 2.5, "met": False, "spread": (2.0, 4.0), "base": "d", "ms": 0.5},
]


def test_a_document_gets_the_table_with_day_and_computer_and_keeps_the_rest(monkeypatch, tmp_path):
    document = tmp_path / "README.md"
    document.write_text(f"before\n{report.START_MARKER}\nold\n{report.END_MARKER}\nbehind\n", encoding="utf-8")
    (tmp_path / "more.json").write_text(json.dumps({"rows": ROWS[1:]}), encoding="utf-8")
    monkeypatch.setattr(command, "run", lambda what, *, pairs: iter(ROWS[:1]))
    arguments = ["all", "--with", str(tmp_path / "more.json"), "--into", str(document)]
    assert CliRunner().invoke(command.bench, arguments).exit_code == 1
    text = document.read_text(encoding="utf-8")
    assert re.search(r"^Measured on \d{4}-\d\d-\d\d: .*\d+ cores?, .*Python 3\.\d+\.\d+, numpy \d", text, re.M)
    assert "| a | b | 1.00 (0.90 to 1.12) | 1.5 |\n| c | d | 3.00 (2.00 to 4.00) | 2.5, **missed** |\n" in text
    assert (text.startswith("before\n"), text.endswith("behind\n"), "old" in text) == (True, True, False)


def test_a_document_without_a_place_for_the_table_is_refused_before_anything_is_measured(monkeypatch, tmp_path):
    (tmp_path / "README.md").write_text("nothing\n", encoding="utf-8")
    monkeypatch.setattr(command, "run", lambda what, *, pairs: pytest.fail("measured"))
    refused = CliRunner().invoke(command.bench, ["all", "--into", str(tmp_path / "README.md")])
    assert "no place for this; allowed: a line <!-- bench" in str(refused.exception)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"rows": [{"name": "a"}]}', '{"rows": 3}'])
def test_a_file_without_rows_is_refused_in_one_line(text, tmp_path):
    path = tmp_path / "more.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match="no rows of a bench; allowed: what svmlab bench --json prints"):
        report.read_rows(path)


def test_the_log_is_measured_by_runs_that_differ_in_nothing_but_what_they_keep():
    (case,) = log.cases(4 << 20)
    kept, counted = case.subject(), case.baseline()
    assert (case.goal, len(kept.log)) == (1.2, len(counted.log))
    assert kept.log.count("cpu_fault") == 4
    assert (type(counted.log), type(kept.log)) == (log.NullLog, Log)
    assert kept.look.counters(0)["page_in"] == 2048


def test_growth_is_the_slope_over_sizes_that_are_measured_in_turn():
    (row,) = growth.rows(pairs=7, sizes=(1, 2, 4), unit=1 << 20)
    assert (row["goal"], row["name"]) == (1.05, "page state of 1, 2, 4 GiB to VRAM, growth")
    assert growth.slope([1, 4, 16], [1.0, 8.0, 64.0]) == pytest.approx(1.5)
