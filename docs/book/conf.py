"""Sphinx settings of the book; stage.py puts this beside the pages that it makes, and `make docs` runs both."""

import json
import re
from importlib.metadata import version as installed
from pathlib import Path

HERE = Path(__file__).resolve().parent

project = "svmlab"
version = release = installed("svmlab")
copyright = "the svmlab contributors"  # noqa: A001 (Sphinx's name)
extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
source_suffix = {".md": "myst-nb", ".ipynb": "myst-nb"}
exclude_patterns = ["README.md"]  # included by index.md

html_theme = "furo"
html_title = f"svmlab {release}"
html_favicon = "_static/icon.svg"
html_static_path = ["_static"]
html_css_files = ["book.css"]
html_js_files = ["book.js"]
html_copy_source = html_show_sourcelink = False
# A reader needs nothing from elsewhere: no mathematics, no fonts, no icons that a page would fetch.
pygments_style = "a11y-high-contrast-light"
pygments_dark_style = "a11y-high-contrast-dark"

myst_heading_anchors = 4
myst_enable_extensions = ["attrs_inline"]
suppress_warnings = ["myst.header"]  # a notebook's cells may skip a level

# Outputs are those that are committed, which `make test` compares with a run.
nb_execution_mode = "off"
# What shows live widgets, where npm could fetch it; otherwise nothing is loaded, and static twins stand alone.
nb_ipywidgets_js = json.loads((HERE / "widget_scripts.json").read_text(encoding="utf-8"))

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_inherit_docstrings = True
autodoc_default_options = {"members": True, "inherited-members": "str,tuple,Exception", "show-inheritance": False}
napoleon_google_docstring = True
napoleon_use_ivar = True

_SYMBOLS = json.loads((HERE / "kernel_symbols.json").read_text(encoding="utf-8"))


def _link_symbols(app: object, what: str, name: str, thing: object, options: object, lines: list[str]) -> None:
    """Let a kernel symbol that a docstring cites lead to its entry."""
    for at, line in enumerate(lines):
        if "Kernel:" in line:
            lines[at] = re.sub(r"\b\w+\b", lambda word: _linked(word[0]), line)


def _linked(word: str) -> str:
    return f":ref:`{word} <{_SYMBOLS[word]}>`" if word in _SYMBOLS else word


def setup(app: object) -> None:
    """Called by Sphinx."""
    app.connect("autodoc-process-docstring", _link_symbols)
