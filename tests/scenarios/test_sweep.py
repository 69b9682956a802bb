"""Every combination of a sweep is run once, in whatever order, by whoever is there, and gives the same rows."""

import csv
import json
import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import pytest

from svmlab.errors import InputError
from svmlab.resources import data_path
from svmlab.scenario import pools
from svmlab.scenario.actions import ACTIONS
from svmlab.scenario.pools import local_pool, rows_of
from svmlab.scenario.runner import load_scenario, run
from svmlab.scenario.sweep import load_sweep
from svmlab.scenario.sweep_rows import Kept, columns, measure, write_rows

SHIPPED = data_path("scenarios", "how-large.toml")
HEAD = 'title = "t"\nmachine = "toy"\n'
STEPS = '[[step]]\ndo = "mmap"\nname = "a"\nsize = "1 MiB"\n[[step]]\ndo = "cpu_write"\non = "a"\nbyte = 7\n'
SWEEP = '[sweep]\nxnack = ["off", "on"]\nstep.1.size = ["16 KiB", "1 MiB", 8192]\n'


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "s.toml"
    path.write_text(HEAD + SWEEP + STEPS, encoding="utf-8")
    return path


def swept(tmp_path: Path, table: str, steps: str = STEPS):
    path = tmp_path / "s.toml"
    path.write_text(HEAD + table + steps, encoding="utf-8")
    return load_sweep(path, known=ACTIONS)


def rows_here(sweep):
    """What one process finds that runs one combination after the other."""
    return [measure(n, sweep.choice(n), sweep.scenario(n)) for n in range(1, len(sweep) + 1)]


def test_every_combination_has_a_number_and_the_last_key_changes_fastest(file):
    sweep = load_sweep(file)
    assert [tuple(sweep.choice(n).values()) for n in range(1, len(sweep) + 1)] == [
        ("off", "16 KiB"), ("off", "1 MiB"), ("off", 8192), ("on", "16 KiB"), ("on", "1 MiB"), ("on", 8192),
    ]  # fmt: skip
    assert (sweep.scenario(4).head.xnack, sweep.scenario(4).steps[0].size) == ("on", 16384)


def test_a_key_may_be_quoted_or_dotted_and_lie_in_a_table_of_a_step(tmp_path):
    steps = STEPS + '[[step]]\ndo = "get_attr"\non = "a"\nexpect = {granularity = 9}\n'
    sweep = swept(tmp_path, '[sweep]\n"step.3.expect.granularity" = [8, 9]\nstep.3.only.xnack = ["on"]\n', steps)
    assert list(sweep.lists) == ["step.3.expect.granularity", "step.3.only.xnack"]
    third = sweep.scenario(1).steps[2]
    assert (third.expect.granularity, third.only.xnack) == (8, "on")


def test_a_file_without_a_sweep_is_one_combination(tmp_path):
    sweep = swept(tmp_path, "")
    assert (len(sweep), sweep.choice(1)) == (1, {})


def test_a_run_takes_no_notice_of_the_sweep(tmp_path):
    path = tmp_path / "s.toml"
    path.write_text(HEAD + '[sweep]\nno_such_key = 3\nstep.9.size = ["x"]\n' + STEPS, encoding="utf-8")
    assert run(load_scenario(path)).ok


BAD = [
    ("sweep = 3\n", "key sweep: 3 is no table; allowed: a table of lists"),
    ("[sweep]\nseed = 3\n", "key sweep.seed: 3 is no list of values; allowed: a list, not empty"),
    ("[sweep]\nseed = []\n", "key sweep.seed: [] is no list of values; allowed: a list, not empty"),
    (
        "[sweep]\ntitle = ['a']\n",
        "key sweep.title is no key to sweep; allowed: machine, vram, ram, xnack, behaviour, seed, payload, order, "
        "or step.N.KEY with the number of a step",
    ),
    ("[sweep]\nstep.3.size = [1]\n", "key sweep.step.3.size: there is no step 3; allowed: 1 to 2"),
    ("[sweep]\nstep.x.size = [1]\n", "key sweep.step.x.size: there is no step x; allowed: 1 to 2"),
    ("[sweep]\nstep.1.size = [1]\n'step.1.size' = [2]\n", "key sweep.step.1.size stands there twice"),
    (
        "[sweep]\nseed = [" + "1," * 400 + "]\nvram = [" + "1," * 400 + "]\n",
        "a sweep of 160000 combinations; allowed: up to 100000",
    ),
]


