"""What a learner costs a shared machine: the moves of a widget, the table, and where it is written."""

import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from svmlab.bench import hub
from svmlab.course.editions import LESSON
from svmlab.resources import notebooks_path
from svmlab.widgets import LocationLab, MigrationStepper

ROOT = Path(__file__).resolve().parents[2]
COSTS = [hub.Cost("00_start_here", 200.4, 160.2, 210.0, 8.4, 11.0), hub.Cost("A_log", 100.0, 80.0, 120.0, None, None)]
SERVER = {"VmRSS": 121.0, "RssAnon": 100.0, "Pss": 110.0, "VmHWM": 125.0}


@pytest.mark.parametrize("widget", [MigrationStepper, LocationLab])
def test_every_control_of_a_widget_is_moved_and_each_move_takes_time(widget):
    shown = widget()
    seen: list[str] = []
    for control in hub._controls(shown.box):
        if len(hub._values(control)) > 1:
            control.observe(lambda change: seen.append(change["owner"].model_id), "value")
    taken = hub.moves(shown)
    assert len(taken) == hub.MOVES
    assert min(taken) > 0
    movable = [control for control in hub._controls(shown.box) if len(hub._values(control)) > 1]
    assert set(seen) == {control.model_id for control in movable}


def test_the_table_has_a_row_for_each_notebook_and_one_for_the_server():
    rows = hub.table(COSTS, SERVER).splitlines()[2:]
    assert rows == [
        "| 00_start_here | 200 | 160 | 210 | 8 | 11 |",
        "| A_log | 100 | 80 | 120 | - | - |",
        "| (the JupyterLab server) | 121 | 100 | 125 | - | - |",
    ]


def test_the_table_goes_between_the_marks_of_a_file_and_changes_nothing_else(tmp_path, monkeypatch):
    monkeypatch.setattr(hub, "costs", lambda: iter(COSTS))
    monkeypatch.setattr(hub, "server_mib", lambda: SERVER)
    page = tmp_path / "page.md"
    page.write_text(f"before\n{hub.BEGIN}\nold\n{hub.END}\nafter\n", encoding="utf-8")
    assert CliRunner().invoke(hub.main, ["--into", str(page)]).exit_code == 0
    assert page.read_text(encoding="utf-8") == f"before\n{hub.BEGIN}\n{hub.table(COSTS, SERVER)}\n{hub.END}\nafter\n"


def test_a_file_without_the_marks_is_refused_before_it_is_changed(tmp_path, monkeypatch):
    monkeypatch.setattr(hub, "costs", lambda: iter(COSTS))
    monkeypatch.setattr(hub, "server_mib", lambda: SERVER)
    page = tmp_path / "page.md"
    page.write_text("no marks\n", encoding="utf-8")
    done = CliRunner().invoke(hub.main, ["--into", str(page)])
    assert "no place for the table" in str(done.exception)
    assert page.read_text(encoding="utf-8") == "no marks\n"


def test_the_page_for_classes_has_a_measured_row_for_every_lesson():
    page = (ROOT / "docs" / "jupyterhub.md").read_text(encoding="utf-8")
    between = page.partition(hub.BEGIN)[2].partition(hub.END)[0]
    rows = re.findall(r"^\| (\w+) \| \d+ \| \d+ \| \d+ \|", between, re.MULTILINE)
    lessons = {path.stem for path in notebooks_path().glob("*.ipynb") if LESSON.match(path.name)}
    assert set(rows) == lessons, "run `python -m svmlab.bench.hub --into docs/jupyterhub.md`"
