"""Ranges and decisions as people read them."""

from svmlab.mm import Span
from svmlab.svm.range_table import gpu_names


def story(lab):
    """Buffer a, cut by calls on its parts; buffer b; memory without a name."""
    made = lab("as-intended", machine="mi210-two-hives", vram="64 MiB")
    process = made.process
    a = process.mmap("4 MiB", name="a")
    a[:] = 7
    process.set_attr(a, access=["gpu0", "gpu1", "gpu2"], prefetch="gpu0")
    process.run()
    process.set_attr(a.pages(512, 256), preferred="gpu1", set_flags=["gpu_exec"])
    b = process.mmap("16 KiB", name="b")
    process.set_attr(b, access_in_place=["gpu5"], preferred="cpu", granularity=63, clear_flags=["host_access"])
    process.set_attr(process.mmap("4 KiB", at=0x10000))
    process.run()
    return made, a, b


TABLE = """\
where       pages  actual  VRAM  prefetch  preferred  access  in place  mapped  flags             granule  state
0x10-0x10       1  cpu        0  -         -          -       -         -       default             2 MiB  ok
a 0-511       512  gpu0     512  gpu0      -          gpu0-2  -         gpu0-2  default             2 MiB  ok
a 512-767     256  gpu0     256  gpu0      gpu1       gpu0-2  -         gpu0-2  +gpu_exec           2 MiB  ok
a 768-1023    256  gpu0     256  gpu0      -          gpu0-2  -         gpu0-2  default             2 MiB  ok
b 0-3           4  cpu        0  -         cpu        -       gpu5      gpu5    -host_access  whole range  ok"""


def test_the_table_of_ranges(lab):
    made, a, _ = story(lab)
    assert str(made.process.ranges()) == TABLE
    assert len(made.process.ranges(a)) == 3
    assert made.process.ranges(a)[1].preferred_loc == made.gpu_ids[1], "indexing gives the range"


def test_the_state_tells_what_is_still_to_come(lab):
    made, a, b = story(lab)
    made.process.discard(a.pages(3, 1))
    made.process.munmap(b.pages(2, 2))
    assert [(row["where"], row["state"]) for row in made.process.ranges().rows()] == [
        ("0x10-0x10", "ok"),
        ("a 0-511", "invalid (1)"),
        ("a 512-767", "ok"),
        ("a 768-1023", "ok"),
        ("b 0-1", "deferred work"),
    ]


def test_a_mapping_that_was_cut_by_mprotect_keeps_its_page_numbers(lab):
    made = lab()
    a = made.process.mmap("64 KiB", name="a")
    made.process.mprotect(a.pages(4, 4), "r")
    made.process.set_attr(a.pages(6, 4), granularity=3)
    assert [row["where"] for row in made.process.ranges().rows()] == ["a 6-9"]


def test_without_ranges_it_says_so(lab):
    table = lab().process.ranges()
    assert (str(table), repr(table), table._repr_html_()) == (
        "no SVM range is registered",
        "no SVM range is registered",
        "<p>no SVM range is registered</p>",
    )


def test_a_notebook_shows_a_table_with_heads_and_nothing_a_name_could_inject(lab):
    made = lab()
    made.process.set_attr(made.process.mmap("4 KiB", name="<b>&"))
    html = made.process.ranges()._repr_html_()
    assert html.count('<th scope="col">') == 12
    assert "&lt;b&gt;&amp; 0-0" in html
    assert "<b>" not in html


def test_a_slice_is_a_table_too(lab):
    made, *_ = story(lab)
    table = made.process.ranges()[1:3]
    assert [row["where"] for row in table.rows()] == ["a 0-511", "a 512-767"]


def test_unknown_flag_bits_are_shown_as_a_number(lab):
    made = lab()
    buffer = made.process.mmap("4 KiB", name="a")
    made.process.set_attr(buffer, raw=[("SET_FLAGS", 0x10000)])
    assert made.process.ranges().rows()[0]["flags"] == "+0x10000"


def test_gpus_in_a_row_are_told_by_their_ends():
    assert [gpu_names(bits) for bits in (0, 0b1, 0b11, 0b111, 0b1011, 0b11110111)] == [
        "-",
        "gpu0",
        "gpu0,gpu1",
        "gpu0-2",
        "gpu0,gpu1,gpu3",
        "gpu0-2,gpu4-7",
    ]


def test_why_tells_the_decision_the_action_and_the_mapping_of_each_range(lab):
    made, a, b = story(lab)
    made.process.set_attr(b, prefetch="gpu0")
    assert str(made.process.why(b)).splitlines() == [
        "pages b 0-3: best location RAM, "
        "because gpu5 cannot reach the VRAM of gpu0: not in its hive (rule: an accessor is far)",
        "  not 'xnack on': xnack is off",
        "  not 'no prefetch location': the prefetch location is gpu0",
        "  not 'prefetch to RAM': the prefetch location is gpu0",
        "  set_attr would move nothing: the range is in RAM",
        "  mapped to gpu5",
    ]
    first = made.process.why(a).reasons[0]
    assert (first.place, first.action, first.mapping) == (
        "pages a 0-511",
        "set_attr would move nothing: the range is in gpu0",
        "mapped to gpu0-2",
    )
    assert made.process.why(a).decision == first.decision


def test_why_about_memory_that_nobody_registered_shows_the_defaults(lab):
    made = lab("upstream", xnack=True)
    mapping = made.process.mmap("4 KiB", name="a")
    (reason,) = made.process.why(mapping).reasons
    assert reason.action == "nothing is registered here: these are the defaults a new range would have"
    assert made.process.why(Span.of_pages(1, 1)).reasons[0].place == "pages 0x1-0x1"
