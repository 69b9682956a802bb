"""The one style of all pictures: what has which colour, hatch and letter.

Nothing is told by colour alone: two looks that may meet differ in their hatch, or by far in lightness and in colour as
colour-blind people see it; a location also has a letter. There is no pair of red and green.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

__all__ = [
    "GLYPHS",
    "HATCHES",
    "INK",
    "KINDS",
    "LOCATIONS",
    "PAPER",
    "WIRES",
    "SWEPT",
    "Look",
    "channels",
    "contrast",
    "location_look",
    "look",
    "mix",
]

INK, PAPER = "#000000", "#ffffff"
HATCHES = ("", "/", "\\", "x", "-", "|", "+", "o", ".", "*", "xx")
"""The hatches that every renderer knows."""
GLYPHS = {
    "diamond": ((0.0, -1.0), (1.0, 0.0), (0.0, 1.0), (-1.0, 0.0)),
    "down": ((-1.0, -0.8), (1.0, -0.8), (0.0, 1.0)),
    "up": ((0.0, -1.0), (1.0, 0.8), (-1.0, 0.8)),
    "square": ((-0.8, -0.8), (0.8, -0.8), (0.8, 0.8), (-0.8, 0.8)),
    "round": ((-0.4, -0.9), (0.4, -0.9), (0.9, -0.4), (0.9, 0.4), (0.4, 0.9), (-0.4, 0.9), (-0.9, 0.4), (-0.9, -0.4)),
}
"""Shapes of marks: their corners around the middle, in halves of a mark's width."""
_HATCH_STRENGTH = 0.3
_LOCATION = re.compile(r"gpu(\d+)")


@dataclass(frozen=True, slots=True)
class Look:
    """How something is drawn.

    Attributes:
        name: what the legend calls it.
        fill: colour, ``"#rrggbb"``.
        hatch: one of ``HATCHES``.
        letter: the letter of a location.
        dashed: whether its outline is dashed: somebody waits, nothing is done.
        glyph: the shape of a mark, one of ``GLYPHS``.
    """

    name: str
    fill: str
    hatch: str = ""
    letter: str = ""
    dashed: bool = False
    glyph: str = "diamond"

    @property
    def ink(self) -> str:
        """The colour of text on it, black or white, whichever stands out more; at least 4.5:1 on every fill."""
        return max((INK, PAPER), key=lambda ink: contrast(ink, self.fill))

    @property
    def hatching(self) -> str:
        """The colour of its hatch: strong enough to be seen, weak enough to read over."""
        return mix(self.fill, self.ink, share=_HATCH_STRENGTH)


LOCATIONS = {
    "cpu": Look("RAM", "#ffd470", "", "R"),
    "gpu0": Look("VRAM of gpu0", "#0b3c7d", "/", "V0"),
    "gpu1": Look("VRAM of gpu1", "#6aa5dd", "\\", "V1"),
    "gpu2": Look("VRAM of gpu2", "#4a2377", "x", "V2"),
    "gpu3": Look("VRAM of gpu3", "#ab8fd2", "-", "V3"),
    "gpu4": Look("VRAM of gpu4", "#256f9e", "|", "V4"),
    "gpu5": Look("VRAM of gpu5", "#93c5df", "+", "V5"),
    "gpu6": Look("VRAM of gpu6", "#85509f", "o", "V6"),
    "gpu7": Look("VRAM of gpu7", "#d6a9d9", ".", "V7"),
    "none": Look("no page", "#ffffff", "", "-"),
    "swapped": Look("swapped out", "#8f8f8f", "*", "S"),
    "mixed": Look("several places", "#e4e4e4", "xx", "*"),
}
"""Looks of locations, by the names scenario files use."""

