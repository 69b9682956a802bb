"""The policy over every combination of attributes: tables to read, made by asking the policy itself."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product

from svmlab.errors import InputError
from svmlab.hardware.machine import Machine
from svmlab.svm.behaviour import Behaviour
from svmlab.svm.decision import Decision, Situation, gpus_of
from svmlab.svm.policy import restore_location, skipped_peers
from svmlab.uapi import SYSMEM, UNDEFINED

__all__ = ["TableRow", "fault_table", "table"]


@dataclass(frozen=True, slots=True)
class TableRow:
    """One combination of a policy table and what it gives.

    Attributes:
        situation: the combination.
        decision: the best location.
        mapped: GPUs that would be mapped once the range is there, rising.
    """

    situation: Situation
    decision: Decision
    mapped: tuple[int, ...]


def table(
    machine: Machine, *, behaviour: Behaviour | None = None, gpus: int | Sequence[int] | None = None
) -> Iterator[TableRow]:
    """Every combination of xnack, prefetch location and access of some GPUs, with its decision.

    Each GPU has no access, ACCESS or ACCESS_IN_PLACE; so n GPUs give ``2 * (n + 2) * 3**n`` rows.

    Args:
        machine: whose GPUs and hives.
        behaviour: whose rules; default: the default preset's.
        gpus: which GPUs to vary, or how many, from gpu0 on; default: all, at most 4.

    Yields:
        The rows, xnack off first, then by prefetch location (undefined, RAM, gpu0, ...), then by access.

    Raises:
        InputError: more GPUs than the machine has, or more than 8.
    """
    chosen = _chosen(machine, gpus)
    rules = behaviour or Behaviour()
    locations = [UNDEFINED, SYSMEM, *(machine.gpu(gpu).gpu_id for gpu in chosen)]
    for xnack, prefetch, kinds in product((False, True), locations, product((0, 1, 2), repeat=len(chosen))):
        access = sum(1 << gpu for gpu, kind in zip(chosen, kinds, strict=True) if kind == 1)
        in_place = sum(1 << gpu for gpu, kind in zip(chosen, kinds, strict=True) if kind == 2)
        situation = Situation(machine, xnack, prefetch, access=access, in_place=in_place)
        decision: Decision = rules.location_policy(situation)
        arrived = SYSMEM if decision.location in (None, UNDEFINED) else decision.location
        there = replace(situation, actual=arrived or SYSMEM)
        mapped: int = rules.map_set(there)
        skipped = skipped_peers(machine, there.actual, mapped)
        yield TableRow(situation, decision, gpus_of(mapped & ~skipped))


def fault_table(machine: Machine, faulting: int, *, gpus: int | Sequence[int] | None = None) -> Iterator[TableRow]:
    """Every combination of preferred location, access of the GPU that faults, and actual location, with its decision.

    Args:
        machine: whose GPUs and hives.
        faulting: index of the GPU that takes a fault; its access is no, ACCESS or ACCESS_IN_PLACE.
        gpus: the GPUs that may be preferred or hold the range, as for ``table``.

    Yields:
        The rows, by preferred location (undefined, RAM, gpu0, ...), then by access, then by actual location.

    Raises:
        InputError: as ``table``.
    """
    bit = 1 << machine.gpu(faulting).index
    places = [SYSMEM, *(machine.gpu(gpu).gpu_id for gpu in _chosen(machine, gpus))]
    for preferred, kind, actual in product([UNDEFINED, *places], (0, 1, 2), places):
        access, in_place = bit * (kind == 1), bit * (kind == 2)
        situation = Situation(machine, True, preferred=preferred, actual=actual, access=access, in_place=in_place)
        decision = restore_location(situation, faulting)
        yield TableRow(situation, decision, () if decision.location is None else (faulting,))


def _chosen(machine: Machine, gpus: int | Sequence[int] | None) -> list[int]:
    count = min(len(machine.gpus), 4) if gpus is None else gpus if isinstance(gpus, int) else len(gpus)
    if not 1 <= count <= min(len(machine.gpus), 8):
        raise InputError(f"a table over {count} GPUs", allowed=f"1 to {min(len(machine.gpus), 8)}")
    return [machine.gpu(gpu).index for gpu in gpus] if isinstance(gpus, Sequence) else list(range(count))
