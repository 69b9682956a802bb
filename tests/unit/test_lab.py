"""`svmlab lab`: a learner's folder, whose work is never written over, and whether everything is there."""

import os
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from svmlab.cli import main
from svmlab.course import readiness
from svmlab.course.handout import Fate, hand_out, lessons, reset
from svmlab.course.readiness import findings
from svmlab.errors import InputError
from svmlab.resources import notebooks_path

NAMES = ("00_first.ipynb", "01_second.ipynb", "A_last.ipynb", "gallery.ipynb", "solutions/00_first.ipynb")


@pytest.fixture
def course(tmp_path: Path) -> Path:
    """What svmlab ships, in a version that a test may change."""
    folder = tmp_path / "notebooks"
    for name in NAMES:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(f"{name}, version 1")
    return folder


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    return tmp_path / "mine"


def fates(handed) -> dict[str, Fate]:
    return {each.name: each.fate for each in handed}


def contents(folder: Path) -> dict[str, str]:
    return {path.relative_to(folder).as_posix(): path.read_text() for path in sorted(folder.rglob("*.ipynb"))}


def newer(course: Path, name: str, version: int = 2) -> None:
    (course / name).write_text(f"{name}, version {version}")


def test_everything_is_copied_into_an_empty_folder(course: Path, mine: Path):
    assert set(fates(hand_out(course, mine)).values()) == {Fate.COPIED}
    assert contents(mine) == contents(course)


def test_a_second_time_nothing_changes(course: Path, mine: Path):
    hand_out(course, mine)
    before = {path: path.stat().st_mtime_ns for path in mine.rglob("*.ipynb")}
    assert set(fates(hand_out(course, mine)).values()) == {Fate.SAME}
    assert {path: path.stat().st_mtime_ns for path in mine.rglob("*.ipynb")} == before


def test_work_is_kept_as_long_as_nothing_newer_comes(course: Path, mine: Path):
    hand_out(course, mine)
    (mine / NAMES[0]).write_text("my work")
    for _ in range(2):
        assert fates(hand_out(course, mine))[NAMES[0]] is Fate.KEPT
    assert sorted(contents(mine)) == sorted(NAMES)
    assert (mine / NAMES[0]).read_text() == "my work"


def test_a_newer_version_lands_beside_work_and_once_only(course: Path, mine: Path):
    hand_out(course, mine)
    (mine / NAMES[0]).write_text("my work")
    newer(course, NAMES[0])
    assert [fates(hand_out(course, mine))[NAMES[0]] for _ in range(2)] == [Fate.BESIDE, Fate.KEPT]
    assert (mine / NAMES[0]).read_text() == "my work"
    assert (mine / "00_first.newer.ipynb").read_text() == "00_first.ipynb, version 2"
    assert len(contents(mine)) == len(NAMES) + 1


def test_a_newer_version_that_was_worked_on_is_kept_too(course: Path, mine: Path):
    hand_out(course, mine)
    (mine / NAMES[0]).write_text("my work")
    newer(course, NAMES[0])
    hand_out(course, mine)
    (mine / "00_first.newer.ipynb").write_text("more work")
    newer(course, NAMES[0], 3)
    hand_out(course, mine)
    assert (mine / "00_first.newer.ipynb").read_text() == "more work"
    assert (mine / "00_first.newer-2.ipynb").read_text() == "00_first.ipynb, version 3"


def test_a_notebook_that_nobody_touched_is_replaced_by_a_newer_one(course: Path, mine: Path):
    hand_out(course, mine)
    newer(course, NAMES[0])
    assert fates(hand_out(course, mine))[NAMES[0]] is Fate.REPLACED
    assert contents(mine) == contents(course)


def test_a_notebook_of_unknown_origin_counts_as_work(course: Path, mine: Path):
    mine.mkdir()
    (mine / NAMES[0]).write_text("came from somewhere")
    assert fates(hand_out(course, mine))[NAMES[0]] is Fate.BESIDE
    assert (mine / NAMES[0]).read_text() == "came from somewhere"


