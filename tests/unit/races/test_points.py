"""Each point has one name, stands in a blocking mechanism, is explained, and costs nothing while nobody explores."""

import ast
from collections.abc import Iterator
from pathlib import Path

from svmlab.hardware.points import GIVING_WAY, POINTS
from svmlab.hardware.world import World
from svmlab.resources import data_path

ROOT = Path(__file__).resolve().parents[3]
MECHANISMS = ROOT / "tests/unit/blocking_mechanisms.txt"
FORMAT = data_path("scenarios", "README.md").read_text(encoding="utf-8")


def uses(node: ast.AST, name: str) -> Iterator[tuple[str, str]]:
    """The function in which each name of a point stands, and the name."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.ClassDef):
            yield from uses(child, f"{name}.{child.name}")
        elif isinstance(child, ast.Constant) and child.value in POINTS:
            yield name, child.value
        else:
            yield from uses(child, name)


def found() -> list[tuple[str, str]]:
    names = []
    for folder in ("hardware", "mm", "svm"):
        for path in sorted((ROOT / "svmlab" / folder).rglob("*.py")):
            if path.name != "points.py":
                module = ".".join(path.relative_to(ROOT).with_suffix("").parts)
                names += list(uses(ast.parse(path.read_text(encoding="utf-8")), module))
    return names


def test_every_point_of_the_table_stands_in_the_model_and_in_one_mechanism():
    places = {point: {where for where, used in found() if used == point} for point in POINTS}
    assert {point: len(where) for point, where in places.items()} == dict.fromkeys(POINTS, 1)


def test_points_stand_in_blocking_mechanisms_alone():
    listed = {line.partition("#")[0].strip() for line in MECHANISMS.read_text(encoding="utf-8").splitlines()}
    assert {where for where, _ in found()} - listed == set()


def test_every_name_that_a_mechanism_gives_a_point_is_in_the_table():
    given = set()
    for folder in ("hardware", "mm", "svm"):
        for path in (ROOT / "svmlab" / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                    last = node.args[-1] if node.args else None
                    named = node.func.attr == "point" or (node.func.attr == "sleep" and len(node.args) == 2)
                    if named and isinstance(last, ast.Constant):
                        given.add(last.value)
    assert given - set(POINTS) == set()


def test_every_point_is_explained_where_orders_are_written():
    missing = [point for point, meaning in POINTS.items() if f"| `{point}` | {meaning} |" not in FORMAT]
    assert missing == []
    assert set(POINTS) >= GIVING_WAY


def test_a_point_does_nothing_unless_orders_are_explored():
    world = World()
    assert list(world.point("before reclaim")) == []
    assert (len(world.log), len(world.env._queue)) == (0, 0)
