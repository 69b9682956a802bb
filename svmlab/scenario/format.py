"""The scenario format: the head of a file, its steps, and everything about them that can be seen without running."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from os import PathLike
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Discriminator, Field, Tag, ValidationError

from svmlab.errors import InputError
from svmlab.hardware.machine import Machine
from svmlab.hardware.toml_file import parse_toml, read_bytes, text_of
from svmlab.scenario.complaints import KeyedError, Place
from svmlab.scenario.names import Names
from svmlab.scenario.orders import parse_order
from svmlab.scenario.steps import ANY_STEP, STEPS, AnyStep
from svmlab.scenario.tables import Context, Table
from svmlab.scenario.values import Count, Size, Text
from svmlab.svm.behaviour import Behaviour
from svmlab.svm.behaviour_table import DEFAULT_PRESET

__all__ = ["Choice", "Head", "Overrides", "Scenario", "load", "loads", "parse"]

Choice = str | dict[str, str]
"""A preset of the driver's behaviour, or single behaviours over the preset ``base``."""


def _one_or_many(raw: Any) -> str:
    return "many" if isinstance(raw, dict) else "one"


def _check_behaviour(choice: Choice) -> Choice:
    Behaviour.of(choice)
    return choice


def _check_order(lines: list[str]) -> list[str]:
    parse_order(lines)
    return lines


BehaviourKey = Annotated[
    Annotated[str, Tag("one")] | Annotated[dict[str, str], Tag("many")],
    Discriminator(_one_or_many),
    AfterValidator(_check_behaviour),
]


OrderKey = Annotated[list[str], AfterValidator(_check_order)]


class Head(Table):
    """The keys before the first step; ``sweep`` belongs to ``svmlab sweep`` and may hold anything."""

    title: Text
    machine: Text
    vram: Size | None = None
    ram: Size | None = None
    xnack: Literal["on", "off"] = "off"
    behaviour: BehaviourKey = DEFAULT_PRESET
    seed: Count = 0
    payload: bool = True
    order: OrderKey | None = None
    sweep: dict[str, Any] | None = None
    step: list[dict[str, Any]] = Field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Overrides:
    """Values of the head that the command line replaces; None keeps what the file says."""

    machine: str | None = None
    xnack: str | None = None
    behaviour: Choice | None = None
    seed: int | None = None

    def over(self, raw: Mapping[str, Any]) -> dict[str, Any]:
        """The head with the replaced values."""
        names = ("machine", "xnack", "behaviour", "seed")
        return {**raw, **{name: value for name in names if (value := getattr(self, name)) is not None}}

    def origin(self, key: str, place: Place) -> Place:
        """Where the value of a key of the head stands: in the file, or on the command line."""
        return Place(f"--{key}") if getattr(self, key, None) is not None else place


@dataclass(frozen=True, slots=True)
class Scenario:
    """A scenario that can be run.

    Attributes:
        head: the values of the head, overrides applied.
        machine: the machine, with the memory sizes of the head.
        steps: all of them, also those that ``only`` skips.
        file: how the user named the file.
    """

    head: Head
    machine: Machine
    steps: tuple[AnyStep, ...] = ()
    file: str = "scenario"

    @property
    def title(self) -> str:
        """The title."""
        return self.head.title

    def with_head(self, **values: Any) -> Scenario:
        """The same with other values in its head."""
        return replace(self, head=self.head.model_copy(update=values))

    def applies(self, step: AnyStep) -> bool:
        """Whether a step is not skipped."""
        return _applies(step, self.head)


def load(
    path: str | PathLike[str], overrides: Overrides | None = None, *, known: Collection[str] | None = None
) -> Scenario:
    """Read and check a scenario file.

    Args:
        path: the file; paths inside it start at its folder.
        overrides: values that replace those of the head.
        known: steps that can be run; None: all of the format.

    Returns:
        The scenario, with nothing left that can be seen to be wrong without running it.

    Raises:
        InputError: the file cannot be used; one line with file, step, key, what is wrong and what is allowed.
    """
    path = Path(path)
    text = text_of(read_bytes(path), str(path))
    place = Place(str(path), text=text)
    return _parse(parse_toml(text, str(path)), overrides or Overrides(), place, folder=path.parent, known=known)


def loads(text: str, overrides: Overrides | None = None, *, known: Collection[str] | None = None) -> Scenario:
    """Check a scenario given as text; see ``load``. Paths inside it start at the working directory."""
    return parse(parse_toml(text, "scenario"), overrides, known=known)


def parse(
    raw: Mapping[str, Any],
    overrides: Overrides | None = None,
    *,
    file: str = "scenario",
    folder: Path | None = None,
    known: Collection[str] | None = None,
) -> Scenario:
    """Check a scenario given as the tables of its file; see ``load``."""
    return _parse(raw, overrides or Overrides(), Place(file), folder=folder, known=known)


def _parse(
    raw: Mapping[str, Any], overrides: Overrides, place: Place, *, folder: Path | None, known: Collection[str] | None
) -> Scenario:
    head = _head(raw, overrides, place)
    # A path on the command line starts where the command does.
    machine = _machine(head.machine, None if overrides.machine else folder, overrides.origin("machine", place))
    machine = _with_memory(machine, head, place)
    context = Context(machine, head.payload)
    steps = tuple(
        _step(table, context, replace(place, n=n, do=_do(table)), known) for n, table in enumerate(head.step, start=1)
    )
    _check_names(steps, head, machine, place)
    return Scenario(head, machine, steps, place.file)


def _head(raw: Mapping[str, Any], overrides: Overrides, place: Place) -> Head:
    table = overrides.over(raw)
    try:
        return Head.model_validate(table)
    except ValidationError as error:
        key = next(iter(error.errors()[0]["loc"]), "")
        raise overrides.origin(str(key), place).translate(error, table) from None


def _machine(name: str, folder: Path | None, place: Place) -> Machine:
    try:
        return Machine.find(name, folder)
    except InputError as error:
        raise place.refuse("machine", error) from None


def _with_memory(machine: Machine, head: Head, place: Place) -> Machine:
    for key in head.given("vram", "ram"):
        try:
            machine = machine.with_memory(**{key: getattr(head, key)})
        except InputError as error:
            raise place.refuse(key, error) from None
    return machine


def _do(table: dict[str, Any]) -> str:
    do = table.get("do")
    return do if isinstance(do, str) and do in STEPS else ""


def _step(table: dict[str, Any], context: Context, place: Place, known: Collection[str] | None) -> AnyStep:
    if known is not None and place.do and place.do not in known:
        unknown = InputError(f"{place.do!r} is not yet known to this version", allowed=", ".join(known))
        raise place.refuse("do", unknown)
    try:
        return ANY_STEP.validate_python(table, context=context)
    except ValidationError as error:
        raise place.translate(error, table) from None


def _check_names(steps: tuple[AnyStep, ...], head: Head, machine: Machine, place: Place) -> None:
    """Check names in file order; a skipped step defines names for other skipped steps alone."""
    all_names, names = Names(machine), Names(machine)
    for n, step in enumerate(steps, start=1):
        applies = _applies(step, head)
        try:
            (names if applies else all_names).check(step)
        except KeyedError as error:
            raise replace(place, n=n, do=step.do).refuse(error.key, error) from None
        all_names.define(step)
        if applies:
            names.define(step)


def _applies(step: AnyStep, head: Head) -> bool:
    only = step.only
    if only is None:
        return True
    return only.xnack in (None, head.xnack) and only.behaviour in (None, Behaviour.of(head.behaviour).base)
