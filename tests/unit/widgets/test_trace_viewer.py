"""TraceViewer: a log chosen or uploaded, what it adds up to and why each event happened."""

import pytest

from svmlab.resources import data_path
from svmlab.widgets import TraceViewer
from svmlab.widgets.controls import uploaded

STOP = b"9 1 -7 8a3f 0\n5 2 -7 @100(10) 0->8a3f 0:0 0\n6 3 -7 @100(10) 0->8a3f 0 0\n"


@pytest.fixture(scope="module")
def viewer():
    return TraceViewer()


@pytest.fixture
def start(viewer, read):
    viewer.reset.click()
    return read(viewer)


def give(viewer, name, content):
    """What an upload does, in the form that ipywidgets 8 has it in."""

    class Change:
        new = ({"name": name, "content": memoryview(content)},)

    viewer._take(Change)


def test_it_starts_with_pages_that_go_to_and_fro(start):
    assert start.headline.startswith("To-and-fro.smi: ")
    assert "moved 4 times" in start.said
    assert "svmlab wrote this from a simulation" in start.said


def test_each_event_is_marked_and_told_why(viewer, start):
    viewer.event.value = viewer.event.max
    assert f"event {viewer.event.max} marked" in start.pictures[0]
    assert f"Why event {viewer.event.max}" in start.said
    assert "Inferred:" in start.said


@pytest.mark.parametrize(("picture", "label"), [("page map", "moment by moment"), ("counters", "What it adds up to")])
def test_other_pictures_of_the_same_log(viewer, start, picture, label):
    viewer.picture.value = picture
    assert label in start.pictures[0]


def test_every_shipped_log_is_there(viewer):
    shipped = {path.name for path in data_path("traces").iterdir()} - {"README.md"}
    assert {value for _, value in viewer.log.options} >= shipped
    (panel,) = viewer.summary().tables
    assert {row.cells[0].text for row in panel.rows} == shipped


def test_an_uploaded_log_is_shown_and_stays_among_the_others(viewer, start):
    give(viewer, "mine.log", STOP)
    assert start.headline == "Mine.log: 3 events, 64 KiB moved; it does not contradict itself"
    assert "queues on gpu0 stood still 2 ns in 1 stop" in start.said
    assert (viewer.log.value, viewer.event.max) == ("mine.log", 2)
    viewer.reset.click()
    assert start.headline.startswith("To-and-fro.smi: ")
    viewer.log.value = "mine.log"
    assert start.headline.startswith("Mine.log: ")


def test_a_log_in_which_nothing_moves_has_a_timeline_in_place_of_a_page_map(viewer, start):
    viewer.picture.value = "page map"
    give(viewer, "stopped.log", b"9 1 -7 8a3f 0\n")
    assert "event 0 marked" in start.pictures[0]
    assert start.refused == ""


@pytest.mark.parametrize("content", [b"a recipe\nfor soup\n", b"{}", b"\xff\xfe\x00\n"])
def test_what_is_no_log_is_refused_in_words_and_the_page_stays(viewer, start, content):
    before = viewer.view.value
    give(viewer, "soup.txt", content)
    assert start.refused.startswith("Not done: soup.txt ")
    assert viewer.view.value == before


def test_a_log_without_events_shows_an_empty_timeline(viewer, start):
    give(viewer, "empty.smi", b"")
    assert start.headline == "Empty.smi: 0 events, 0 B moved; it does not contradict itself"


def test_files_come_as_a_tuple_or_as_a_dict():
    new = ({"name": "a", "content": memoryview(b"x")},)
    old = {"a": {"metadata": {"name": "a"}, "content": b"x"}}
    assert uploaded(new) == uploaded(old) == ("a", b"x")
    assert uploaded(()) is None
    assert uploaded({}) is None
