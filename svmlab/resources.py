"""Where the shipped data is: machine descriptions, costs, scenarios, vectors, traces."""

from __future__ import annotations

from pathlib import Path

from svmlab.errors import InputError

__all__ = ["data_path"]

_PACKAGE = Path(__file__).resolve().parent
# An installed wheel has data/ inside the package; a checkout has it beside the package, where people look for it.
_CANDIDATES = (_PACKAGE / "data", _PACKAGE.parent / "data")


def data_path(*parts: str) -> Path:
    """Locate a shipped file or folder.

    Args:
        *parts: path below ``data``, one name each; none means the folder itself.

    Returns:
        An absolute path that exists.

    Raises:
        InputError: there is no such file or folder, or the parts lead out of ``data``.

    >>> data_path("machines").name
    'machines'
    """
    root = next((folder for folder in _CANDIDATES if folder.is_dir()), None)
    if root is None:
        raise InputError(
            f"the data folder of svmlab is missing beside {_PACKAGE}", hint="install the package again (make setup)"
        )
    path = root.joinpath(*parts)
    if not path.resolve().is_relative_to(root):
        raise InputError(f"{'/'.join(parts)!r} is not below {root.name}/")
    if not path.exists():
        raise InputError(f"{'/'.join(parts)!r} is not shipped with svmlab", allowed=_siblings(path))
    return path


def _siblings(path: Path) -> str:
    """Name what is there instead, for the error message."""
    if not path.parent.is_dir():
        return ""
    return ", ".join(sorted(entry.name for entry in path.parent.iterdir()))
