"""The page about the format names every step, key and choice there is, and its examples work."""

import re
from collections.abc import Iterator
from typing import Any, Literal, get_args, get_origin

import pytest
from pydantic import BaseModel

from svmlab.errors import InputError
from svmlab.resources import data_path
from svmlab.scenario.format import Head, loads
from svmlab.scenario.steps import STEPS
from svmlab.scenario.tables import Between
from svmlab.svm.behaviour_table import PRESETS

PAGE = data_path("scenarios", "README.md").read_text(encoding="utf-8")
# What the page shows as code, apart from examples.
CODE = set(re.findall(r"[\w.-]+", " ".join(re.findall(r"`([^`\n]+)`", PAGE))))
EXAMPLES = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)


def parts(annotation: Any) -> Iterator[Any]:
    yield annotation
    for part in get_args(annotation):
        if get_origin(annotation) is not Literal:
            yield from parts(part)


def models(model: type[BaseModel]) -> set[type[BaseModel]]:
    inner = {part for field in model.model_fields.values() for part in parts(field.annotation)}
    found = {part for part in inner if isinstance(part, type) and issubclass(part, BaseModel)}
    return {model}.union(*(models(one) for one in found))


ALL_MODELS = set().union(models(Head), *(models(model) for model in STEPS.values()))


def test_every_step_is_described():
    assert set(STEPS) - CODE == set()


def test_every_key_is_described():
    keys = {key for model in ALL_MODELS for key in (f.alias or n for n, f in model.model_fields.items())}
    assert keys - CODE == set()
    assert {"min", "max"} <= keys, "tables in tables are looked at too"


def test_every_choice_is_described():
    annotations = [
        field.annotation
        for model in ALL_MODELS
        if not issubclass(model, Between)
        for field in model.model_fields.values()
    ]
    choices = {
        choice
        for annotation in annotations
        for part in parts(annotation)
        if get_origin(part) is Literal
        for choice in get_args(part)
    }
    assert {str(choice) for choice in choices.union(PRESETS)} - CODE == set()


def test_the_first_example_is_a_whole_scenario():
    assert len(loads(EXAMPLES[0]).steps) == 4


@pytest.mark.parametrize("example", EXAMPLES[1:])
def test_every_other_example_is_a_step(example: str):
    try:
        loads('title = "t"\nmachine = "toy"\n' + example)
    except InputError as error:
        pytest.fail(str(error))
