"""What a decision looks at and what it says: a location, the rule that fired, and the rules that did not."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache

from svmlab.hardware.machine import Machine
from svmlab.uapi import DEFAULT_FLAGS, SYSMEM, UNDEFINED

__all__ = ["Considered", "Decision", "Rule", "Situation", "decide", "gpus_of"]


@dataclass(frozen=True, slots=True)
class Situation:
    """Everything a decision about a range may look at.

    Attributes:
        machine: the GPUs and their hives.
        xnack: whether GPUs can take faults.
        prefetch, preferred, actual: locations in the kernel's numbers (0 RAM, a gpu id, UNDEFINED).
        access, in_place: bit sets over GPU indices (bitmap_access, bitmap_aip).
        flags: flags of the range.
        mapped: bit set of the GPUs that map the range.
    """

    machine: Machine
    xnack: bool
    prefetch: int = UNDEFINED
    preferred: int = UNDEFINED
    actual: int = SYSMEM
    access: int = 0
    in_place: int = 0
    flags: int = DEFAULT_FLAGS
    mapped: int = 0
    _hash: int = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        # What differs between the ranges of one process, once: decisions are looked up again and again.
        seen = (self.prefetch, self.preferred, self.actual, self.access, self.in_place, self.mapped)
        object.__setattr__(self, "_hash", hash(seen))

    def __hash__(self) -> int:
        return self._hash

    def name(self, location: int) -> str:
        """A location in words."""
        if location in (SYSMEM, UNDEFINED):
            return "RAM" if location == SYSMEM else "undefined"
        gpu = self.machine.by_id(location)
        return f"gpu{gpu.index}" if gpu is not None else f"GPU {location:#x}"


@dataclass(frozen=True, slots=True)
class Considered:
    """A rule that was looked at before the one that fired, and why it did not."""

    rule: str
    because: str


@dataclass(frozen=True, slots=True)
class Decision:
    """A location, the rule that gave it, and the rules that came before.

    Attributes:
        location: 0 (RAM), a gpu id, UNDEFINED, or None for "no access".
        rule: the name of the rule that fired.
        because: why, in one clause.
        considered: the rules tested before it, in order.
        rest: names of the rules that were not reached.
    """

    location: int | None
    rule: str
    because: str
    considered: tuple[Considered, ...] = ()
    rest: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule of a decision, looked at.

    Attributes:
        name: its name.
        fires: whether it applies.
        location: what it gives then; None for no access.
        because: why it applies, in one clause.
        otherwise: why it does not.
    """

    name: str
    fires: bool
    location: int | None
    because: str
    otherwise: str = ""


def decide(rules: Iterator[Rule]) -> Decision:
    """The first rule that fires; the last rule of a decision always does.

    Raises:
        LookupError: no rule fires.
    """
    considered: list[Considered] = []
    for rule in rules:
        if rule.fires:
            rest = tuple(later.name for later in rules)
            return Decision(rule.location, rule.name, rule.because, tuple(considered), rest)
        considered.append(Considered(rule.name, rule.otherwise))
    raise LookupError("no rule of the decision fires")


@lru_cache(maxsize=1024)
def gpus_of(bits: int) -> tuple[int, ...]:
    """Indices of the GPUs in a bit set, rising.

    >>> gpus_of(0b1101)
    (0, 2, 3)
    """
    return tuple(index for index in range(bits.bit_length()) if bits >> index & 1)