@pytest.mark.parametrize(("table", "line"), BAD, ids=[line[:40] for _, line in BAD])
def test_a_sweep_that_cannot_be_used_is_one_line(tmp_path, table, line):
    with pytest.raises(InputError) as caught:
        swept(tmp_path, table)
    assert str(caught.value) == f"{tmp_path / 's.toml'}: {line}"


def test_a_combination_that_cannot_be_run_is_named_with_its_values(tmp_path):
    sweep = swept(tmp_path, '[sweep]\nseed = [1, 2]\nstep.1.size = ["1 MiB", "1 MB"]\n')
    with pytest.raises(InputError) as caught:
        sweep.scenario(4)
    assert str(caught.value).startswith(
        f"{tmp_path / 's.toml'} [seed = 2, step.1.size = '1 MB']: step 1 (mmap), key size: '1 MB' is not a size"
    )
    with pytest.raises(InputError, match=r"key step\.1\.size\.x: there is no table to put it in"):
        swept(tmp_path, "[sweep]\nstep.1.size.x = [1]\n").scenario(1)


def test_rows_are_the_same_whoever_runs_them_and_in_whatever_order(file):
    sweep = load_sweep(file)
    expected = rows_here(sweep)
    backwards = [measure(n, sweep.choice(n), sweep.scenario(n)) for n in range(len(sweep), 0, -1)]
    assert sorted(backwards, key=lambda row: row["n"]) == expected
    by_two = list(rows_of(sweep, list(range(1, len(sweep) + 1)), local_pool(2)))
    assert sorted(by_two, key=lambda row: row["n"]) == expected
    assert list(expected[0]) == columns(sweep)


def test_a_worker_that_is_killed_loses_nothing(file):
    sweep, started = load_sweep(file), []

    @contextmanager
    def watched():
        with local_pool(2)() as pool:
            started.append(pool)
            yield pool

    rows = []
    for row in rows_of(sweep, list(range(1, len(sweep) + 1)), watched):
        if not rows:
            os.kill(next(iter(started[0]._processes)), signal.SIGKILL)
        rows.append(row)
    assert sorted(rows, key=lambda row: row["n"]) == rows_here(sweep)


def test_workers_that_die_again_and_again_end_the_sweep_with_one_line(file, monkeypatch):
    @contextmanager
    def deadly():
        yield None
        raise AssertionError

    def die(*_):
        raise pools.BrokenExecutor
        yield

    monkeypatch.setattr(pools, "_as_they_come", die)
    with pytest.raises(InputError, match="workers died 3 times and no combination got done"):
        list(rows_of(load_sweep(file), [1], deadly))


def test_what_is_kept_need_not_run_again_and_a_torn_line_is_left_out(file, tmp_path):
    sweep, out = load_sweep(file), tmp_path / "rows.csv"
    expected = rows_here(sweep)
    kept = Kept(out, sweep)
    for row in expected[:2]:
        kept.add(row)
    with kept.path.open("a", encoding="utf-8") as torn:
        torn.write('{"n": 3, "xna')
    again = Kept(out, sweep)
    assert (again.missing, [again.rows[n] for n in (1, 2)]) == ([3, 4, 5, 6], expected[:2])


