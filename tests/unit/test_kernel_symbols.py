"""Docstrings cite the kernel: "Kernel: symbol (file)", several with commas. Each must stand in kernel_symbols.txt."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LIST = Path(__file__).with_name("kernel_symbols.txt")
VERSIONS = ("posting", "5.14", "6.7", "7.x")

ONE_FILE = r"[A-Za-z_]\w*(?:, [A-Za-z_]\w*)* \((?:[\w-]+/)*[\w-]+\.[ch]\)"
CITATION = re.compile(rf"Kernel: ({ONE_FILE}(?:, {ONE_FILE})*)\.?")


def symbols() -> list[tuple[str, str, str]]:
    lines = [
        line.split() for line in LIST.read_text(encoding="utf-8").splitlines() if line and not line.startswith("#")
    ]
    return [(name, file, version) for name, file, version in lines]


def texts(path: Path) -> Iterator[tuple[int, str]]:
    """Docstrings, of attributes too."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            yield node.lineno, node.value.value


def paragraphs(text: str) -> Iterator[str]:
    """Each paragraph that begins with Kernel:, its lines joined."""
    for block in re.split(r"\n\s*\n", text):
        lines = [line.strip() for line in block.splitlines()]
        starts = [number for number, line in enumerate(lines) if line.startswith("Kernel:")]
        if starts:
            yield " ".join(lines[starts[0] :]).strip()


def citations() -> Iterator[tuple[str, str]]:
    for path in sorted((ROOT / "svmlab").rglob("*.py")):
        for line, text in texts(path):
            for paragraph in paragraphs(text):
                yield f"{path.relative_to(ROOT)}:{line}", paragraph


def cited_pairs(paragraph: str) -> set[tuple[str, str]]:
    pairs = set()
    for names, file in re.findall(r"([\w, ]+) \((?:[\w-]+/)*([\w-]+\.[ch])\)", paragraph.removeprefix("Kernel: ")):
        pairs |= {(name.strip(), file) for name in names.split(",") if name.strip()}
    return pairs


def test_the_list_is_sorted_without_duplicates_and_names_a_version():
    rows = symbols()
    assert rows == sorted(set(rows))
    assert {version for *_, version in rows} <= set(VERSIONS)


def test_every_citation_is_written_as_symbol_and_file():
    unclear = [f"{where}: {text}" for where, text in citations() if not CITATION.fullmatch(text)]
    if unclear:
        pytest.fail("\n".join(["write: Kernel: symbol (file.c), other (file.h)", *unclear]), pytrace=False)


def test_every_cited_symbol_stands_in_the_list():
    known = {(name, file) for name, file, _ in symbols()}
    unknown = [
        f"{where}: {name} {file}"
        for where, text in citations()
        for name, file in sorted(cited_pairs(text))
        if (name, file) not in known
    ]
    if unknown:
        advice = f"check that the kernel has it, then add it to {LIST.relative_to(ROOT)}:"
        pytest.fail("\n".join([advice, *unknown]), pytrace=False)
