"""What holds for every widget: its controls set, its button clicked, its HTML read."""

import ipywidgets
import pytest

import svmlab.widgets
from svmlab.errors import InputError
from svmlab.views import Scene, Table, describe
from svmlab.widgets.controls import choice, text
from svmlab.widgets.lab import Lab
from svmlab.widgets.page import heading

USED = {
    "BoundedIntText": {"value", "min", "max", "step", "description"},
    "Button": {"description"},
    "Dropdown": {"options", "value", "description"},
    "FileUpload": {"accept", "description", "icon"},
    "HBox": {"children", "layout"},
    "HTML": {"value"},
    "IntSlider": {"value", "min", "max", "step", "continuous_update", "readout"},
    "Text": {"value", "description", "continuous_update", "layout"},
    "VBox": {"children"},
}
"""Kinds of control and what is set on them; ipywidgets 7.7 has all of these, under these names."""


def other_value(control):
    """A value that the control does not have now."""
    if isinstance(control, ipywidgets.Dropdown):
        return next(value for _, value in control.options if value != control.value)
    if isinstance(control, ipywidgets.Text | ipywidgets.FileUpload):
        return None
    return control.min if control.value != control.min else control.max


def parts(widget):
    yield widget
    for child in getattr(widget, "children", ()):
        yield from parts(child)


def test_it_has_at_most_four_controls_and_a_reset(reader):
    assert 1 <= len(reader.values) <= 4
    assert reader.lab.reset is reader.lab.box.children[0].children[-1]


def test_every_slider_has_a_box_with_a_name_beside_it(reader):
    controls = reader.controls
    sliders = [at for at, control in enumerate(controls) if isinstance(control, ipywidgets.IntSlider)]
    for at in sliders:
        assert isinstance(controls[at - 1], ipywidgets.BoundedIntText)
        assert controls[at - 1].description
        assert (controls[at - 1].value, controls[at - 1].max) == (controls[at].value, controls[at].max)


def test_whatever_takes_input_has_a_name(reader):
    named = [control for control in reader.controls if not isinstance(control, ipywidgets.IntSlider)]
    assert [control for control in named if not control.description] == []


def test_only_controls_that_ipywidgets_7_has_are_used(reader):
    for part in parts(reader.lab.box):
        own = {name for name in part.keys if not name.startswith("_")} - {"layout", "style"}
        default = type(part)()
        changed = {name for name in own if getattr(part, name) != getattr(default, name)}
        assert changed <= USED[type(part).__name__] | {"index"}, type(part)


def test_the_start_shows_a_picture_a_sentence_and_refuses_nothing(reader):
    assert reader.drawn
    assert all(len(label) > 20 for label in reader.pictures)
    assert len(reader.headline) > 20
    assert reader.refused == ""


def test_each_control_changes_something_and_reset_goes_back(reader):
    begin = reader.lab.view.value
    for control in reader.values.values():
        value = other_value(control)
        if value is None:
            continue
        control.value = value
        assert reader.lab.view.value != begin, control
        assert reader.refused == ""
        reader.lab.reset.click()
        assert reader.lab.view.value == begin


def test_where_the_picture_changes_its_label_and_the_sentences_do_too(reader):
    changed = 0
    for control in reader.values.values():
        before = (reader.drawn, reader.pictures, reader.said)
        if (value := other_value(control)) is not None:
            control.value = value
            drawn, pictures, said = (
                a != b for a, b in zip(before, (reader.drawn, reader.pictures, reader.said), strict=True)
            )
            assert not drawn or (pictures and said)
            changed += drawn
        reader.lab.reset.click()
    assert changed


def test_another_one_shows_the_same(reader, make):
    assert make(type(reader.lab).__name__).view.value == reader.lab.view.value


def texts(scene):
    for panel in scene.panels:
        if isinstance(panel, Table):
            yield from (cell.text for row in panel.rows for cell in row.cells)
        else:
            yield from (bar.label for bar in panel.bars)


def test_the_static_twin_tells_every_row_of_its_picture(reader, capsys):
    twin = repr(reader.lab.static())
    summary = reader.lab.summary()
    assert capsys.readouterr().out.strip() == describe(summary)
    assert twin.startswith(reader.lab.words(summary))
    assert [text for text in texts(summary) if text not in twin] == []
    assert len(twin.splitlines()) > 5


def test_the_static_twin_leaves_the_widget_as_it_is(reader, capsys):
    before = reader.lab.view.value
    reader.lab.static()
    assert reader.lab.view.value == before


def test_its_plain_text_in_a_notebook_is_constant(reader):
    assert reader.lab.text.startswith(f"{type(reader.lab).__name__}: run this cell")


class Halves(Lab):
    """A widget that takes even numbers."""

    def __init__(self):
        self.given, self.kind = text("4"), choice(["plain", "bold"], "plain")
        super().__init__({"given": self.given, "kind": self.kind})

    def page(self):
        number = int(self.given.value)
        if number % 2:
            raise InputError(f"{number} has no half", allowed="even numbers", hint=str(number + 1))
        return heading(f"half of {number} is {number // 2}, {self.kind.value}")

    def summary(self):
        return Scene("summary", "Halves", (Table(("of", "is"), ()),))


def test_what_is_refused_is_told_in_words_and_the_page_stays(read):
    reader = read(Halves())
    reader.lab.given.value = "5"
    assert reader.refused == "Not done: 5 has no half; allowed: even numbers; try: 6"
    assert 'role="alert"' in reader.lab.message.value
    assert reader.headline == "Half of 4 is 2, plain"


def test_the_next_good_input_takes_the_refusal_away(read):
    reader = read(Halves())
    reader.lab.given.value = "5"
    reader.lab.given.value = "6"
    assert reader.refused == ""
    assert reader.headline == "Half of 6 is 3, plain"


def test_reset_takes_a_refusal_away(read):
    reader = read(Halves())
    reader.lab.given.value = "5"
    reader.lab.reset.click()
    assert (reader.refused, reader.lab.given.value, reader.headline) == ("", "4", "Half of 4 is 2, plain")


def test_a_reset_draws_one_page_and_not_one_for_each_control(read, monkeypatch):
    lab, drawn = Halves(), []
    lab.given.value, lab.kind.value = "6", "bold"
    monkeypatch.setattr(Halves, "page", lambda self: drawn.append(1) or "<p></p>")
    lab.reset.click()
    assert drawn == [1]


@pytest.mark.parametrize(
    "name", [name for name in svmlab.widgets.__all__ if name not in ("DefectLab", "RunCompare", "TraceViewer")]
)
def test_a_machine_that_does_not_exist_is_refused(name):
    with pytest.raises(InputError, match="nowhere"):
        getattr(svmlab.widgets, name)(machine="nowhere")
