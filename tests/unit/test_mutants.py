"""The table of `make mutants` fits the model as it is; the mutants themselves are tried by that target."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]


def _module() -> ModuleType:
    spec = importlib.util.spec_from_file_location("mutants_run", ROOT / "tests" / "mutants" / "run.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


RUN = _module()
MUTANTS = RUN.load()


def test_there_are_enough_of_them_and_each_is_another_one():
    assert len(MUTANTS) >= 25
    assert len({(mutant.file, mutant.old, mutant.new) for mutant in MUTANTS}) == len(MUTANTS)


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.what)
def test_the_line_stands_once_in_the_model_and_the_mutant_is_another_program(mutant):
    text = (ROOT / mutant.file).read_text(encoding="utf-8")
    changed = mutant.applied(text)
    assert compile(changed, mutant.file, "exec").co_code is not None
    assert changed != text
    assert mutant.file.startswith(("svmlab/svm/", "svmlab/mm/", "svmlab/hardware/"))


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.what)
def test_the_tests_that_should_kill_it_exist(mutant):
    assert mutant.tests
    assert [test for test in mutant.tests if not (ROOT / test).exists()] == []


def test_a_line_that_is_not_there_any_more_is_told():
    mutant = RUN.Mutant("gone", "svmlab/mm/locks.py", "    no such line", "", ())
    with pytest.raises(ValueError, match="0 times 'no such line'"):
        mutant.applied("a = 1\n")
