import json
from itertools import pairwise

import numpy as np
import pytest

from svmlab.errors import InputError
from svmlab.log import Log
from svmlab.svm.process import Process
from svmlab.uapi import EvictionTrigger, MigrateTrigger
from svmlab.views.scene import Axis
from svmlab.views.timeline import timeline
from svmlab.views.track import OF_TASK


def chart_of(scribe, **options):
    (chart,) = timeline(scribe.source, **options).panels
    return chart


def labels(chart, style):
    return [bar.label for bar in chart.styled(style)]


def lanes(chart):
    return [lane.name for lane in chart.lanes]


@pytest.mark.parametrize("name", ["first", "pending", "back", "faults"])
def test_a_known_log_gives_a_known_scene(name, scenes, matches_golden):
    matches_golden(scenes[name], name)


def test_the_lanes_go_from_cause_to_effect(logs):
    assert lanes(chart_of(logs.first_migration())) == [
        "application", "driver", "MMU notifier", "queues gpu0-gpu7", "SDMA gpu0", "restore worker", "GPU mapping",
    ]  # fmt: skip


def test_the_six_steps_are_there_by_number_and_name_and_end_where_the_next_begins(logs):
    steps = chart_of(logs.first_migration()).styled("step")
    assert [step.label for step in steps] == [f"{number} {text}" for number, text in enumerate(logs.STEPS, 1)]
    assert [step.short for step in steps] == list("123456")
    assert all(before.end == after.start for before, after in pairwise(steps[:5]))
    assert {step.lane for step in steps[:5]} == {"driver"}
    assert steps[5].lane == "restore worker"


def test_steps_lie_in_the_row_below_their_migration(logs):
    chart = chart_of(logs.first_migration())
    (move,) = chart.styled("move")
    assert move.depth == 0
    assert {step.depth for step in chart.styled("step")} == {1}
    assert all(move.start <= step.start <= step.end <= move.end for step in chart.styled("step")[:5])


def test_gpus_that_stop_and_run_together_share_a_lane(logs):
    chart = chart_of(logs.first_migration(8))
    (stop,) = chart.styled("stopped")
    assert (stop.lane, stop.label) == ("queues gpu0-gpu7", "stopped 1.103 ms")


def test_a_gpu_with_a_fate_of_its_own_has_a_lane_of_its_own(logs):
    assert [lane for lane in lanes(chart_of(logs.there_and_back())) if lane.startswith("queues")] == [
        "queues gpu0",
        "queues gpu1",
    ]


def test_what_is_not_over_at_the_end_says_so_and_lasts_until_then(logs):
    chart = chart_of(logs.first_migration(restored=False))
    (stop,), (delay,) = chart.styled("stopped"), chart.styled("wait")
    assert stop.label == "still stopped after 276 us"
    assert delay.label == "restore delay 274 us so far"
    assert stop.end == delay.end == 334_000
    assert stop.get("still") == delay.get("still") == 1


def test_a_log_cut_short_ends_at_its_last_event(logs):
    scribe = logs.first_migration()
    (begun,) = scribe.log.select("migrate_setup")
    chart = chart_of(scribe, until=int(begun) + 1)
    assert labels(chart, "move") == ["still moving RAM -> gpu0"]
    assert labels(chart, "step") == ["1 collect and unmap RAM pages"]
    assert chart.axis.end == 130_000


def test_since_keeps_what_reaches_into_the_time_that_counts(logs):
    scribe = logs.first_migration()
    (restored,) = scribe.log.select("restore_start")
    chart = chart_of(scribe, since=int(restored))
    assert lanes(chart) == ["queues gpu0-gpu7", "restore worker", "GPU mapping"]
    (stop,) = chart.styled("stopped")
    assert (stop.start, stop.label) == (1_060_000, "stopped 1.103 ms"), (
        "drawn from there on, its length is the true one"
    )


def test_zoom_clips_bars_and_sets_the_axis(logs):
    chart = chart_of(logs.first_migration(), zoom=(100_000, 200_000))
    assert (chart.axis.start, chart.axis.end) == (100_000, 200_000)
    assert all(100_000 <= bar.start <= bar.end <= 200_000 for bar in chart.bars)
    assert labels(chart, "step") == ["1 collect and unmap RAM pages", "2 allocate VRAM", "3 copy with SDMA"]


def test_a_copy_counts_its_windows(logs):
    chart = chart_of(logs.busy(2, windows=3))
    assert labels(chart, "copy") == ["1536 pages in 3 windows"] * 2
    assert [bar.get("windows") for bar in chart.styled("copy")] == [3, 3]


def test_too_many_copies_become_one_bar_that_says_how_many(logs):
    (bar,) = chart_of(logs.busy(300)).styled("copy")
    assert bar.label == "300 x copy, 153600 pages"
    assert (bar.get("count"), bar.get("batches"), bar.get("windows"), bar.get("npages")) == (300, 300, 300, 153_600)


