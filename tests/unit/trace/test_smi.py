"""The kernel's event lines, out and in: every variant, and what is no event."""

import pytest

import svmlab as sl
from svmlab.errors import InputError

START = "5 81234567890123 -4242 @7f3c40000(200) 0->8a3f 8a3f:ffffffff 0"
END = "6 81234567990456 -4242 @7f3c40000(200) 0->8a3f 0"
STOP = "9 81234567891000 -4242 8a3f 0"
RESUME = "a 81234569000200 -4242 8a3f"


def test_the_lines_of_a_prefetch_are_those_of_the_kernel(process, tmp_path):
    sl.write_trace(process, tmp_path / "x.smi")
    gpus = [f"{gpu.gpu_id:x}" for gpu in process.machine.gpus]
    head, ids, *lines = (tmp_path / "x.smi").read_text().splitlines()
    assert "a simulation" in head
    assert ids == f"# gpus: {' '.join(gpus)}"
    shown = [line.split(" ", 3) for line in lines]
    assert [(number, rest) for number, _, _, rest in shown[:8]] == [
        ("5", f"@7e0000000(400) 0->{gpus[0]} {gpus[0]}:ffffffff 0"),
        *(("9", f"{gpu} 0") for gpu in gpus),
        ("6", f"@7e0000000(400) 0->{gpus[0]} 0 0"),
        *(("a", f"{gpu} 0") for gpu in gpus[:8 - len(gpus) - 2]),
    ]  # fmt: skip
    assert {pid for _, _, pid, _ in shown} == {f"-{process.pid}"}


def test_a_line_becomes_an_event_with_pages_locations_and_the_index_of_its_gpu(written):
    start, stop, end, resumed = written(START, STOP, f"{END} 0", f"{RESUME} 0").log
    assert (start.time_ns, start.pid, start.start, start.npages) == (81234567890123, 4242, 0x7F3C40000, 512)
    assert start.fields == {"source": 0, "target": 0x8A3F, "trigger": 0, "prefetch": 0x8A3F, "preferred": 0xFFFFFFFF}
    assert (stop.name, stop.fields) == ("queue_eviction", {"gpu": 0, "trigger": 0})
    assert (end.name, end.fields["npages"], end.fields["error"]) == ("migrate_end", 512, 0)
    assert (resumed.name, resumed.fields) == ("queue_restore", {"gpu": 0})


@pytest.mark.parametrize(
    ("line", "name"),
    [
        (RESUME, "queue_restore"),
        (f"{RESUME} 0", "queue_restore"),
        (f"{RESUME} \0", "queue_restore"),
        (f"{RESUME} ", "queue_restore"),
        (f"{RESUME} R", "queue_restore_rescheduled"),
        (f"e{RESUME[1:]}", "queue_restore_rescheduled"),
        (END, "migrate_end"),
        (f"{END} -12", "migrate_end"),
        ("7 81234568000001 -4242 @7f3c40010(8a3f) W", "page_fault_start"),
        ("7 81234568000001 -4242 @7f3c40010(8a3f) R", "page_fault_start"),
        ("8 81234568105000 -4242 @7f3c40010(8a3f) M", "page_fault_end"),
        ("8 81234568105000 -4242 @7f3c40010(8a3f) U", "page_fault_end"),
        ("b 81234567891500 -4242 @7f3c40000(200) 8a3f 1", "unmap_from_gpu"),
        ("\0\0\0" + STOP, "queue_eviction"),
        (STOP + "\r", "queue_eviction"),
    ],
)
def test_every_variant_of_a_line_is_known(written, line, name):
    trace = written(line)
    assert ([event.name for event in trace.log], trace.report.unknown) == ([name], 0)


def test_a_migration_that_failed_moved_no_page(written):
    (end,) = written(f"{END} -12").log
    assert (end.fields["npages"], end.fields["error"]) == (0, 12)


def test_a_restore_that_lost_its_nul_and_its_end_is_followed_by_the_next_line(written):
    trace = written(STOP, f"{RESUME} {START.replace('81234567890123', '81234570000000')}")
    assert [event.name for event in trace.log] == ["queue_eviction", "queue_restore", "migrate_start"]


