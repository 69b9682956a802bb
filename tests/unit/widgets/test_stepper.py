"""MigrationStepper by its controls: values set, the button clicked, the HTML read; no kernel, no browser."""

import re
from html import unescape

import pytest

from svmlab.svm.process import Process
from svmlab.views import describe, table
from svmlab.widgets import MigrationStepper
from svmlab.widgets.recording import Chapter, record


@pytest.fixture(scope="module")
def made() -> MigrationStepper:
    return MigrationStepper()


@pytest.fixture
def stepper(made: MigrationStepper) -> MigrationStepper:
    made.reset.click()
    return made


def sentences(stepper: MigrationStepper) -> str:
    """What the page says, without its pictures."""
    without = re.sub(r"<svg.*?</svg>", " ", stepper.view.value, flags=re.DOTALL)
    return unescape(re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", without)))


def pictures(stepper: MigrationStepper) -> list[str]:
    """What the pictures are called for who does not see them."""
    return [unescape(label) for label in re.findall(r'role="img" aria-label="([^"]*)"', stepper.view.value)]


def controls(stepper: MigrationStepper) -> list[str]:
    return [type(child).__name__ for child in stepper.box.children[0].children]


def test_it_has_four_controls(stepper):
    assert controls(stepper) == ["Dropdown", "BoundedIntText", "IntSlider", "Button"]


def test_what_can_be_typed_into_has_a_label(stepper):
    assert [child.description for child in stepper.box.children[0].children] == ["prefetch", "moment", "", "Reset"]


def test_it_starts_at_the_copy_of_a_prefetch_to_gpu0(stepper):
    assert stepper.prefetch.value == "gpu0"
    assert "step 3 of 6, copy with SDMA" in sentences(stepper)


def test_slider_and_box_are_one(stepper):
    stepper.number.value = 2
    assert stepper.moment.value == 2
    stepper.moment.value = 7
    assert stepper.number.value == 7


def test_a_number_beyond_the_end_is_the_end(stepper):
    stepper.number.value = 10_000
    assert stepper.number.value == stepper.moment.value == stepper.moment.max


def test_every_moment_has_its_pictures_the_events_and_the_reason(stepper):
    for number in range(stepper.moment.max + 1):
        stepper.moment.value = number
        maps, timeline, entries = pictures(stepper)
        assert maps.startswith("Where the pages are")
        assert timeline.startswith("Timeline")
        assert entries.startswith("src and dst of migrate_vma")
        text = sentences(stepper)
        assert f"Moment {number} of {stepper.moment.max}" in text
        for part in ("Who could reach the pages now", "What happens", "Where the pages shall be:"):
            assert part in text


def test_a_step_changes_picture_and_sentences_together(stepper):
    pages = set()
    for number in range(stepper.moment.max + 1):
        stepper.moment.value = number
        pages.add((sentences(stepper), stepper.view.value))
    assert len({text for text, _ in pages}) == len({page for _, page in pages}) == stepper.moment.max + 1


def test_stepping_back_shows_what_was_shown_before(stepper):
    seen = [(setattr(stepper.moment, "value", number), stepper.view.value)[1] for number in range(8)]
    again = [(setattr(stepper.moment, "value", number), stepper.view.value)[1] for number in reversed(range(8))]
    assert seen == again[::-1]


def test_another_stepper_shows_the_same(stepper):
    assert MigrationStepper().view.value == stepper.view.value


def test_the_six_steps_come_in_order_and_then_once_more_on_the_way_home(stepper):
    steps = []
    for number in range(stepper.moment.max + 1):
        stepper.moment.value = number
        steps += [int(found) for found in re.findall(r"step (\d) of 6", sentences(stepper))]
    assert steps == [1, 2, 3, 4, 5, 6] * 2


def test_between_collecting_and_finalizing_nobody_reaches_the_pages(stepper):
    text = sentences(stepper)
    assert "CPU: a touch waits until the pages have arrived" in text
    assert "gpu0: its queues stand still, it touches nothing" in text


def test_the_entries_of_the_cpu_are_those_that_the_six_steps_leave(stepper):
    seen = []
    for number in range(stepper.moment.max + 1):
        stepper.moment.value = number
        seen += re.findall(r"Entries of the CPU's table: (.*?) Who could", sentences(stepper))
    assert len(seen) == stepper.moment.max + 1
    assert list(dict.fromkeys(seen)) == [
        "1024 of RAM, to be read and written",
        "1024 migration entries, whose pages are under way",
        "1024 device-private, of VRAM",
        "512 migration entries, whose pages are under way, 512 device-private, of VRAM",
        "512 of RAM, to be read and written, 512 device-private, of VRAM",
    ]


@pytest.mark.parametrize(
    ("place", "where", "because"),
    [
        ("gpu0", "in the VRAM of gpu0", "all accessors reach the VRAM of gpu0"),
        ("gpu1", "in the VRAM of gpu1", "all accessors reach the VRAM of gpu1"),
        ("gpu4", "in RAM", "gpu0 cannot reach the VRAM of gpu4: not in its hive"),
        ("cpu", "in RAM", "the prefetch location is RAM"),
        ("", "where they are", "no prefetch was ever asked for"),
    ],
)
def test_a_prefetch_location_leads_to_its_place_and_reason(stepper, place: str, where: str, because: str):
    stepper.prefetch.value = place
    assert f"Where the pages shall be: {where}, because {because}" in sentences(stepper)


def test_another_location_starts_at_the_end_of_the_call_and_has_its_own_moments(stepper):
    stepper.prefetch.value = "cpu"
    assert "set_attr(a) ends" in sentences(stepper)
    assert stepper.number.max == stepper.moment.max < 20


def test_reset_goes_back_to_the_start(stepper):
    begin = stepper.view.value
    stepper.prefetch.value = "gpu4"
    stepper.moment.value = 1
    stepper.reset.click()
    assert stepper.view.value == begin
    assert stepper.prefetch.value == "gpu0"


def test_the_pages_are_counted_from_the_first_of_the_buffer(stepper):
    stepper.moment.value = stepper.moment.max
    assert "0x7e" not in sentences(stepper)
    assert "gpu1-gpu7 tables: 1024 pages absent" in pictures(stepper)[0]


def test_the_timeline_keeps_its_lanes_and_axis_at_every_moment(stepper):
    pages = stepper._run("gpu0")
    scenes = [pages.so_far(number) for number in range(stepper.moment.max + 1)]
    assert len({(chart.lanes, chart.axis) for scene in scenes for chart in scene.charts}) == 1


def test_what_has_not_happened_yet_is_not_on_the_timeline(stepper):
    pages = stepper._run("gpu0")
    (chart,) = pages.so_far(0).charts
    assert chart.bars == ()
    assert [mark.style for mark in chart.marks] == ["now"]


def test_a_bar_that_goes_on_does_not_tell_how_long_it_will_last(stepper):
    pages = stepper._run("gpu0")
    copy = pages.recording.first("copy")
    (chart,) = pages.so_far(copy).charts
    stops = chart.styled("stopped")
    assert {bar.label for bar in stops} == {"stopped so far"}
    assert {bar.end for bar in stops} == {pages.recording.moments[copy + 1].time_ns}


def test_what_happens_later_at_the_same_time_is_not_shown_yet(stepper):
    pages = stepper._run("gpu0")
    fault = pages.recording.first("cpu_fault")
    moments = pages.recording.moments
    assert moments[fault].time_ns == moments[fault - 1].time_ns

    def styles(number: int) -> set[str]:
        return {mark.style for chart in pages.so_far(number).charts for mark in chart.marks}

    assert styles(fault) - styles(fault - 1) == {"cpu fault", "access"}


def test_the_static_twin_has_a_row_for_each_location_and_table(stepper):
    summary = stepper.summary()
    (panel,) = summary.tables
    assert len(panel.columns) == 8
    assert len(panel.rows) == 10
    assert summary.title == "Only a prefetch to gpu0 or gpu1 moves pages"


def test_the_static_twin_says_the_same_in_words(stepper, capsys):
    told = repr(stepper.static())
    assert capsys.readouterr().out.strip() == describe(stepper.summary())
    assert table(stepper.summary()) in told
    assert "gpu4, other hive: the pages shall be in RAM, because gpu0 cannot reach the VRAM of gpu4" in told


def test_a_machine_without_another_hive_has_no_such_choice():
    stepper = MigrationStepper("mi100-hive4", size="8 KiB")
    assert [label for label, _ in stepper.prefetch.options] == ["gpu0", "gpu1, same hive", "RAM", "nowhere"]


def test_a_recording_shows_at_each_moment_what_a_run_that_stops_there_shows():
    def start():
        p = Process("toy")
        a = p.mmap("16 KiB", name="a")
        a[:] = 7
        return p, a

    p, a = start()
    call = Chapter("call returns", lambda: p.start.set_attr(a, access=["gpu0"], prefetch="gpu0"))
    recording = record(p, a.span, chapters=(call, Chapter("restored")))
    for moment in recording.moments:
        other, b = start()
        other.start.set_attr(b, access=["gpu0"], prefetch="gpu0")
        while len(other.log) < moment.until:
            other.driver.world.env.step()
        assert other.look.locations(b.span).tolist() == moment.tables["cpu"].tolist()
        assert other.look.gpu_frames(0, b.span).tolist() == moment.tables["gpu0"].tolist()


NOTHING = "No migration is under way: there is no src and no dst."


def src_and_dst(stepper: MigrationStepper, number: int) -> str:
    """What the third picture of a moment shows, in words."""
    return describe(stepper.scenes(number)[2])


def step_moments(stepper: MigrationStepper) -> list[int]:
    """The numbers of the moments at which the six steps of the first migration begin."""
    recording = stepper._run("gpu0").recording
    steps = {
        event.fields["number"]: number
        for number in range(9, -1, -1)
        for event in recording.events(number)
        if event.name == "step"
    }
    return [steps.get(step, recording.ends["call returns"] + 1) for step in range(1, 7)]


def test_before_the_first_step_and_after_the_fifth_there_is_no_src_and_no_dst(stepper):
    first, *_, last = step_moments(stepper)
    assert {src_and_dst(stepper, number) for number in [*range(first + 1), *range(last - 1, last + 4)]} == {NOTHING}


def test_after_the_first_step_src_carries_migrate_and_dst_is_empty(stepper):
    second = step_moments(stepper)[1]
    assert src_and_dst(stepper, second) == "Pages 0-1023: src VALID MIGRATE WRITE with RAM frames 0x2-0x401, dst 0."


def test_after_the_second_step_dst_names_frames_of_the_gpu_until_the_fifth(stepper):
    _, _, third, _, fifth, _ = step_moments(stepper)
    for number in range(third, fifth + 1):
        assert "dst VALID with gpu0 frames" in src_and_dst(stepper, number)


def test_on_the_way_home_src_names_the_gpu_and_dst_ram(stepper):
    copied = [src_and_dst(stepper, number) for number in range(10, stepper.moment.max + 1)]
    seen = next(text for text in copied if "dst VALID" in text)
    assert "Pages 0-511: src VALID MIGRATE WRITE with gpu0 frames" in seen
    assert "dst VALID with RAM frames" in seen


def test_where_nothing_moves_there_is_never_a_src(stepper):
    stepper.prefetch.value = "gpu4"
    assert {src_and_dst(stepper, number) for number in range(stepper.moment.max + 1)} == {NOTHING}


def test_a_pinned_page_has_neither_migrate_in_src_nor_a_dst():
    p = Process("toy")
    a = p.mmap("32 KiB", name="a")
    a[:] = 7
    p.pin(a.pages(3))
    call = Chapter("call returns", lambda: p.start.set_attr(a, access=["gpu0"], prefetch="gpu0"))
    recording = record(p, a.span, chapters=(call,))
    looks = [moment.src_dst for moment in recording.moments if moment.src_dst]
    assert {(run.src.bits, run.dst.bits) for runs in looks for run in runs if run.first == 3} == {("0", "0")}
    assert [(run.first, run.last, run.src.bits) for run in looks[0]] == [
        (0, 2, "VALID MIGRATE WRITE"),
        (3, 3, "0"),
        (4, 7, "VALID MIGRATE WRITE"),
    ]
