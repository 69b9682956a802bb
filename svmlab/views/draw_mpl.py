"""Scenes as matplotlib figures; the only module of the views that knows matplotlib, imported when it is needed."""

from __future__ import annotations

from collections import defaultdict
from io import BytesIO
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import LineCollection, PolyCollection
from matplotlib.figure import Figure
from matplotlib.patches import PathPatch
from matplotlib.path import Path
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from svmlab.views.describe import alt_text
from svmlab.views.layout import lay_out
from svmlab.views.scene import Scene
from svmlab.views.sheet import Box, Drawing, Line, Word
from svmlab.views.style import INK, PAPER, channels, look, mix

__all__ = ["draw", "png"]

_DPI = 96
"""Pixels of layout are CSS pixels, so that 11 pt are 11 pt."""
_POINTS = 72 / _DPI
_SHARPNESS = 2
_COLOURS = 256
_SAME = 8
_STYLE: Any = {
    "font.family": "DejaVu Sans",
    "hatch.linewidth": 0.9,
    "path.simplify": False,
    "text.hinting": "no_hinting",
    "text.usetex": False,
}
"""Whatever a matplotlibrc says; without hinting, letters are as wide as layout thinks."""
_DENSE = {"xx": "xxx"}
_OUTLINED_FROM = 3.0
_EDGE = mix(INK, PAPER, share=0.35)


def draw(scene: Scene, *, width_px: float = 700) -> Figure:
    """Draw a scene as a figure.

    Args:
        scene: what to draw.
        width_px: its width in pixels at 96 dots per inch.

    Returns:
        A new figure outside of pyplot, so nothing needs to be closed; it is drawn the same whatever rcParams say.
    """
    return _draw(lay_out(scene, width_px, tips=False), _DPI)


def png(scene: Scene, *, width_px: float = 700) -> bytes:
    """Draw a scene as a PNG image of twice the pixels, whose ``Description`` is the scene's alternative text.

    Args:
        scene: what to draw.
        width_px: the width it is meant to be shown at, in CSS pixels.
    """
    sheet = lay_out(scene, width_px, tips=False)
    canvas: Any = _draw(sheet, _DPI * _SHARPNESS).canvas
    with mpl.rc_context(_STYLE):
        canvas.draw()
    known = PngInfo()
    known.add_itxt("Title", scene.title)
    known.add_itxt("Description", alt_text(scene))
    held = BytesIO()
    _in_few_colours(Image.fromarray(np.asarray(canvas.buffer_rgba())), sheet).save(held, "png", pnginfo=known)
    return held.getvalue()


def _draw(sheet: Drawing, dpi: int) -> Figure:
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(sheet.width / _DPI, sheet.height / _DPI), dpi=dpi, facecolor=PAPER)
        FigureCanvasAgg(figure)
        axes = figure.add_axes((0, 0, 1, 1))
        axes.set(xlim=(0, sheet.width), ylim=(sheet.height, 0))
        axes.set_axis_off()
        _draw_sheet(axes, sheet)
    return figure