@pytest.mark.parametrize("note", ["", "{", "[1]", '{"00_first.ipynb": 7}'])
def test_a_damaged_note_costs_no_work(course: Path, mine: Path, note: str):
    hand_out(course, mine)
    (mine / NAMES[0]).write_text("my work")
    (mine / ".svmlab" / "handed-out.json").write_text(note)
    hand_out(course, mine)
    assert (mine / NAMES[0]).read_text() == "my work"


def test_what_is_not_the_courses_is_left_alone(course: Path, mine: Path):
    mine.mkdir()
    (mine / "my own.ipynb").write_text("mine")
    (mine / ".svmlab").mkdir()
    (mine / ".svmlab" / "course.jsonl").write_text("what I did")
    hand_out(course, mine)
    assert (mine / "my own.ipynb").read_text() == "mine"
    assert (mine / ".svmlab" / "course.jsonl").read_text() == "what I did"


def test_a_reset_puts_a_fresh_copy_and_keeps_what_was_there(course: Path, mine: Path):
    hand_out(course, mine)
    for work in ("first try", "second try"):
        (mine / NAMES[1]).write_text(work)
        assert reset(course, mine, "01").fate is Fate.RESET
    kept = [(mine / f"01_second.{word}.ipynb").read_text() for word in ("before", "before-2")]
    assert kept == ["first try", "second try"]
    assert (mine / NAMES[1]).read_text() == "01_second.ipynb, version 1"


def test_a_reset_of_an_untouched_notebook_leaves_nothing_beside_it(course: Path, mine: Path):
    hand_out(course, mine)
    assert reset(course, mine, "01").fate is Fate.SAME
    assert sorted(contents(mine)) == sorted(NAMES)


def test_after_a_reset_the_fresh_copy_is_known(course: Path, mine: Path):
    hand_out(course, mine)
    (mine / NAMES[1]).write_text("my work")
    reset(course, mine, "01")
    newer(course, NAMES[1])
    assert fates(hand_out(course, mine))[NAMES[1]] is Fate.REPLACED


@pytest.mark.parametrize("number", ["", "0", "07", "gallery"])
def test_a_reset_of_something_else_than_one_lesson_is_refused(course: Path, mine: Path, number: str):
    with pytest.raises(InputError, match="allowed: 00, 01, A"):
        reset(course, mine, number)


def test_the_folder_of_the_course_is_no_folder_to_work_in(course: Path):
    with pytest.raises(InputError, match="where the course comes from"):
        hand_out(course, course / "mine")


def test_a_file_is_no_folder(course: Path, tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="--workdir"):
        hand_out(course, tmp_path / "file")


def test_a_failure_halfway_leaves_no_part_of_a_notebook_and_the_next_try_ends_it(course: Path, mine: Path, monkeypatch):
    written = Path.write_bytes

    def full(path: Path, data: bytes) -> int:
        if "01_second" in path.name:
            raise OSError(28, "No space left on device", str(path))
        return written(path, data)

    with monkeypatch.context() as patched, pytest.raises(InputError, match="No space left"):
        patched.setattr(Path, "write_bytes", full)
        hand_out(course, mine)
    assert set(contents(mine)) == {"00_first.ipynb"}
    hand_out(course, mine)
    assert contents(mine) == contents(course)


# the command


def svmlab(*arguments: str) -> Result:
    result = CliRunner().invoke(main, list(arguments))
    assert result.exception is None or isinstance(result.exception, SystemExit), result.output
    return result


@pytest.fixture
def opened(monkeypatch) -> list[list[str]]:
    """What would have become of this process."""
    calls: list[list[str]] = []
    monkeypatch.setattr(os, "execv", lambda program, arguments: calls.append([program, *arguments]))
    return calls


