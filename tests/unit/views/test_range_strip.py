"""The range strip: what a call did to the ranges of a span."""

import pytest

import svmlab as sl
from svmlab.errors import InputError
from svmlab.mm.span import Span
from svmlab.views.describe import describe
from svmlab.views.layout import lay_out
from svmlab.views.range_strip import range_strip


def split():
    """The middle of a range goes to gpu0."""
    p = sl.Process("mi210-two-hives")
    a = p.mmap("4 MiB", name="a")
    a[:] = 7
    p.set_attr(a, access=["gpu0"])
    before = range_strip(p, a)
    p.set_attr(a.pages(256, 256), access=["gpu1"], prefetch="gpu0", granularity=4)
    p.run()
    return range_strip(p, a, before=before, call="set_attr")


def children():
    """A part is unmapped; the deferred worker has not come yet."""
    p = sl.Process("toy")
    a = p.mmap("4 MiB", name="a")
    p.set_attr(a, access=["gpu2"])
    before = range_strip(p, a)
    handle = p.start.munmap(a.pages(100, 300))
    while not any(range_.children for range_ in p.look.ranges()):
        p.advance(1000)
    strip = range_strip(p, a, before=before, call="munmap")
    p.wait(handle)
    return strip


def gone():
    """A part is unmapped, and everything is done."""
    p = sl.Process("pcie-pair")
    a = p.mmap("4 MiB", name="a")
    p.set_attr(a.pages(0, 200), access=["gpu0"])
    p.set_attr(a.pages(200, 824), access=["gpu1"])
    before = range_strip(p, a)
    p.munmap(a.pages(100, 300))
    p.run()
    return range_strip(p, a, before=before, call="munmap")


SCENES = {"split": split, "children": children, "gone": gone}


@pytest.fixture(scope="module")
def strips():
    return {name: make() for name, make in SCENES.items()}


def bars(scene, lane):
    (chart,) = scene.charts
    return [(bar.start, bar.end, bar.style, bar.depth) for bar in chart.bars if bar.lane == lane]


def cells(scene):
    (found,) = scene.tables
    return [dict(zip(found.columns, (cell.text for cell in row.cells), strict=True)) for row in found.rows]


@pytest.mark.parametrize("name", SCENES)
def test_a_strip_is_a_known_scene(name, strips, matches_golden):
    matches_golden(strips[name], f"ranges-{name}")


@pytest.mark.parametrize("width_px", [500, 700, 1100])
@pytest.mark.parametrize("name", SCENES)
def test_no_text_of_a_strip_collides_or_leaves_the_paper(name, width_px, strips, check_sheet):
    check_sheet(lay_out(strips[name], width_px))


def test_a_split_shows_as_three_bars_below_one_and_a_line_at_each_cut(strips):
    assert bars(strips["split"], "before") == [(0, 1024, "cpu", 0)]
    assert bars(strips["split"], "after") == [(0, 256, "cpu", 0), (256, 512, "gpu0", 0), (512, 1024, "cpu", 0)]
    assert [mark.at for mark in next(strips["split"].charts).marks] == [256, 512]


def test_an_attribute_that_changed_reads_old_arrow_new_and_is_lit(strips):
    (found,) = strips["split"].tables
    row = cells(strips["split"])[1]
    assert row == {
        "pages": "256-511",
        "before": "part of 0-1023",
        "actual": "RAM -> gpu0",
        "prefetch": "none -> gpu0",
        "access": "gpu0 -> gpu0, gpu1",
        "mapped": "gpu0 -> gpu0, gpu1",
        "granule": "2 MiB -> 64 KiB",
    }
    lit = [cell.text for cell in found.rows[1].cells if cell.style == "lit"]
    assert lit == [text for head, text in row.items() if head != "pages"]


def test_a_child_hangs_below_its_range_and_says_what_it_waits_for(strips):
    assert (100, 400, "cpu", 1) in bars(strips["children"], "after")
    assert cells(strips["children"])[1]["before"] == "child of 0-1023, to be removed"


def test_pages_that_no_range_has_any_more_are_one_piece(strips):
    assert bars(strips["gone"], "after") == [(0, 100, "cpu", 0), (400, 1024, "cpu", 0)]
    assert cells(strips["gone"])[-1] == {"pages": "100-399", "before": "no longer registered"} | {
        head: "" for head in cells(strips["gone"])[-1] if head not in ("pages", "before")
    }


