"""Python in a browser has no threads, processes or sockets: what a learner imports and runs asks for none."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

BLOCKED = """
import sys

# Modules that Pyodide does not have, or that could only fail there.
for name in ("resource", "termios", "pwd", "multiprocessing", "concurrent.futures.process"):
    sys.modules[name] = None

import _thread, os, socket, subprocess, threading


def refuse(*_, **__):
    raise RuntimeError("no thread, process or socket here")


threading.Thread.start = refuse
_thread.start_new_thread = refuse
subprocess.Popen.__init__ = refuse
os.fork = os.system = os.posix_spawn = refuse
socket.socket.__init__ = refuse
socket.socket.connect = refuse
"""
LESSON = """
import svmlab as sl
import svmlab.widgets
from svmlab.course import check, compare, hint, predict, progress, survey

for name in sl.__all__:
    getattr(sl, name)
p = sl.Process("mi210-two-hives", vram="64 MiB")
a = p.mmap("4 MiB", name="a")
a[:] = 7
p.set_attr(a, access=["gpu0"], prefetch="gpu0")
p.run()
sl.show(sl.timeline(p))
p.why(a)
p.gpu(0).read(a)
print(a[0])
for name in svmlab.widgets.__all__:
    getattr(svmlab.widgets, name)()
check("00.w1", 64)
print("done")
"""


def run(code: str, tmp_path: Path) -> str:
    command = [sys.executable, "-c", BLOCKED + code]
    environment = {"MPLBACKEND": "Agg", "SVMLAB_STATE": str(tmp_path / "state"), "HOME": str(tmp_path), "PATH": ""}
    done = subprocess.run(command, cwd=ROOT, env=environment, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_what_the_notebooks_use_needs_no_thread_process_or_socket(tmp_path: Path):
    assert run(LESSON, tmp_path).endswith("00.w1 right\ndone\n")


def test_a_scenario_runs_without_thread_process_or_socket(tmp_path: Path):
    code = """
from click.testing import CliRunner
from svmlab.cli import main
done = CliRunner().invoke(main, ["--debug", "run", "data/scenarios/first-migration.toml"], catch_exceptions=False)
print(done.exit_code)
"""
    assert run(code, tmp_path) == "0\n"


def test_the_block_itself_works(tmp_path: Path):
    for use in ("threading.Thread(target=print).start()", "subprocess.run(['true'])", "socket.socket()"):
        code = f"try:\n    {use}\nexcept RuntimeError as error:\n    print(error)\n"
        assert run(code, tmp_path) == "no thread, process or socket here\n"