def test_bunches_keep_apart_what_lies_far_apart(logs):
    scribe = logs.Scribe()
    for start in (0, 1_000_000):
        for number in range(100):
            scribe.copy(start + number * 80, 512)
    assert [bar.get("count") for bar in chart_of(scribe).styled("copy")] == [100, 100]


def test_many_migrations_merge_but_each_way_on_its_own(logs):
    scribe = logs.Scribe()
    scribe.as_task("app")
    for number in range(400):
        home = number % 2
        way = {"source": logs.GPU_ID} if home else {"target": logs.GPU_ID}
        trigger = MigrateTrigger.PAGEFAULT_CPU if home else MigrateTrigger.PREFETCH
        scribe.at(number * 10, "migrate_start", 512, trigger=trigger, **way)
        scribe.at(number * 10 + 9, "migrate_end", 512, trigger=trigger, npages=512, **way)
    assert sorted(labels(chart_of(scribe), "move")) == ["200 x migration, 102400 pages"] * 2


def test_sixty_thousand_windows_are_counted_without_a_loop(logs):
    chart = chart_of(logs.busy(200, windows=320))
    assert sum(bar.get("windows") for bar in chart.styled("copy")) == 64_000


def test_bars_of_one_row_never_overlap(scenes):
    for scene in scenes.values():
        for chart in scene.charts:
            ends = {}
            for bar in sorted(chart.bars, key=lambda bar: (bar.start, bar.end)):
                assert ends.get((bar.lane, bar.depth), bar.start) <= bar.start
                ends[bar.lane, bar.depth] = bar.end


def test_two_migrations_at_once_get_rows_of_their_own(logs):
    scribe = logs.Scribe()
    for task, start in (("app", 0), ("worker", 5)):
        scribe.as_task(task)
        scribe.at(start, "migrate_start", target=logs.GPU_ID)
        scribe.step(start, 1)
    for task, end in (("app", 20), ("worker", 25)):
        scribe.as_task(task)
        scribe.at(end, "migrate_end", target=logs.GPU_ID, npages=8)
    chart = chart_of(scribe)
    assert [(bar.style, bar.depth) for bar in chart.bars] == [("move", 0), ("step", 1), ("move", 2), ("step", 3)]


def test_an_eviction_lies_inside_the_step_that_it_makes_room_for():
    p = Process("toy", vram="5 MiB")
    a, b = (p.mmap("3 MiB", name=name) for name in "ab")
    p.set_attr(a, access=["gpu0"], prefetch="gpu0")
    p.run()
    since = len(p.log)
    p.set_attr(b, access=["gpu0"], prefetch="gpu0")
    (chart,) = timeline(p, since=since).panels
    comes, goes = chart.styled("move")
    assert [(bar.label, bar.depth) for bar in (comes, goes)] == [
        ("768 pages RAM -> gpu0", 0),
        ("768 pages gpu0 -> RAM", 2),
    ]
    steps = {depth: [bar for bar in chart.styled("step") if bar.depth == depth] for depth in (1, 3)}
    assert [[bar.short for bar in level] for level in steps.values()] == [list("12345"), list("12345")]
    assert steps[1][1].start <= goes.start < goes.end <= steps[1][1].end
    assert all(before.end == after.start for level in steps.values() for before, after in pairwise(level))


def test_gpus_that_map_the_same_pages_one_after_the_other_share_a_bar(logs):
    assert labels(chart_of(logs.first_migration(8)), "map") == ["gpu0-gpu7 map 1024 pages"]


def test_a_pause_or_other_pages_begin_a_new_mapping(logs):
    scribe = logs.Scribe()
    scribe.at(0, "map_to_gpu", 8, gpu=0, npages=8, duration_ns=1000)
    scribe.at(1, "map_to_gpu", 4, gpu=0, npages=4, duration_ns=1000)
    scribe.at(90, "map_to_gpu", 4, gpu=1, npages=4, duration_ns=1000)
    assert labels(chart_of(scribe), "map") == ["gpu0 maps 8 pages", "gpu0 maps 4 pages", "gpu1 maps 4 pages"]


def test_waiting_for_a_lock_stands_below_the_call_of_the_task_that_waits(logs):
    scribe = logs.Scribe()
    scribe.as_task("app")
    scribe.at(0, "call_start", text="munmap(a)")
    scribe.at(1, "lock_wait", text="svms.lock")
    scribe.as_task("restore worker")
    scribe.at(0, "restore_start")
    scribe.at(2, "lock_wait", text="mmap_lock")
    scribe.at(9, "lock_acquired", text="mmap_lock")
    scribe.as_task("app")
    scribe.at(7, "lock_acquired", text="svms.lock")
    found = [(bar.lane, bar.depth, bar.label) for bar in chart_of(scribe).styled("lock")]
    assert found == [
        ("application", 1, "waits 6 us for svms.lock"),
        ("restore worker", 2, "waits 7 us for mmap_lock"),
    ]


