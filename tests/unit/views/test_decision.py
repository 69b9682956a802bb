import pytest

import svmlab as sl
from svmlab.errors import InputError
from svmlab.svm.behaviour_table import PRESETS
from svmlab.svm.decision import Decision
from svmlab.uapi import UNDEFINED
from svmlab.views.decision import decision_path
from svmlab.views.describe import describe
from svmlab.views.layout import lay_out


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


def far():
    """An accessor in another hive keeps the range in RAM."""
    p = sl.Process("mi210-two-hives")
    a = p.mmap("4 MiB", name="a")
    a[:] = 7
    p.set_attr(a, access=["gpu0", "gpu5"], prefetch="gpu0")
    return decision_path(p.why(a))


def unlike():
    """Two ranges at different places; the two that are alike are shown once."""
    p = sl.Process("toy", behaviour=PRESETS[1])
    a = p.mmap("64 KiB", name="a")
    p.set_attr(a, access=["gpu0"], prefetch="gpu1")
    p.set_attr(a.pages(4, 4), prefetch="cpu")
    p.run()
    return decision_path(p.why(a))


def unregistered():
    """Nobody ever asked for anything."""
    p = sl.Process("pcie-pair")
    return decision_path(p.why(p.mmap("64 KiB", name="a")))


SCENES = {"far": far, "unlike": unlike, "unregistered": unregistered}


@pytest.mark.parametrize("name", SCENES)
def test_an_answer_of_why_is_a_known_scene_whose_text_stays_on_the_paper(name, matches_golden, check_sheet):
    scene = SCENES[name]()
    matches_golden(scene, f"decision-{name}")
    for width_px in (500, 700, 1100):
        check_sheet(lay_out(scene, width_px))


def test_an_answer_of_why_shows_where_what_moves_and_who_maps():
    best, trigger, mapping = far().tables
    assert best.title == "Pages a 0-1023 belong in RAM"
    assert [row.cells[1].text for row in best.rows if row.style == "lit"] == ["an accessor is far"]
    assert trigger.title == "A set_attr would move nothing"
    assert [row.cells[1].text for row in trigger.rows if row.style == "lit"] == ["there already"]
    assert (mapping.columns, mapping.rows[0].cells[0].text) == (("Who maps them",), "gpu0, gpu5")


def test_ranges_that_are_decided_alike_are_shown_once():
    scene = unlike()
    assert scene.title == "What the driver decides about 3 ranges, 2 of them shown"
    assert [panel.title for panel in scene.tables if "belong" in panel.title] == [
        "Pages a 0-3 belong on gpu1",
        "Pages a 4-7 belong in RAM",
    ]


def test_what_set_attr_would_move_agrees_with_what_it_moves():
    p = sl.Process("toy")
    a = p.mmap("64 KiB", name="a")
    a[:] = 7
    p.set_attr(a, access=["gpu0"], prefetch="gpu0")
    p.run()
    assert a[0] == 7, "the CPU brings the range home"
    p.run()
    (reason,) = p.why(a).reasons
    titles = [panel.title for panel in decision_path(p.why(a)).tables]
    assert reason.trigger.location == p.machine.gpu(0).gpu_id
    assert titles[1] == "A set_attr would move it from RAM to gpu0"
    p.set_attr(a, prefetch="gpu0")
    assert p.why(a).reasons[0].trigger.rule == "there already"


def test_an_answer_of_why_is_told_in_these_words():
    assert describe(unregistered()) == (
        "Pages a 0-15 stay where they are by the rule 'no prefetch location', because no prefetch was ever asked for. "
        "Passed over before: xnack on (xnack is off). "
        "Nothing moves: nothing is registered here: these are the defaults a new range would have."
    )
    assert describe(far()) == (
        "Pages a 0-1023 belong in RAM by the rule 'an accessor is far', because gpu5 cannot reach the VRAM of gpu0: "
        "not in its hive. Passed over before: xnack on (xnack is off); no prefetch location (the prefetch location is "
        "gpu0); prefetch to RAM (the prefetch location is gpu0). A set_attr would move nothing by the rule 'there "
        "already', because the range is in RAM. Passed over before: nothing asked for (the best location is RAM). "
        "Who maps them: gpu0, gpu5."
    )


def test_what_is_no_decision_is_refused():
    for wrong in (7, "a", Decision(0, "rule", "")):
        with pytest.raises(InputError, match=r"p\.why\(a\)"):
            decision_path(wrong)
