"""What every picture owes its reader, for the views of counters, VRAM, moments and steps."""

from collections.abc import Callable
from itertools import combinations
from xml.etree import ElementTree as ET

import numpy as np
import pytest

from svmlab.views.counters import counters
from svmlab.views.describe import alt_text, describe, table
from svmlab.views.draw_mpl import draw
from svmlab.views.draw_svg import svg
from svmlab.views.layout import lay_out
from svmlab.views.lettering import BODY_PX
from svmlab.views.pagemap_time import pagemap_over_time
from svmlab.views.scene import Scene
from svmlab.views.snapshot import Snapshot
from svmlab.views.steps import steps
from svmlab.views.style import look
from svmlab.views.vram_map import vram_map
from svmlab.views.vram_state import Holder, VramState

SVG = "{http://www.w3.org/2000/svg}"


def crowded_vram(_) -> Scene:
    """A dozen holders, some of them partly empty, small gaps, on a GPU of 64 GiB."""
    nodes = [((number * 1024 + 512, 512), (number * 1024 + 1024, 37 * number + 1)) for number in range(12)]
    holders = tuple(Holder(f"a long name {n}", pair, ((pair[0][0], 7 * n),) * (n > 0)) for n, pair in enumerate(nodes))
    return vram_map(VramState(3, 1 << 24, holders, ((1, 511), (1 << 14, (1 << 24) - (1 << 14)))))


def scattered_moments(logs) -> Scene:
    """Ten moments of 5000 pages that wander between RAM and two GPUs."""
    dice = np.random.default_rng(7)
    places = [np.repeat(dice.choice([0, logs.GPU_ID, logs.GPU_ID + 1, -1, -2], 50), 100) for _ in range(9)]
    places.append(dice.choice([0, logs.GPU_ID], 5000))
    return pagemap_over_time(
        [Snapshot(at * 333_000, {"cpu": one, "gpu0": one}, logs.location_name) for at, one in enumerate(places)]
    )


VIEWS: dict[str, Callable[..., Scene]] = {
    "counters": lambda logs: counters(logs.there_and_back().source),
    "counters of faults": lambda logs: counters(logs.gpu_faults(100).source),
    "crowded VRAM": crowded_vram,
    "empty VRAM": lambda _: vram_map(VramState(0, 16, free=((1, 15),))),
    "moments": scattered_moments,
    "steps": lambda logs: steps(logs.first_migration().source),
    "steps beside a map": lambda logs: steps("set_attr", at=5, beside=logs.half_moved()),
}


@pytest.fixture(params=VIEWS)
def scene(request, logs) -> Scene:
    return VIEWS[request.param](logs)


@pytest.mark.parametrize("width_px", [500, 700, 1100])
def test_no_text_collides_or_leaves_the_paper(width_px, scene, check_sheet):
    check_sheet(lay_out(scene, width_px))


def test_no_text_collides_as_matplotlib_measures_it(scene):
    figure = draw(scene)
    renderer = figure.canvas.get_renderer()
    boxes = [(text.get_text(), text.get_window_extent(renderer).padded(-0.75)) for text in figure.axes[0].texts]
    assert [(a[0], b[0]) for a, b in combinations(boxes, 2) if a[1].overlaps(b[1])] == []


def test_all_text_is_at_least_eleven_points(scene):
    assert min(word.size for word in lay_out(scene).words) >= BODY_PX


def test_its_svg_is_labelled_with_what_it_tells_and_has_every_bar(scene):
    root = ET.fromstring(svg(scene))
    assert (root.get("role"), root.get("aria-label")) == ("img", alt_text(scene))
    assert len(root.findall(f".//{SVG}rect/{SVG}title")) == sum(len(chart.bars) for chart in scene.charts)


def test_it_is_told_in_sentences_and_all_it_holds_is_in_its_table(scene):
    assert describe(scene).endswith(".")
    held = sum(len(chart.bars) + len(chart.marks) for chart in scene.charts) + sum(
        len(one.rows) for one in scene.tables
    )
    assert len([line for line in table(scene).splitlines() if line]) == held + len(scene.panels)


def test_the_legend_names_every_style_in_use(scene):
    words = {word.text for word in lay_out(scene).words}
    used = {look(item.style).name for chart in scene.charts for item in (*chart.bars, *chart.marks)}
    assert used <= words
