"""The frame of every widget: controls, a line for what is refused, and a page that is a function of the controls."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import ipywidgets as widgets

from svmlab.errors import SvmError
from svmlab.views import Scene, show, table
from svmlab.widgets.controls import row
from svmlab.widgets.page import refusal
from svmlab.widgets.shown import Shown, Twin

__all__ = ["Lab"]


class Lab(Shown, ABC):
    """A widget whose page follows from the values of its controls, and from nothing else.

    Whatever a control is set to, the page is made anew; the same values give the same page. What is refused is told in
    words above the page, which then stays as it was.

    Args:
        controls: at most four, by the names the reader sees; their values now are those that ``reset`` goes back to.
        further: a control behind them that has no value to go back to; it counts as one of the four.

    Attributes:
        reset: the button that goes back to the start.
        message: what was refused and why, as HTML; empty if nothing was.
        view: pictures, sentences and reason, as HTML.
    """

    def __init__(self, controls: Mapping[str, widgets.DOMWidget], *further: widgets.DOMWidget) -> None:
        self._controls = tuple(controls.values())
        self._start = [control.value for control in self._controls]
        self.message, self.view = widgets.HTML(), widgets.HTML()
        self.reset = widgets.Button(description="Reset")
        self.box = widgets.VBox([row(controls, *further, self.reset), self.message, self.view])
        self.reset.on_click(lambda _button: self.restart())
        self._observe()
        self.restart()

    @abstractmethod
    def page(self) -> str:
        """What the values of the controls lead to, as HTML.

        Raises:
            SvmError: a value cannot be used.
        """

    @abstractmethod
    def summary(self) -> Scene:
        """The settings that matter side by side."""

    def notes(self) -> Iterable[str]:
        """What the twin of ``static`` says besides, line by line."""
        return ()

    def words(self, scene: Scene) -> str:
        """The summary as a table of plain text; a picture of many bars may have a shorter one."""
        return table(scene)

    def adapt(self, control: widgets.DOMWidget) -> None:
        """Bring the other controls in line with one that was changed; most have nothing to bring in line."""

    def static(self) -> Twin:
        """Show without a kernel what matters: the settings side by side.

        Returns:
            The same in words.
        """
        scene, notes = self.summary(), list(self.notes())
        show(scene)
        return Twin("\n".join([self.words(scene), *([""] if notes else []), *notes]))

    def restart(self) -> None:
        """Go back to the start."""
        with self._unobserved():
            for control, value in zip(self._controls, self._start, strict=True):
                control.value = value
        self.draw()

    def draw(self) -> None:
        """Make the page anew."""
        try:
            page = self.page()
        except SvmError as refused:
            self.message.value = refusal(str(refused))
            return
        self.view.value, self.message.value = page, ""

    def _changed(self, change: Any) -> None:
        with self._unobserved():
            self.adapt(change.owner)
        self.draw()

    def _observe(self) -> None:
        for control in self._controls:
            control.observe(self._changed, "value")

    @contextmanager
    def _unobserved(self) -> Iterator[None]:
        """Set controls without a page for each: what is drawn on the way would be sent to the browser, and flicker."""
        for control in self._controls:
            control.unobserve(self._changed, "value")
        try:
            yield
        finally:
            self._observe()
