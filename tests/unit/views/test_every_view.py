"""What holds for every view of the catalogue, on every scenario: each is data, told, drawn twice, and readable."""

import json
import re
from functools import cache
from itertools import combinations
from xml.etree import ElementTree as ET

import pytest
from click.testing import CliRunner

from svmlab.cli import main
from svmlab.resources import data_path
from svmlab.views.catalogue import VIEWS
from svmlab.views.describe import alt_text, describe, table
from svmlab.views.draw_mpl import draw
from svmlab.views.draw_svg import svg
from svmlab.views.layout import lay_out
from svmlab.views.lettering import BODY_PX
from svmlab.views.sheet import ROW
from svmlab.views.style import PAPER, contrast, look

SVG = "{http://www.w3.org/2000/svg}"
ASCENT, DESCENT = 0.74, 0.21
SLACK = 0.5
WIDTHS = (500, 700, 1100)
PROBES = 5


@cache
def figure_of(scene):
    """Its figure at 700 pixels, drawn once for all tests."""
    return draw(scene, width_px=700)


def box(word):
    """Left, top, right and bottom of a word."""
    return (word.x, word.y - ASCENT * word.size, word.x + word.width, word.y + DESCENT * word.size)


def overlap(a, b):
    return a[0] < b[2] - SLACK and b[0] < a[2] - SLACK and a[1] < b[3] - SLACK and b[1] < a[3] - SLACK


def glyphs(sheet):
    """The filled shapes of a drawing, which stand above everything but words."""
    for line in sheet.lines:
        if line.fill:
            xs, ys = zip(*line.points, strict=True)
            yield (min(xs), min(ys), max(xs), max(ys))


def strokes(sheet):
    """Boxes around the long upright lines of a drawing: torn edges, and lines through all lanes."""
    for line in sheet.lines:
        xs, ys = zip(*line.points, strict=True)
        if not line.fill and max(xs) - min(xs) < 4 and max(ys) - min(ys) > 2 * ROW:
            yield (min(xs), min(ys), max(xs) + 1, max(ys))


def grounds(sheet, word):
    """The styles a word stands on, probed along its middle."""
    left, top, right, bottom = box(word)
    y = (top + bottom) / 2
    for probe in range(PROBES):
        x = left + (right - left) * (probe + 0.5) / PROBES
        shapes = (*sheet.ground, *sheet.boxes, *sheet.plates)
        under = [s.style for s in shapes if s.x <= x <= s.x + s.width and s.y <= y <= s.y + s.height]
        yield under[-1] if under else ""


def test_a_known_run_gives_a_known_scene(pictured, matches_golden):
    matches_golden(pictured.scene, pictured.name)


def test_a_scene_is_plain_data(pictured):
    plain = pictured.scene.to_dict()
    assert json.loads(json.dumps(plain)) == plain


def test_a_panel_is_told_in_one_to_three_sentences_that_are_always_the_same(pictured):
    told = describe(pictured.scene)
    assert told == describe(pictured.scene)
    assert 1 <= len(re.findall(r"\.(?: |$)", told)) <= 3 * len(pictured.scene.panels)
    assert alt_text(pictured.scene).startswith(pictured.scene.title)
    assert table(pictured.scene).strip()


@pytest.mark.parametrize("width_px", WIDTHS)
def test_no_text_collides_or_leaves_the_paper(pictured, width_px):
    sheet = lay_out(pictured.scene, width_px)
    boxes = {word: box(word) for word in sheet.words}
    collisions = [(a.text, b.text) for a, b in combinations(boxes, 2) if overlap(boxes[a], boxes[b])]
    outside = [
        word.text
        for word, (left, top, right, bottom) in boxes.items()
        if left < 0 or top < 0 or right > sheet.width + 1 or bottom > sheet.height
    ]
    assert (collisions, outside) == ([], [])


@pytest.mark.parametrize("width_px", WIDTHS)
def test_no_mark_stands_on_a_word_and_no_upright_line_goes_through_one(pictured, width_px):
    sheet = lay_out(pictured.scene, width_px)
    shapes = [*glyphs(sheet), *strokes(sheet)]
    assert [word.text for word in sheet.words for shape in shapes if overlap(box(word), shape)] == []


def test_no_text_collides_as_matplotlib_measures_it(pictured):
    figure = figure_of(pictured.scene)
    renderer = figure.canvas.get_renderer()
    boxes = [(text.get_text(), text.get_window_extent(renderer).padded(-0.75)) for text in figure.axes[0].texts]
    assert [(a[0], b[0]) for a, b in combinations(boxes, 2) if a[1].overlaps(b[1])] == []
    assert [text for text, box in boxes if box.x0 < 0 or box.y0 < 0 or box.x1 > figure.bbox.x1] == []


def test_text_stands_out_from_what_it_stands_on(pictured):
    sheet = lay_out(pictured.scene)
    faint = [
        (word.text, style)
        for word in sheet.words
        for style in grounds(sheet, word)
        if contrast(word.ink, look(style).fill if style else PAPER) < 4.5
    ]
    assert faint == []


def test_text_has_at_least_eleven_points_at_700_pixels_in_both_renderings(pictured):
    assert min(word.size for word in lay_out(pictured.scene, 700).words) >= BODY_PX
    assert min(text.get_fontsize() for text in figure_of(pictured.scene).axes[0].texts) >= 11 - 1e-9
    root = ET.fromstring(svg(pictured.scene, width_px=700))
    assert root.find(f"{SVG}svg").get("width") == "700"
    assert min(float(text.get("font-size")) for text in root.iter(f"{SVG}text")) >= 11 * 96 / 72 - 1e-2


def test_both_renderings_say_the_same_words_and_carry_the_alternative_text(pictured):
    root = ET.fromstring(svg(pictured.scene))
    drawn = sorted(text.text for text in root.iter(f"{SVG}text"))
    assert drawn == sorted(text.get_text() for text in figure_of(pictured.scene).axes[0].texts)
    assert (root.get("role"), root.get("aria-label")) == ("img", alt_text(pictured.scene))


@pytest.mark.parametrize("name", VIEWS)
def test_svmlab_run_plots_every_view(name, tmp_path):
    picture = tmp_path / "picture.svg"
    scenario = str(data_path("scenarios", "first-migration.toml"))
    done = CliRunner().invoke(main, ["run", scenario, "--plot", str(picture), "--view", name])
    assert done.exit_code == 0, done.output
    assert f"the {name} is in" in done.output
    assert ET.parse(picture).getroot().find(f"{SVG}desc").text


def test_a_view_that_is_not_there_is_refused_before_anything_runs():
    done = CliRunner().invoke(main, ["run", "nothing.toml", "--view", "landscape"])
    assert done.exit_code == 2
    assert "timeline" in done.output
