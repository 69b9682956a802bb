"""Scenarios that name several modes in their [sweep] table hold in each of them.

In the mode of its head every shipped scenario is run by test_run.py.
"""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import svmlab
from svmlab.hardware.toml_file import read_toml
from svmlab.resources import data_path
from svmlab.scenario.peers import left_out, peers
from svmlab.scenario.runner import run
from svmlab.scenario.sweep import load_sweep

FOLDER = data_path("scenarios")
MARK = re.compile(r"(Asserted upstream|Follows from driver rules( \(R\d+(, R\d+)*\))?): ")
PEERS = sorted((FOLDER / "peers").rglob("*.toml"))
ATTRIBUTES = {
    "kfdtest": (
        "SetGetAttributesTest XNACKModeTest InvalidRangeTest SplitSystemRangeTest PrefetchTest svm-argument-validation "
        "get_attr-aggregation"
    ),
    "hip": (
        "Unit_hipMemAdvise_Set_Unset_Basic Unit_hipMemAdvise_Rounding Unit_hipMemAdvise_Flags_Do_Not_Cause_Prefetch "
        "Unit_hipMemAdvise_AccessedBy_All_Devices Unit_hipMemAdvise_Negative_Parameters Unit_hipMemAdvise_TstFlags "
        "Unit_hipMemAdvise_NegtveTsts Unit_hipMemAdvise_TstAccessedByFlg Unit_hipMemAdvise_TstAccessedByFlg2 "
        "Unit_hipMemAdvise_TstMemAdvisePrefrdLoc Unit_hipMemAdvise_TstMemAdviseLstPreftchLoc "
        "Unit_hipMemAdvise_TstMemAdviseMultiFlag Unit_hipMemAdvise_TstSetUnsetPrfrdLoc Unit_hipMemAdvise_MmapMem "
        "Unit_hipMemPrefetchAsync_Negative_Parameters Unit_hipMemPrefetchAsyncAdviseFlgTst "
        "Unit_hipMemPrefetchAsyncNegativeTst Unit_hipMemRangeGetAttribute_Positive_ReadMostly_Basic "
        "Unit_hipMemRangeGetAttribute_Positive_ReadMostly_Partial_Range "
        "Unit_hipMemRangeGetAttribute_Positive_PreferredLocation_Basic "
        "Unit_hipMemRangeGetAttribute_Positive_PreferredLocation_CPU "
        "Unit_hipMemRangeGetAttribute_Positive_LastPrefetchLocation_Basic "
        "Unit_hipMemRangeGetAttribute_Positive_LastPrefetchLocation_Partial_Range "
        "Unit_hipMemRangeGetAttribute_Positive_AccessedBy_Basic Unit_hipMemRangeGetAttribute_Negative_Parameters "
        "Unit_hipMemRangeGetAttribte_3 Unit_hipMemRangeGetAttribute_4 Unit_hipMemRangeGetAttributes_Positive_Basic "
        "Unit_hipMemRangeGetAttributes_Negative_Parameters"
    ),
}
"""The peers' scenarios about attributes, splits, xnack modes and arguments."""


def modes(path: Path) -> set[tuple[Any, Any]]:
    """The xnack modes and behaviours that a file names in its sweep."""
    sweep = load_sweep(path)
    choices = [sweep.choice(n) for n in range(1, len(sweep) + 1)]
    return {(choice.get("xnack"), choice.get("behaviour")) for choice in choices}


def every_run():
    for path in sorted(FOLDER.rglob("*.toml")):
        sweep = load_sweep(path)
        for n in range(1, len(sweep) + 1) if sweep.lists else ():
            told = " ".join(map(str, sweep.choice(n).values()))
            yield pytest.param(sweep, n, id=f"{path.relative_to(FOLDER)} {told}")


@pytest.mark.parametrize(("sweep", "n"), list(every_run()))
def test_a_scenario_holds_in_every_mode_it_names(sweep, n):
    result = run(sweep.scenario(n))
    assert [(failure.n, failure.expected, failure.found) for failure in result.failures] == []


OURS = [FOLDER / "peers" / suite / f"{name}.toml" for suite, names in ATTRIBUTES.items() for name in names.split()]


def expects(step: dict[str, Any]) -> bool:
    """Whether a step says what must come of it, beyond that it must succeed."""
    reads = step["do"] in ("cpu_read", "gpu_read") and not {"byte", "word", "pattern"}.isdisjoint(step)
    fails = "error" in step and step["do"] != "inject"
    return reads or fails or step["do"] in ("expect", "get_attr") or (step["do"] == "set_xnack" and "expect" in step)


