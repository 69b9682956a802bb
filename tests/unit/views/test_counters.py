import pytest

from svmlab.errors import InputError
from svmlab.svm.process import Process
from svmlab.units import PAGE_SIZE, USEC
from svmlab.views.counters import counters
from svmlab.views.describe import describe
from svmlab.views.layout import lay_out
from svmlab.views.source import Source

SENTENCES = {
    "first-migration": (
        "4 MiB moved from RAM to gpu0 (prefetch) and 4 MiB from gpu0 to RAM (CPU page fault). "
        "Queues on gpu0-gpu7 stood still for 2.069 ms in 2 stops. "
        "Counted: 3 migrations, 2 CPU faults on pages in VRAM, 16 queue stops, 1 VRAM buffer freed and "
        "3 mappings to GPUs."
    ),
    "there-and-back": (
        "2 MiB moved from RAM to gpu0 (prefetch), 2 MiB from gpu0 to RAM (prefetch), 2 MiB from RAM to gpu1 (prefetch) "
        "and 2 MiB from gpu1 to RAM (prefetch). Queues on gpu0-gpu7 stood still for 3.091 ms in 3 stops. "
        "Counted: 4 migrations, 24 queue stops, 2 VRAM buffers freed and 7 mappings to GPUs."
    ),
    "first-gpu-fault": (
        "4 MiB moved from RAM to gpu0 (GPU page fault). 2 page faults of gpu0 took 656.08 us. "
        "Counted: 2 migrations, 2 GPU page faults served and 2 mappings to GPUs."
    ),
}


def bars(scene, kind):
    return [bar for chart in scene.charts if chart.kind == kind for bar in chart.bars]


@pytest.mark.parametrize("name", SENTENCES)
def test_what_a_scenario_adds_up_to_is_a_known_scene_and_told_in_these_words(name, runs, matches_golden):
    scene = counters(runs[name])
    matches_golden(scene, f"counters-{name}")
    assert describe(scene) == SENTENCES[name]


@pytest.mark.parametrize("name", SENTENCES)
def test_the_bytes_are_those_of_the_counters_of_the_process_devices(name, runs):
    look = runs[name].look
    moved = bars(counters(runs[name]), "bytes moved")
    for gpu in range(2):
        known = look.counters(gpu)
        assert sum(bar.get("npages") for bar in moved if bar.get("target") == f"gpu{gpu}") == known["page_in"]
        assert sum(bar.get("npages") for bar in moved if bar.get("source") == f"gpu{gpu}") == known["page_out"]


def test_bars_of_one_trigger_begin_at_zero_in_rows_of_their_own(logs):
    (first, back) = bars(counters(logs.there_and_back().source), "bytes moved")
    assert (first.lane, first.start, first.end) == ("prefetch", 0, 1024 * PAGE_SIZE)
    assert (back.lane, back.start, back.end) == ("CPU page fault", 0, 1024 * PAGE_SIZE)
    assert back.get("count") == 2


def test_gpus_that_waited_alike_share_a_lane_and_time_is_added_up(logs):
    s = logs.Scribe()
    for start, end in ((10, 20), (50, 55)):
        for gpu in range(3):
            s.at(start, "queue_eviction", gpu=gpu)
            s.at(end - (gpu == 2), "queue_restore", gpu=gpu)
    waits = bars(counters(s.source), "time waited")
    assert [(bar.lane, bar.end, bar.get("count")) for bar in waits] == [
        ("gpu0, gpu1", 15 * USEC, 2),
        ("gpu2", 13 * USEC, 2),
    ]


def test_queues_that_are_still_stopped_are_counted_up_to_the_end_and_say_so(logs):
    s = logs.first_migration(2, restored=False)
    (wait,) = bars(counters(s.source), "time waited")
    assert (wait.get("still"), wait.end) == (1, (334 - 58) * USEC)
    assert "and are still stopped." in describe(counters(s.source))


def test_only_events_of_the_asked_part_count(runs):
    log = runs["first-migration"].log
    scene = counters(runs["first-migration"], since=int(log.select("cpu_fault")[0]))
    assert [bar.lane for bar in bars(scene, "bytes moved")] == ["CPU page fault"]


def test_a_run_in_which_nothing_happens_is_a_table_of_zeros(logs):
    scene = counters(logs.Scribe().source)
    (table,) = scene.panels
    assert {row.style for row in table.rows} == {"pale"}
    assert describe(scene) == "Nothing that is counted happened."
    assert lay_out(scene).height > 100


def test_a_failed_migration_moves_nothing_and_is_counted_as_failed(logs):
    s = logs.Scribe()
    s.at(0, "migrate_start", target=logs.GPU_ID)
    s.at(1, "migrate_end", target=logs.GPU_ID, error=12)
    scene = counters(s.source)
    assert [row.cells[2].text for row in scene.panels[-1].rows if row.cells[1].text == "migration"] == ["1 failed"]
    assert bars(scene, "bytes moved") == []


def test_what_it_cannot_count_is_refused(logs):
    log = logs.first_migration().log
    for since, until in ((-1, None), (5, 4), (len(log) + 1, None)):
        with pytest.raises(InputError, match="the first one first"):
            counters(log, since=since, until=until)
    with pytest.raises(InputError, match="a Process, a Log, a Trace or a Source"):
        counters("toy")


def test_a_log_of_a_machine_with_no_names_is_told_by_gpu_ids(logs):
    scene = counters(Source(logs.first_migration().log))
    assert "to gpu id 35391 (prefetch)" in describe(scene)


def test_evicted_vram_is_counted_under_its_own_trigger():
    p = Process("toy", vram="4 MiB")
    a, b = p.mmap("3 MiB", name="a"), p.mmap("3 MiB", name="b")
    for span in (a, b):
        p.set_attr(span, access=["gpu0"], prefetch="gpu0")
        p.run()
    lanes = {bar.lane: bar.end for bar in bars(counters(p), "bytes moved")}
    assert lanes["VRAM eviction"] == 3 << 20


def test_an_event_that_drops_many_reports_of_a_fault_counts_as_many(logs):
    scribe = logs.Scribe()
    scribe.at(5, "page_fault_dropped", gpu=0, count=999, text="served less than 2 ms ago")
    scribe.at(6, "page_fault_dropped", gpu=1, count=1, text="served less than 2 ms ago")
    (table,) = counters(Source(scribe.log)).tables
    rows = [tuple(cell.text for cell in row.cells) for row in table.rows]
    assert ("1000", "GPU page faults dropped", "gpu0: 999; gpu1: 1") in rows