SENTENCES = {
    "split": (
        "1 range before, 3 ranges after: pages 0-1023 are split at 256 and 512. "
        "Pages 256-511: actual RAM -> gpu0; prefetch none -> gpu0; access gpu0 -> gpu0, gpu1; "
        "mapped gpu0 -> gpu0, gpu1; granule 2 MiB -> 64 KiB."
    ),
    "children": (
        "1 range before, 1 range after: pages 0-1023 are split at 100. 2 children wait for deferred work. "
        "Pages 0-99: state ok -> deferred work."
    ),
    "gone": (
        "2 ranges before, 2 ranges after: pages 0-199 are split at 100 and pages 200-1023 are split at 400. "
        "Pages 100-399: no longer registered."
    ),
}


@pytest.mark.parametrize("name", SENTENCES)
def test_a_strip_is_told_in_these_words(name, strips):
    assert describe(strips[name]) == SENTENCES[name]


def test_without_a_before_a_strip_tells_what_there_is():
    p = sl.Process("toy")
    a = p.mmap("64 KiB", name="a")
    assert describe(range_strip(p, a)) == "No range is registered."
    p.set_attr(a.pages(4, 4), access=["gpu0"], prefetch="gpu0")
    scene = range_strip(p, a)
    assert describe(scene) == "1 range: pages 4-7 on gpu0."
    assert cells(scene)[0]["access"] == "gpu0"
    assert "before" not in cells(scene)[0]


def test_a_snapshot_does_not_change_when_the_ranges_do():
    p = sl.Process("toy")
    a = p.mmap("64 KiB", name="a")
    p.set_attr(a, access=["gpu0"])
    before = range_strip(p, a)
    kept = before.to_dict()
    p.set_attr(a, access=["gpu1"])
    assert before.to_dict() == kept
    assert range_strip(p, a) != before


def test_strips_can_be_chained():
    p = sl.Process("toy")
    a = p.mmap("64 KiB", name="a")
    first = range_strip(p, a)
    p.set_attr(a, access=["gpu0"])
    second = range_strip(p, a, before=first)
    assert describe(second).startswith("0 ranges before, 1 range after. Pages 0-15: new.")
    assert describe(range_strip(p, a, before=second)) == "1 range before, 1 range after. No attribute changes."


def test_of_many_ranges_those_that_changed_are_told_and_the_rest_is_counted():
    p = sl.Process("toy")
    a = p.mmap("256 KiB")
    for page in range(0, 64, 4):
        p.set_attr(a.pages(page, 2), access=["gpu0"])
    before = range_strip(p, a)
    p.set_attr(a.pages(60, 2), access=["gpu1"])
    rows = cells(range_strip(p, a, before=before))
    assert (len(rows), rows[0]["access"], rows[-1]["pages"]) == (10, "gpu0 -> gpu0, gpu1", "7 more ranges")


def test_a_range_that_reaches_beyond_the_span_is_cut_there():
    p = sl.Process("toy")
    a = p.mmap("64 KiB")
    p.set_attr(a, access=["gpu0"])
    assert bars(range_strip(p, a.pages(4, 8)), "ranges") == [(0, 8, "cpu", 0)]


def test_what_is_left_when_all_is_unmapped_is_told_though_the_pages_are_nobodys():
    p = sl.Process("toy")
    a = p.mmap("64 KiB")
    p.set_attr(a, access=["gpu0"])
    before = range_strip(p, a)
    p.munmap(a)
    p.run()
    told = describe(range_strip(p, a, before=before))
    assert told == "1 range before, 0 ranges after. Pages 0-15: no longer registered."


def test_pages_of_nobody_are_refused():
    p = sl.Process("toy")
    with pytest.raises(InputError, match="nothing is mapped or registered"):
        range_strip(p, Span(0x1000, 0x1000))
    with pytest.raises(InputError, match="a mapping"):
        range_strip(p, "a")


def test_a_before_of_other_pages_is_refused():
    p = sl.Process("toy")
    a = p.mmap("64 KiB")
    for wrong in (range_strip(p, a.pages(0, 8)), sl.topology("toy"), sl.pagemap(p, a)):
        with pytest.raises(InputError, match="same p and a"):
            range_strip(p, a, before=wrong)
