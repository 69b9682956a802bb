import math
from itertools import combinations

import numpy as np
import pytest

from svmlab.views.draw_svg import svg
from svmlab.views.scene import Axis, Bar, Chart, Lane, Scene
from svmlab.views.style import GLYPHS, HATCHES, INK, KINDS, LOCATIONS, SWEPT, contrast, location_look, look

# Machado, Oliveira, Fernandes 2009, severity 1: what people without one kind of cone see, in linear RGB.
MACHADO = {
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "tritanopia": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}
# Viénot, Brettel, Mollon 1999, in linear sRGB: another model of the two that are common.
VIENOT = {
    "protanopia": [[0.11238, 0.88762, 0], [0.11238, 0.88762, 0], [0.00401, -0.00401, 1]],
    "deuteranopia": [[0.29275, 0.70725, 0], [0.29275, 0.70725, 0], [-0.02234, 0.02234, 1]],
}
LUMINANCE = np.array([0.2126, 0.7152, 0.0722])
XYZ = np.array([[0.4124, 0.3576, 0.1805], LUMINANCE, [0.0193, 0.1192, 0.9505]])
WHITE = XYZ @ np.ones(3)
CLEARLY_APART = 12
"""CIE76 distance; 2.3 is the least that can be noticed."""


def linear(colour):
    channels = np.array([int(colour[at : at + 2], 16) for at in (1, 3, 5)]) / 255
    return np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)


def lab(rgb):
    relative = XYZ @ np.clip(rgb, 0, 1) / WHITE
    f = np.where(relative > 216 / 24389, np.cbrt(relative), (24389 / 27 * relative + 16) / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


def as_seen(colour):
    rgb = linear(colour)
    grey = np.full(3, LUMINANCE @ rgb)
    blind = {f"{name} {by}": m for by, of in (("M", MACHADO), ("V", VIENOT)) for name, m in of.items()}
    return {"all cones": lab(rgb), "grey": lab(grey), **{name: lab(np.array(m) @ rgb) for name, m in blind.items()}}


def least_distance(one, other):
    a, b = as_seen(one), as_seen(other)
    return min(math.dist(a[eyes], b[eyes]) for eyes in a)


LINES = ("now", "here", "difference")
"""Drawn as lines through all lanes, and labelled."""
VRAM = ("free", "empty", "reserved", "small")
"""What a VRAM map shows beside the VRAM of a GPU; a timeline has none of it."""
BARS = {name: shown for name, shown in KINDS.items() if name not in LINES + VRAM}
IN_VRAM = {name: shown for name, shown in (KINDS | LOCATIONS).items() if name in VRAM or name.startswith("gpu")}
MARKS = {name: KINDS[name] for name in ("access", "cpu fault", "notice", "unmap", "trouble")}


VRAM = {name: KINDS[name] for name in ("free", "empty", "reserved", "small")}
VRAM |= {name: shown for name, shown in LOCATIONS.items() if name.startswith("gpu")}


@pytest.mark.parametrize("looks", [LOCATIONS, BARS, VRAM, SWEPT], ids=["locations", "bars", "VRAM", "swept"])
def test_any_two_looks_differ_in_hatch_or_clearly_in_every_eye_and_in_grey(looks):
    alike = [
        (a, b)
        for (a, one), (b, other) in combinations(looks.items(), 2)
        if one.hatch == other.hatch
        and one.dashed == other.dashed
        and least_distance(one.fill, other.fill) < CLEARLY_APART
    ]
    assert alike == []


def test_marks_have_shapes_of_their_own():
    shapes = [shown.glyph for shown in MARKS.values()]
    assert len(set(shapes)) == len(shapes)
    assert set(shapes) <= set(GLYPHS)


@pytest.mark.parametrize("one", GLYPHS)
def test_a_mark_stays_within_its_width(one):
    assert max(abs(at) for corner in GLYPHS[one] for at in corner) <= 1


def test_the_eyes_of_the_test_see_what_is_known_of_them():
    red, green = as_seen("#c00000"), as_seen("#008000")
    apart = {eyes: math.dist(red[eyes], green[eyes]) for eyes in red}
    assert apart["all cones"] > 100
    assert all(apart[eyes] < apart["all cones"] / 2 for eyes in apart if "protan" in eyes or "deuter" in eyes)
    assert apart["grey"] < 20
    assert all(math.dist(as_seen("#ffffff")[eyes], [100, 0, 0]) < 1 for eyes in red), "white stays white"


def test_every_location_has_a_letter_of_its_own():
    letters = [shown.letter for shown in LOCATIONS.values()]
    assert len(set(letters)) == len(letters)
    assert [location_look(f"gpu{index}").letter for index in (0, 7, 8, 63)] == ["V0", "V7", "V8", "V63"]


def test_ram_is_lighter_than_every_gpu_also_in_grey():
    ram = as_seen(LOCATIONS["cpu"].fill)["grey"][0]
    assert all(ram - as_seen(LOCATIONS[f"gpu{i}"].fill)["grey"][0] > 9 for i in range(8))


@pytest.mark.parametrize("style", [*LOCATIONS, *KINDS, "lit", "pale", "band", "head", "gpu12", "unknown"])
def test_text_stands_out_from_every_fill(style):
    shown = look(style)
    assert contrast(shown.ink, shown.fill) >= 4.5
    assert contrast(INK, "#ffffff") >= 4.5, "words outside of bars are ink on paper"


@pytest.mark.parametrize("style", [name for name, shown in (LOCATIONS | KINDS).items() if shown.hatch])
def test_a_hatch_can_be_seen(style):
    assert contrast(look(style).hatching, look(style).fill) >= 1.3


def test_no_look_is_green_and_none_pairs_red_with_green():
    def greenness(colour):
        lightness, red_green, _ = as_seen(colour)["all cones"]
        return -red_green if lightness > 20 else 0

    assert max(greenness(shown.fill) for shown in (LOCATIONS | KINDS).values()) < 15


def test_every_hatch_is_known_to_both_renderers():
    bars = tuple(Bar("lane", 0, 10, style) for style in LOCATIONS | KINDS)
    drawn = svg(Scene("hatches", "", (Chart(Axis(0, 10), (Lane("lane"),), bars),)))
    used = {shown.hatch for shown in (LOCATIONS | KINDS).values()} - {""}
    assert used <= set(HATCHES)
    assert drawn.count("<pattern ") == sum(bool(shown.hatch) for shown in (LOCATIONS | KINDS).values())
