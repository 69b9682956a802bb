"""What a learner costs a machine that many share: ``python -m svmlab.bench.hub [--into FILE]`` measures each notebook.

A notebook runs on a kernel of its own, from its first cell to its last; then its widget is moved through its controls.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import click

from svmlab.bench.start import footprint, resident
from svmlab.course.editions import LESSON
from svmlab.course.state import VARIABLE
from svmlab.errors import InputError
from svmlab.resources import notebooks_path

__all__ = ["Cost", "costs", "moves", "server_mib", "table"]

MOVES = 30
BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"
_SERVER_S = 60
_MOVE = """
import json as _json
from pathlib import Path as _Path
from svmlab.bench.hub import moves as _moves
from svmlab.widgets.shown import Shown as _Shown
_shown = [each for each in list(globals().values()) if isinstance(each, _Shown)]
_Path({path!r}).write_text(_json.dumps([ms for each in _shown for ms in _moves(each)]))
"""


class Cost(NamedTuple):
    """What a notebook takes.

    Attributes:
        name: file name without its ending.
        resident_mib: all that its kernel holds in the end.
        own_mib: what of it is no other process's too.
        peak_mib: the most it ever held.
        move_ms: processor time of a move of its widget, the median; None where it has none.
        worst_ms: the dearest of the moves.
    """

    name: str
    resident_mib: float
    own_mib: float
    peak_mib: float
    move_ms: float | None
    worst_ms: float | None


def costs() -> Iterator[Cost]:
    """Measure the lessons, one after the other.

    Raises:
        InputError: there is no ipykernel, or the operating system is not Linux.
    """
    for path in sorted(notebooks_path().glob("*.ipynb")):
        if LESSON.match(path.name):
            yield _cost(path)


def _cost(path: Path) -> Cost:
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    code = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    with TemporaryDirectory() as folder:
        timed = Path(folder) / "moves.json"
        begin = f"import os; os.environ[{VARIABLE!r}] = {folder!r}"
        held = footprint("\n".join([begin, *code, _MOVE.format(path=str(timed))]))
        taken = json.loads(timed.read_text(encoding="utf-8"))
    move, worst = (statistics.median(taken), max(taken)) if taken else (None, None)
    return Cost(path.stem, held["VmRSS"], held["RssAnon"], held["VmHWM"], move, worst)


def moves(shown: Any) -> list[float]:
    """Move the controls of a widget in turn, as a learner would.

    Args:
        shown: a widget of ``svmlab.widgets``.

    Returns:
        Processor time of each move, in ms.
    """
    taken = []
    ways = [(control, values) for control in _controls(shown.box) if len(values := _values(control)) > 1]
    for at in range(MOVES if ways else 0):
        control, values = ways[at % len(ways)]
        value = values[(values.index(control.value) + 1) % len(values)] if control.value in values else values[0]
        begin = time.process_time_ns()
        control.value = value
        taken.append((time.process_time_ns() - begin) / 1e6)
    return taken


def _controls(box: Any) -> Iterator[Any]:
    for child in getattr(box, "children", ()):
        yield child
        yield from _controls(child)


def _values(control: Any) -> list[Any]:
    """The values that a control can be moved through; none for what shows text, and for boxes to write in."""
    if hasattr(control, "options"):
        return [option[1] if isinstance(option, tuple) else option for option in control.options]
    if isinstance(getattr(control, "max", None), int) and hasattr(control, "step"):
        return list(range(control.min, control.max + 1, max(control.step, 1)))
    return []


def server_mib() -> dict[str, float]:
    """What a JupyterLab server holds that nobody has worked with yet; each learner of a JupyterHub has one."""
    with TemporaryDirectory() as home:
        own = {f"JUPYTER_{name}_DIR": str(Path(home) / name.lower()) for name in ("CONFIG", "DATA", "RUNTIME")}
        options = ("--no-browser", "--allow-root", "--ServerApp.ip=127.0.0.1", "--ServerApp.port=0")
        with (Path(home) / "log").open("w") as log:
            command = [sys.executable, "-m", "jupyterlab", *options, f"--ServerApp.root_dir={home}"]
            server = subprocess.Popen(command, env={**os.environ, **own}, stdout=log, stderr=log)
        try:
            _await(Path(home) / "runtime", server)
            return resident(server.pid)
        finally:
            server.terminate()
            server.wait()


def _await(runtime: Path, server: subprocess.Popen[bytes]) -> None:
    """Wait until a server says where it listens."""
    end = time.monotonic() + _SERVER_S
    while not list(runtime.glob("jpserver-*.json")):
        if server.poll() is not None or time.monotonic() > end:
            raise InputError("JupyterLab does not start", hint='pip install "svmlab[lab]"')
        time.sleep(0.1)


def table(measured: list[Cost], server: dict[str, float]) -> str:
    """The measurements as a table in Markdown."""
    lines = [
        "| notebook | kernel in the end, MiB | its own, MiB | at most, MiB | a move of its widget, ms | dearest, ms |",
        "|---|---|---|---|---|---|",
    ]
    for each in measured:
        sizes = f"{each.resident_mib:.0f} | {each.own_mib:.0f} | {each.peak_mib:.0f}"
        move = "- | -" if each.move_ms is None or each.worst_ms is None else f"{each.move_ms:.0f} | {each.worst_ms:.0f}"
        lines.append(f"| {each.name} | {sizes} | {move} |")
    sizes = f"{server['VmRSS']:.0f} | {server['RssAnon']:.0f} | {server['VmHWM']:.0f}"
    return "\n".join([*lines, f"| (the JupyterLab server) | {sizes} | - | - |"])


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--into", type=click.Path(path_type=Path, exists=True, dir_okay=False), help="Write the table there.")
def main(into: Path | None) -> None:
    """Measure what each notebook takes of a machine."""
    head, tail = _around(into) if into else ("", "")
    text = table(list(costs()), server_mib())
    if into is None:
        click.echo(text)
    else:
        into.write_text(f"{head}{BEGIN}\n{text}\n{END}{tail}", encoding="utf-8")


def _around(page: Path) -> tuple[str, str]:
    """What stands before and behind the place of the table."""
    head, _, rest = page.read_text(encoding="utf-8").partition(BEGIN)
    _, found, tail = rest.partition(END)
    if not found:
        raise InputError(f"{page}: no place for the table", allowed=f"a line {BEGIN} and a line {END}")
    return head, tail


if __name__ == "__main__":
    main()
