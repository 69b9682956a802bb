"""Controls that work alike in ipywidgets 7 and 8, by mouse, by keyboard and for a screen reader."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import ipywidgets as widgets

__all__ = ["choice", "file", "numbered", "row", "slider", "text", "uploaded"]

_BOX, _SLIDER = "180px", "190px"
"""Widths of a number's two parts: narrow enough to stand in one row with a choice and Reset."""


def choice(options: Iterable[str] | Mapping[str, str], start: str) -> widgets.Dropdown:
    """One of a few things.

    Args:
        options: the values, or what the reader calls each of them to the value.
        start: the value at the start.
    """
    pairs = list(options.items()) if isinstance(options, Mapping) else [(value, value) for value in options]
    return widgets.Dropdown(options=pairs, value=start)


def slider(low: int, high: int, start: int, *, step: int = 1, live: bool = False) -> widgets.IntSlider:
    """A number.

    Args:
        low, high: its least and its greatest value.
        start: its value at the start.
        step: how far an arrow key goes.
        live: follow the handle; without, what the number decides is done when the handle is let go.
    """
    layout = widgets.Layout(width=_SLIDER)
    return widgets.IntSlider(
        value=start, min=low, max=high, step=step, continuous_update=live, readout=False, layout=layout
    )


def text(start: str) -> widgets.Text:
    """Words or numbers as the reader writes them, taken when Enter is pressed or the box is left."""
    return widgets.Text(value=start, continuous_update=False)


def file(name: str, endings: str) -> widgets.FileUpload:
    """A button that takes one file of the reader's own.

    Args:
        name: what it takes.
        endings: of files that are offered, as HTML wants them: ``".smi,.rocr"``.
    """
    # no icon: it would be a letter of a font that pages of the book do not have
    return widgets.FileUpload(description=name, accept=endings, multiple=False, icon="")


def uploaded(value: Any) -> tuple[str, bytes] | None:
    """The name and the content of the file that was given last; None if there is none.

    Args:
        value: of a ``file`` control: since version 8 a tuple of files, before a dict by name.
    """
    if isinstance(value, Mapping):
        files = [{"name": name, **found} for name, found in value.items()]
    else:
        files = list(value)
    return (str(files[-1]["name"]), bytes(files[-1]["content"])) if files else None


def numbered(slider: widgets.IntSlider, name: str) -> widgets.BoundedIntText:
    """A box for a number that is always the slider's.

    A slider has no name that a screen reader could tell, and is hard to set exactly; the box beside it has and is not.

    Args:
        slider: the slider.
        name: what it sets.
    """
    box = widgets.BoundedIntText(
        value=slider.value,
        min=slider.min,
        max=slider.max,
        step=slider.step,
        description=name,
        layout=widgets.Layout(width=_BOX),
    )
    widgets.link((slider, "max"), (box, "max"))
    widgets.link((slider, "value"), (box, "value"))
    return box


def row(controls: Mapping[str, widgets.DOMWidget], *further: widgets.DOMWidget) -> widgets.HBox:
    """Controls beside each other, each with its name; they wrap where the page is narrow.

    Args:
        controls: by their names.
        further: what stands behind them.
    """
    parts: list[widgets.DOMWidget] = []
    for name, control in controls.items():
        if isinstance(control, widgets.IntSlider):
            parts.append(numbered(control, name))
        else:
            control.description = name
        parts.append(control)
    return widgets.HBox([*parts, *further], layout=widgets.Layout(flex_flow="row wrap"))
