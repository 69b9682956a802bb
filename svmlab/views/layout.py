"""From a scene to shapes in pixels: title, panels, key, legend."""

from __future__ import annotations

from svmlab.views.layout_chart import lay_chart, lay_glyph, names_width
from svmlab.views.layout_diagram import lay_diagram
from svmlab.views.layout_table import lay_table
from svmlab.views.lettering import TITLE_PX, shorten, width
from svmlab.views.scene import Chart, Diagram, Panel, Scene
from svmlab.views.sheet import MARGIN, ROW, Box, Drawing, Word
from svmlab.views.style import INK, KINDS, LOCATIONS, Look, look

__all__ = ["lay_out"]

_SWATCH = 30.0
_GAP = 18.0
_KEY_LINES = 12
_LEFT = 0.45
"""The part of the paper's width that panels have which stand aside."""


def lay_out(scene: Scene, width_px: float = 700, *, tips: bool = True) -> Drawing:
    """Lay out a scene.

    Args:
        scene: what to draw.
        width_px: width of the paper in pixels; its height follows.
        tips: whether boxes carry what hovering over them tells.

    Returns:
        Shapes in pixels from the upper left corner.
    """
    sheet = Drawing(width_px, tips=tips)
    if scene.title:
        title = shorten(scene.title, (width_px - 2 * MARGIN) / 1.4)
        sheet.words.append(Word(MARGIN, sheet.take(ROW + 6) + TITLE_PX, title, INK, TITLE_PX, bold=True))
    names_px = names_width(scene.charts)
    left, right = scene.panels[: scene.aside], scene.panels[scene.aside :]
    if left and right:
        _lay_columns(sheet, left, right, names_px=names_px)
    else:
        _lay_column(sheet, scene.panels, names_px)
    _lay_legend(sheet, scene)
    sheet.take(MARGIN - 4)
    return sheet


def _lay_columns(sheet: Drawing, left: tuple[Panel, ...], right: tuple[Panel, ...], *, names_px: float) -> None:
    """Lay out panels beside each other; the margin between the columns is that of the paper."""
    widths = (sheet.width * _LEFT, sheet.width * (1 - _LEFT) + MARGIN)
    one, other = (Drawing(width_px, 0, tips=sheet.tips) for width_px in widths)
    _lay_column(one, left, min(names_px, one.width / 3))
    _lay_column(other, right, min(names_px, other.width / 3))
    top = sheet.take(max(one.height, other.height))
    sheet.paste(one, (0, top))
    sheet.paste(other, (one.width - MARGIN, top))


def _lay_column(sheet: Drawing, panels: tuple[Panel, ...], names_px: float) -> None:
    key: list[str] = []
    for panel in panels:
        key = _lay_panel(sheet, panel, names_px, key)
    _lay_key(sheet, key)


def _lay_panel(sheet: Drawing, panel: Panel, names_px: float, key: list[str]) -> list[str]:
    """Lay out a panel; charts in a row share one key below the last of them, which is handed on until then."""
    if not isinstance(panel, Chart):
        _lay_key(sheet, key)
        key = []
    if panel.title:
        sheet.write((MARGIN, sheet.take(ROW + 2) + ROW / 2), shorten(panel.title, sheet.width / 1.3), bold=True)
    if isinstance(panel, Chart):
        key = list(dict.fromkeys(key + lay_chart(sheet, panel, names_px)))
    elif isinstance(panel, Diagram):
        lay_diagram(sheet, panel)
    else:
        lay_table(sheet, panel)
    sheet.take(4)
    return key


def _lay_key(sheet: Drawing, key: list[str]) -> None:
    """Write the key in as many columns as fit, down each column first."""
    if len(key) > _KEY_LINES:
        key = [*key[: _KEY_LINES - 1], f"and {len(key) - _KEY_LINES + 1} more"]
    if not key:
        return
    room = sheet.width - 2 * MARGIN
    columns = max(1, min(3, int(room // (max(width(text) for text in key) + _GAP))))
    lines = -(-len(key) // columns)
    top = sheet.take(lines * (ROW - 2) + 4)
    for number, text in enumerate(key):
        column, line = divmod(number, lines)
        at = (MARGIN + column * room / columns, top + (line + 0.5) * (ROW - 2))
        sheet.write(at, shorten(text, room / columns))


def _lay_legend(sheet: Drawing, scene: Scene) -> None:
    """Explain every style the charts use, in the order of the style table; a line with a label explains itself."""
    bars = {bar.style for chart in scene.charts for bar in chart.bars}
    marks = {mark.style for chart in scene.charts for mark in chart.marks if mark.lane or not mark.label}
    x, y = MARGIN, 0.0
    for style in sorted(bars | marks, key=_rank):
        size = _SWATCH + 6 + width(look(style).name) + _GAP
        if y == 0 or x + size - _GAP > sheet.width - MARGIN:
            x, y = MARGIN, sheet.take(ROW) + ROW / 2
        _lay_swatch(sheet, x, y, style, as_mark=style not in bars)
        sheet.write((x + _SWATCH + 6, y), look(style).name)
        x += size


def _rank(style: str) -> tuple[int, str]:
    order = [*LOCATIONS, *KINDS]
    return (order.index(style) if style in order else len(order), style)


def _lay_swatch(sheet: Drawing, x: float, y: float, style: str, *, as_mark: bool) -> None:
    middle = x + _SWATCH / 2
    if as_mark:
        lay_glyph(sheet, (middle, y), style=style)
        return
    sheet.boxes.append(Box(x, y - 9, _SWATCH, 18, style))
    _lay_letter(sheet, middle, y, look(style), style)


def _lay_letter(sheet: Drawing, middle: float, y: float, shown: Look, style: str) -> None:
    if not shown.letter:
        return
    size = width(shown.letter)
    if shown.hatch:
        sheet.plates.append(Box(middle - size / 2 - 1, y - 8, size + 2, 16, style))
    sheet.write((middle - size / 2, y), shown.letter, ink=shown.ink)