def test_rows_of_another_sweep_are_not_mixed_in(file, tmp_path):
    Kept(tmp_path / "rows.csv", load_sweep(file))
    file.write_text(file.read_text(encoding="utf-8").replace("byte = 7", "byte = 8"), encoding="utf-8")
    with pytest.raises(InputError, match="is not of this sweep: its file or svmlab has changed; try: rm "):
        Kept(tmp_path / "rows.csv", load_sweep(file))


def test_both_formats_hold_the_same_rows(file, tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet")
    sweep = load_sweep(file)
    rows, names = rows_here(sweep), columns(sweep)
    write_rows(rows, names, tmp_path / "a.csv")
    write_rows(rows, names, tmp_path / "a.parquet")
    with (tmp_path / "a.csv").open(encoding="utf-8", newline="") as text:
        told = list(csv.DictReader(text))
    table = parquet.read_table(tmp_path / "a.parquet")
    assert (table.column_names, table.num_rows) == (names, len(rows))
    # A key of several types is text in a table that has one type a column.
    expected = [{key: json.loads(json.dumps(value)) for key, value in row.items()} for row in rows]
    assert table.to_pylist() == [{**row, "step.1.size": str(row["step.1.size"])} for row in expected]
    texts = [{key: str(value).lower() if key == "ok" else str(value) for key, value in row.items()} for row in rows]
    assert told == texts


# as a user does it

LONG = '[sweep]\nseed = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]\nstep.1.size = ["32 MiB", "64 MiB"]\n'
ASK = [sys.executable, "-c", "from svmlab.cli import main; main()"]


def svmlab(*arguments, **options):
    return subprocess.Popen(
        [*ASK, *map(str, arguments)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options
    )


def done(process):
    out, err = process.communicate()
    return process.returncode, out, err


def wait_for(true, process=None):
    while not true():
        assert process is None or process.poll() is None, process.communicate()
        time.sleep(0.02)


def rows_kept(out: Path) -> int:
    partial = out.with_name(out.name + ".partial")
    return partial.read_bytes().count(b"\n") - 1 if partial.exists() else 0


def test_a_sweep_on_the_command_line_writes_a_table_and_a_picture(file, tmp_path):
    code, out, err = done(svmlab("sweep", file, "--out", tmp_path / "a.csv", "--plot"))
    assert (code, err) == (0, "")
    assert out.startswith(f"6 passed, 0 failed; the table is in {tmp_path / 'a.csv'}\nVirtual time: from ")
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
    assert {path.name for path in tmp_path.iterdir()} == {"s.toml", "a.csv", "a.png"}


def test_a_combination_that_fails_is_exit_code_1_and_named(tmp_path):
    path = tmp_path / "s.toml"
    path.write_text(HEAD + "[sweep]\nstep.3.byte = [7, 8]\n" + STEPS + '[[step]]\ndo = "expect"\non = "a"\nbyte = 7\n')
    code, out, _ = done(svmlab("sweep", path, "--out", tmp_path / "a.csv"))
    assert code == 1
    assert out.startswith(f"did not hold: {path} [step.3.byte = 8]: 1 expectations\n1 passed, 1 failed")


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["--out", "a.txt"], "a.txt to write; allowed: a name that ends in .csv or .parquet"),
        (["--out", "a.csv", "--plot", "a.gif"], "a.gif to write; allowed: a name that ends in .png or .svg"),
        (["--out", "none/a.csv"], "there is no folder none; try: mkdir -p none"),
    ],
)
def test_what_cannot_be_written_is_refused_before_anything_runs(file, tmp_path, arguments, line):
    assert done(svmlab("sweep", file, *arguments, cwd=tmp_path)) == (2, "", f"svmlab: {line}\n")
    assert [path.name for path in tmp_path.iterdir()] == ["s.toml"]


def test_a_file_without_a_sweep_is_refused(tmp_path):
    path = tmp_path / "s.toml"
    path.write_text(HEAD + STEPS, encoding="utf-8")
    code, _, err = done(svmlab("sweep", path, "--out", tmp_path / "a.csv"))
    assert (code, err.count("\n")) == (2, 1)
    assert "there is no [sweep] in it" in err


