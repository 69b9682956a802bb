"""Hand the course out with marks: a course folder for nbgrader, made from the sources of the notebooks.

Each exercise becomes an answer cell, whose solution nbgrader takes out, and a test cell for each ``check`` in it. What
a learner sees of a test is the ``check`` they know; the hidden part runs ``grade`` with a seed that is nowhere else.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random, SystemRandom
from typing import Any

from svmlab.course import bank
from svmlab.course.editions import LESSON, METADATA, read_source, tags_of
from svmlab.course.grading import POINTS
from svmlab.errors import InputError

__all__ = ["release"]

_CONFIG = """\
c = get_config()
c.CourseDirectory.course_id = "svmlab"
c.ClearSolutions.code_stub = {{"python": "{stub}"}}
c.ExecutePreprocessor.timeout = 120
"""
_STUB = "# Your answer takes the place of the dots, or of the function above."
_TO_SOLUTIONS = re.compile(r"Answers with reasons are in\s+\[[^\]]*\]\(solutions/[^)]*\)[.;]\s*")
"""A handed-out notebook does not point to its solutions."""


@dataclass(frozen=True, slots=True)
class _Answer:
    """The cell of an exercise.

    Attributes:
        text: what stands above the checks.
        checks: number of the exercise and the expression that is checked.
    """

    text: str
    checks: tuple[tuple[str, str], ...]


def release(out: Path, sources: Iterable[Path], *, seed: int | None = None) -> list[Path]:
    """Write a course folder for nbgrader, or add notebooks to one.

    Args:
        out: the folder of the course; made if it is not there.
        sources: percent sources, ``NN_name.py``; what is no lesson is left out.
        seed: draws the seeds of the hidden tests; without it they are different each time.

    Returns:
        The notebooks that were written, ``OUT/source/NN_name/NN_name.ipynb``.

    Raises:
        InputError: one of them is there already: its seeds are those that submissions were made for.
    """
    import nbformat

    random = Random(seed) if seed is not None else SystemRandom()
    lessons = [path for path in sources if LESSON.match(path.name)]
    targets = [out / "source" / path.stem / f"{path.stem}.ipynb" for path in lessons]
    if there := [path.stem for path in targets if path.exists()]:
        raise InputError(f"{', '.join(there)} in {out}: released before", hint="choose others, or another folder")
    for source, target in zip(lessons, targets, strict=True):
        notebook = _graded(read_source(source), random)
        nbformat.validate(notebook)
        target.parent.mkdir(parents=True)
        target.write_text(nbformat.writes(notebook) + "\n", encoding="utf-8")  # type: ignore[no-untyped-call]
    config = out / "nbgrader_config.py"
    if not config.exists():
        config.write_text(_CONFIG.format(stub=_STUB), encoding="utf-8")
    return targets


def _graded(source: Any, random: Random) -> Any:
    """The notebook with answers, tests and points."""
    from nbformat.v4 import new_notebook

    cells = list(_cells(source.cells, random))
    return new_notebook(cells=cells, metadata=METADATA)  # type: ignore[no-untyped-call]


def _cells(cells: list[Any], random: Random) -> Iterator[Any]:
    from nbformat.v4 import new_code_cell, new_markdown_cell

    for at, cell in enumerate(cells):
        tags = tags_of(cell)
        if cell.cell_type == "markdown":
            if "solution" not in tags:
                yield new_markdown_cell(_TO_SOLUTIONS.sub("", cell.source))  # type: ignore[no-untyped-call]
        elif "stub" not in tags:
            if "solution" not in tags:
                yield new_code_cell(cell.source)  # type: ignore[no-untyped-call]
        elif (stub := _answer(cell.source)).checks:
            yield from _exercise(stub, _answer(cells[at + 1].source), random)
        else:
            yield new_code_cell(cell.source)  # type: ignore[no-untyped-call]


def _answer(text: str) -> _Answer:
    """Split a cell into what stands above its checks, and the checks."""
    calls = [node for node in ast.parse(text).body if _is_check(node)]
    above = text.splitlines()[: calls[0].lineno - 1] if calls else text.splitlines()
    checks = tuple(
        (ast.literal_eval(call.value.args[0]), ast.unparse(call.value.args[1]))  # type: ignore[attr-defined]
        for call in calls
    )
    return _Answer("\n".join(above).rstrip(), checks)


def _is_check(node: ast.stmt) -> bool:
    call = node.value if isinstance(node, ast.Expr) else None
    return isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id == "check"


def _exercise(stub: _Answer, solution: _Answer, random: Random) -> Iterator[Any]:
    """The answer cell, and a test cell for each check."""
    name = stub.checks[0][0]
    text = f"{stub.text}\n### BEGIN SOLUTION\n{solution.text}\n### END SOLUTION"
    yield _marked(text, f"answer-{name}", solution=True)
    for number, answer in stub.checks:
        hidden = f"grade({number!r}, {answer}, seed={random.randrange(10**9)})"
        lines = (
            f'check("{number}", {answer})',
            "### BEGIN HIDDEN TESTS",
            "from svmlab.course.grading import grade",
            hidden,
            "### END HIDDEN TESTS",
        )
        yield _marked("\n".join(lines), f"test-{number}", points=POINTS[bank.exercise(number).kind])


def _marked(text: str, name: str, *, solution: bool = False, points: int | None = None) -> Any:
    """A code cell with what nbgrader needs to know of it."""
    from nbformat.v4 import new_code_cell

    grade = points is not None
    # nbgrader takes no dot in an id.
    name = name.replace(".", "-")
    kind = {"grade": grade, "solution": solution, "task": False, "locked": grade}
    facts = {"schema_version": 3, "grade_id": name, **kind, **({"points": points} if grade else {})}
    return new_code_cell(text, metadata={"nbgrader": facts})  # type: ignore[no-untyped-call]