def test_the_command_copies_the_course_and_opens_its_first_lesson_there(tmp_path: Path, opened, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = svmlab("lab", "--workdir", "work", "--", "--no-browser")
    assert result.exit_code == 0
    assert Path.cwd() == tmp_path / "work"
    assert sorted(contents(Path.cwd())) == sorted(contents(notebooks_path()))
    ((program, *arguments),) = opened
    assert program == sys.executable
    assert arguments[1:3] == ["-m", "jupyterlab"]
    assert arguments[-2:] == ["--no-browser", lessons(notebooks_path())[0].name]


def test_the_command_resets_and_opens_nothing(tmp_path: Path, opened):
    work = tmp_path / "work"
    svmlab("lab", "--workdir", str(work), "--reset", "00")
    (name,) = (path.name for path in work.glob("*.ipynb"))
    (work / name).write_text("my work")
    assert svmlab("lab", "--workdir", str(work), "--reset", "00").stdout == (
        f"{name}: fresh again, and yours is beside it ({name.removesuffix('.ipynb')}.before.ipynb)\n"
    )
    assert opened == []


def test_a_folder_that_cannot_be_used_is_told_in_one_line(tmp_path: Path, opened):
    (tmp_path / "file").write_text("")
    result = svmlab("lab", "--workdir", str(tmp_path / "file"))
    assert (result.exit_code, result.stderr.count("\n"), opened) == (2, 1, [])


# is everything there?


@pytest.mark.slow
def test_the_check_finds_everything_here_and_writes_nothing(tmp_path: Path, opened):
    result = svmlab("lab", "--workdir", str(tmp_path / "work"), "--check")
    assert (result.exit_code, opened) == (0, [])
    assert [line.split()[0] for line in result.stdout.splitlines()] == [*["ok"] * 5, "everything"]
    assert list(tmp_path.iterdir()) == []


def wrong(folder: Path) -> dict[str, str]:
    return {each.of: each.wrong for each in findings(folder) if each.wrong}


@pytest.fixture
def no_kernel(monkeypatch):
    """The check of the kernel takes seconds, and is not what these tests are about."""
    monkeypatch.setattr(readiness, "_kernel", lambda: "it starts")


def test_missing_packages_are_named(tmp_path: Path, monkeypatch, no_kernel):
    monkeypatch.setattr(readiness, "_NEEDED", ("numpy", "no_such_package"))
    assert wrong(tmp_path) == {
        "packages": "no_such_package cannot be imported; try: pip install 'svmlab[lab]', or make setup"
    }


def test_a_work_folder_that_is_a_file_is_named(tmp_path: Path, no_kernel):
    (tmp_path / "file").write_text("")
    assert "is a file; try: name a folder with --workdir" in wrong(tmp_path / "file" / "work")["work folder"]


def test_a_work_folder_that_cannot_be_written_is_named(tmp_path: Path, monkeypatch, no_kernel):
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    assert "cannot be written" in wrong(tmp_path)["work folder"]


def test_a_scenario_that_does_not_hold_is_named(tmp_path: Path, monkeypatch, no_kernel):
    monkeypatch.setattr(readiness, "_SCENARIO", ("scenarios", "no-such.toml"))
    assert "no-such.toml" in wrong(tmp_path)["scenario"]


def test_notebooks_that_are_not_there_are_named(tmp_path: Path, monkeypatch, no_kernel):
    monkeypatch.setattr("svmlab.resources.notebooks_path", lambda: tmp_path)
    assert "no lesson was found" in wrong(tmp_path)["notebooks"]


def test_a_kernel_that_is_not_registered_is_named(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(readiness, "_KERNEL", "no-such-kernel")
    assert "no kernel no-such-kernel starts" in wrong(tmp_path)["kernel"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("raise ImportError('broken')", "cannot import svmlab"),
        ("__version__ = '0'; import sys; sys.prefix = '/'", "is another Python, /"),
    ],
)
def test_a_kernel_with_another_svmlab_is_named(tmp_path: Path, monkeypatch, path: str, message: str):
    (tmp_path / "svmlab.py").write_text(path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    assert message in wrong(tmp_path)["kernel"]
