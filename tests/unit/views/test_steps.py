import pytest

from svmlab.errors import InputError
from svmlab.svm.eviction import restore_work
from svmlab.svm.mechanisms import mechanism, mechanisms
from svmlab.svm.process import Process
from svmlab.svm.steps import STEPS
from svmlab.units import format_time
from svmlab.views.decision import decision_path
from svmlab.views.describe import describe
from svmlab.views.layout import lay_out
from svmlab.views.pagemap import pagemap
from svmlab.views.scene import Scene
from svmlab.views.steps import steps


def rows(scene):
    return [(row.style, *(cell.text for cell in row.cells)) for row in scene.panels[0].rows]


@pytest.mark.parametrize("name", ["first-migration", "there-and-back", "first-gpu-fault"])
def test_the_last_migration_of_a_scenario_is_a_known_scene(name, runs, matches_golden):
    matches_golden(steps(runs[name]), f"steps-{name}")


def test_steps_that_are_done_say_how_long_they_took(logs):
    log = logs.first_migration(2).log
    assert rows(steps(logs.Source(log, 1, logs.location_name))) == [
        ("pale", "1", STEPS[0], "86 us"),
        ("pale", "2", STEPS[1], "8 us"),
        ("pale", "3", STEPS[2], "152 us"),
        ("pale", "4", STEPS[3], "6 us"),
        ("pale", "5", STEPS[4], "36 us"),
        ("pale", "6", STEPS[5], "29 us"),
    ]


def test_in_the_middle_of_a_migration_its_step_is_lit_and_the_others_are_to_come(logs):
    source = logs.first_migration(2).source
    (submitted,) = source.log.select("dma_map")
    scene = steps(source, at=int(submitted))
    assert [row[0] for row in rows(scene)] == ["pale", "pale", "lit", "", "", ""]
    assert describe(scene) == (
        "Migration of 1024 pages from RAM to gpu0: step 3 of 6 is lit, copy with SDMA (1 us so far). "
        "Done: step 1 in 86 us and step 2 in 8 us. "
        "Not begun: 4 move the page structures; 5 finalize, free the old pages; "
        "6 restore: map the new pages, resume the queues."
    )


def test_times_of_the_copy_engine_lie_ahead_and_do_not_count(logs):
    source = logs.first_migration(2).source
    last = int(source.log.select("copy_window")[-1])
    assert rows(steps(source, at=last))[2][3] == "1 us so far"


def test_between_the_call_and_the_restore_no_step_is_lit(logs):
    scene = steps(logs.first_migration(restored=False).source)
    assert "lit" not in [row[0] for row in rows(scene)]
    assert describe(scene).endswith("Not begun: 6 restore: map the new pages, resume the queues.")


def test_the_migration_is_the_latest_that_had_begun(logs):
    source = logs.there_and_back().source
    first, second, third = source.log.select("migrate_start").tolist()
    assert steps(source, at=second - 1).title == "Migration of 1024 pages from RAM to gpu0"
    assert steps(source, at=third).title == "Migration of 512 pages from gpu0 to RAM"
    assert rows(steps(source, at=first + 1))[0][3] == "begins"


def test_with_xnack_on_the_sixth_step_is_the_mapping_by_who_served_the_fault(runs):
    process = runs["first-gpu-fault"]
    (*_, last) = rows(steps(process))
    (*_, mapped) = process.log.events("map_to_gpu")
    assert last == ("pale", "6", STEPS[5], format_time(mapped.fields["duration_ns"]))
    before = rows(steps(process, at=mapped.id - 1))
    assert before[-1] == ("", "6", STEPS[5], "")


def test_a_failed_migration_says_with_what():
    p = Process("toy")
    a = p.mmap("64 KiB", name="a")
    a[:] = 1
    p.inject("copy", error="EIO")
    with pytest.raises(Exception, match="EIO"):
        p.set_attr(a, access=["gpu0"], prefetch="gpu0")
    assert steps(p).title == "Migration of 16 pages from RAM to gpu0, failed with EIO"


def test_a_picture_stands_beside_the_list_and_is_told_after_it():
    p = Process("toy")
    a = p.mmap("64 KiB", name="a")
    p.set_attr(a, access=["gpu0"], prefetch="gpu0")
    picture = pagemap(p, a)
    scene = steps(p, beside=picture)
    assert (scene.aside, scene.panels[1].title) == (1, picture.title)
    assert describe(scene).endswith(describe(picture))
    words = {word.text: word for word in lay_out(scene).words}
    assert words["CPU table"].x > words["step"].x + 200
    assert abs(words["CPU table"].y - words["step"].y) < 60
    assert lay_out(scene).height < lay_out(Scene("steps", scene.title, scene.panels)).height


@pytest.mark.parametrize("width_px", [500, 700, 1100])
def test_no_text_of_two_columns_collides(width_px, scenes, logs, check_sheet):
    for picture in (scenes["map"], scenes["first"], decision_path(logs.prefetch_decision(), logs.location_name)):
        check_sheet(lay_out(steps("set_attr", at=4, beside=picture), width_px))


def test_the_steps_of_a_mechanism_are_the_lines_of_its_docstring():
    assert [row[2] for row in rows(steps("restore_work", at=5))][-2:] == [
        "resume the queues",
        "after giving up: schedule the next attempt",
    ]
    assert steps(restore_work).panels == steps("restore_work").panels
    assert [row[0] for row in rows(steps("restore_work", at=5))] == ["", "", "", "", "lit", ""]
    assert describe(steps("restore_work", at=5)) == (
        "The steps of restore_work: step 5 of 6 is lit, resume the queues."
    )
    assert describe(steps("migration")).startswith("The steps of migration: 1. collect the pages")


def test_every_numbered_docstring_of_mm_and_svm_is_a_mechanism_whose_steps_count_up():
    known = mechanisms()
    assert known["migration"].steps == STEPS
    assert {"set_attr", "restore_work", "serve_cpu_fault", "copy_to_vram", "munmap", "setup"} <= set(known)
    for name, one in known.items():
        assert len(one.steps) >= 2, name
        assert all(step and "\n" not in step for step in one.steps)
    assert mechanism("make_plan").steps[0].endswith("that is cut at the edges of the span")
    assert mechanism("restore_work").kernel == "svm_range_restore_work (kfd_svm.c)"


def test_what_has_no_steps_is_refused(logs):
    with pytest.raises(InputError, match="restore_work"):
        steps("restores")
    with pytest.raises(InputError, match="no numbered steps"):
        steps(describe)
    with pytest.raises(InputError, match="1 to 6"):
        steps("restore_work", at=7)
    with pytest.raises(InputError, match="no migration has begun"):
        steps(logs.Scribe().source)
    with pytest.raises(InputError, match="an event id"):
        steps(logs.first_migration().source, at=10_000)
