"""The policy table: it shows what the policy answers, and nothing of its own."""

import pytest

import svmlab as sl
from svmlab.errors import InputError
from svmlab.hardware.machine import Machine
from svmlab.svm.behaviour import Behaviour
from svmlab.svm.behaviour_table import PRESETS
from svmlab.svm.decision import Situation
from svmlab.svm.policy import restore_location
from svmlab.svm.policy_grid import fault_table, table
from svmlab.uapi import SYSMEM, UNDEFINED
from svmlab.views.describe import describe
from svmlab.views.layout import lay_out
from svmlab.views.policy_table import policy_table

KINDS = {"no": {0}, "ACCESS": {1}, "IN PLACE": {2}, "yes": {1, 2}, "not IN PLACE": {0, 1}, "not ACCESS": {0, 2}}
SCENES = {
    "toy": lambda: policy_table("toy"),
    "mi210-two-hives": lambda: policy_table("mi210-two-hives", behaviour=PRESETS[1]),
    "fault": lambda: policy_table("toy", fault="gpu0"),
}


def texts(panel):
    return [tuple(cell.text for cell in row.cells) for row in panel.rows]


@pytest.mark.parametrize("name", SCENES)
def test_a_policy_table_is_a_known_scene(name, matches_golden):
    matches_golden(SCENES[name](), f"policy-{name}")


@pytest.mark.parametrize("name", SCENES)
@pytest.mark.parametrize("width_px", [500, 700, 1100])
def test_no_text_of_it_collides_or_leaves_the_paper(name, width_px, check_sheet):
    check_sheet(lay_out(SCENES[name](), width_px))


def found(panel, kinds, column):
    """What a panel says to one combination: exactly one row fits it."""
    fits = [
        row
        for row in panel.rows
        if all(kind in KINDS.get(cell.text, {0, 1, 2}) for kind, cell in zip(kinds, row.cells, strict=False))
    ]
    (row,) = fits
    return row.cells[len(kinds) + column].text


@pytest.mark.parametrize("preset", PRESETS)
def test_every_combination_stands_in_one_row_with_the_location_and_the_rule_of_the_policy(preset):
    machine = Machine.find("toy")
    rows = list(table(machine, behaviour=Behaviour(preset), gpus=[0, 1, 2]))
    *panels, key = policy_table(machine, behaviour=preset).tables
    numbers = {name: number for number, name, *_ in texts(key)}
    columns = {location: at for at, location in enumerate(dict.fromkeys(row.situation.prefetch for row in rows))}
    for row in rows:
        s = row.situation
        kinds = [1 if s.access >> gpu & 1 else 2 if s.in_place >> gpu & 1 else 0 for gpu in range(3)]
        place = "stays" if row.decision.location == UNDEFINED else s.name(row.decision.location)
        assert found(panels[s.xnack], kinds, columns[s.prefetch]) == f"{place} {numbers[row.decision.rule]}"


def test_a_far_accessor_keeps_the_range_in_ram_while_xnack_is_off():
    off, on, _ = policy_table("toy").tables
    assert off.columns[3:] == ("no prefetch", "prefetch RAM", "prefetch gpu0", "prefetch gpu1", "prefetch gpu2")
    assert ("no", "no", "yes", "stays (2)", "RAM (3)", "RAM (4)", "RAM (4)", "gpu2 (5)") in texts(off)
    assert texts(on) == [("any", "any", "any", "stays (1)", "RAM (1)", "gpu0 (1)", "gpu1 (1)", "gpu2 (1)")]


def test_the_rules_stand_in_their_order_and_their_counts_add_up():
    *_, key = policy_table("toy").tables
    assert [row[1] for row in texts(key)] == [
        "xnack on",
        "no prefetch location",
        "prefetch to RAM",
        "an accessor is far",
        "prefetch location",
    ]
    assert sum(int(row[3].split()[0]) for row in texts(key)) == 270 == 2 * 5 * 3**3


def test_a_gpu_fault_asks_for_preferred_location_access_and_actual_location():
    machine = Machine.find("toy")
    rows = list(fault_table(machine, 0, gpus=[0, 1]))
    assert len(rows) == 4 * 3 * 3
    assert all(row.decision == restore_location(row.situation, 0) for row in rows)
    panel, key = policy_table(machine, gpus=["gpu0", "gpu1"], fault=0).tables
    assert texts(panel)[0] == ("no", "any", "no access (8)", "RAM (2)", "gpu0 (1)", "gpu1 (3)")
    assert texts(panel)[1] == ("ACCESS", "any", "gpu0 (4)", "RAM (2)", "gpu0 (1)", "gpu1 (3)")
    assert [row[1] for row in texts(key)][:2] == ["preferred: the faulting GPU", "preferred: RAM"]


def test_the_combination_of_a_range_is_lit():
    p = sl.Process("mi210-two-hives")
    a = p.mmap("64 KiB", name="a")
    p.set_attr(a, access=["gpu0"], access_in_place=["gpu5"], prefetch="gpu0")
    scene = sl.policy_table(p, span=a)
    lit = [row for panel in scene.tables for row in panel.rows if row.style == "lit"]
    assert [tuple(cell.text for cell in row.cells) for row in lit] == [
        ("yes", "no", "yes", "stays (2)", "RAM (3)", "RAM (4) here", "RAM (4)", "RAM (4)")
    ]
    assert p.why(a).decision.location == SYSMEM
    assert "Here it is RAM (4)." in describe(scene)


def test_a_range_that_the_table_does_not_hold_lights_nothing():
    p = sl.Process("mi210-two-hives")
    a = p.mmap("64 KiB")
    p.set_attr(a, access=["gpu7"])
    assert all(row.style != "lit" for panel in policy_table(p, gpus=[0], span=a).tables for row in panel.rows)


def test_a_policy_table_is_told_in_these_words():
    assert describe(policy_table("toy")) == (
        "With xnack off, 6 kinds of access differ: 'prefetch gpu0' gives gpu0 for 3 and RAM for 3 of them. "
        "With xnack on, who has access makes no difference. "
        "The first rule that applies decides; of 270 combinations each decides so many: xnack on (135), "
        "no prefetch location (27), prefetch to RAM (27), an accessor is far (60) and prefetch location (21)."
    )


def test_a_process_brings_its_own_behaviour():
    assert policy_table(sl.Process("toy", behaviour=PRESETS[1])) == policy_table("toy", behaviour=PRESETS[1])


def test_the_table_of_one_gpu_is_small():
    assert [len(panel.rows) for panel in policy_table("toy", gpus=[2]).tables] == [1, 1, 5]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"gpus": [0, 1, 2, 0]}, "1 to 3 different GPUs"),
        ({"gpus": [1, 1]}, "1 to 3 different GPUs"),
        ({"gpus": []}, "1 to 3 different GPUs"),
        ({"gpus": [9]}, "gpu0 to gpu2"),
        ({"gpus": ["cpu"]}, "gpu0, gpu1"),
        ({"fault": "gpu9"}, "gpu0 to gpu2"),
        ({"behaviour": "perfect"}, PRESETS[0]),
        ({"span": object()}, "a span of a Process"),
    ],
)
def test_bad_input_is_refused_in_words(options, says):
    with pytest.raises(InputError, match=says):
        policy_table("toy", **options)


def test_what_has_no_policy_is_refused():
    with pytest.raises(InputError, match="a Machine, its name, or a Process"):
        policy_table(Situation)
