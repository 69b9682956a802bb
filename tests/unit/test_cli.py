"""The command line as people and shells use it: a program of its own, with its exit codes and its one line of error."""

import os
import pty
import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from click.shell_completion import ShellComplete

from svmlab.cli import COMMANDS, main
from svmlab.cli.examples import EXAMPLES
from svmlab.hardware.finder import preset_names
from svmlab.resources import data_path
from svmlab.svm.behaviour_table import PRESETS
from svmlab.views import VIEWS

PROGRAM = f"{shlex.quote(sys.executable)} -c 'from svmlab.cli import main; main(prog_name=\"svmlab\")'"
SCENARIOS = data_path("scenarios")
FIRST = SCENARIOS / "first-migration.toml"
HEAD = 'title = "t"\nmachine = "toy"\n'
FAILS = HEAD + '[[step]]\ndo = "expect"\nqueues = "dead"\n'
LONG = (
    HEAD
    + '[[step]]\ndo = "mmap"\nname = "a"\nsize = "64 MiB"\n'
    + '[[step]]\ndo = "cpu_write"\non = "a"\nbyte = 1\n' * 15
)


def shell(line: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a line of bash in which svmlab is a command."""
    text = f'set -o pipefail\nsvmlab() {{ {PROGRAM} "$@"; }}\n{line}'
    known = {**os.environ, "MPLBACKEND": "Agg", "COLUMNS": "100", **environment}
    return subprocess.run(["bash", "-c", text], cwd=cwd, env=known, check=False, capture_output=True, text=True)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder in which ``data`` is svmlab's, as the examples have it."""
    (tmp_path / "data").symlink_to(data_path())
    return tmp_path


SLOW = ("svmlab bench", "svmlab peers", "svmlab verify", "svmlab lab", "svmlab release", "svmlab course")
"""Commands whose examples take long or need a folder of learners; other tests run these commands."""


def test_every_command_has_examples():
    assert set(EXAMPLES) == set(COMMANDS), "svmlab/cli/examples.py"
    assert [line for lines in EXAMPLES.values() for line in lines if "svmlab " not in line] == []


@pytest.mark.parametrize("line", [line for lines in EXAMPLES.values() for line in lines if not line.startswith(SLOW)])
def test_an_example_runs(line: str, folder: Path):
    done = shell(line, folder)
    assert done.stderr == ""
    # 1 of a comparison says that the runs differ.
    assert done.returncode == 0 or (done.returncode == 1 and line.startswith("svmlab compare"))


@pytest.mark.parametrize("command", COMMANDS)
def test_help_tells_what_a_command_does_and_shows_its_examples_unwrapped(command: str, tmp_path: Path):
    done = shell(f"svmlab {command} --help", tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"Usage: svmlab {command} ")
    shown = [line.strip() for line in done.stdout.splitlines()]
    assert [line for line in EXAMPLES[command] if line not in shown] == []


def test_help_and_version_say_what_there_is(tmp_path: Path):
    told = shell("svmlab --help", tmp_path).stdout
    assert re.findall(r"^  ([a-z]+)  ", told, re.MULTILINE) == list(COMMANDS)
    assert re.fullmatch(r"svmlab, version \d+\.\d+\.\d+\S*\n", shell("svmlab --version", tmp_path).stdout)


# exit codes and errors


def test_exit_code_0_1_and_2(tmp_path: Path):
    (tmp_path / "fails.toml").write_text(FAILS, encoding="utf-8")
    (tmp_path / "bad.toml").write_text(HEAD + "seeed = 1\n", encoding="utf-8")
    assert shell(f"svmlab run {FIRST}", tmp_path).returncode == 0
    fails = shell("svmlab run fails.toml", tmp_path)
    assert (fails.returncode, fails.stderr) == (1, "")
    assert "step 1: expected queues = dead\n         found    queues = running" in fails.stdout
    bad = shell("svmlab run bad.toml", tmp_path)
    assert (bad.returncode, bad.stdout) == (2, "")
    assert bad.stderr.startswith("svmlab: bad.toml: unknown key 'seeed'; allowed: ")
    assert bad.stderr.count("\n") == 1


def test_several_files_get_a_line_each_and_a_summary(tmp_path: Path):
    (tmp_path / "fails.toml").write_text(FAILS, encoding="utf-8")
    done = shell(f"svmlab run {FIRST} fails.toml {FIRST}", tmp_path)
    assert done.returncode == 1
    lines = done.stdout.splitlines()
    assert lines[-1] == "2 passed, 1 failed"
    assert sum(line.startswith(f"passed  {FIRST}: ") for line in lines) == 2


def test_one_file_that_cannot_be_used_keeps_all_of_them_from_running(tmp_path: Path):
    (tmp_path / "bad.toml").write_text("title = 3\n", encoding="utf-8")
    done = shell(f"svmlab run {FIRST} bad.toml", tmp_path)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)


