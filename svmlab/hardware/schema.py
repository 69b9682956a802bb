"""What description files must look like: strict tables, figures with evidence, and errors of one line."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from svmlab.errors import InputError, SvmError
from svmlab.hardware.description import Kind
from svmlab.hardware.figures import Evidence, Figure
from svmlab.hardware.parts import LinkKind

__all__ = ["check"]

_HIVE = r"0x[0-9a-f]{1,16}"
_Count = Annotated[int, Field(ge=0, le=1024)]


class _Table(BaseModel):
    """A table of a description file: no unknown key, no silent conversion; None stands for a key that is left out."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


class _FigureTable(_Table):
    """A figure as files write it; every key is required."""

    value: float
    unit: str
    low: float
    high: float
    source: str
    evidence: Evidence

    @model_validator(mode="after")
    def _is_a_figure(self) -> _FigureTable:
        Figure(self.value, self.unit, self.low, self.high, self.source, self.evidence)
        return self


class _DeviceTable(_Table):
    """``[device.KEY]``: a model of GPU."""

    name: Annotated[str, Field(min_length=1)]
    gfx: Annotated[list[Annotated[int, Field(ge=0, le=255)]], Field(min_length=3, max_length=3)]
    vram: _FigureTable
    vram_bandwidth: _FigureTable | None = None
    sdma_engines: _Count
    sdma_xgmi_engines: _Count
    xnack_capable: bool


class _WireTable(_Table):
    """``[wire.KEY]``: what links of one sort have in common."""

    kind: LinkKind
    weight: Annotated[int, Field(ge=0, le=65535)]
    peak: _FigureTable | None = None
    forward: _FigureTable | None = None
    backward: _FigureTable | None = None


class _GpuTable(_Table):
    """``[[gpu]]``: one GPU, in the driver's order."""

    id: int
    device: str
    hive: Annotated[str, Field(pattern=rf"^{_HIVE}$")] | None = None
    cpu: int | None = None
    cpu_connected: bool | None = None


class _MachineFile(_Table):
    """A machine."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
    title: Annotated[str, Field(min_length=1, max_length=200)]
    notes: list[str] | None = None
    cpus: Annotated[int, Field(ge=1, le=1024)]
    ram: _FigureTable
    device: dict[str, _DeviceTable]
    wire: dict[str, _WireTable] | None = None
    gpu: list[_GpuTable]
    links: dict[str, list[str]] | None = None


class _KnownTable(_DeviceTable):
    xccs: Annotated[int, Field(ge=1, le=64)]


class _DevicesFile(_Table):
    """Models of GPUs by their PCI device id."""

    device: dict[Annotated[str, Field(pattern=r"^0x[0-9a-f]{4}$")], _KnownTable]


class _CostTable(_FigureTable):
    """``[constant.NAME]``."""

    what: Annotated[str, Field(min_length=10)]


class _CostsFile(_Table):
    """The constants of the cost model."""

    constant: dict[str, _CostTable]


_FILES: dict[Kind, type[_Table]] = {"costs.toml": _CostsFile, "devices.toml": _DevicesFile, "machines": _MachineFile}


def check(table: dict[str, Any], kind: Kind, path: Path | str) -> None:
    """Check what a file holds against its schema.

    Args:
        table: as read from the file.
        kind: what the file describes.
        path: the file, for messages.

    Raises:
        InputError: an unknown or missing key, a wrong type or a value outside its domain; the first one found.
    """
    try:
        _FILES[kind].model_validate(table)
    except ValidationError as error:
        raise _explain(_FILES[kind], error, path) from error


def _explain(model: type[_Table], error: ValidationError, path: Path | str) -> InputError:
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
    """``_FigureTable`` for ``_FigureTable | None``; everything else as it is."""
    options = get_args(annotation)
    return options[0] if type(None) in options else annotation


def _is_table(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)
