"""What a command is asked to write, looked at before anything runs."""

from __future__ import annotations

from pathlib import Path

from svmlab.errors import InputError

__all__ = ["PICTURES", "check_output", "check_outputs"]

PICTURES = (".png", ".svg")
"""Endings of pictures, of which the view's drawers know how to write each."""


def check_outputs(files: tuple[Path, ...], plot: Path | None, trace: Path | None) -> None:
    """Refuse a picture or a trace that cannot be written, or that several scenarios would share."""
    from svmlab.trace.formats import FORMATS

    if (plot or trace) and len(files) > 1:
        raise InputError("--plot and --trace of several scenarios", allowed="one scenario at a time")
    check_output(plot, PICTURES)
    check_output(trace, tuple(FORMATS))


def check_output(path: Path | None, endings: tuple[str, ...]) -> None:
    """Refuse a file to write whose ending nothing writes or whose folder is not there."""
    if path is not None and path.suffix not in endings:
        raise InputError(f"{path} to write", allowed="a name that ends in " + " or ".join(endings))
    if path is not None and not path.absolute().parent.is_dir():
        raise InputError(f"there is no folder {path.parent}", hint=f"mkdir -p {path.parent}")
