"""A learner's folder: notebooks are copied into it, and what somebody worked on is never written over."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TypeVar

from svmlab.course.editions import LESSON
from svmlab.course.state import DEFAULT
from svmlab.errors import InputError

__all__ = ["Fate", "Handed", "hand_out", "lessons", "reset"]

_NOTE = "handed-out.json"
"""In the state folder: which version of each notebook came last, by its hash."""
_Found = TypeVar("_Found")
_FRESH, _KEPT = "newer", "before"


class Fate(StrEnum):
    """What became of a notebook."""

    COPIED = "copied"
    SAME = "there already"
    KEPT = "yours is kept"
    REPLACED = "replaced by a newer one; yours was untouched"
    BESIDE = "yours is kept, and a newer one is beside it"
    RESET = "fresh again, and yours is beside it"


@dataclass(frozen=True, slots=True)
class Handed:
    """What became of one notebook.

    Attributes:
        name: its path below the folder.
        fate: what became of it.
        beside: the file that was put beside it, if there is one.
    """

    name: str
    fate: Fate
    beside: Path | None = None


def lessons(notebooks: Path) -> list[Path]:
    """The lessons of a folder, in the order of the course.

    Args:
        notebooks: ``svmlab.resources.notebooks_path()``, or a learner's folder.
    """
    return sorted(path for path in notebooks.glob("*.ipynb") if LESSON.match(path.name))


def hand_out(notebooks: Path, folder: Path) -> list[Handed]:
    """Copy the course into a learner's folder.

    A notebook that is not there is copied. One that nobody has touched is replaced where there is a newer version.
    One that was worked on stays, and a newer version lands beside it, once.

    Args:
        notebooks: where the course is.
        folder: the learner's; made if it is not there.

    Raises:
        InputError: the folder cannot be used, or is the one that the course comes from.
    """
    _prepare(notebooks, folder)
    return _noting(folder, lambda note: [_one(path, notebooks, folder, note) for path in _shipped(notebooks)])


def reset(notebooks: Path, folder: Path, number: str) -> Handed:
    """Put a fresh copy of a lesson into a learner's folder; what was there is kept beside it.

    Args:
        notebooks: where the course is.
        folder: the learner's.
        number: how the lesson begins, ``"05"``.

    Raises:
        InputError: no lesson, or more than one, begins like that.
    """
    _prepare(notebooks, folder)
    known = lessons(notebooks)
    found = [path for path in known if number and path.name.startswith(number)]
    if len(found) != 1:
        raise InputError(
            f"no single lesson begins with {number!r}", allowed=", ".join(path.stem.split("_")[0] for path in known)
        )
    return _noting(folder, lambda note: _fresh(found[0], notebooks, folder, note))


def _prepare(notebooks: Path, folder: Path) -> None:
    if folder.resolve().is_relative_to(notebooks.resolve()):
        raise InputError(f"{folder} is where the course comes from", hint="name another folder with --workdir")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"the folder {folder}: {error.strerror}", hint="name another one with --workdir") from None


def _shipped(notebooks: Path) -> Iterator[Path]:
    return iter(sorted([*notebooks.glob("*.ipynb"), *notebooks.glob("solutions/*.ipynb")]))


def _noting(folder: Path, work: Callable[[dict[str, str]], _Found]) -> _Found:
    """Do something with the note of what was handed out, and keep the note whatever happens in between."""
    path = folder / DEFAULT / _NOTE
    note = _read(path)
    try:
        try:
            return work(note)
        finally:
            _write(path, json.dumps(note, indent=1, sort_keys=True).encode())
    except OSError as error:
        raise InputError(
            f"{error.filename}: {error.strerror}", hint="can the folder be written, is the disk full?"
        ) from None


def _read(path: Path) -> dict[str, str]:
    """The note; one that cannot be read counts as none, which only means that more is kept."""
    try:
        note = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return {str(name): str(known) for name, known in note.items()} if isinstance(note, dict) else {}


def _one(source: Path, notebooks: Path, folder: Path, note: dict[str, str]) -> Handed:
    name = source.relative_to(notebooks).as_posix()
    target, data = folder / name, source.read_bytes()
    handed = _settle(name, target, data, note.get(name))
    note[name] = _hash(data)
    return handed


def _settle(name: str, target: Path, data: bytes, last: str | None) -> Handed:
    """Copy, replace, put beside, or leave; ``last`` is the version that the learner was given last."""
    fresh, mine = _hash(data), _hash(target.read_bytes()) if target.exists() else None
    if mine == fresh:
        return Handed(name, Fate.SAME)
    if mine is None or mine == last:
        _write(target, data)
        return Handed(name, Fate.COPIED if mine is None else Fate.REPLACED)
    if last == fresh:
        return Handed(name, Fate.KEPT)
    beside = _free_name(target, _FRESH)
    _write(beside, data)
    return Handed(name, Fate.BESIDE, beside)


def _fresh(source: Path, notebooks: Path, folder: Path, note: dict[str, str]) -> Handed:
    name = source.relative_to(notebooks).as_posix()
    target, data = folder / name, source.read_bytes()
    beside = None
    if target.exists() and target.read_bytes() != data:
        beside = _free_name(target, _KEPT)
        target.rename(beside)
    handed = _settle(name, target, data, None)
    note[name] = _hash(data)
    return Handed(name, Fate.RESET, beside) if beside else handed


def _hash(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _free_name(target: Path, word: str) -> Path:
    """A name beside a file that nothing has yet: ``05_coming_back.newer.ipynb``, ``.newer-2.ipynb``, ..."""
    number, path = 1, target.with_suffix(f".{word}{target.suffix}")
    while path.exists():
        number += 1
        path = target.with_suffix(f".{word}-{number}{target.suffix}")
    return path


def _write(path: Path, data: bytes) -> None:
    """Write a file whole or not at all: a copy that was cut short would pass for the learner's work."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.part")
    part.write_bytes(data)
    part.replace(path)