def test_json_of_several_files_is_one_object_a_line(tmp_path: Path):
    done = shell(f"svmlab run {FIRST} {FIRST} --json", tmp_path)
    assert [line[:10] for line in done.stdout.splitlines()] == ['{"title": '] * 2


@pytest.mark.parametrize(
    "line", ["svmlab", "svmlab nothing", "svmlab run", "svmlab run --xnack maybe x", "svmlab run -x"]
)
def test_a_wrong_call_is_exit_code_2_without_a_traceback(line: str, tmp_path: Path):
    done = shell(line, tmp_path)
    assert (done.returncode, "Traceback" in done.stderr) == (2, False)


def test_a_traceback_is_there_for_who_asks(tmp_path: Path):
    quiet, loud = (shell(f"svmlab {option} run nowhere.toml", tmp_path) for option in ("", "--debug"))
    assert quiet.stderr == "svmlab: nowhere.toml: cannot be read: No such file or directory\n"
    assert "Traceback" in loud.stderr


# new


def test_a_new_scenario_runs_and_passes_and_is_not_written_over(tmp_path: Path):
    done = shell("svmlab new mine.toml && svmlab run mine.toml", tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert "every expectation held" in done.stdout
    before = (tmp_path / "mine.toml").read_text(encoding="utf-8")
    assert before.count("\n#") + before.count(" # ") > 12
    again = shell("svmlab new mine.toml", tmp_path)
    assert (again.returncode, again.stderr) == (2, "svmlab: mine.toml is there already; try: another name\n")
    assert (tmp_path / "mine.toml").read_text(encoding="utf-8") == before


def test_a_new_scenario_that_cannot_be_written_is_one_line(tmp_path: Path):
    for name in ("mine.txt", "none/mine.toml", "/proc/mine.toml"):
        done = shell(f"svmlab new {name}", tmp_path)
        assert (done.returncode, done.stderr.count("\n")) == (2, 1)


@pytest.mark.parametrize("key", ["vram", "xnack", "behaviour"])
def test_what_the_starter_has_as_a_comment_works_without_the_hash(key: str, tmp_path: Path):
    text = data_path("scenarios", "starter.toml").read_text(encoding="utf-8")
    (tmp_path / "s.toml").write_text(text.replace(f"# {key} =", f"{key} ="), encoding="utf-8")
    assert shell("svmlab run s.toml", tmp_path).returncode in (0, 1)
    assert f"\n{key} =" in (tmp_path / "s.toml").read_text(encoding="utf-8")


# pipes, interrupts, terminals


def test_a_reader_that_leaves_early_ends_the_program_without_a_word(tmp_path: Path):
    (tmp_path / "wide.toml").write_text(HEAD + '[[step]]\ndo = "mark"\n' * 3000, encoding="utf-8")
    done = shell("svmlab run wide.toml | head -n 1", tmp_path)
    assert (done.stdout, done.stderr) == ("t\n", "")


def test_an_interrupt_is_one_line_and_130(tmp_path: Path):
    (tmp_path / "long.toml").write_text(LONG, encoding="utf-8")
    command = [sys.executable, "-c", "from svmlab.cli import main; main()", "run", "long.toml", "long.toml"]
    told = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, cwd=tmp_path, **told) as process:
        # Ready when the scenario's memory is there: it holds far more than its modules do.
        status = Path(f"/proc/{process.pid}/status")
        while int(re.search(r"VmRSS:\s+(\d+)", status.read_text())[1]) < 130 << 10:
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate()
    assert (process.returncode, out, err) == (130, "", "svmlab: interrupted\n")


