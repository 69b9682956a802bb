"""The caps of DESIGN.md, "House style". Lines of a function are its code lines: no docstring, blank or comment."""

import ast
import io
import statistics
import tokenize
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "svmlab"

MODULE_CAP, MODULE_MEDIAN = 350, 130
FUNCTION_CAP, FUNCTION_MEDIAN = 45, 6
NESTING_CAP = 3
PARAMETER_CAP, POSITIONAL_CAP = 5, 3
# A first parameter of these names is what the function works on, as self is for a method; it does not count.
RECEIVERS = {"self", "cls", "driver", "mm", "memory"}
# A closed interval of pages is one thing in two parameters; it counts once.
INTERVAL_END = "last"

# The parameters of a command are the arguments and options of the command line, and click passes them by keyword.
COMMAND = ".command"

# Exceptions to the number of parameters, "path:qualified name", each with its reason.
ALLOWED_PARAMETERS = {
    "svmlab/svm/process.py:Process.__init__",  # the head of a scenario, all but the machine keyword-only
}

FunctionNode = ast.FunctionDef | ast.AsyncFunctionDef
BLOCKS = (ast.If, ast.For, ast.AsyncFor, ast.While, ast.With, ast.AsyncWith, ast.Try, ast.Match)
SKIPPED_TOKENS = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER}


class Function(NamedTuple):
    where: str
    node: FunctionNode
    code_lines: int
    public: bool


def paths() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def lines_with_code(path: Path) -> set[int]:
    found: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(path.read_text(encoding="utf-8")).readline):
        if token.type not in SKIPPED_TOKENS:
            found.update(range(token.start[0], token.end[0] + 1))
    return found


def has_docstring(node: FunctionNode) -> bool:
    return ast.get_docstring(node, clean=False) is not None


def walk_functions(node: ast.AST, prefix: str, public: bool) -> Iterator[tuple[str, FunctionNode, bool]]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, FunctionNode | ast.ClassDef):
            name = f"{prefix}{child.name}"
            seen = public and not child.name.startswith("_")
            if isinstance(child, FunctionNode):
                yield name, child, seen
            yield from walk_functions(child, f"{name}.", seen and isinstance(child, ast.ClassDef))
        else:
            yield from walk_functions(child, prefix, public)


@cache
def functions() -> list[Function]:
    found = []
    for path in paths():
        code = lines_with_code(path)
        for name, node, public in walk_functions(tree(path), "", True):
            body = node.body[1:] if has_docstring(node) else node.body
            lines = code & set(range(body[0].lineno, body[-1].end_lineno + 1)) if body else set()
            found.append(Function(f"{path.relative_to(ROOT)}:{name}", node, len(lines), public))
    return found


def depth(node: ast.AST, level: int = 0) -> int:
    """The number of blocks around the innermost statement; elif and nested functions open none."""
    deepest = level
    for child in ast.iter_child_nodes(node):
        if isinstance(child, FunctionNode | ast.ClassDef | ast.Lambda):
            continue
        is_elif = isinstance(node, ast.If) and node.orelse == [child] and isinstance(child, ast.If)
        deepest = max(deepest, depth(child, level + (isinstance(child, BLOCKS) and not is_elif)))
    return deepest


def count(arguments: list[ast.arg]) -> int:
    names = [argument.arg for argument in arguments]
    if names and names[0] in RECEIVERS:
        names = names[1:]
    return len(names) - (INTERVAL_END in names[1:])


def number_of_parameters(function: Function, *, positional_only: bool) -> int:
    if any(ast.unparse(decorator).partition("(")[0].endswith(COMMAND) for decorator in function.node.decorator_list):
        return 0
    arguments = function.node.args
    keywords = [] if positional_only else arguments.kwonlyargs
    return count([*arguments.posonlyargs, *arguments.args, *keywords])


def expect_none(offenders: dict[str, int], cap: int) -> None:
    """Fail with one whole line an offender; pytest would shorten a comparison."""
    if offenders:
        lines = (f"{where}: {number}" for where, number in sorted(offenders.items()))
        pytest.fail("\n".join([f"allowed: {cap}", *lines]), pytrace=False)


def module_lengths() -> dict[str, int]:
    lengths = {str(path.relative_to(ROOT)): len(path.read_text(encoding="utf-8").splitlines()) for path in paths()}
    return {name: length for name, length in lengths.items() if length}


def test_no_module_is_longer_than_the_cap():
    expect_none({name: lines for name, lines in module_lengths().items() if lines > MODULE_CAP}, MODULE_CAP)


def test_half_of_the_modules_are_short():
    assert statistics.median(module_lengths().values()) <= MODULE_MEDIAN


def test_no_function_is_longer_than_the_cap():
    expect_none({f.where: f.code_lines for f in functions() if f.code_lines > FUNCTION_CAP}, FUNCTION_CAP)


def test_half_of_the_functions_are_short():
    assert statistics.median(f.code_lines for f in functions()) <= FUNCTION_MEDIAN


def test_no_function_nests_deeper_than_the_cap():
    expect_none({f.where: d for f in functions() if (d := depth(f.node)) > NESTING_CAP}, NESTING_CAP)


def test_no_function_has_more_parameters_than_the_cap():
    numbers = {f.where: number_of_parameters(f, positional_only=False) for f in functions()}
    many = {where: n for where, n in numbers.items() if n > PARAMETER_CAP and where not in ALLOWED_PARAMETERS}
    expect_none(many, PARAMETER_CAP)


def test_a_public_function_takes_keywords_only_after_three_parameters():
    numbers = {f.where: number_of_parameters(f, positional_only=True) for f in functions() if f.public}
    expect_none({where: n for where, n in numbers.items() if n > POSITIONAL_CAP}, POSITIONAL_CAP)


def test_every_exception_is_still_needed():
    numbers = {f.where: number_of_parameters(f, positional_only=False) for f in functions()}
    assert {where for where in ALLOWED_PARAMETERS if numbers.get(where, 0) <= PARAMETER_CAP} == set()


def is_silent(handler: ast.ExceptHandler) -> bool:
    names = ast.unparse(handler.type).split(".")[-1] if handler.type else ""
    return names in ("", "Exception", "BaseException") and not any(isinstance(n, ast.Raise) for n in ast.walk(handler))


@pytest.mark.parametrize("path", paths(), ids=lambda path: str(path.relative_to(ROOT)))
def test_a_module_swallows_no_error_and_asserts_nothing(path: Path):
    nodes = list(ast.walk(tree(path)))
    assert [n.lineno for n in nodes if isinstance(n, ast.ExceptHandler) and is_silent(n)] == [], "broad except"
    assert [n.lineno for n in nodes if isinstance(n, ast.Assert)] == [], "assert is for tests: python -O removes it"


def test_what_is_public_has_a_docstring():
    missing = [str(path.relative_to(ROOT)) for path in paths() if tree(path).body and not ast.get_docstring(tree(path))]
    missing += [f.where for f in functions() if f.public and not has_docstring(f.node) and not is_overload(f.node)]
    if missing:
        pytest.fail("\n".join(missing), pytrace=False)


def is_overload(node: FunctionNode) -> bool:
    names = {ast.unparse(decorator).split(".")[-1] for decorator in node.decorator_list}
    return bool(names & {"overload", "setter", "override"})
