from svmlab.svm.decision import Decision
from svmlab.uapi import UNDEFINED
from svmlab.views.decision import decision_path


def title(decision, logs):
    return decision_path(decision, logs.location_name).title


def test_a_known_decision_gives_a_known_scene(scenes, matches_golden):
    matches_golden(scenes["decision"], "decision")


def test_the_rules_stand_in_the_order_they_are_asked_and_one_is_lit(logs):
    (table,) = decision_path(logs.prefetch_decision(), logs.location_name).panels
    assert [tuple(cell.text for cell in row.cells[:3]) for row in table.rows] == [
        ("1", "xnack on", "no"),
        ("2", "prefetch to RAM", "no"),
        ("3", "prefetch location", "yes"),
        ("4", "preferred location", "not asked"),
    ]
    assert [row.style for row in table.rows] == ["pale", "pale", "lit", ""]


def test_every_outcome_is_a_sentence(logs):
    assert title(Decision(0, "rule", ""), logs) == "The pages belong in RAM"
    assert title(Decision(logs.GPU_ID, "rule", ""), logs) == "The pages belong on gpu0"
    assert title(Decision(UNDEFINED, "rule", ""), logs) == "The pages stay where they are"
    assert title(Decision(None, "rule", ""), logs) == "The pages may not be accessed"
