import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "svmlab"

LADDER = (
    {"units", "uapi", "errors", "resources"},
    {"log"},
    {"hardware"},
    {"mm"},
    {"svm"},
    {"scenario", "trace"},
    {"views"},
    {"widgets", "course"},
    {"bench", "cli"},
    {"__main__"},
)
RUNG = {name: number for number, names in enumerate(LADDER) for name in names}
# The public names of svmlab/__init__.py come from everywhere, so only the top may ask the package itself for one.
ROOT_RUNG = RUNG["widgets"]
LOWEST = {"matplotlib": RUNG["views"], "ipywidgets": RUNG["widgets"], "IPython": RUNG["views"]}


def is_type_checking(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING")


def runtime_nodes(node: ast.AST) -> Iterator[ast.AST]:
    """Everything that can run, functions included; what only a type checker sees is no dependency."""
    for child in ast.iter_child_nodes(node):
        if is_type_checking(child):
            for branch in child.orelse:
                yield from runtime_nodes(branch)
            continue
        yield child
        yield from runtime_nodes(child)


def imported(path: Path) -> Iterator[tuple[int, str]]:
    package = ("svmlab", *path.relative_to(PACKAGE).parent.parts)
    for node in runtime_nodes(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            module = ".".join((*base, *filter(None, [node.module])))
            for alias in node.names:
                yield node.lineno, f"{module}.{alias.name}"


def lowest_rung(name: str) -> int:
    """The lowest rung that may import this."""
    first, *rest = name.split(".")
    if first != "svmlab":
        return LOWEST.get(first, 0)
    return RUNG.get(rest[0], ROOT_RUNG) if rest else ROOT_RUNG


def modules() -> list[Path]:
    return [path for path in sorted(PACKAGE.rglob("*.py")) if path != PACKAGE / "__init__.py"]


def test_every_module_stands_on_a_rung():
    tops = {path.relative_to(PACKAGE).parts[0].removesuffix(".py") for path in modules()}
    assert tops - set(RUNG) == set(), "DESIGN.md names the packages; a new one needs its rung"


def test_nothing_imports_from_above_its_rung():
    upward = []
    for path in modules():
        rung = RUNG[path.relative_to(PACKAGE).parts[0].removesuffix(".py")]
        upward += [
            f"{path.relative_to(ROOT)}:{line} imports {name}"
            for line, name in imported(path)
            if lowest_rung(name) > rung
        ]
    if upward:
        pytest.fail("\n".join(upward), pytrace=False)
