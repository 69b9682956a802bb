"""What description files have in common: strict tables, figures with evidence, and errors of one line."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from svmlab.errors import InputError, SvmError
from svmlab.hardware.figures import Evidence, Figure

__all__ = ["FigureTable", "FileTable", "in_file", "parse_table", "read_toml"]

T = TypeVar("T", bound="FileTable")

_LARGEST_FILE = 4 << 20


class FileTable(BaseModel):
    """A table of a description file: no unknown key, no silent conversion."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


class FigureTable(FileTable):
    """A figure as files write it; every key is required."""

    value: float
    unit: str
    low: float
    high: float
    source: str
    evidence: Evidence

    @model_validator(mode="after")
    def _is_a_figure(self) -> FigureTable:
        self.figure()
        return self

    def figure(self) -> Figure:
        """The figure that the table describes."""
        return Figure(self.value, self.unit, self.low, self.high, self.source, self.evidence)


def read_toml(path: Path) -> dict[str, Any]:
    """Read a TOML file.

    Raises:
        InputError: it cannot be read, is larger than 4 MiB, not UTF-8, or not TOML.
    """
    try:
        with path.open("rb") as file:
            content = file.read(_LARGEST_FILE + 1)
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}") from error
    if len(content) > _LARGEST_FILE:
        raise InputError(f"{path}: too large for a description", allowed="up to 4 MiB")
    try:
        return tomllib.loads(content.decode())
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: byte {error.start} is not UTF-8", allowed="TOML in UTF-8") from error
    except ValueError as error:
        # TOMLDecodeError, or a number of thousands of digits that Python does not convert.
        raise InputError(f"{path}: not TOML: {error}") from error
    except RecursionError as error:
        raise InputError(f"{path}: nested too deeply") from error


def parse_table(model: type[T], table: dict[str, Any], *, path: Path | str) -> T:
    """Check a table against its model.

    Args:
        model: what the table must be.
        table: as read from the file.
        path: the file, for messages.

    Raises:
        InputError: an unknown or missing key, a wrong type or a value outside its domain; the first one found.
    """
    try:
        return model.model_validate(table)
    except ValidationError as error:
        raise _explain(model, error, path) from error


def in_file(path: Path | str, error: SvmError) -> InputError:
    """The same complaint, with the file it is about."""
    return InputError(f"{path}: {error.given}", allowed=error.allowed, hint=error.hint)


def _explain(model: type[FileTable], error: ValidationError, path: Path | str) -> InputError:
    first = error.errors(include_url=False)[0]
    key = ".".join(str(part) for part in first["loc"]) or "the file"
    cause = first.get("ctx", {}).get("error")
    if isinstance(cause, SvmError):
        return InputError(f"{path}: {key}: {cause.given}", allowed=cause.allowed, hint=cause.hint)
    if first["type"] == "extra_forbidden":
        return InputError(f"{path}: {key}: unknown key", allowed=", ".join(_keys_at(model, first["loc"][:-1])))
    if first["type"] == "missing":
        return InputError(f"{path}: {key} is missing")
    given = repr(first["input"])
    shown = given if len(given) <= 60 else given[:57] + "..."
    return InputError(f"{path}: {key} = {shown}: {first['msg'][0].lower()}{first['msg'][1:]}")


def _keys_at(model: Any, where: tuple[int | str, ...]) -> list[str]:
    """Name the keys that are allowed in a table, found by its path through nested models."""
    for part in where:
        model = _inner(model.model_fields[str(part)].annotation if _is_table(model) else get_args(model)[-1])
    return list(model.model_fields) if _is_table(model) else []


def _inner(annotation: Any) -> Any:
    """``FigureTable`` for ``FigureTable | None``; everything else as it is."""
    options = get_args(annotation)
    return options[0] if type(None) in options else annotation


def _is_table(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)