@pytest.mark.parametrize(
    "line",
    [
        "what is this?",
        "5 81234567890123 -4242 @7f3c40000(200) 0->8a3f 8a3f:ffffffff 9",
        "5 81234567890123 4242 @7f3c40000(200) 0->8a3f 8a3f:ffffffff 0",
        "5 81234567890123 -4242 @7F3C40000(200) 0->8a3f 8a3f:ffffffff 0",
        "5 8123456789012a -4242 @7f3c40000(200) 0->8a3f 8a3f:ffffffff 0",
        "5 81234567890123456789 -4242 @7f3c40000(200) 0->8a3f 8a3f:ffffffff 0",
        "05 81234567890123 -4242 @7f3c40000(200) 0->8a3f 8a3f:ffffffff 0",
        "9 81234567891000 -4242 0 0",
        "9 81234567891000 -4242 8a3f",
        f"{RESUME} 00",
        f"{END} 12",
    ],
)
def test_what_no_driver_writes_is_counted_shown_and_left_out(written, line):
    trace = written(STOP, line, f"{RESUME} 0")
    assert [event.name for event in trace.log] == ["queue_eviction", "queue_restore"]
    assert (trace.report.lines, trace.report.unknown, trace.report.samples) == (3, 1, [(2, line)])
    assert f"line 2: {line}" in str(trace.summary())


def test_a_last_line_without_an_end_is_left_out_and_shown(written):
    trace = written(STOP, RESUME, end="")
    assert ([event.name for event in trace.log], trace.report.cut) == (["queue_eviction"], RESUME)


def test_lines_without_a_time_are_counted_by_their_names(written):
    others = ["1 1092:app", "2 8:1", "3 0", "4 0 cause", "c 1092 my app", "d 1092 my app"]
    trace = written(STOP, *others)
    assert trace.report.unknown == 0
    assert set(trace.report.others) == {
        "VMFAULT",
        "THERMAL_THROTTLE",
        "GPU_PRE_RESET",
        "GPU_POST_RESET",
        "PROCESS_START",
        "PROCESS_END",
    }


def test_processes_that_take_turns_stay_apart(written):
    other = STOP.replace("-4242", "-77")
    trace = written(STOP, other, f"{RESUME} 0")
    (stopped,) = trace.summary().stopped
    assert (stopped.count, stopped.still) == (2, 1)
    assert "2 processes: 77, 4242." in trace.summary().notes


def test_lines_of_several_files_are_put_in_order_of_time(written):
    trace = written(f"{RESUME} 0", STOP)
    assert [event.name for event in trace.log] == ["queue_eviction", "queue_restore"]
    assert trace.report.unordered == 1


def test_gpus_are_numbered_as_they_appear_unless_a_comment_tells(written):
    other = STOP.replace("8a3f", "77b2")
    assert written(STOP, other).gpus == (0x8A3F, 0x77B2)
    told = written("# gpus: 77b2 8a3f", STOP, other)
    assert [event.fields["gpu"] for event in told.log] == [1, 0]


def test_a_line_of_any_length_takes_little_memory_and_is_one_unknown_line(written):
    trace = written(STOP, "5" * 3_000_000, f"{RESUME} 0")
    assert (trace.report.lines, trace.report.unknown, len(trace.log)) == (3, 1, 2)
    assert len(trace.report.samples[0][1]) < 200


def test_a_file_without_a_known_line_is_refused_with_an_example(written):
    with pytest.raises(InputError, match="none of them is an event of kernel SMI text"):
        written("a recipe", "for soup")


def test_an_empty_file_is_a_trace_without_events(tmp_path):
    (tmp_path / "x.smi").touch()
    assert len(sl.read_trace(tmp_path / "x.smi")) == 0


def test_a_log_of_another_name_is_known_by_its_lines(written):
    assert written(STOP, name="dmesg.txt").origin == "kernel SMI text"
    line = "ROCr HMM event: 81234567891000 QUEUE_EVICTION SVM GPU0(0x55d0c8b0a0f0)"
    assert written(line, name="svm.log").origin == "runtime log"
