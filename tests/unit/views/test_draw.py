import subprocess
import sys
import types
from base64 import b64decode
from io import BytesIO
from itertools import combinations
from xml.etree import ElementTree as ET

import pytest
from matplotlib.colors import to_hex
from matplotlib.patches import PathPatch
from PIL import Image

from svmlab.errors import InputError
from svmlab.views import output
from svmlab.views.describe import alt_text, describe
from svmlab.views.draw_mpl import draw, png
from svmlab.views.draw_svg import svg, svg_document
from svmlab.views.scene import Axis, Bar, Chart, Lane, Scene
from svmlab.views.style import channels, look

SVG = "{http://www.w3.org/2000/svg}"
NAMES = ("first", "back", "faults", "widget")


@pytest.mark.parametrize("dpi", [96, 192])
@pytest.mark.parametrize("name", NAMES)
def test_no_text_of_a_figure_collides_or_leaves_it_as_matplotlib_measures_it(name, dpi, scenes):
    figure = draw(scenes[name])
    figure.set_dpi(dpi)
    renderer = figure.canvas.get_renderer()
    boxes = [(text.get_text(), text.get_window_extent(renderer)) for text in figure.axes[0].texts]
    paper = figure.bbox
    outside = [text for text, box in boxes if box.x0 < 0 or box.y0 < 0 or box.x1 > paper.x1 or box.y1 > paper.y1]
    assert outside == []
    shrunk = [(text, box.padded(-0.75)) for text, box in boxes]
    assert [(a[0], b[0]) for a, b in combinations(shrunk, 2) if a[1].overlaps(b[1])] == []


def test_a_figure_is_as_wide_as_asked_and_its_text_at_least_eleven_points(scenes):
    figure = draw(scenes["first"], width_px=700)
    assert figure.get_size_inches()[0] * figure.dpi == pytest.approx(700)
    assert min(text.get_fontsize() for text in figure.axes[0].texts) >= 11 - 1e-9


def test_all_boxes_of_a_style_are_one_path(logs):
    bars = tuple(Bar("lane", start, start + 5, "copy") for start in range(0, 10_000, 10))
    figure = draw(Scene("many", "", (Chart(Axis(0, 10_000), (Lane("lane"),), bars),)))
    patches = [artist for artist in figure.axes[0].patches if isinstance(artist, PathPatch)]
    assert len(patches) < 10
    assert to_hex(patches[1].get_facecolor()) == look("copy").fill


def test_a_png_carries_its_description_and_is_the_same_every_time(scenes):
    data = png(scenes["first"])
    image = Image.open(BytesIO(data))
    assert image.width == 1400, "two pixels for each pixel of the page"
    assert image.text == {"Title": scenes["first"].title, "Description": alt_text(scenes["first"])}
    assert png(scenes["first"]) == data


def test_a_png_is_small_and_its_colours_are_those_of_the_style(scenes):
    data = png(scenes["first"])
    assert len(data) < 80_000
    colours = {colour for _, colour in Image.open(BytesIO(data)).convert("RGB").getcolors(1000)}
    (chart,) = scenes["first"].panels
    fills = {look(item.style).fill for item in (*chart.bars, *chart.marks)} | {look("band").fill, "#ffffff"}
    assert set(map(channels, fills)) <= colours


@pytest.mark.parametrize("name", ["first", "back", "busy", "faults", "empty", "map", "decision", "widget"])
def test_an_svg_is_well_formed_labelled_and_complete(name, scenes):
    root = ET.fromstring(svg(scenes[name]))
    assert (root.tag, root.get("role"), root.get("aria-label")) == ("div", "img", alt_text(scenes[name]))
    bars = sum(len(chart.bars) for chart in scenes[name].charts)
    assert len(root.findall(f".//{SVG}rect/{SVG}title")) == bars, "each bar has its tip"
    assert all(float(text.get("font-size")) * 72 / 96 >= 11 - 1e-2 for text in root.iter(f"{SVG}text"))


def test_hatches_of_an_svg_are_defined_where_they_are_used(scenes):
    text = svg(scenes["first"])
    defined = {f"url(#{pattern.get('id')})" for pattern in ET.fromstring(text).iter(f"{SVG}pattern")}
    used = {group.get("fill") for group in ET.fromstring(text).iter(f"{SVG}g") if group.get("fill").startswith("url")}
    assert used == defined
    assert used
    other = {pattern.get("id") for pattern in ET.fromstring(svg(scenes["back"])).iter(f"{SVG}pattern")}
    assert not other & {name[5:-1] for name in used}, "two drawings on a page do not share their hatches"


def test_odd_names_cannot_break_out_of_an_svg():
    name = "<script>\"&'"
    bar = Bar(name, 0, 10, "call", name)
    scene = Scene("timeline", name, (Chart(Axis(0, 10), (Lane(name),), (bar,)),))
    root = ET.fromstring(svg(scene))
    assert root.get("aria-label") == alt_text(scene)
    assert name in root.get("aria-label")
    assert root.find(".//script") is None
    ET.fromstring(svg_document(scene).split("\n", 1)[1])


def test_a_saved_svg_has_title_and_description(scenes, tmp_path):
    path = output.save(scenes["first"], tmp_path / "a.svg")
    root = ET.parse(path).getroot()
    assert root.find(f"{SVG}title").text == "Timeline of set_attr(a)"
    assert root.find(f"{SVG}desc").text == describe(scenes["first"])


def test_a_saved_png_is_a_png(scenes, tmp_path):
    assert output.save(scenes["map"], str(tmp_path / "a.png")).read_bytes().startswith(b"\x89PNG")


def test_other_endings_are_refused(scenes, tmp_path):
    with pytest.raises(InputError, match=r"\.png or \.svg"):
        output.save(scenes["map"], tmp_path / "a.bmp")


def test_without_matplotlib_a_png_is_refused_in_words(scenes, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "svmlab.views.draw_mpl", None)
    with pytest.raises(InputError, match=r"svmlab\[lab\]"):
        output.save(scenes["map"], tmp_path / "a.png")


def test_outside_of_a_notebook_show_prints_the_sentences_alone(scenes, capsys, monkeypatch):
    monkeypatch.delitem(sys.modules, "IPython", raising=False)
    output.show(scenes["first"])
    assert capsys.readouterr().out == describe(scenes["first"]) + "\n"


def test_in_a_notebook_show_displays_one_image_with_alternative_text_then_prints(scenes, capsys, monkeypatch):
    shown = []
    ipython, display = types.ModuleType("IPython"), types.ModuleType("IPython.display")
    ipython.get_ipython = object
    display.display = lambda data, **how: shown.append((data, how))
    monkeypatch.setitem(sys.modules, "IPython", ipython)
    monkeypatch.setitem(sys.modules, "IPython.display", display)
    output.show(scenes["first"])
    ((data, how),) = shown
    assert b64decode(data["image/png"]).startswith(b"\x89PNG")
    assert data["text/plain"] == "<Figure: timeline>"
    assert how == {"raw": True, "metadata": {"image/png": {"alt": alt_text(scenes["first"]), "width": 700}}}
    assert capsys.readouterr().out == describe(scenes["first"]) + "\n"


def test_the_views_load_no_plotting_library():
    code = (
        "import sys, svmlab.views; print(*sorted({'matplotlib', 'ipywidgets', 'IPython', 'simpy'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.split() == []
