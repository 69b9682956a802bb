"""Widgets as a test reads them: no kernel, no browser."""

import re
from html import unescape

import pytest

import svmlab.widgets

SMALL = {
    "MigrationStepper": {"machine": "toy", "size": "64 KiB"},
    "FaultStepper": {"machine": "toy", "size": "64 KiB"},
    "RestoreRace": {"size": "64 KiB"},
}
"""What is smaller than the widget's own start, and shows the same."""


class Reader:
    """What a reader sees of a widget.

    Attributes:
        lab: the widget.
    """

    def __init__(self, lab):
        self.lab = lab

    @property
    def controls(self):
        """The controls in front of Reset, each box for a number together with its slider."""
        return list(self.lab.box.children[0].children[:-1])

    @property
    def values(self):
        """The controls that hold a value, by their names."""
        named, name = {}, ""
        for control in self.controls:
            name = control.description or name
            named[name] = control
        return named

    @property
    def pictures(self):
        """What the pictures are called for who does not see them."""
        return [unescape(label) for label in re.findall(r'role="img" aria-label="([^"]*)"', self.lab.view.value)]

    @property
    def drawn(self):
        """The pictures themselves."""
        return re.findall(r"<svg.*?</svg>", self.lab.view.value, re.DOTALL)

    @property
    def said(self):
        """Everything that is written outside of pictures."""
        without = re.sub(r"<svg.*?</svg>", " ", self.lab.view.value, flags=re.DOTALL)
        return unescape(re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", without))).strip()

    @property
    def headline(self):
        """The line above everything."""
        return unescape(re.match(r'<p aria-live="polite"[^>]*><b>(.*?)</b></p>', self.lab.view.value)[1])

    @property
    def refused(self):
        """What was refused, in words."""
        return unescape(re.sub(r"<[^>]+>", "", self.lab.message.value))


def _make(name):
    return getattr(svmlab.widgets, name)(**SMALL.get(name, {}))


@pytest.fixture(scope="session")
def _made():
    return {}


@pytest.fixture(params=svmlab.widgets.__all__)
def reader(request, _made):
    """Each widget, at its start."""
    name = request.param
    lab = _made.setdefault(name, None) or _make(name)
    _made[name] = lab
    lab.reset.click()
    return Reader(lab)


@pytest.fixture
def make():
    """Makes one more widget of a name."""
    return _make


@pytest.fixture
def read():
    """Makes a reader of a widget."""
    return Reader