@pytest.mark.parametrize("path", PEERS, ids=lambda path: path.stem)
def test_a_scenario_of_a_peer_says_of_each_expectation_whose_it_is(path):
    steps = read_toml(path)["step"]
    marked = [bool(MARK.search(step.get("note", ""))) for step in steps]
    assert [n for n, step in enumerate(steps, start=1) if expects(step) and not marked[n - 1]] == []


@pytest.mark.parametrize("path", PEERS, ids=lambda path: path.stem)
def test_there_is_one_wording_for_each_of_the_two_marks(path):
    notes = [step.get("note", "") for step in read_toml(path)["step"]]
    close = [
        note for note in notes if re.search("assert|upstream|driver rule|original", MARK.sub("", note), re.IGNORECASE)
    ]
    allowed = re.compile("HIP asserts|the original does not look at this|what is asserted is")
    assert [note for note in close if not allowed.search(note)] == []


@pytest.mark.parametrize("path", OURS, ids=lambda path: path.stem)
def test_an_attribute_scenario_is_run_on_the_newest_driver_in_both_xnack_modes(path):
    assert modes(path) >= {("off", "upstream"), ("on", "upstream")}


SUITES = {
    "kfdtest": (
        "KFDSVMRangeTest.BasicSystemMemTest KFDSVMRangeTest.SetGetAttributesTest KFDSVMRangeTest.XNACKModeTest "
        "KFDSVMRangeTest.InvalidRangeTest KFDSVMRangeTest.SplitSystemRangeTest KFDSVMRangeTest.EvictSystemRangeTest "
        "KFDSVMRangeTest.PartialUnmapSysMemTest KFDSVMRangeTest.BasicVramTest KFDSVMRangeTest.PrefetchTest "
        "KFDSVMRangeTest.MigrateTest KFDSVMRangeTest.MigrateAccessInPlaceTest KFDSVMRangeTest.MigrateGranularityTest "
        "KFDSVMRangeTest.MultiGPUMigrationTest KFDSVMRangeTest.ReadOnlyRangeTest KFDSVMRangeTest.HMMProfilingEvent "
        "KFDSVMRangeTest.VramOvercommitTest KFDSVMEvictTest.BasicTest KFDEvictTest.BasicTest "
        "KFDExceptionTest.AddressFault KFDExceptionTest.PermissionFault svm-argument-validation get_attr-aggregation"
    ),
    "hmm": (
        "open_close anon_read anon_read_prot anon_write anon_write_prot anon_write_child anon_write_huge "
        "anon_write_hugetlbfs file_write migrate migrate_release migrate_shared migrate_mixed migrate_multiple "
        "mixedmap snapshot compound exclusive migrate_anon_huge_empty migrate_anon_huge_free migrate_anon_huge_fault "
        "migrate_anon_huge_zero_err benchmark_thp_migration"
    ),
    "hip": (
        "Unit_hipMemAdvise_Set_Unset_Basic Unit_hipMemAdvise_Rounding Unit_hipMemAdvise_Flags_Do_Not_Cause_Prefetch "
        "Unit_hipMemAdvise_Read_Write_After_Advise Unit_hipMemAdvise_AccessedBy_All_Devices "
        "Unit_hipMemAdvise_Negative_Parameters Unit_hipMemAdvise_TstFlags Unit_hipMemAdvise_NegtveTsts "
        "Unit_hipMemAdvise_PrefrdLoc Unit_hipMemAdvise_ReadMostly Unit_hipMemAdvise_TstAccessedByFlg "
        "Unit_hipMemAdvise_TstAccessedByFlg2 Unit_hipMemAdvise_TstAccessedByFlg4 "
        "Unit_hipMemAdvise_TstMemAdvisePrefrdLoc Unit_hipMemAdvise_TstMemAdviseLstPreftchLoc "
        "Unit_hipMemAdvise_TstMemAdviseMultiFlag Unit_hipMemAdvise_TstSetUnsetPrfrdLoc Unit_hipMemAdvise_MmapMem "
        "Unit_hipMemPrefetchAsync_Basic Unit_hipMemPrefetchAsync_Sync_Behavior "
        "Unit_hipMemPrefetchAsync_Negative_Parameters Unit_hipMemPrefetchAsyncAdviseFlgTst "
        "Unit_hipMemPrefetchAsyncNegativeTst Unit_hipMemRangeGetAttribute_Positive_ReadMostly_Basic "
        "Unit_hipMemRangeGetAttribute_Positive_ReadMostly_Partial_Range "
        "Unit_hipMemRangeGetAttribute_Positive_PreferredLocation_Basic "
        "Unit_hipMemRangeGetAttribute_Positive_PreferredLocation_CPU "
        "Unit_hipMemRangeGetAttribute_Positive_LastPrefetchLocation_Basic "
        "Unit_hipMemRangeGetAttribute_Positive_LastPrefetchLocation_Partial_Range "
        "Unit_hipMemRangeGetAttribute_Positive_AccessedBy_Basic Unit_hipMemRangeGetAttribute_Negative_Parameters "
        "Unit_hipMemRangeGetAttribte_3 Unit_hipMemRangeGetAttribute_4 Unit_hipMemRangeGetAttributes_Positive_Basic "
        "Unit_hipMemRangeGetAttributes_Negative_Parameters Unit_hipMallocManaged_Advanced Unit_hipMallocManaged_Large "
        "Unit_hipMallocManaged_MultiChunkSingleDevice Unit_hipMallocManaged_OverSubscription "
        "Unit_hipMallocManaged_Negative Unit_hipMallocManaged_TwoPointers Unit_hipMallocManaged_MultiThrdMultiStrm "
        "Unit_hipMallocManaged_CoherentTst Unit_hipMallocManaged_CoherentTstWthAdvise "
        "Stress_hipMallocManaged_MultiSize"
    ),
}
"""Every scenario of the peers' suites."""


