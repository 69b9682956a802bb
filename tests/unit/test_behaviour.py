"""The registry of behaviours, and what is made of it."""

import re
from pathlib import Path

import pytest
from click.testing import CliRunner

import svmlab.svm.process  # noqa: F401  registers every option
from svmlab.cli import main
from svmlab.errors import InputError
from svmlab.svm import behaviour, catalogue
from svmlab.svm.behaviour import Behaviour
from svmlab.svm.behaviour_table import PRESETS, SLOTS

ROOT = Path(__file__).resolve().parents[2]


def test_every_option_of_every_slot_has_a_function():
    table = {(slot.name, name) for slot in SLOTS.values() for name in slot.options}
    assert set(behaviour._functions) == table


def test_every_slot_is_called_by_some_mechanism():
    text = "\n".join(path.read_text() for path in (ROOT / "svmlab").rglob("*.py"))
    assert [name for name in SLOTS if not re.search(rf"(behaviour|rules)\.{name}\b", text)] == []


def test_a_slot_has_two_or_three_options_and_every_preset_chooses_one():
    for slot in SLOTS.values():
        assert 2 <= len(slot.options) <= 3, slot.name
        assert set(slot.presets) <= set(slot.options), slot.name
        assert len(slot.presets) == len(PRESETS)


def test_every_option_says_what_it_stands_for():
    for slot in SLOTS.values():
        assert slot.asks.endswith("?")
        for option in slot.options.values():
            assert option.says.endswith(".")
            assert re.fullmatch(r"(P\d\d|E|M|L|intended)(, [DX]\d+)*", option.tag), (slot.name, option.tag)


def test_presets_are_named_in_the_registry_alone():
    """A mechanism calls a slot; it never asks which preset runs."""
    names = re.compile("|".join(f"[\"']{preset}[\"']" for preset in PRESETS))
    allowed = {"svmlab/svm/behaviour_table.py"}
    found = {str(path.relative_to(ROOT)) for path in (ROOT / "svmlab").rglob("*.py") if names.search(path.read_text())}
    assert found - allowed == set()


def test_a_single_override_changes_one_choice():
    plain, changed = Behaviour(), Behaviour.of({"base": "as-intended", "after_copy": "ignored"})
    differing = {name for name in SLOTS if plain.choices[name] != changed.choices[name]}
    assert differing == {"after_copy"}


@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        ("as-imagined", '"as-posted", "as-intended", "upstream"'),
        ({"base": "as-posted", "after_coffee": "ignored"}, "after_copy"),
        ({"after_copy": "sometimes"}, "ignored, returned"),
        ({"base": "as-posted", "xnack_on_notifier": "unmap"}, "D22"),
        ({"gpu_fault": "fatal"}, "nothing would bring unmapped pages back"),
    ],
)
def test_what_cannot_be_is_refused_with_what_can(given, complaint):
    with pytest.raises(InputError, match=re.escape(complaint)):
        Behaviour.of(given)


def test_no_preset_is_a_refused_pair():
    for preset in PRESETS:
        Behaviour(preset)


def test_the_command_lists_every_slot_with_its_choices():
    lines = CliRunner().invoke(main, ["behaviours"]).output.splitlines()
    assert lines[0].split() == ["slot", *PRESETS]
    assert [line.split()[0] for line in lines[1:]] == list(SLOTS)


def test_the_difference_of_two_presets_lists_only_what_differs():
    result = CliRunner().invoke(main, ["behaviours", "--diff", "as-posted", "as-intended"])
    rows = [line.split() for line in result.output.splitlines()[1:]]
    assert result.exit_code == 0
    assert all(first != second for _, first, second in rows)
    assert "location_policy" not in {row[0] for row in rows}
    assert CliRunner().invoke(main, ["behaviours", "--diff", "as-posted", "x"]).exit_code == 2


def test_deviations_holds_the_registry_as_it_is():
    text = (ROOT / "DEVIATIONS.md").read_text()
    assert catalogue.put_into(text) == text, "run: svmlab behaviours --into DEVIATIONS.md"


def test_the_part_about_behaviours_is_renewed_and_the_rest_of_a_document_stays(tmp_path):
    file = tmp_path / "some.md"
    file.write_text(f"before\n{catalogue.START_MARKER}\nold\n{catalogue.END_MARKER}\nafter\n")
    assert CliRunner().invoke(main, ["behaviours", "--into", str(file)]).exit_code == 0
    assert file.read_text() == f"before\n{catalogue.as_markdown()}after\n"
    file.write_text("nothing of the kind\n")
    assert CliRunner().invoke(main, ["behaviours", "--into", str(file)]).exit_code == 2
    assert file.read_text() == "nothing of the kind\n"


def test_every_deviation_names_a_test_that_exists():
    rows = [line for line in (ROOT / "DEVIATIONS.md").read_text().splitlines() if re.match(r"\| V\d+ \|", line)]
    assert rows
    for row in rows:
        file, name = re.search(r"\| (\S+\.py)::(\w+) \|$", row).groups()
        assert f"def {name}(" in (ROOT / file).read_text(), row[:6]
