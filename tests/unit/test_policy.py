"""Decisions about where a range lives and who maps it."""

import pytest

from svmlab.errors import InputError
from svmlab.hardware.machine import Machine
from svmlab.svm.behaviour import Behaviour
from svmlab.svm.decision import Situation, gpus_of
from svmlab.svm.policy import (
    best_location,
    best_prefetch_location,
    migration_trigger,
    restore_location,
    skipped_peers,
)
from svmlab.svm.policy_grid import table
from svmlab.svm.pte import mtype
from svmlab.uapi import SYSMEM, UNDEFINED, Flag

MACHINE = Machine.find("mi210-two-hives")
IDS = [gpu.gpu_id for gpu in MACHINE.gpus]
NEAR, FAR = 0b0011, 0b10001  # gpu0 and gpu1 share a hive, gpu4 is in the other one


def situation(**given) -> Situation:
    return Situation(MACHINE, given.pop("xnack", False), **given)


POSTED = [
    # the examples of a GPU in a hive and one outside of it, xnack off
    ({"prefetch": IDS[0], "access": 0b1}, IDS[0], "prefetch location"),
    ({"prefetch": IDS[0], "access": NEAR}, IDS[0], "prefetch location"),
    ({"prefetch": IDS[0], "access": 0b10}, IDS[0], "prefetch location"),
    ({"prefetch": IDS[0]}, IDS[0], "prefetch location"),
    ({"prefetch": IDS[0], "access": FAR}, SYSMEM, "an accessor is far"),
    ({"prefetch": IDS[0], "in_place": FAR}, SYSMEM, "an accessor is far"),
    ({"prefetch": IDS[4], "access": 0b10000}, IDS[4], "prefetch location"),
    ({"prefetch": IDS[4], "access": 0b10}, SYSMEM, "an accessor is far"),
    ({"prefetch": SYSMEM, "access": FAR}, SYSMEM, "prefetch to RAM"),
    ({"prefetch": UNDEFINED, "access": 0b1}, UNDEFINED, "no prefetch location"),
    # xnack on: taken as it is
    ({"xnack": True, "prefetch": IDS[0], "in_place": FAR}, IDS[0], "xnack on"),
    ({"xnack": True, "prefetch": UNDEFINED}, UNDEFINED, "xnack on"),
]


@pytest.mark.parametrize(("given", "location", "rule"), POSTED)
def test_best_location_as_posted(given, location, rule):
    decision = best_location(situation(**given))
    assert (decision.location, decision.rule) == (location, rule)


UPSTREAM = [
    ({"prefetch": IDS[0], "access": FAR}, SYSMEM, "an accessor is far"),
    ({"xnack": True, "prefetch": IDS[0], "access": FAR}, IDS[0], "prefetch location"),
    ({"xnack": True, "prefetch": IDS[0], "in_place": FAR}, SYSMEM, "an accessor in place is far"),
    ({"prefetch": 0x1234}, SYSMEM, "unknown GPU"),
    ({"prefetch": SYSMEM}, SYSMEM, "prefetch to RAM"),
    ({"prefetch": UNDEFINED}, UNDEFINED, "no prefetch location"),
]


@pytest.mark.parametrize(("given", "location", "rule"), UPSTREAM)
def test_best_prefetch_location_of_later_kernels(given, location, rule):
    decision = best_prefetch_location(situation(**given))
    assert (decision.location, decision.rule) == (location, rule)


RESTORE = [
    ({"preferred": IDS[0], "access": 0}, IDS[0], "preferred: the faulting GPU"),
    ({"preferred": SYSMEM, "access": 0b1}, SYSMEM, "preferred: RAM"),
    ({"preferred": IDS[1]}, IDS[1], "preferred: a near GPU"),
    ({"preferred": IDS[4], "access": 0b1}, IDS[0], "access"),
    ({"access": 0b1, "actual": IDS[1]}, IDS[0], "access"),
    ({"in_place": 0b1}, SYSMEM, "in place: RAM"),
    ({"in_place": 0b1, "actual": IDS[0]}, IDS[0], "in place: near VRAM"),
    ({"in_place": 0b1, "actual": IDS[1]}, IDS[1], "in place: near VRAM"),
    ({"in_place": 0b1, "actual": IDS[4]}, SYSMEM, "in place: far VRAM"),
    ({"access": 0b10}, None, "no access"),
    ({}, None, "no access"),
]


@pytest.mark.parametrize(("given", "location", "rule"), RESTORE)
def test_restore_location_when_gpu0_faults(given, location, rule):
    decision = restore_location(situation(xnack=True, **given), 0)
    assert (decision.location, decision.rule) == (location, rule)


def test_a_decision_tells_the_rules_that_lost_and_those_not_reached():
    decision = best_location(situation(prefetch=SYSMEM))
    assert [lost.rule for lost in decision.considered] == ["xnack on", "no prefetch location"]
    assert [lost.because for lost in decision.considered] == ["xnack is off", "the prefetch location is RAM"]
    assert decision.rest == ("an accessor is far", "prefetch location")


