"""What the documents at the top say is run: their Python, their commands, their links."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")])
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def commands() -> list[str]:
    lines = "".join(blocks(README, "sh")).splitlines()
    return [line.partition("#")[0].strip() for line in lines if line.startswith("svmlab ")]


def demand(module: str) -> None:
    if not (ROOT / "svmlab" / module).is_file():
        pytest.skip(f"svmlab/{module} does not exist yet")


def run(*arguments: str) -> None:
    environment = {**os.environ, "MPLBACKEND": "Agg"}
    done = subprocess.run(
        [sys.executable, *arguments], cwd=ROOT, env=environment, check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_python_sample_of_the_readme_runs():
    demand("__init__.py")
    (sample,) = blocks(README, "python")
    run("-c", sample)


@pytest.mark.parametrize("command", commands())
def test_a_command_of_the_readme_ends_with_0(command: str):
    demand("__init__.py")
    run("-c", "from svmlab.cli import main; main()", *shlex.split(command)[1:])


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_make_target_a_document_names_exists(document: Path):
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    text = document.read_text(encoding="utf-8")
    named = re.findall(r"`make ((?:[a-z-]+ ?)+)", text) + re.findall(r"^(?: {4})?make ([a-z -]+?) *(?:#|$)", text, re.M)
    assert {target for names in named for target in names.split()} - targets == set()


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_link_between_files_leads_somewhere(document: Path):
    links = re.findall(r"\]\(([^)#\s]+)[^)]*\)", document.read_text(encoding="utf-8"))
    assert [link for link in links if "://" not in link and not (document.parent / link).exists()] == []
