"""The runtime's log, out and in."""

import pytest

import svmlab as sl

HEAD = "ROCr HMM event: 81234567890123"
GPU = "GPU0(0x55d0c8b0a0f0)"
SPAN = "[0x7f3c40000000, 0x7f3c401fffff]"


@pytest.mark.parametrize(
    ("detail", "name", "fields"),
    [
        (f"MIGRATE_START PREFETCH CPU->{GPU} {SPAN}", "migrate_start", {"source": 0, "target": 1, "trigger": 0}),
        (f"MIGRATE_END PAGEFAULT_CPU {GPU}->CPU {SPAN}", "migrate_end", {"source": 1, "target": 0, "npages": 512}),
        (f"MIGRATE_START TTM_EVICTION {GPU}->CPU {SPAN}", "migrate_start", {"trigger": 3}),
        (f"PAGE_FAULT_START Write {GPU} 139896748572672", "page_fault_start", {"gpu": 0, "write": 1}),
        (f"PAGE_FAULT_START Read {GPU} 139896748572672", "page_fault_start", {"gpu": 0, "write": 0}),
        (f"PAGE_FAULT_END Migration {GPU} 139896748572672", "page_fault_end", {"migrated": 1}),
        (f"PAGE_FAULT_END Map {GPU} 139896748572672", "page_fault_end", {"migrated": 0}),
        (f"QUEUE_EVICTION USERPTR {GPU}", "queue_eviction", {"gpu": 0, "trigger": 1}),
        (f"QUEUE_RESTORE {GPU}", "queue_restore", {"gpu": 0}),
        (f"UNMAP_FROM_GPU MMU_NOTIFY_MIGRATE {GPU} {SPAN}", "unmap_from_gpu", {"gpu": 0, "trigger": 1}),
    ],
)
def test_every_line_of_the_runtime_is_known(written, detail, name, fields):
    (event,) = written(f"{HEAD} {detail}", name="x.rocr").log
    assert (event.name, event.time_ns) == (name, 81234567890123)
    assert event.fields.items() >= fields.items()
    if "[" in detail:
        assert (event.start, event.npages) == (0x7F3C40000, 512)
    if "1398" in detail:
        assert (event.start, event.npages) == (139896748572672 >> 12, 1)


@pytest.mark.parametrize(
    "detail",
    [
        f"QUEUE_EVICTION UNKNOWN {GPU}",
        "QUEUE_RESTORE GPU0",
        f"PAGE_FAULT_START Wbite {GPU} 139896748572672",
        f"MIGRATE_START PREFETCH CPU->GPU99999(0x1) {SPAN}",
        "NONE",
    ],
)
def test_what_the_runtime_does_not_know_itself_is_counted_and_left_out(written, detail):
    trace = written(f"{HEAD} {detail}", f"{HEAD} QUEUE_RESTORE {GPU}", name="x.rocr")
    assert (len(trace.log), trace.report.unknown) == (1, 1)


def test_errors_of_reading_are_known_and_no_events(written):
    error = "ROCr HMM event error: Read returned -1, Resource temporarily unavailable (11)"
    trace = written(f"{HEAD} QUEUE_RESTORE {GPU}", error, name="x.rocr")
    assert (len(trace.log), trace.report.unknown) == (1, 0)
    assert trace.report.told() == ["1 lines of read errors of the runtime."]


def test_a_piece_of_4_gib_ends_before_it_begins_and_is_read_as_4_gib(written):
    line = f"{HEAD} MIGRATE_START PREFETCH CPU->{GPU} [0x7f3c40000000, 0x7f3c3fffffff]"
    (event,) = written(line, name="x.rocr").log
    assert event.npages == 1 << 20


def test_a_restore_that_another_follows_started_over(written):
    lines = ["QUEUE_EVICTION SVM", "QUEUE_RESTORE", "QUEUE_RESTORE", "QUEUE_EVICTION SVM", "QUEUE_RESTORE"]
    trace = written(*(f"ROCr HMM event: {time} {line} {GPU}" for time, line in enumerate(lines)), name="x.rocr")
    assert [event.name.removeprefix("queue_") for event in trace.log] == [
        "eviction",
        "restore_rescheduled",
        "restore",
        "eviction",
        "restore",
    ]
    assert trace.report.inferred == 1


def test_queues_that_are_stopped_twice_are_restored_twice(written):
    lines = ["QUEUE_EVICTION SVM", "QUEUE_EVICTION TTM", "QUEUE_RESTORE", "QUEUE_RESTORE"]
    trace = written(*(f"ROCr HMM event: {time} {line} {GPU}" for time, line in enumerate(lines)), name="x.rocr")
    assert trace.report.inferred == 0
    (stopped,) = trace.summary().stopped
    assert (stopped.count, stopped.triggers, stopped.time_ns) == (1, {"SVM": 1, "TTM": 1}, 3)


def test_a_comment_tells_which_gpu_is_which(written):
    trace = written("# gpus: 8a3f 77b2", f"{HEAD} MIGRATE_START PREFETCH CPU->GPU1(0x1) {SPAN}", name="x.rocr")
    assert trace.gpus == (0x8A3F, 0x77B2)
    assert trace.log[0].fields["target"] == 0x77B2


def test_the_runtime_sees_its_own_process_alone(tmp_path):
    p = sl.Process("toy")
    child = p.spawn("other")
    for each in (p, child):
        a = each.mmap("64 KiB")
        each.set_attr(a, access=["gpu0"], prefetch="gpu0")
        each.run()
    sl.write_trace(p, tmp_path / "x.rocr")
    sl.write_trace(p, tmp_path / "x.smi")
    assert [move.pieces for move in sl.read_trace(tmp_path / "x.rocr").summary().moved] == [1]
    assert [move.pieces for move in sl.read_trace(tmp_path / "x.smi").summary().moved] == [2]
