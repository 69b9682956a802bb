import re

import pytest

from svmlab.views.describe import alt_text, describe, table
from svmlab.views.scene import Axis, Chart, Scene, Table
from svmlab.views.timeline import timeline

SENTENCES = {
    "first": (
        "set_attr(a) moves 1024 pages from RAM to gpu0 (prefetch) in 288 us, copied in 2 batches (2 windows). "
        "Queues on gpu0-gpu7 stand still for 1.103 ms, 1 ms of it the restore delay."
    ),
    "pending": (
        "set_attr(a) moves 1024 pages from RAM to gpu0 (prefetch) in 288 us, copied in 2 batches (2 windows). "
        "Queues on gpu0-gpu7 stand still for 276 us, 274 us of it the restore delay, and are still stopped at the end."
    ),
    "back": (
        "3 migrations move 1024 pages from RAM to gpu0 (prefetch) and 1024 pages from gpu0 to RAM (pagefault_cpu), "
        "copied in 4 batches (4 windows). "
        "Queues on gpu0 and gpu1 stand still 2 times, together for 2.065 ms, 2.004 ms of it the restore delay. "
        "It also shows 2 CPU faults and waits for locks, the longest 19 us for svms.lock."
    ),
    "busy": (
        "set_attr(a) moves 153600 pages from RAM to gpu0 (prefetch) in 24.001 ms, copied in 300 batches (300 windows)."
    ),
    "faults": "No page moves. It also shows 1 GPU fault, 100 times 'fault dropped' and 'MEMORY_EXCEPTION'.",
    "empty": "No page moves.",
    "map": (
        "CPU table: 512 pages in RAM and 512 on gpu0. gpu0 table: 512 pages on gpu0 and 512 absent. "
        "gpu1-gpu7 tables: 1024 pages absent."
    ),
    "decision": (
        "The pages of a belong on gpu0 by the rule 'prefetch location', because all accessors reach it. "
        "Passed over before: xnack on (xnack is off); prefetch to RAM (the prefetch location is gpu0)."
    ),
}


@pytest.mark.parametrize("name", SENTENCES)
def test_a_scene_is_told_in_these_words(name, scenes):
    assert describe(scenes[name]) == SENTENCES[name]


def test_a_scene_of_one_view_is_told_in_at_most_three_sentences(scenes):
    for name in SENTENCES:
        assert len(re.findall(r"\.(?: |$)", describe(scenes[name]))) <= 3


def test_scenes_put_together_are_told_one_after_the_other(scenes):
    assert describe(scenes["widget"]) == " ".join(SENTENCES[name] for name in ("map", "pending", "decision"))


def test_the_sentences_need_nothing_but_the_scene(scenes):
    assert describe(Scene("timeline", "", scenes["first"].panels)) == SENTENCES["first"]


def test_queues_that_stop_for_different_times_are_told_apart(logs):
    scribe = logs.Scribe()
    for gpu, until in ((0, 20), (1, 20), (2, 15)):
        scribe.at(10, "queue_eviction", gpu=gpu)
        scribe.at(until, "queue_restore", gpu=gpu)
    assert "Queues on gpu0, gpu1 stand still for 10 us; those on gpu2 for a shorter time." in describe(
        timeline(scribe.source)
    )


def test_a_migration_that_goes_on_says_so(logs):
    scribe = logs.first_migration()
    (setup,) = scribe.log.select("migrate_setup")
    assert "in 86 us so far" in describe(timeline(scribe.source, until=int(setup) + 1))


def test_a_kind_that_nobody_taught_to_tell_is_counted():
    panels = (Chart(Axis(0, 1), ()), Table(("a",), ()))
    assert describe(Scene("news", "News", panels)) == "News: 0 bars in 0 lanes. News: a table of 0 rows."


def test_the_alternative_text_begins_with_the_title(scenes):
    assert alt_text(scenes["first"]) == f"Timeline of set_attr(a). {SENTENCES['first']}"


def test_the_table_tells_every_bar_and_mark_in_order(scenes):
    lines = table(scenes["first"]).splitlines()
    (chart,) = scenes["first"].panels
    assert len(lines) == 1 + len(chart.bars) + len(chart.marks)
    assert lines[0].split() == ["from", "lasts", "lane", "what"]
    assert lines[1] == "0 ns      -         application       CPU writes 1024 pages"
    assert "130 us    8 us      driver              2 allocate VRAM" in lines


def test_the_table_of_a_table_is_its_cells(scenes):
    assert table(scenes["decision"]).splitlines()[1] == "1  xnack on            no         xnack is off"
