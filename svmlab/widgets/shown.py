"""What all widgets share: how they appear in a notebook, with the ipywidgets of today and of version 7."""

from __future__ import annotations

from typing import Any

import ipywidgets as widgets

__all__ = ["Shown", "Twin"]


class Shown:
    """A widget made of core controls.

    Attributes:
        box: the ipywidgets box that holds everything.
    """

    box: widgets.VBox

    @property
    def text(self) -> str:
        """What stands for it where there is no kernel."""
        return f"{type(self).__name__}: run this cell to use it; the next cell shows what matters without a kernel."

    def _ipython_display_(self) -> None:
        from IPython.display import display

        view = {"version_major": 2, "version_minor": 0, "model_id": self.box.model_id}
        # Not the box itself: its plain text is a long list of its parts, other ones with each version of ipywidgets.
        data: dict[str, Any] = {"text/plain": self.text, "application/vnd.jupyter.widget-view+json": view}
        display(data, raw=True)  # type: ignore[no-untyped-call]


class Twin(str):
    """Text that stands in a cell's output as it is, when it is the value of the cell's last line."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)
