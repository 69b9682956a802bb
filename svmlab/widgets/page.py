"""The HTML that widgets put their pictures and sentences in."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

from svmlab.views import Scene, describe, svg

__all__ = ["LEFT", "RIGHT", "beside", "bullets", "heading", "labelled", "refusal", "told"]

LEFT, RIGHT = 300, 520
"""Widths of two columns in pixels; together they fit beside the file browser of a JupyterLab of 1280 pixels."""

_COLUMN = "flex:1 1 {width}px;max-width:{width}px"


def beside(*columns: tuple[int, Iterable[str]]) -> str:
    """Put columns side by side, one below the other where the page is narrow.

    Args:
        columns: for each its width in pixels and its pieces of HTML, from top to bottom.
    """
    boxes = (f'<div style="{_COLUMN.format(width=width)}">{"".join(pieces)}</div>' for width, pieces in columns)
    # The line height of a notebook is made for code; sentences need more.
    return f'<div style="display:flex;flex-wrap:wrap;gap:12px;line-height:1.4">{"".join(boxes)}</div>'


def told(scene: Scene, width_px: int) -> str:
    """A scene as a picture, with its sentences below for everybody to read."""
    return f'{svg(scene, width_px=width_px)}<p style="margin:0 0 8px 0">{escape(describe(scene))}</p>'


def heading(text: str) -> str:
    """A line that says what all the rest is about; a screen reader tells it whenever it changes."""
    style = "margin:4px 0;line-height:1.4"
    return f'<p aria-live="polite" style="{style}"><b>{escape(text[:1].upper() + text[1:])}</b></p>'


def labelled(name: str, text: str) -> str:
    """A paragraph that begins with its name in bold."""
    return f'<p style="margin:4px 0"><b>{escape(name)}</b> {escape(text)}</p>'


def refusal(text: str) -> str:
    """What was refused and why; a screen reader tells it at once."""
    border = "border-left:4px solid #b45309;padding-left:8px"
    return f'<p role="alert" style="margin:4px 0;{border}"><b>Not done:</b> {escape(text)}</p>'


def bullets(name: str, texts: Iterable[str]) -> str:
    """A named list."""
    items = "".join(f"<li>{escape(text)}</li>" for text in texts)
    return labelled(name, "") + f'<ul style="margin:0 0 4px 0;padding-left:1.2em">{items}</ul>'