def on_a_terminal(*arguments: str, cwd: Path, **environment: str) -> bytes:
    """What svmlab writes to a terminal, standard error included."""
    leader, follower = pty.openpty()
    command = [sys.executable, "-c", "from svmlab.cli import main; main()", *arguments]
    known = {**os.environ, **environment}
    with subprocess.Popen(command, cwd=cwd, env=known, stdout=follower, stderr=follower) as process:
        os.close(follower)
        told = b""
        try:
            while piece := os.read(leader, 1 << 16):
                told += piece
        except OSError:  # the last writer has closed it
            pass
        process.wait()
    os.close(leader)
    return told


def test_a_terminal_sees_how_far_a_long_run_is_and_a_pipe_does_not(tmp_path: Path):
    (tmp_path / "long.toml").write_text(LONG, encoding="utf-8")
    told = on_a_terminal("run", "long.toml", "long.toml", cwd=tmp_path)
    assert re.search(rb"\r\x1b\[K\d+ % long.toml step \d+", told)
    assert told.endswith(b"2 passed, 0 failed\r\n")
    assert shell("svmlab run long.toml", tmp_path).stderr == ""


@pytest.mark.parametrize("environment", [{}, {"NO_COLOR": "1"}])
def test_nothing_depends_on_colour(environment: dict[str, str], tmp_path: Path):
    (tmp_path / "fails.toml").write_text(FAILS, encoding="utf-8")
    for arguments in (["run", "fails.toml"], ["machine", "toy"], ["behaviours"], ["run", "none.toml"]):
        assert b"\x1b[3" not in on_a_terminal(*arguments, cwd=tmp_path, **environment)


# completion


def completed(*words: str) -> list[str]:
    *arguments, last = words
    return [
        item.value for item in ShellComplete(main, {}, "svmlab", "_SVMLAB_COMPLETE").get_completions(arguments, last)
    ]


def test_names_of_commands_machines_presets_and_views_are_completed():
    assert completed("") == list(COMMANDS)
    assert completed("machine", "") == list(preset_names())
    assert completed("run", "--machine", "mi3") == ["mi300x-8"]
    assert completed("run", "--behaviour", "") == list(PRESETS)
    assert completed("compare", "--behaviour", "up") == ["upstream"]
    assert completed("behaviours", "--diff", "as-posted", "as-") == ["as-posted", "as-intended"]
    assert completed("run", "--view", "") == list(VIEWS)
    assert completed("run", "--xnack", "o") == ["on", "off"]


@pytest.mark.parametrize("name", ["bash", "zsh", "fish"])
def test_the_script_for_a_shell_is_printed(name: str, tmp_path: Path):
    done = shell(f"svmlab completion {name}", tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert f"_SVMLAB_COMPLETE={name}_complete" in done.stdout


def test_bash_completes_with_the_script(tmp_path: Path):
    (tmp_path / "svmlab").write_text(f'#!/bin/sh\nexec {PROGRAM} "$@"\n', encoding="utf-8")
    (tmp_path / "svmlab").chmod(0o755)
    line = (
        'unset -f svmlab; eval "$(./svmlab completion bash)"; COMP_WORDS=(./svmlab run --behaviour up); COMP_CWORD=3; '
        '_svmlab_completion ./svmlab; echo "${COMPREPLY[@]}"'
    )
    assert shell(line, tmp_path).stdout == "upstream\n"