@pytest.mark.parametrize("name", [f"{suite}/{name}" for suite, names in SUITES.items() for name in names.split()])
def test_a_scenario_of_a_peer_has_a_file_or_a_reason_to_have_none(name):
    suite, full = name.split("/")
    stem = full.replace(".", "-") if full.startswith("KFDSVMEvictTest") else full.rpartition(".")[2]
    file = FOLDER / "peers" / suite / f"{stem}.toml"
    assert file.exists() != (name in left_out())


def test_at_most_five_of_the_ninety_are_left_out_and_each_has_a_reason():
    assert sum(len(names.split()) for names in SUITES.values()) == 90
    assert len(left_out()) <= 5
    assert all(len(reason) > 20 for reason in left_out().values())


def test_the_table_of_peers_counts_marks_and_tells_what_does_not_hold(tmp_path):
    peer = next(one for one in peers() if one.path.stem == "Unit_hipMemAdvise_TstAccessedByFlg")
    assert (peer.title, peer.asserted, peer.derived, peer.run()) == (f"hip/{peer.path.stem}", 1, 1, [])
    wrong = peer.path.read_text(encoding="utf-8").replace('prefetch = "undefined"', 'prefetch = "gpu0"')
    (tmp_path / "wrong.toml").write_text(wrong, encoding="utf-8")
    (first, *rest) = replace(peer, sweep=load_sweep(tmp_path / "wrong.toml")).run()
    assert "wrong.toml [xnack = 'off', behaviour = 'upstream']: step 3: expected prefetch = gpu0" in first
    assert len(rest) == 3


HIP_FAULTS = ("Unit_hipMallocManaged_OverSubscription", "Unit_hipMemAdvise_TstAccessedByFlg4")
"""HIP's tests about faults and about more memory than there is VRAM."""


@pytest.mark.parametrize("name", HIP_FAULTS)
def test_a_hip_scenario_about_faults_or_overcommit_is_run_on_two_drivers_in_both_xnack_modes(name):
    wanted = {(xnack, behaviour) for xnack in ("off", "on") for behaviour in ("upstream", "as-intended")}
    assert modes(FOLDER / "peers" / "hip" / f"{name}.toml") == wanted


RULES = dict(
    re.findall(r"^\| (R\d+) \|.*\| `([\w/.]+)` \|$", (FOLDER / "peers" / "RULES.md").read_text(), re.MULTILINE)
)


def test_every_rule_that_a_note_cites_is_told():
    cited = {rule for path in PEERS for rule in re.findall(r"\bR\d+\b", path.read_text(encoding="utf-8"))}
    assert cited - RULES.keys() == set()


def test_every_rule_names_a_module_of_the_model():
    assert [rule for rule, module in RULES.items() if not (Path(svmlab.__file__).parent / module).is_file()] == []


STOPPED = (
    "kfdtest/EvictSystemRangeTest kfdtest/PartialUnmapSysMemTest kfdtest/KFDSVMEvictTest-BasicTest "
    "kfdtest/VramOvercommitTest kfdtest/SplitSystemRangeTest kfdtest/InvalidRangeTest hmm/anon_write_child "
    "hmm/migrate_release hmm/migrate_mixed hmm/migrate_multiple hmm/migrate_anon_huge_free hmm/snapshot"
)
"""The peers' scenarios about eviction, fork, copy-on-write and unmapping."""


@pytest.mark.parametrize("name", STOPPED.split())
def test_a_scenario_of_eviction_fork_or_unmapping_is_run_on_both_drivers_in_both_xnack_modes(name):
    named = modes(FOLDER / "peers" / f"{name}.toml")
    assert named >= {(xnack, driver) for xnack in ("off", "on") for driver in ("as-intended", "upstream")}