def test_the_reason_names_the_gpus_in_the_way():
    assert best_location(situation(prefetch=IDS[0], access=FAR)).because.startswith(
        "gpu4 cannot reach the VRAM of gpu0"
    )


MAPS = [
    ("as-posted", {"access": 0b1, "in_place": 0b10}, [0, 1]),
    ("as-posted", {"xnack": True, "access": 0b11}, [0, 1]),
    ("upstream", {"access": 0b1, "in_place": 0b10}, [0, 1]),
    ("upstream", {"xnack": True, "access": 0b11}, []),
    ("upstream", {"xnack": True, "access": 0b11, "in_place": 0b100}, [2]),
    ("upstream", {"xnack": True, "access": 0b11, "actual": IDS[1]}, [1]),
    ("upstream", {"xnack": True, "access": 0b11, "mapped": 0b1}, [0]),
    ("upstream", {"xnack": True, "access": 0b11, "flags": int(Flag.GPU_ALWAYS_MAPPED)}, [0, 1]),
    # peers outside the hive of the owner are skipped
    ("as-posted", {"access": FAR, "actual": IDS[0]}, [0]),
    ("upstream", {"access": FAR, "actual": IDS[4]}, [4]),
]


@pytest.mark.parametrize(("preset", "given", "gpus"), MAPS)
def test_which_gpus_are_mapped(preset, given, gpus):
    s = situation(**given)
    chosen = Behaviour(preset).map_set(s)
    assert list(gpus_of(chosen & ~skipped_peers(MACHINE, s.actual, chosen))) == gpus


def test_the_table_has_every_combination_once():
    rows = list(table(MACHINE, gpus=2))
    assert (
        len(rows)
        == 2 * 4 * 9
        == len({(r.situation.xnack, r.situation.prefetch, r.situation.access, r.situation.in_place) for r in rows})
    )
    assert all(row.decision == best_location(row.situation) for row in rows)


def test_a_table_over_too_many_gpus_is_refused():
    with pytest.raises(InputError, match="1 to 8"):
        list(table(MACHINE, gpus=9))


MTYPES = [
    # machine, flags, owner -> memory type and snoop of gpu0
    ("mi210-two-hives", Flag.COHERENT, 0, ("CC", False)),
    ("mi210-two-hives", 0, 0, ("RW", False)),
    ("mi210-two-hives", Flag.COHERENT, 1, ("UC", True)),
    ("mi210-two-hives", 0, 4, ("NC", False)),
    ("mi210-two-hives", Flag.COHERENT, None, ("UC", True)),
    ("mi250x-node", 0, 0, ("RW", True)),
    ("mi100-hive4", Flag.COHERENT, 0, ("CC", False)),
    ("mi300x-8", Flag.COHERENT, 0, ("RW", True)),
    ("mi300x-8", Flag.EXT_COHERENT, 0, ("CC", True)),
    ("mi300x-8", 0, 1, ("NC", True)),
    ("mi300x-8", Flag.EXT_COHERENT, 1, ("UC", True)),
    ("mi300x-8", 0, None, ("UC", True)),
    ("pcie-pair", Flag.COHERENT, 0, ("UC", False)),
    ("pcie-pair", 0, None, ("NC", True)),
]


@pytest.mark.parametrize(("machine", "flags", "owner", "expected"), MTYPES)
def test_memory_type_by_gpu_family(machine, flags, owner, expected):
    assert mtype(Machine.find(machine), 0, owner=owner, flags=int(flags)) == expected


NO_FLAGS = int(Flag.COHERENT)
TRIGGER = [
    # preset, situation, best location -> where it goes (None: it stays), and the rule
    ("as-posted", {}, UNDEFINED, None, "nothing asked for"),
    ("as-posted", {"actual": IDS[0]}, IDS[0], None, "there already"),
    ("as-posted", {"flags": NO_FLAGS}, IDS[0], None, "no HOST_ACCESS"),
    ("as-posted", {}, IDS[0], IDS[0], "to VRAM"),
    ("as-posted", {"actual": IDS[1], "flags": NO_FLAGS}, IDS[0], IDS[0], "to VRAM"),
    ("as-posted", {"actual": IDS[1]}, SYSMEM, SYSMEM, "home"),
    ("upstream", {"actual": IDS[0]}, IDS[0], IDS[0], "to VRAM"),
    ("upstream", {"flags": NO_FLAGS}, IDS[0], IDS[0], "to VRAM"),
    ("upstream", {}, SYSMEM, None, "there already"),
    ("upstream", {"actual": IDS[1]}, SYSMEM, SYSMEM, "home"),
]


@pytest.mark.parametrize(("preset", "given", "best", "location", "rule"), TRIGGER)
def test_whether_a_migration_is_triggered(preset, given, best, location, rule):
    decision = migration_trigger(situation(**given), best, Behaviour(preset))
    assert (decision.location, decision.rule) == (location, rule)


def test_patch_18_alone_has_no_way_home():
    rules = Behaviour.of({"base": "as-posted", "prefetch_home": "absent"})
    assert migration_trigger(situation(actual=IDS[0]), SYSMEM, rules).rule == "no way home"