@pytest.mark.slow
def test_a_sweep_that_was_killed_goes_on_where_it_stopped(tmp_path):
    path, out = tmp_path / "s.toml", tmp_path / "a.csv"
    path.write_text(HEAD + LONG + STEPS, encoding="utf-8")
    first = svmlab("sweep", path, "--out", out, "--workers", 1, start_new_session=True)
    wait_for(lambda: rows_kept(out) >= 2, first)
    os.killpg(first.pid, signal.SIGKILL)
    first.communicate()
    assert not out.exists()
    code, _, err = done(svmlab("sweep", path, "--out", out, "--workers", 2))
    assert code == 0
    assert f"of 20 are in {out}.partial already" in err
    sweep = load_sweep(path)
    write_rows(rows_here(sweep), columns(sweep), tmp_path / "here.csv")
    assert out.read_bytes() == (tmp_path / "here.csv").read_bytes()
    assert not (tmp_path / "a.csv.partial").exists()


@pytest.mark.slow
def test_an_interrupted_sweep_keeps_what_is_done(tmp_path):
    path, out = tmp_path / "s.toml", tmp_path / "a.csv"
    path.write_text(HEAD + LONG + STEPS, encoding="utf-8")
    asked = svmlab("sweep", path, "--out", out, "--workers", 2, start_new_session=True)
    wait_for(lambda: rows_kept(out) >= 1, asked)
    os.killpg(asked.pid, signal.SIGINT)
    assert done(asked) == (130, "", "svmlab: interrupted\n")
    assert 1 <= len(Kept(out, load_sweep(path)).rows) < 20


@contextmanager
def cluster(folder: Path):
    """A scheduler of Dask and two workers, each a process as on a real cluster; tells the address and the workers."""
    pytest.importorskip("distributed")
    told = folder / "scheduler.json"
    where = ["--scheduler-file", str(told), "--no-dashboard"]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "cwd": folder}
    run_it = [sys.executable, "-m", "dask"]
    processes = [subprocess.Popen([*run_it, "scheduler", "--host", "127.0.0.1", "--port", "0", *where], **quiet)]
    try:
        wait_for(told.exists)
        for _ in range(2):
            worker = [*run_it, "worker", *where, "--nthreads", "1", "--no-nanny"]
            processes.append(subprocess.Popen(worker, **quiet))
        yield json.loads(told.read_text(encoding="utf-8"))["address"], processes[1:]
    finally:
        for process in processes:
            process.kill()
            process.wait()


@pytest.mark.slow
def test_a_cluster_whose_worker_is_killed_finds_the_same_rows(tmp_path):
    path, out = tmp_path / "s.toml", tmp_path / "a.csv"
    path.write_text(HEAD + LONG + STEPS, encoding="utf-8")
    with cluster(tmp_path) as (address, workers):
        asked = svmlab("sweep", path, "--out", out, "--scheduler", address)
        wait_for(lambda: rows_kept(out) >= 2, asked)
        workers[0].kill()
        code, told, err = done(asked)
    assert code == 0, err
    assert told.startswith("20 passed, 0 failed")
    sweep = load_sweep(path)
    write_rows(rows_here(sweep), columns(sweep), tmp_path / "here.csv")
    assert out.read_bytes() == (tmp_path / "here.csv").read_bytes()


@pytest.mark.slow
def test_a_cluster_that_is_not_there_is_one_line(file, tmp_path):
    pytest.importorskip("distributed")
    for address in ("tcp://127.0.0.1:1", "nonsense://x"):
        code, _, err = done(svmlab("sweep", file, "--out", tmp_path / "a.csv", "--scheduler", address))
        assert (code, err.count("\n")) == (2, 1), err
        assert err.startswith(f"svmlab: no scheduler of Dask at {address}")


def test_the_shipped_sweep_is_a_scenario_too():
    assert run(load_scenario(SHIPPED)).ok
    assert len(load_sweep(SHIPPED)) == 12
