import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

TOP_LEVEL = {
    *(".ci", ".gitignore", "Makefile", "environment.yml", "postBuild", "pyproject.toml", "requirements.lock"),
    *("CHANGELOG.md", "CITATION.cff", "CONTRIBUTING.md", "DESIGN.md", "DEVIATIONS.md", "LICENSE", "README.md"),
    *("data", "docs", "notebooks", "svmlab", "tests"),
}

# A folder of somebody's machine. Put together from parts, so that this file does not contain what it looks for.
FOLDERS = "|".join(("work", "root", r"home/\w+", r"Users/\w+", r"tmp/\w+"))
MACHINE_PATH = re.compile(rf"(?<![\w.<$}})/-])/(?:{FOLDERS})(?![\w-])")


def files() -> list[Path]:
    """What is in the repository or would be with the next commit."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    done = subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True)
    if done.returncode:
        pytest.skip("this is no git checkout")
    return [ROOT / name for name in done.stdout.split("\0") if name and (ROOT / name).is_file()]


def test_the_top_level_holds_only_what_the_design_names():
    assert {path.relative_to(ROOT).parts[0] for path in files()} - TOP_LEVEL == set()


def test_no_file_names_a_folder_of_somebodys_machine():
    found = []
    for path in files():
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        found += [
            f"{path.relative_to(ROOT)}:{number}: {line.strip()[:100]}"
            for number, line in enumerate(text.splitlines(), 1)
            if MACHINE_PATH.search(line)
        ]
    if found:
        pytest.fail("\n".join(found), pytrace=False)