def test_the_second_of_two_calls_at_once_has_its_wait_below_itself(logs):
    scribe = logs.Scribe()
    for task, start in (("first", 0), ("second", 2)):
        scribe.as_task(task)
        scribe.at(start, "call_start", text=f"set_attr({task})")
    scribe.at(3, "lock_wait", text="svms.lock")
    scribe.at(7, "lock_acquired", text="svms.lock")
    scribe.at(9, "call_end")
    scribe.as_task("first")
    scribe.at(11, "call_end")
    chart = chart_of(scribe)
    assert [(bar.style, bar.depth) for bar in chart.bars] == [("call", 0), ("call", 2), ("lock", 3)]
    assert all(name != OF_TASK for bar in chart.bars for name, _ in bar.data)


def test_a_failure_is_named_where_it_ended(logs):
    scribe = logs.Scribe()
    scribe.as_task("app")
    scribe.at(0, "call_start", text="set_attr(a)")
    scribe.at(1, "migrate_start", target=logs.GPU_ID)
    scribe.at(2, "migrate_end", target=logs.GPU_ID, error=12)
    scribe.at(3, "call_end", error=12)
    chart = chart_of(scribe)
    assert labels(chart, "move") == ["0 pages RAM -> gpu0 ENOMEM"]
    assert labels(chart, "call") == ["set_attr(a) ENOMEM, 1024 pages"]


def test_fatal_work_ends_with_its_exception(logs):
    chart = chart_of(logs.gpu_faults(0))
    (work,) = chart.styled("work")
    assert (work.end, work.get("still")) == (150_000, 0)
    assert [mark.label for mark in chart.marks] == ["MEMORY_EXCEPTION"]


def test_many_marks_become_a_bar_that_says_how_many(logs):
    (bar,) = chart_of(logs.gpu_faults(100)).styled("trouble")
    assert bar.label == "100 x fault dropped"


def test_events_of_one_moment_are_one_mark(logs):
    scribe = logs.Scribe()
    for gpu in range(8):
        scribe.at(5, "unmap_from_gpu", gpu=gpu)
    assert [mark.label for mark in chart_of(scribe).marks] == ["unmap gpu0-gpu7"]


def test_queues_stopped_for_another_reason_say_which(logs):
    scribe = logs.Scribe()
    scribe.at(5, "queue_eviction", gpu=0, trigger=EvictionTrigger.TTM)
    scribe.at(9, "queue_restore", gpu=0)
    (stop,) = chart_of(scribe).styled("stopped")
    assert stop.get("trigger") == "ttm"


def test_queues_stopped_twice_run_again_with_the_second_resume(logs):
    scribe = logs.Scribe()
    for us, name in ((10, "queue_eviction"), (20, "queue_eviction"), (30, "queue_restore"), (40, "queue_restore")):
        scribe.at(us, name, gpu=0)
    (stop,) = chart_of(scribe).styled("stopped")
    assert (stop.start, stop.end) == (10_000, 40_000)


def test_a_resume_whose_stop_is_not_in_the_log_ends_nothing(logs):
    scribe = logs.Scribe()
    for us, name in ((5, "queue_restore"), (10, "queue_eviction"), (40, "queue_restore")):
        scribe.at(us, name, gpu=0)
    (stop,) = chart_of(scribe).styled("stopped")
    assert (stop.start, stop.end) == (10_000, 40_000)


def test_only_the_events_of_the_process_count(logs):
    scribe = logs.first_migration()
    scribe.as_task("stranger", pid=2)
    scribe.at(0, "call_start", text="exit")
    assert "exit" not in [bar.get("call") for bar in chart_of(scribe).bars]
    assert "exit" in [bar.get("call") for bar in timeline(scribe.log).panels[0].bars], "a bare log is everybody's"


def test_a_bare_log_names_gpus_by_their_id(logs):
    assert "RAM -> gpu id 35391" in timeline(logs.first_migration().log).panels[0].styled("move")[0].label


def test_an_empty_log_gives_an_empty_chart():
    (chart,) = timeline(Log()).panels
    assert (chart.lanes, chart.bars, chart.marks, chart.axis) == ((), (), (), Axis(0, 0, "ns", "virtual time"))


def test_what_has_no_log_is_refused_in_words():
    with pytest.raises(InputError, match="a Process, a Log, a Trace or a Source"):
        timeline(np.zeros(3))


def test_a_shorter_run_framed_as_the_whole_has_its_lanes_and_axis(logs):
    scribe = logs.first_migration()
    whole = timeline(scribe.source)
    early = timeline(scribe.source, until=20).framed_as(whole)
    assert early.panels[0].axis == whole.panels[0].axis
    assert set(early.panels[0].lanes) >= set(whole.panels[0].lanes)
    assert {bar.lane for bar in early.panels[0].bars} <= set(lanes(early.panels[0])), "nothing is hidden by a frame"


def test_a_scene_is_plain_data(scenes):
    for scene in scenes.values():
        assert json.loads(json.dumps(scene.to_dict())) == scene.to_dict()


def test_the_same_log_gives_the_same_scene_twice(logs):
    assert timeline(logs.there_and_back().source) == timeline(logs.there_and_back().source)