KINDS = {
    "call": Look("call", "#3d3d3d"),
    "move": Look("migration", "#bdbdbd"),
    "step": Look("step", "#dfe6f0"),
    "copy": Look("copy", "#e08214", "/"),
    "stopped": Look("queues stopped", "#8c2d04", "x"),
    "wait": Look("delay", "#ffffff", ".", dashed=True),
    "restore": Look("restore", "#542788", "\\"),
    "map": Look("mapping", "#b2abd2", "-"),
    "work": Look("GPU work", "#2b7bba", "|"),
    "fault": Look("GPU fault", "#c51b7d", "+"),
    "lock": Look("waits for a lock", "#fee391", "o", dashed=True),
    "access": Look("CPU access", "#2b7bba", ".", glyph="down"),
    "cpu fault": Look("CPU fault", "#c51b7d", "o", glyph="diamond"),
    "notice": Look("notifier", "#8c2d04", "-", glyph="round"),
    "unmap": Look("unmap", "#542788", "*", glyph="square"),
    "trouble": Look("trouble", "#fee391", "x", glyph="up"),
    "now": Look("now", "#3d3d3d"),
    "here": Look("looked at", "#3d3d3d"),
    "difference": Look("first difference", "#000000"),
    "free": Look("free", "#ffffff"),
    "empty": Look("held, but no page in it", "#c9c9c9", "*"),
    "reserved": Look("reserved", "#3d3d3d"),
    "small": Look("small pieces", "#e4e4e4", "xx"),
}
"""Looks of what happens on a timeline; those from access to difference are mostly marks, the last ones are VRAM's."""

SWEPT = {
    "held": Look("every expectation held", "#bdbdbd"),
    "broken": Look("some did not hold", "#fee391", "x"),
    "moved in": Look("to VRAM", "#0b3c7d", "/"),
    "moved home": Look("home to RAM", "#ffd470", "o"),
}
"""Looks of what became of the combinations of a sweep."""

WIRES = {
    "xgmi": Look("xGMI", "#542788"),
    "pcie": Look("PCIe", "#8c4a00", dashed=True),
    "hypertransport": Look("HyperTransport", "#3d3d3d", dashed=True),
    "other": Look("other link", "#3d3d3d", dashed=True),
}
"""Looks of links: a solid line is one over which a GPU reaches memory coherently."""

_PLAIN = Look("", PAPER)
_PAPERS = {"lit": "#d9e6f5", "pale": "#f4f4f4", "band": "#f4f4f4", "head": "#e4e4e4"}
_ROWS = {style: Look("", fill) for style, fill in _PAPERS.items()}


def look(style: str) -> Look:
    """The look of a style, a location or a kind; plain paper for an unknown one."""
    found = KINDS.get(style) or _ROWS.get(style) or LOCATIONS.get(style) or WIRES.get(style) or SWEPT.get(style)
    return found or (location_look(style) if _LOCATION.fullmatch(style) else _PLAIN)


def location_look(name: str) -> Look:
    """The look of a location; from the ninth GPU on colours and hatches come again, with a letter of their own.

    >>> location_look("gpu9").letter, location_look("gpu9").hatch == location_look("gpu1").hatch
    ('V9', True)
    """
    number = _LOCATION.fullmatch(name)
    if name in LOCATIONS or number is None:
        return LOCATIONS.get(name, replace(_PLAIN, name=name, letter="?"))
    first = LOCATIONS[f"gpu{int(number[1]) % 8}"]
    return replace(first, name=f"VRAM of {name}", letter=f"V{number[1]}")


def contrast(one: str, other: str) -> float:
    """The contrast of two colours as WCAG counts it, 1 to 21.

    >>> contrast("#000000", "#ffffff")
    21.0
    """
    darker, lighter = sorted((_luminance(one), _luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


def mix(one: str, other: str, *, share: float) -> str:
    """A colour between two, with ``share`` (0 to 1) of the other one.

    >>> mix("#000000", "#ffffff", share=0.5)
    '#808080'
    """
    pairs = zip(channels(one), channels(other), strict=True)
    return "#" + "".join(f"{round(a + (b - a) * share):02x}" for a, b in pairs)


def channels(colour: str) -> tuple[int, ...]:
    """Red, green and blue of a colour, 0 to 255.

    >>> channels("#0080ff")
    (0, 128, 255)
    """
    return tuple(int(colour[at : at + 2], 16) for at in (1, 3, 5))


def _luminance(colour: str) -> float:
    linear = [_linear(channel / 255) for channel in channels(colour)]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def _linear(channel: float) -> float:
    return float(channel / 12.92 if channel <= 0.04045 else ((channel + 0.055) / 1.055) ** 2.4)
