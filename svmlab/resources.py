"""Where the shipped files are: data (machines, costs, scenarios, vectors, traces) and the notebooks of the course."""

from __future__ import annotations

from pathlib import Path

from svmlab.errors import InputError

__all__ = ["data_path", "notebooks_path"]

_PACKAGE = Path(__file__).resolve().parent
# An installed wheel has data/ and notebooks/ inside the package; a checkout has them beside it, where people look.
_PLACES = (_PACKAGE, _PACKAGE.parent)


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
    return _shipped("data", parts)


def notebooks_path(*parts: str) -> Path:
    """Locate a notebook of the course, or the folder of them.

    Args:
        *parts: path below ``notebooks``, one name each; none means the folder itself.

    Returns:
        An absolute path that exists. Where svmlab is installed it may not be writable: a learner works on a copy.

    Raises:
        InputError: there is no such file or folder, or the parts lead out of ``notebooks``.

    >>> notebooks_path("solutions").name
    'solutions'
    """
    return _shipped("notebooks", parts)


def _shipped(folder: str, parts: tuple[str, ...]) -> Path:
    root = next((place / folder for place in _PLACES if (place / folder).is_dir()), None)
    if root is None:
        raise InputError(
            f"the folder {folder} of svmlab is missing beside {_PACKAGE}", hint="install the package again (make setup)"
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
