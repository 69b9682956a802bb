"""Scenarios that name several modes in their [sweep] table hold in each of them.

In the mode of its head every shipped scenario is run by test_run.py.
"""

import re
from itertools import product
from pathlib import Path

import pytest

import svmlab
from svmlab.resources import data_path
from svmlab.scenario.format import Overrides
from svmlab.scenario.runner import load_scenario, run
from svmlab.scenario.toml_file import read_toml

FOLDER = data_path("scenarios")
MARK = re.compile(r"(Asserted upstream|Follows from driver rules?( R\d+(, R\d+)*)?|Not asserted upstream)\b.*: ")
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


def modes(path: Path) -> list[Overrides]:
    """The head of the file, and every combination of what its sweep says about the head."""
    sweep = read_toml(path).get("sweep", {})
    keys = [key for key in ("xnack", "behaviour") if key in sweep]
    return [Overrides(**dict(zip(keys, values, strict=True))) for values in product(*(sweep[key] for key in keys))]


def every_run():
    return [
        pytest.param(
            path, mode, id=" ".join([str(path.relative_to(FOLDER)), *filter(None, (mode.xnack, mode.behaviour))])
        )
        for path in sorted(FOLDER.rglob("*.toml"))
        for mode in modes(path)
        if mode != Overrides()
    ]


@pytest.mark.parametrize(("path", "mode"), every_run())
def test_a_scenario_holds_in_every_mode_it_names(path, mode):
    result = run(load_scenario(path, mode))
    assert [(failure.n, failure.expected, failure.found) for failure in result.failures] == []


OURS = [FOLDER / "peers" / suite / f"{name}.toml" for suite, names in ATTRIBUTES.items() for name in names.split()]


@pytest.mark.parametrize("path", PEERS, ids=lambda path: path.stem)
def test_a_scenario_of_a_peer_says_of_each_expectation_whose_it_is(path):
    unmarked = []
    for n, step in enumerate(read_toml(path)["step"], start=1):
        expects = step["do"] in ("expect", "get_attr") or "error" in step
        if expects and not MARK.search(step.get("note", "")):
            unmarked.append(n)
    assert unmarked == []


@pytest.mark.parametrize("path", OURS, ids=lambda path: path.stem)
def test_an_attribute_scenario_is_run_on_the_newest_driver_in_both_xnack_modes(path):
    assert {(mode.xnack, mode.behaviour) for mode in modes(path)} >= {("off", "upstream"), ("on", "upstream")}


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
}
"""Every scenario of two of the peers' suites."""


@pytest.mark.parametrize("name", [f"{suite}/{name}" for suite, names in SUITES.items() for name in names.split()])
def test_a_scenario_of_a_peer_has_a_file_or_a_reason_to_have_none(name):
    suite, full = name.split("/")
    stem = full.replace(".", "-") if full.startswith("KFDSVMEvictTest") else full.rpartition(".")[2]
    file = FOLDER / "peers" / suite / f"{stem}.toml"
    left_out = f"| `{name}` |" in (FOLDER / "peers" / "LEFT_OUT.md").read_text(encoding="utf-8")
    assert file.exists() != left_out


HIP_FAULTS = ("Unit_hipMallocManaged_OverSubscription", "Unit_hipMemAdvise_TstAccessedByFlg4")
"""HIP's tests about faults and about more memory than there is VRAM."""


@pytest.mark.parametrize("name", HIP_FAULTS)
def test_a_hip_scenario_about_faults_or_overcommit_is_run_on_two_drivers_in_both_xnack_modes(name):
    wanted = {(xnack, behaviour) for xnack in ("off", "on") for behaviour in ("upstream", "as-intended")}
    assert {(mode.xnack, mode.behaviour) for mode in modes(FOLDER / "peers" / "hip" / f"{name}.toml")} == wanted


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
    named = {(mode.xnack, mode.behaviour) for mode in modes(FOLDER / "peers" / f"{name}.toml")}
    assert named >= {(xnack, driver) for xnack in ("off", "on") for driver in ("as-intended", "upstream")}
