"""Behaviours: the decision points at which versions of the driver differ, and what each version does there.

A *slot* is a named decision point that a mechanism calls. Every slot has two or three small functions, registered by
the module that owns the mechanism with ``@option``. A preset is one choice per slot. Mechanisms never ask which preset
runs: they call the slot.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from svmlab.errors import InputError
from svmlab.svm.behaviour_table import DEFAULT_PRESET, PRESETS, SLOTS

__all__ = ["Behaviour", "option"]

F = TypeVar("F", bound=Callable[..., Any])

_functions: dict[tuple[str, str], Callable[..., Any]] = {}


def option(slot: str, name: str) -> Callable[[F], F]:
    """Register the function that an option of a slot stands for.

    Raises:
        InputError: the table has no such option.
    """
    if slot not in SLOTS or name not in SLOTS[slot].options:
        raise InputError(f"option {slot} = {name!r} is not in the table of behaviours")

    def register(function: F) -> F:
        _functions[slot, name] = function
        return function

    return register


class Behaviour:
    """One choice for every slot; ``behaviour.after_copy(...)`` calls the chosen function.

    Args:
        base: a preset.
        overrides: slot to option, over the preset.

    Raises:
        InputError: an unknown preset, slot or option, or a pair that cannot work together.
    """

    def __init__(self, base: str = DEFAULT_PRESET, overrides: Mapping[str, str] | None = None) -> None:
        if base not in PRESETS:
            raise InputError(f"behaviour {base!r}", allowed=", ".join(f'"{preset}"' for preset in PRESETS))
        self.base = base
        self.overrides = dict(overrides or {})
        column = PRESETS.index(base)
        self.choices = {slot.name: slot.presets[column] for slot in SLOTS.values()}
        for name, value in self.overrides.items():
            if name not in SLOTS:
                raise InputError(f"behaviour {name!r}", allowed=", ".join(SLOTS))
            if value not in SLOTS[name].options:
                raise InputError(f"{name} = {value!r}", allowed=", ".join(SLOTS[name].options))
            self.choices[name] = value
        _refuse_pairs(self.choices)
        # Plain attributes and no ``__getattr__``: in a class that has one, every look-up takes three times as long.
        for slot, choice in self.choices.items():
            self.__dict__[slot] = _functions.get((slot, choice)) or partial(self._call, slot)

    @classmethod
    def of(cls, given: str | Mapping[str, str] | Behaviour) -> Behaviour:
        """Make one of a preset's name or of ``{"base": preset, slot: option, ...}``."""
        if isinstance(given, Behaviour):
            return given
        if isinstance(given, str):
            return cls(given)
        return cls(given.get("base", DEFAULT_PRESET), {name: value for name, value in given.items() if name != "base"})

    if TYPE_CHECKING:

        def __getattr__(self, slot: str) -> Callable[..., Any]: ...

    def _call(self, slot: str, *args: Any, **rest: Any) -> Any:
        """Call the function of a slot whose module was imported later than this was made."""
        function = self.__dict__[slot] = _functions[slot, self.choices[slot]]
        return function(*args, **rest)

    def __repr__(self) -> str:
        extra = "".join(f", {name} = {value}" for name, value in self.overrides.items())
        return f"<Behaviour {self.base}{extra}>"


_PAIRS = (
    (
        {"xnack_on_notifier": "unmap", "map_after_migration": "restore-worker"},
        "D22: with xnack on nobody would map the range",
    ),
    ({"gpu_fault": "fatal", "xnack_on_notifier": "unmap"}, "with xnack on nothing would bring unmapped pages back"),
    ({"gpu_fault": "fatal", "map_set": "useful"}, "a GPU left out of the mapping could never fault its way in"),
)


def _refuse_pairs(choices: dict[str, str]) -> None:
    for pair, reason in _PAIRS:
        if all(choices[slot] == value for slot, value in pair.items()):
            raise InputError(
                " with ".join(f"{slot} = {value!r}" for slot, value in pair.items()),
                allowed="one of them",
                hint=f"another choice ({reason})",
            )
