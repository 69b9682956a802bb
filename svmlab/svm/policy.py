"""Where a range should live and who maps it: pure decisions, each with the rule that fired and those that did not."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

from svmlab.hardware.machine import Machine
from svmlab.svm.behaviour import Behaviour, option
from svmlab.svm.decision import Decision, Rule, Situation, decide, gpus_of
from svmlab.uapi import SYSMEM, UNDEFINED, Flag

__all__ = [
    "migration_trigger",
    "restore_location",
    "skipped_peers",
]


def _far(s: Situation, target: int, bits: int) -> int:
    """GPUs of a set that are neither the target nor in its hive."""
    return bits & ~s.machine.reach(target)


def _names(gpus: int) -> str:
    return ", ".join(f"gpu{gpu}" for gpu in gpus_of(gpus))


@option("location_policy", "posted")
def best_location(s: Situation) -> Decision:
    """Where a range should be, by the posted rules.

    Kernel: svm_range_best_location (kfd_svm.c)
    """
    return decide(_posted_rules(s))


def _posted_rules(s: Situation) -> Iterator[Rule]:
    wanted = s.name(s.prefetch)
    yield Rule(
        "xnack on",
        s.xnack,
        s.prefetch,
        f"with xnack on the prefetch location ({wanted}) is taken as it is",
        "xnack is off",
    )
    yield from _no_gpu_asked_for(s)
    far = _far(s, s.prefetch, s.access | s.in_place)
    yield Rule(
        "an accessor is far",
        bool(far),
        SYSMEM,
        f"{_names(far)} cannot reach the VRAM of {wanted}: not in its hive",
        f"every accessor is {wanted} or in its hive",
    )
    yield Rule("prefetch location", True, s.prefetch, f"all accessors reach the VRAM of {wanted}")


def _no_gpu_asked_for(s: Situation) -> Iterator[Rule]:
    wanted = s.name(s.prefetch)
    yield Rule(
        "no prefetch location",
        s.prefetch == UNDEFINED,
        UNDEFINED,
        "no prefetch was ever asked for",
        f"the prefetch location is {wanted}",
    )
    yield Rule(
        "prefetch to RAM",
        s.prefetch == SYSMEM,
        SYSMEM,
        "the prefetch location is RAM",
        f"the prefetch location is {wanted}",
    )


@option("location_policy", "revised")
def best_prefetch_location(s: Situation) -> Decision:
    """Where a range should be, by the rules of later kernels.

    Kernel: svm_range_best_prefetch_location (kfd_svm.c)
    """
    return decide(_upstream_rules(s))


def _upstream_rules(s: Situation) -> Iterator[Rule]:
    wanted = s.name(s.prefetch)
    yield from _no_gpu_asked_for(s)
    yield Rule(
        "unknown GPU",
        s.machine.by_id(s.prefetch) is None,
        SYSMEM,
        f"no GPU has the id {s.prefetch:#x}",
        f"{wanted} exists",
    )
    which = "accessor in place" if s.xnack else "accessor"
    far = _far(s, s.prefetch, s.in_place if s.xnack else s.access | s.in_place)
    yield Rule(
        f"an {which} is far",
        bool(far),
        SYSMEM,
        f"{_names(far)} cannot reach the VRAM of {wanted}: not in its hive",
        f"every {which} is {wanted} or in its hive",
    )
    yield Rule("prefetch location", True, s.prefetch, f"every {which} reaches the VRAM of {wanted}")


@lru_cache(maxsize=1024)
def restore_location(s: Situation, faulting: int) -> Decision:
    """Where a range should be when a GPU faults on it; location None means no access.

    The answer is remembered: a kernel that faults on a thousand pages asks the same a thousand times.

    Args:
        s: the range.
        faulting: index of the GPU that faults.

    Kernel: svm_range_best_restore_location (kfd_svm.c)
    """
    return decide(_restore_rules(s, faulting))


def _restore_rules(s: Situation, faulting: int) -> Iterator[Rule]:
    own = s.machine.gpu(faulting).gpu_id
    me, preferred = f"gpu{faulting}", s.name(s.preferred)
    yield Rule(
        "preferred: the faulting GPU",
        s.preferred == own,
        own,
        f"the preferred location is {me} itself",
        f"the preferred location is {preferred}",
    )
    yield Rule(
        "preferred: RAM",
        s.preferred == SYSMEM,
        SYSMEM,
        "the preferred location is RAM",
        f"the preferred location is {preferred}",
    )
    yield Rule(
        "preferred: a near GPU",
        _is_near(s, faulting, s.preferred),
        s.preferred,
        f"the preferred location, {preferred}, is in the hive of {me}",
        f"the preferred location, {preferred}, is no GPU in the hive of {me}",
    )
    yield Rule(
        "access", bool(s.access >> faulting & 1), own, f"{me} has ACCESS: pages come to it", f"{me} has no ACCESS"
    )
    yield from _in_place_rules(s, faulting)
    yield Rule("no access", True, None, f"{me} has no access to the range")


def _in_place_rules(s: Situation, faulting: int) -> Iterator[Rule]:
    """A GPU with access in place uses the range where it is, if it reaches it there."""
    me, here = f"gpu{faulting}", s.name(s.actual)
    in_place = bool(s.in_place >> faulting & 1)
    yield Rule(
        "in place: RAM",
        in_place and s.actual == SYSMEM,
        SYSMEM,
        f"{me} accesses in place and the range is in RAM",
        f"not in place, or the range is in {here}",
    )
    yield Rule(
        "in place: near VRAM",
        in_place and _is_near(s, faulting, s.actual),
        s.actual,
        f"{me} accesses in place and reaches the VRAM of {here}",
        f"not in place, or {me} cannot reach {here}",
    )
    yield Rule(
        "in place: far VRAM",
        in_place,
        SYSMEM,
        f"{me} accesses in place and cannot reach the VRAM of {here}",
        f"{me} has no ACCESS_IN_PLACE",
    )


def _is_near(s: Situation, gpu: int, location: int) -> bool:
    if location in (SYSMEM, UNDEFINED):
        return False
    owner = s.machine.by_id(location)
    return owner is not None and s.machine.near(gpu, owner.index)


@option("host_access_gate", "gate")
def _gated(s: Situation) -> bool:
    return s.actual == SYSMEM and not s.flags & Flag.HOST_ACCESS


@option("host_access_gate", "open")
def _open(s: Situation) -> bool:
    return False


@option("same_location", "nothing")
def _stay(best: int, actual: int) -> bool:
    return best == actual


@option("same_location", "leftovers")
def _collect_leftovers(best: int, actual: int) -> bool:
    return best == actual == SYSMEM


@option("prefetch_home", "absent")
def _no_way_home() -> bool:
    return False


@option("prefetch_home", "present")
def _way_home() -> bool:
    return True


def migration_trigger(s: Situation, best: int | None, rules: Behaviour) -> Decision:
    """Whether a set_attr moves a range, and where to; location None means that it stays.

    Args:
        s: the range.
        best: its best location.
        rules: whose choices apply (slots same_location, host_access_gate, prefetch_home).

    Kernel: svm_range_trigger_migration (kfd_svm.c)
    """
    return decide(_trigger_rules(s, UNDEFINED if best is None else best, rules))


def _trigger_rules(s: Situation, best: int, rules: Behaviour) -> Iterator[Rule]:
    where, here = s.name(best), s.name(s.actual)
    yield Rule(
        "nothing asked for", best == UNDEFINED, None, "no location was ever asked for", f"the best location is {where}"
    )
    there = rules.same_location(best, s.actual)
    yield Rule(
        "there already", there, None, f"the range is in {here}", f"the range is in {here}, not where it should be"
    )
    gated = best != SYSMEM and rules.host_access_gate(s)
    yield Rule("no HOST_ACCESS", gated, None, "without HOST_ACCESS the range stays in RAM", "nothing keeps it in RAM")
    yield Rule("to VRAM", best != SYSMEM, best, f"its place is {where}", "its place is RAM")
    yield Rule("no way home", not rules.prefetch_home(), None, "there is no way home", "there is a way home")
    yield Rule("home", True, SYSMEM, "its place is RAM")


@option("map_set", "accessors")
def _all_accessors(s: Situation) -> int:
    return s.access | s.in_place


@option("map_set", "useful")
def _useful(s: Situation) -> int:
    """With xnack on only GPUs that gain from it; the others fault when they need the range."""
    if not s.xnack:
        return s.access | s.in_place
    owner = s.machine.by_id(s.actual) if s.actual else None
    at_home = 1 << owner.index & s.access if owner is not None else 0
    chosen = s.mapped | s.in_place | at_home
    return chosen or (s.access if s.flags & Flag.GPU_ALWAYS_MAPPED else 0)


def skipped_peers(machine: Machine, actual: int, bits: int) -> int:
    """The GPUs of a set that get no mapping of a range, because it is in VRAM and they are outside the owner's hive.

    Args:
        machine: the GPUs and their hives.
        actual: the location of the range.
        bits: the set.

    Kernel: svm_range_map_to_gpus (kfd_svm.c)
    """
    return bits & ~machine.reach(actual)
