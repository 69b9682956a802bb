"""Kinds of exercise, each tried on a small one: what is accepted, what is said about the rest."""

import pytest

from svmlab.course.check import verdict
from svmlab.course.exercise import Exercise, Judge, Kind
from svmlab.course.kinds import bug_hunt, counter_example, function
from svmlab.errors import InputError

BLOCK = 512


def said(judge: Judge, answer) -> str:
    return verdict(Exercise("99.1", Kind.WRITE, "Try it.", judge), answer)[1]


def block_start(page: int) -> int:
    return page // BLOCK * BLOCK


def overlap(a: int, b: int) -> bool:
    return abs(a - b) < 2


def page(answer) -> int:
    if not isinstance(answer, int):
        raise InputError(f"{answer!r}", allowed="a page number")
    return answer


WRITE = function(range(2000), block_start, rule="blocks begin at multiples of 512")
NEVER_FIRST = counter_example(
    page, lambda p: f"page {p} is not the first of its block" if p % BLOCK else None, claim="no page is first"
)


def test_a_function_that_returns_the_same_everywhere_is_right():
    assert said(WRITE, lambda page: page & ~511) == "right: 2000 cases"


def test_the_smallest_case_that_a_function_gets_wrong_is_told_in_words():
    assert said(WRITE, lambda page: 0) == (
        "not right yet\n  given     512\n  yours     0\n  expected  512\n  rule      blocks begin at multiples of 512"
    )


def test_a_function_that_raises_is_told_with_the_case_it_raised_in():
    text = said(WRITE, lambda page: 1 // (page - 3) * 0 + block_start(page))
    assert "given     3" in text
    assert "it stops with ZeroDivisionError" in text


def test_a_function_that_returns_nothing_is_told_so():
    assert "yours     None" in said(WRITE, lambda page: None)


def test_what_is_no_function_is_told_so():
    assert "expected  a function" in said(WRITE, 512)


def test_a_stub_that_raises_not_implemented_is_not_tried_yet():
    def stub(page):
        raise NotImplementedError

    assert said(WRITE, stub) == "not tried yet"


def test_a_function_of_several_arguments_gets_the_parts_of_a_case():
    judge = function([(0, 1), (0, 2)], lambda case: overlap(*case), rule="they share a page")
    assert said(judge, overlap) == "right: 2 cases"
    assert "given     0, 2" in said(judge, lambda a, b: True)


def test_a_rule_may_be_told_for_each_case():
    judge = function([1, 2], lambda case: case, rule=lambda case: f"{case} is itself")
    assert "rule      2 is itself" in said(judge, lambda case: 1)


def test_a_case_in_which_the_claim_fails_is_a_counter_example():
    assert said(NEVER_FIRST, 1024) == "right"


def test_a_case_in_which_the_claim_holds_is_none_and_what_happens_is_told():
    text = said(NEVER_FIRST, 513)
    assert "yours     page 513 is not the first of its block" in text
    assert "the claim: no page is first" in text


def test_what_is_no_case_is_refused_with_what_a_case_is():
    assert "expected  a page number" in said(NEVER_FIRST, "512")


HUNT = bug_hunt(2, NEVER_FIRST, lines={1: "line 1 only reads", 3: "line 3 is as it should be"})


def test_a_bug_is_found_by_its_line_and_a_case_that_shows_it():
    assert said(HUNT, (2, 512)) == "right"


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        ((1, 512), "line 1 only reads"),
        ((9, 512), "the lines are 1, 2, 3"),
        ((2, 513), "the claim: no page is first"),
        (2, "(line, case)"),
    ],
)
def test_another_line_or_a_case_that_shows_nothing_is_not_enough(answer, told: str):
    assert told in said(HUNT, answer)
