"""How wide text is, without a font at hand: the advance widths of DejaVu Sans, which matplotlib brings along.

Layout must know widths before anything is drawn, and must give the same picture in matplotlib and in a browser, so it
measures text itself. Browsers are asked for DejaVu Sans, then Verdana (equally wide), then narrower fonts.
"""

from __future__ import annotations

from functools import lru_cache

__all__ = ["BODY_PX", "FONT_FAMILY", "TITLE_PX", "fits", "shorten", "width", "wrap"]

BODY_PX = 44 / 3
"""11 pt at 96 dots per inch: the smallest text of any picture."""
TITLE_PX = 17.0
FONT_FAMILY = "DejaVu Sans, Verdana, Arial, sans-serif"

_FIRST = 32
_PER_MILLE_OF_SIZE = (
    318, 401, 460, 838, 636, 950, 780, 275, 390, 390, 500, 838, 318, 361, 318, 337, 636, 636, 636, 636, 636, 636, 636,
    636, 636, 636, 337, 337, 838, 838, 838, 531, 1000, 684, 686, 698, 770, 632, 575, 775, 752, 295, 295, 656, 557, 863,
    748, 787, 603, 787, 695, 635, 611, 732, 684, 989, 685, 611, 685, 390, 337, 390, 838, 500, 500, 613, 635, 550, 635,
    615, 352, 635, 634, 278, 278, 579, 278, 974, 634, 612, 635, 635, 411, 521, 392, 634, 592, 818, 592, 592, 525, 636,
    337, 636, 838,
)  # fmt: skip
_UNKNOWN = 1000
_BOLD = 1.17
"""Ordinary English in DejaVu Sans Bold is 10 to 15 % wider than in the regular weight."""
_WIDTHS = {chr(_FIRST + i): per_mille for i, per_mille in enumerate(_PER_MILLE_OF_SIZE)}


def width(text: str, size_px: float = BODY_PX, *, bold: bool = False) -> float:
    """How wide a line of text is.

    Args:
        text: one line.
        size_px: font size in pixels.
        bold: whether it is set in bold.

    Returns:
        The width in pixels; exact for printable ASCII in regular weight.

    >>> round(width("set_attr", 10), 1)
    38.4
    """
    return _per_mille(text) * size_px / 1000 * (_BOLD if bold else 1)


@lru_cache(4096)
def _per_mille(text: str) -> int:
    return sum(_WIDTHS.get(char, _UNKNOWN) for char in text)


def fits(text: str, room_px: float) -> bool:
    """Whether a line of body text fits into so many pixels."""
    return width(text) <= room_px


def shorten(text: str, room_px: float) -> str:
    """Cut a line of text so that it fits, with three dots at the end where something is missing.

    >>> shorten("restore worker", 60)
    'resto...'
    """
    if fits(text, room_px):
        return text
    while text and not fits(text + "...", room_px):
        text = text[:-1]
    return text.rstrip() + "..."


def wrap(text: str, room_px: float) -> list[str]:
    """Break text into lines that fit; a word that is wider than a line is cut.

    >>> wrap("queues stand still", 80)
    ['queues', 'stand still']
    """
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".lstrip()
        if fits(longer, room_px):
            lines[-1] = longer
        else:
            lines.append(shorten(word, room_px))
    return [line for line in lines if line] or [""]
