"""What a trace adds up to, and that it is the same from whatever it was read."""

from pathlib import Path

import pytest

import svmlab as sl
from svmlab.resources import data_path
from svmlab.scenario.runner import load_scenario, run
from svmlab.trace.summary import Faults, Moved, Span, Stopped, Unmapped
from svmlab.trace.trace import trace_of

SCENARIOS = sorted(data_path("scenarios").rglob("*.toml"))


@pytest.mark.parametrize("path", SCENARIOS, ids=lambda path: path.stem)
def test_a_run_adds_up_to_the_same_by_its_own_log_by_smi_text_and_by_a_runtime_log(path: Path, tmp_path):
    process = run(load_scenario(path)).process
    found = [trace_of(process).summary()]
    for ending in (".smi", ".rocr"):
        sl.write_trace(process, tmp_path / f"x{ending}")
        found.append(sl.read_trace(tmp_path / f"x{ending}").summary())
    assert found[0] == found[1]
    if any(stop.still and stop.restarts for stop in found[0].stopped):
        return  # the last line of the runtime's log is a restore that started over, and looks like one that did not
    if len({event.pid for event in process.log.events("queue_eviction", "migrate_start", "unmap_from_gpu")}) <= 1:
        assert found[1] == found[2], "the runtime sees one process"


def test_bytes_by_trigger_and_direction_and_time_queues_stood_still(process):
    found = trace_of(process).summary()
    assert found.moved == (
        Moved("prefetch", "cpu", "gpu0", 1, 1024),
        Moved("CPU page fault", "gpu0", "cpu", 1, 512),
    )
    log = process.log
    lasted = log.events("queue_restore")[0].time_ns - log.events("queue_eviction")[0].time_ns
    assert found.stopped[0].gpu == 0
    assert found.stopped[0].count == 2
    assert found.stopped[0].triggers == {"SVM": 2}
    assert found.stopped[0].time_ns > 2 * 1_000_000 > lasted


def test_faults_and_what_a_munmap_unmaps(faulting):
    found = trace_of(faulting).summary()
    (faults,) = found.faults
    assert (faults.gpu, faults.count, faults.migrated) == (0, 2, 2)
    assert Unmapped(0, "munmap", 2, 1024) in found.unmapped
    assert isinstance(faults, Faults)
    assert found.stopped == ()


def test_ranges_that_go_to_and_fro_are_named(written):
    way = {1: "0->8a3f", 0: "8a3f->0"}
    lines = [f"5 {time} -1 @{100 + time % 2 * 0:x}(10) {way[(time + 1) % 2]} 0:0 0" for time in range(4)]
    found = written(*lines, "5 9 -1 @500(8) 0->8a3f 0:0 0").summary()
    assert found.to_and_fro == (Span(0x64, 0x73, 4, "cpu"),)
    assert [span.moves for span in found.most_moved] == [4, 1]


def test_queues_that_do_not_run_at_the_end_are_told(written):
    found = written("9 100 -1 8a3f 0", "a 150 -1 8a3f R", "5 400 -1 @1(1) 0->8a3f 0:0 0").summary()
    assert found.stopped == (Stopped(0, 1, {"SVM": 1}, 300, 1, 1),)
    assert "1 restores started over, still stopped at the end" in str(found)


def test_failed_migrations_are_named(written):
    found = written("5 1 -1 @1(1) 0->8a3f 0:0 0", "6 2 -1 @1(1) 0->8a3f 0 -28").summary()
    assert found.notes == ("1 migration counted above failed with ENOSPC.",)
