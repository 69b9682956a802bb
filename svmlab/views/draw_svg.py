"""Scenes as SVG: strings made by hand, fast enough to follow a slider."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape
from itertools import groupby
from zlib import crc32

from svmlab.views.describe import alt_text, describe
from svmlab.views.layout import lay_out
from svmlab.views.lettering import FONT_FAMILY
from svmlab.views.scene import Scene
from svmlab.views.sheet import Box, Drawing, Line, Word
from svmlab.views.style import INK, PAPER, Look, look, mix

__all__ = ["svg", "svg_document"]

_TILE = 8
_HATCH_PATHS = {
    "/": "M-2 2L2 -2M0 8L8 0M6 10L10 6",
    "\\": "M-2 6L2 10M0 0L8 8M6 -2L10 2",
    "x": "M0 0L8 8M0 8L8 0",
    "-": "M0 4H8",
    "|": "M4 0V8",
    "+": "M0 4H8M4 0V8",
    "o": "M4 2A2 2 0 1 0 4.01 2Z",
    ".": "M3.4 4H4.6",
    "*": "M1 4H7M4 1V7M2 2L6 6M2 6L6 2",
    "xx": "M0 0L8 8M0 8L8 0M4 0L8 4M0 4L4 8M0 4L4 0M4 8L8 4",
}
_EDGE = mix(INK, PAPER, share=0.35)


def svg(scene: Scene, *, width_px: float = 700) -> str:
    """Draw a scene for a web page or a widget.

    Args:
        scene: what to draw.
        width_px: its width in pixels.

    Returns:
        A ``div`` with the role of an image, the scene's description as its label, and the drawing in it.
    """
    label = escape(alt_text(scene), quote=True)
    return f'<div role="img" aria-label="{label}">{_picture(lay_out(scene, width_px), "")}</div>'


def svg_document(scene: Scene, *, width_px: float = 700) -> str:
    """Draw a scene as a file of its own, with title and description.

    Args:
        scene: what to draw.
        width_px: its width in pixels.
    """
    head = f"<title>{escape(scene.title)}</title><desc>{escape(describe(scene))}</desc>"
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + _picture(lay_out(scene, width_px), head) + "\n"


def _picture(sheet: Drawing, head: str) -> str:
    body = "".join(
        [
            _boxes(sheet.ground, edged=False),
            _boxes(sheet.boxes, edged=True),
            _boxes(sheet.plates, edged=False, hatched=False),
            *map(_line, sheet.lines),
            *map(_word, sheet.words),
        ]
    )
    # Two drawings on one page must not take each other's hatches: one of them may be hidden, and its hatches with it.
    prefix = f"h{crc32(body.encode()):08x}"
    styles = {box.style for box in (*sheet.ground, *sheet.boxes) if look(box.style).hatch}
    defs = "".join(_pattern(prefix, style) for style in sorted(styles))
    size = f'width="{sheet.width:.0f}" height="{sheet.height:.0f}"'
    # Without a head it is inside what has the label: a screen reader shall not meet a second, nameless picture.
    role = 'role="img"' if head else 'aria-hidden="true"'
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} viewBox="0 0 {sheet.width:.0f} {sheet.height:.0f}" {role} '
        f'font-family="{FONT_FAMILY}" style="max-width:100%">{head}<defs>{defs}</defs>'
        f'<rect width="100%" height="100%" fill="{PAPER}"/>{body.replace("url(#h-", f"url(#{prefix}-")}</svg>'
    )


def _boxes(boxes: list[Box], *, edged: bool, hatched: bool = True) -> str:
    """Boxes of one style that follow each other share a group, which keeps the string short."""
    edge = f' stroke="{_EDGE}" stroke-width="0.8"' if edged else ""
    groups = groupby(boxes, key=lambda box: box.style)
    return "".join(_group(style, members, edge, hatched=hatched) for style, members in groups)


def _group(style: str, boxes: Iterable[Box], edge: str, *, hatched: bool) -> str:
    shown = look(style)
    fill = f"url(#h-{_slug(style)})" if hatched and shown.hatch else shown.fill
    dash = ' stroke-dasharray="4 2"' if edge and shown.dashed else ""
    return f'<g fill="{fill}"{edge}{dash}>{"".join(map(_box, boxes))}</g>'


def _box(box: Box) -> str:
    place = f'<rect x="{box.x:.1f}" y="{box.y:.1f}" width="{box.width:.1f}" height="{box.height:.1f}"'
    return f"{place}><title>{escape(box.tip)}</title></rect>" if box.tip else f"{place}/>"


def _line(line: Line) -> str:
    points = " ".join(f"{x:.1f},{y:.1f}" for x, y in line.points)
    dash = f' stroke-dasharray="{4 * line.width:g} {3 * line.width:g}"' if line.dashed else ""
    size = f' stroke-width="{line.width:g}"' if line.width != 1 else ""
    return f'<polyline points="{points}" fill="{line.fill or "none"}" stroke="{line.ink}"{size}{dash}/>'


def _word(word: Word) -> str:
    weight = ' font-weight="bold"' if word.bold else ""
    place = f'x="{word.x:.1f}" y="{word.y:.1f}" font-size="{word.size:.2f}"'
    return f'<text {place} fill="{word.ink}"{weight}>{escape(word.text)}</text>'


def _pattern(prefix: str, style: str) -> str:
    shown: Look = look(style)
    return (
        f'<pattern id="{prefix}-{_slug(style)}" width="{_TILE}" height="{_TILE}" patternUnits="userSpaceOnUse">'
        f'<rect width="{_TILE}" height="{_TILE}" fill="{shown.fill}"/>'
        f'<path d="{_HATCH_PATHS[shown.hatch]}" stroke="{shown.hatching}" fill="none" stroke-width="1.2"/></pattern>'
    )


def _slug(style: str) -> str:
    return "".join(char if char.isalnum() else "-" for char in style)