def _in_few_colours(image: Image.Image, sheet: Drawing) -> Image.Image:
    """The picture with the colours of its styles and what smooth edges need: a third of the bytes in a notebook."""
    palette = [channel for colour in _colours(sheet)[:_COLOURS] for channel in colour]
    known = Image.new("P", (1, 1))
    known.putpalette(palette + palette[:3] * (_COLOURS - len(palette) // 3))
    return image.convert("RGB").quantize(palette=known, dither=Image.Dither.NONE)


def _colours(sheet: Drawing) -> list[tuple[int, ...]]:
    """Fills first, then blends of each with what is drawn on it, unless there is a colour as good as the same."""
    looks = [look(style) for style in sorted({box.style for box in (*sheet.ground, *sheet.boxes, *sheet.plates)})]
    blends = [mix(INK, PAPER, share=grey / 8) for grey in range(9)]
    for shown in looks:
        blends += [mix(shown.fill, shown.ink, share=share / 4) for share in (1, 2, 3)]
        blends += [shown.hatching, mix(shown.fill, shown.hatching, share=0.5), mix(shown.fill, _EDGE, share=0.5)]
    blends += [mix(line.ink, PAPER, share=share / 3) for line in sheet.lines for share in (1, 2)]
    fills = [*(shown.fill for shown in looks), *sorted({line.fill or line.ink for line in sheet.lines})]
    chosen = [channels(fill) for fill in fills]
    for blend in map(channels, [_EDGE, *blends]):
        if all(max(abs(a - b) for a, b in zip(blend, other, strict=True)) > _SAME for other in chosen):
            chosen.append(blend)
    return list(dict.fromkeys(chosen))


def _draw_sheet(axes: Axes, sheet: Drawing) -> None:
    _add_boxes(axes, sheet.ground, 1)
    _add_boxes(axes, sheet.boxes, 2)
    _add_outlines(axes, sheet.boxes)
    _add_boxes(axes, sheet.plates, 4, hatched=False)
    _add_lines(axes, sheet.lines)
    for word in sheet.words:
        _add_word(axes, word)


def _add_boxes(axes: Axes, boxes: list[Box], layer: int, *, hatched: bool = True) -> None:
    """One path for all boxes of a style: Agg draws a hatch anew for each path, which would cost 0.2 ms a box."""
    styled: defaultdict[str, list[Box]] = defaultdict(list)
    for box in boxes:
        styled[box.style].append(box)
    for style, members in styled.items():
        shown = look(style)
        hatch = _DENSE.get(shown.hatch, shown.hatch * 2) if hatched else ""
        axes.add_artist(
            PathPatch(
                _path(members), facecolor=shown.fill, edgecolor=shown.hatching, hatch=hatch, linewidth=0, zorder=layer
            )
        )


def _add_outlines(axes: Axes, boxes: list[Box]) -> None:
    for dashed in (False, True):
        chosen = [box for box in boxes if look(box.style).dashed is dashed and box.width >= _OUTLINED_FROM]
        dashes: Any = (0, (4, 2)) if dashed else "solid"
        outline = PathPatch(_path(chosen), fill=False, edgecolor=_EDGE, linewidth=0.6, linestyle=dashes, zorder=3)
        axes.add_artist(outline)


def _path(boxes: list[Box]) -> Path:
    """The outlines of some boxes as one path."""
    sides = np.array([(box.x, box.y, box.x + box.width, box.y + box.height) for box in boxes]).reshape(-1, 4)
    corners = sides[:, [0, 1, 2, 1, 2, 3, 0, 3, 0, 1]].reshape(-1, 2)
    codes = np.tile([Path.MOVETO, Path.LINETO, Path.LINETO, Path.LINETO, Path.CLOSEPOLY], len(boxes))
    return Path(corners, codes.astype(Path.code_type))


def _add_lines(axes: Axes, lines: list[Line]) -> None:
    areas = [line for line in lines if line.fill]
    strokes = [line for line in lines if not line.fill]
    fills, inks = [line.fill for line in areas], [line.ink for line in strokes]
    dashes: list[Any] = [(0, (4, 3)) if line.dashed else "solid" for line in strokes]
    glyphs = [line.points for line in areas]
    solids = PolyCollection(glyphs, facecolors=fills, edgecolors=INK, linewidths=0.75, zorder=5)
    sizes = [line.width * _POINTS for line in strokes]
    drawn = LineCollection(
        [line.points for line in strokes], colors=inks, linewidths=sizes, linestyles=dashes, zorder=5
    )
    axes.add_collection(solids, autolim=False)
    axes.add_collection(drawn, autolim=False)


def _add_word(axes: Axes, word: Word) -> None:
    axes.text(
        word.x, word.y, word.text, color=word.ink, fontsize=word.size * _POINTS, va="baseline", ha="left", zorder=6,
        fontweight="bold" if word.bold else "normal", parse_math=False,
    )  # fmt: skip
