"""Showing and saving scenes; matplotlib is loaded only when a figure is wanted."""

from __future__ import annotations

import sys
from base64 import b64encode
from os import PathLike
from pathlib import Path
from typing import Any

from svmlab.errors import InputError
from svmlab.views.describe import alt_text, describe
from svmlab.views.draw_svg import svg_document
from svmlab.views.scene import Scene

__all__ = ["save", "show"]


def show(scene: Scene, *, width_px: int = 700) -> None:
    """Show a scene: in a notebook its picture, everywhere its sentences.

    Args:
        scene: what to show.
        width_px: the width of the picture in CSS pixels.
    """
    if _in_notebook():
        _display(scene, width_px)
    print(describe(scene))


def save(scene: Scene, path: str | PathLike[str], *, width_px: int = 700) -> Path:
    """Save a scene as a picture that carries its description.

    Args:
        scene: what to save.
        path: where to; ``.png`` (the text is in its ``Description``) or ``.svg`` (in ``<desc>``).
        width_px: the width it is meant to be shown at, in CSS pixels.

    Returns:
        The path.

    Raises:
        InputError: the path ends otherwise, or matplotlib is needed and missing.
    """
    path = Path(path)
    if path.suffix == ".svg":
        path.write_text(svg_document(scene, width_px=width_px), encoding="utf-8")
    elif path.suffix == ".png":
        path.write_bytes(_png(scene, width_px))
    else:
        raise InputError(f"a picture cannot be saved as {path.name}", allowed=".png or .svg")
    return path


def _in_notebook() -> bool:
    # Only what is loaded already is asked: a plain script must not pay for IPython.
    ipython = sys.modules.get("IPython")
    return ipython is not None and ipython.get_ipython() is not None


def _display(scene: Scene, width_px: int) -> None:
    from IPython.display import display

    # The plain text is constant, since nbval compares it, and never the image.
    image = {"image/png": b64encode(_png(scene, width_px)).decode(), "text/plain": f"<Figure: {scene.kind}>"}
    about: dict[str, Any] = {"alt": alt_text(scene), "width": width_px}
    display(image, metadata={"image/png": about}, raw=True)  # type: ignore[no-untyped-call]


def _png(scene: Scene, width_px: int) -> bytes:
    try:
        from svmlab.views.draw_mpl import png
    except ImportError as missing:
        raise InputError(
            f"a PNG needs matplotlib ({missing})", hint="pip install svmlab[lab], or save as .svg, which needs nothing"
        ) from None
    return png(scene, width_px=width_px)
