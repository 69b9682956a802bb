"""`make reproducible` finds the Pythons that run, and tells what differs."""

from __future__ import annotations

import platform
from pathlib import Path
from typing import Any

import pytest

from tests.reproducible import compare, traces


def found(python: str, **digests: str) -> dict[str, Any]:
    return {"python": python, "numpy": "2.0.0", "digests": digests}


def test_the_python_that_runs_this_is_found_among_those_that_run():
    assert f"{platform.python_implementation().lower()} {platform.python_version()}" in compare.pythons()


def test_what_does_not_run_is_skipped_aloud(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    (tmp_path / "python3").write_text("not a program", encoding="utf-8")
    (tmp_path / "python3").chmod(0o755)
    monkeypatch.setattr(compare, "candidates", lambda: [tmp_path / "python3"])
    assert compare.pythons() == {}
    assert capsys.readouterr().out.startswith(f"skipped {tmp_path / 'python3'}: it does not run")


def test_a_trace_that_differs_or_is_missing_is_named_with_both_environments(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    environments = [found("3.11.7", a="1", b="2"), found("3.12.1", a="1", b="3"), found("3.13.0", a="1")]
    monkeypatch.setattr(compare, "all_traces", lambda: iter(environments))
    assert compare.main() == 1
    assert capsys.readouterr().out.splitlines() == [
        "DIFFER  b: Python 3.12.1 with numpy 2.0.0 and Python 3.11.7 with numpy 2.0.0",
        "DIFFER  b: Python 3.13.0 with numpy 2.0.0 and Python 3.11.7 with numpy 2.0.0",
        "3 environments, 2 differences",
    ]


@pytest.mark.parametrize(("count", "code"), [(0, 1), (1, 1), (2, 0)])
def test_one_environment_alone_proves_nothing(count: int, code: int, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(compare, "all_traces", lambda: iter([found("3.11.7", a="1")] * count))
    assert compare.main() == code


def test_every_digest_is_of_a_log_with_something_in_it(tmp_path: Path):
    first = traces.scenarios()[0]
    assert traces.digest(first, 0, tmp_path) == traces.digest(first, 0, tmp_path)
    assert all(path.stat().st_size > 100 for path in tmp_path.iterdir())
    assert len(traces.scenarios()) >= 20
