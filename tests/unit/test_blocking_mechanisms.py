"""Only what sleeps in the kernel is a generator. The list is short enough to be read in a review."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LIST = Path(__file__).with_name("blocking_mechanisms.txt")
FOLDERS = ("hardware", "mm", "svm")

FunctionNode = ast.FunctionDef | ast.AsyncFunctionDef
# Such a function iterates over values or wraps a with block; it never waits.
PLAIN = ("Iterator", "Iterable")
WRAPPERS = ("contextmanager",)


def last_name(node: ast.expr | None) -> str:
    if node is None:
        return ""
    if isinstance(node, ast.Constant):
        node = ast.parse(str(node.value), mode="eval").body
    return ast.unparse(node).partition("[")[0].rpartition(".")[2]


def yields(node: ast.AST) -> bool:
    """Whether this function's own body yields, nested functions aside."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Yield | ast.YieldFrom):
            return True
        if not isinstance(child, FunctionNode | ast.Lambda | ast.ClassDef) and yields(child):
            return True
    return False


def sleeps(node: FunctionNode) -> bool:
    if last_name(node.returns) in PLAIN or any(last_name(d) in WRAPPERS for d in node.decorator_list):
        return False
    return yields(node)


def generators(node: ast.AST, prefix: str) -> Iterator[str]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, FunctionNode | ast.ClassDef):
            name = f"{prefix}.{child.name}"
            if isinstance(child, FunctionNode) and sleeps(child):
                yield name
            yield from generators(child, name)
        else:
            yield from generators(child, prefix)


def found() -> set[str]:
    names: set[str] = set()
    for folder in FOLDERS:
        for path in (ROOT / "svmlab" / folder).rglob("*.py"):
            module = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
            names.update(generators(ast.parse(path.read_text(encoding="utf-8")), module))
    return names


def listed() -> list[str]:
    lines = (line.partition("#")[0].strip() for line in LIST.read_text(encoding="utf-8").splitlines())
    return [line for line in lines if line]


def test_the_list_is_sorted_without_duplicates():
    assert listed() == sorted(set(listed()))


def test_the_list_names_every_generator_of_the_model_and_no_other():
    missing, superfluous = sorted(found() - set(listed())), sorted(set(listed()) - found())
    report = [f"in {LIST.relative_to(ROOT)}", "add these lines:", *missing, "remove these lines:", *superfluous]
    if missing or superfluous:
        pytest.fail("\n".join(report), pytrace=False)
