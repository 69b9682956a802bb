"""The pieces a run is made of: contents, names that move, attributes in words, lists of events."""

import fnmatch
from typing import get_args

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from svmlab.hardware.injection import FAULTS
from svmlab.hardware.machine import Machine
from svmlab.log import EVENTS, Log
from svmlab.mm import Span
from svmlab.mm.entries import EntryKind
from svmlab.mm.vma import VmaKind
from svmlab.scenario.attributes import AttributeKeys, FlagName, compare, question
from svmlab.scenario.contents import Piece, difference, expected_bytes
from svmlab.scenario.event_log import _align, compare_log, in_words, seen_events
from svmlab.scenario.expectations import EVENT_NAMES, CpuEntry, LogEntry
from svmlab.scenario.session import Actor, MissingNameError
from svmlab.scenario.spans import Contents, SpanKeys
from svmlab.scenario.steps import Fault, MappingKind
from svmlab.uapi import Attribute, Flag, MigrateTrigger
from svmlab.units import KIB, PAGE_SIZE

BASE = 0x7E0000000000
TOY = Machine.find("toy")
GPU0, GPU1, GPU2 = (gpu.gpu_id for gpu in TOY.gpus)


def piece(offset: int, nbytes: int) -> Piece:
    return Piece(Span(BASE + offset, nbytes), BASE, "a")


def whole(contents: Contents, nbytes: int) -> bytes:
    return expected_bytes(contents, [piece(0, nbytes)]).tobytes()


def test_a_byte_fills_the_span():
    assert whole(Contents(byte=7), 3) == b"\7\7\7"


def test_a_word_is_repeated_little_endian_from_the_start_of_the_span():
    assert expected_bytes(Contents(word=0x04030201), [piece(2, 6)]).tobytes() == bytes([1, 2, 3, 4, 1, 2])


def test_a_page_number_pattern_holds_the_page_in_each_8_byte_word():
    words = np.frombuffer(whole(Contents(pattern="page-number"), 3 * PAGE_SIZE), "<u8")
    assert (words == np.repeat([0, 1, 2], PAGE_SIZE // 8)).all()


def test_a_word_index_pattern_counts_4_byte_words():
    words = np.frombuffer(whole(Contents(pattern="word-index"), 8 * KIB), "<u4")
    assert (words == np.arange(2048)).all()


def test_a_word_index_wraps_around_after_16_gib():
    words = expected_bytes(Contents(pattern="word-index"), [piece((16 << 30) - 8, 16)]).view("<u4")
    assert words.tolist() == [0xFFFFFFFE, 0xFFFFFFFF, 0, 1]


@pytest.mark.parametrize("pattern", ["page-number", "word-index"])
@given(st.integers(0, 3 * PAGE_SIZE), st.integers(0, PAGE_SIZE + 9))
def test_a_pattern_counts_from_the_mapping_whatever_the_span(pattern: str, offset: int, nbytes: int):
    contents = Contents.model_validate({"pattern": pattern})
    part = expected_bytes(contents, [piece(offset, nbytes)]).tobytes()
    assert part == whole(contents, 5 * PAGE_SIZE)[offset : offset + nbytes]


def test_a_pattern_starts_again_in_each_mapping():
    pieces = [piece(PAGE_SIZE - 4, 4), Piece(Span(BASE + PAGE_SIZE, 4), BASE + PAGE_SIZE, "b")]
    assert expected_bytes(Contents(pattern="word-index"), pieces).view("<u4").tolist() == [1023, 0]


def test_a_difference_names_the_first_byte_and_counts_all():
    found = expected_bytes(Contents(byte=7), [piece(0, 3 * PAGE_SIZE)])
    found[5000:5003] = 9
    told = difference(Contents(byte=7), [piece(0, 3 * PAGE_SIZE)], found=found)
    assert told == "byte 0x1388 of a (page 1) is 0x09, not 0x07; 3 of 12288 bytes differ"
    assert difference(Contents(byte=9), [piece(5000, 3)], found=found[5000:5003]) is None


def actor_with(*mappings: tuple[str, int, int]) -> Actor:
    actor = Actor(None)  # type: ignore[arg-type]  # names need no process
    for name, address, nbytes in mappings:
        actor.add(Span(address, nbytes), name)
    return actor


def test_a_span_goes_to_the_end_of_its_mapping():
    actor = actor_with(("a", BASE, 5000))
    assert actor.span(SpanKeys(on="a")) == Span(BASE, 8192)
    assert actor.span(SpanKeys(on="a", offset=100)) == Span(BASE + 100, 8092)
    assert actor.span(SpanKeys(on="a", offset=100, size=9000)) == Span(BASE + 100, 9000)
    assert actor.span(SpanKeys(address=3, size=1)) == Span(3, 1)


def test_a_name_nobody_gave_is_missing():
    with pytest.raises(MissingNameError, match="mapping 'b'"):
        actor_with().span(SpanKeys(on="b"))


def test_a_name_given_again_means_the_newer_mapping():
    assert actor_with(("a", BASE, 4096), ("a", BASE * 2, 4096)).span(SpanKeys(on="a")).address == BASE * 2


def test_a_name_follows_a_mapping_that_moved_whole():
    actor = actor_with(("a", BASE, 8192))
    actor.moved(Span(BASE, 8000), 0x1000, name=None)
    assert actor.span(SpanKeys(on="a")) == Span(0x1000, 8192)


def test_a_part_that_moved_has_a_name_of_its_own():
    actor = actor_with(("a", BASE, 8192))
    actor.moved(Span(BASE + 4096, 4096), 0x1000, name="b")
    assert (actor.span(SpanKeys(on="a")).address, actor.span(SpanKeys(on="b"))) == (BASE, Span(0x1000, 4096))


def test_the_names_of_a_child_are_its_own():
    parent = actor_with(("a", BASE, 4096))
    child = parent.forked(None)  # type: ignore[arg-type]
    child.moved(Span(BASE, 4096), 0x1000, name=None)
    assert (parent.mapping("a").address, child.mapping("a").address) == (BASE, 0x1000)


def test_an_address_span_is_cut_where_mappings_begin_and_end():
    actor = actor_with(("a", BASE, 4096), ("b", BASE + 8192, 4096))
    cut = actor.pieces(Span(BASE + 4000, 8192))
    assert [(one.span.address - BASE, one.span.nbytes, one.base - BASE) for one in cut] == [
        (4000, 96, 0), (4096, 4096, 4096), (8192, 4000, 8192)
    ]  # fmt: skip


def test_a_question_asks_only_for_what_is_wanted():
    assert question(AttributeKeys(granularity=9), TOY) == [(Attribute.GRANULARITY, 0)]
    asked = question(AttributeKeys(prefetch="cpu", no_access=[]), TOY)
    assert asked == [(Attribute.PREFETCH_LOC, 0), *((Attribute.ACCESS, gpu) for gpu in (GPU0, GPU1, GPU2))]
    assert question(AttributeKeys(raw=[("NO_ACCESS", "gpu1"), (7, 3)]), TOY) == [(Attribute.ACCESS, GPU1), (7, 3)]


ANSWERS = [
    ({"prefetch": "gpu0"}, [(1, GPU0)], []),
    ({"prefetch": "cpu"}, [(1, 0xFFFFFFFF)], [("prefetch = cpu", "prefetch = undefined")]),
    ({"granularity": 9}, [(7, 8)], [("granularity = 9", "granularity = 8")]),
    ({"set_flags": ["coherent", "host_access"]}, [(5, 3)], []),
    ({"set_flags": ["coherent"]}, [(5, 3)], [("set_flags = ['coherent']", "set_flags = ['host_access', 'coherent']")]),
    ({"clear_flags": ["ext_coherent"]}, [(6, 0xFFFFFF80)], []),
    ({"access": ["gpu1", "gpu0"]}, [(2, GPU0), (2, GPU1), (4, GPU2)], []),
    ({"access": ["gpu0"]}, [(2, GPU0), (2, GPU1), (4, GPU2)], [("access = ['gpu0']", "access = ['gpu0', 'gpu1']")]),
    ({"access": [], "no_access": ["gpu2", "gpu0"]}, [(4, GPU0), (3, GPU1), (4, GPU2)], []),
    ({"raw": [["NO_ACCESS", "gpu0"]]}, [(4, GPU0)], []),
    ({"raw": [["ACCESS", "gpu0"]]}, [(4, GPU0)], [("raw = [(2, 101)]", "raw = [(4, 101)]")]),
]  # fmt: skip


@pytest.mark.parametrize(("wanted", "answer", "differences"), ANSWERS)
def test_an_answer_is_compared_in_words(
    wanted: dict[str, object], answer: list[tuple[int, int]], differences: list[object]
):
    assert list(compare(AttributeKeys.model_validate(wanted), answer, machine=TOY)) == differences


def small_log() -> Log:
    log = Log()
    log.emit("decision", 0, 9)
    log.emit("migrate_start", 16, 31, source=0, target=GPU0, trigger=MigrateTrigger.PREFETCH)
    log.emit("queue_eviction", gpu=0)
    log.emit("queue_eviction", gpu=1)
    log.emit("copy", 16, 31, gpu=0, to_vram=1, npages=16)
    log.emit("migrate_end", 16, 31, source=0, target=GPU0, error=5)
    log.emit("page_fault_start", 20, 20, gpu=1, write=1)
    return log


def entries(*raw: object) -> list[str | LogEntry]:
    return [one if isinstance(one, str) else LogEntry.model_validate(one) for one in raw]


def differences(*raw: object, gpu: str | None = None) -> list[tuple[str, str]]:
    events = seen_events(small_log(), TOY, since=0, pid=0, gpu=gpu)
    first_page = lambda entry: None if entry.address is None else entry.address >> 12  # noqa: E731
    return list(compare_log(entries(*raw), events, machine=TOY, first_page=first_page))


def test_an_event_reads_as_an_entry_names_it():
    events = seen_events(small_log(), TOY, since=0, pid=0, gpu=None)
    assert [in_words(event, TOY) for event in events] == [
        "migrate_start gpu=gpu0 from=cpu to=gpu0 trigger=prefetch page=0x10 npages=16",
        "queue_eviction gpu=gpu0 trigger=svm",
        "queue_eviction gpu=gpu1 trigger=svm",
        "copy gpu=gpu0 from=cpu to=gpu0 page=0x10 npages=16",
        "migrate_end gpu=gpu0 from=cpu to=gpu0 trigger=prefetch page=0x10 npages=16 error=EIO",
        "page_fault_start gpu=gpu1 access=write page=0x14 npages=1",
    ]


def test_a_list_without_gaps_names_every_event():
    every = ["migrate_start", "queue_eviction", "queue_eviction", "copy", "migrate_end", "page_fault_start"]
    assert differences(*({"event": name} for name in every)) == []
    assert differences(*({"event": name} for name in every[:-1])) == [
        (
            "log item 6: no more events",
            "from event 6 of 6 on: 0 ns: page_fault_start gpu=gpu1 access=write page=0x14 npages=1",
        )
    ]


def test_every_field_given_is_compared():
    full = {
        "event": "migrate_start",
        "from": "cpu",
        "to": "gpu0",
        "trigger": "prefetch",
        "npages": 16,
        "address": 0x10FFF,
    }
    assert differences(full, "...") == []
    for key, value in {
        "from": "gpu1",
        "to": "cpu",
        "trigger": "pagefault_cpu",
        "npages": 15,
        "address": 0x11000,
    }.items():
        assert len(differences({**full, key: value}, "...")) == 1


def test_an_error_and_an_access_are_compared():
    good = [{"event": "migrate_end", "error": "EIO"}, {"event": "page_fault_start", "access": "write", "gpu": "gpu1"}]
    assert differences("...", *good) == []
    assert len(differences("...", {"event": "migrate_end", "error": "ENOMEM"}, "...")) == 1


def test_a_gpu_narrows_the_list():
    assert differences({"event": "queue_eviction"}, {"event": "page_fault_start"}, gpu="gpu1") == []


def test_a_gap_names_the_entry_that_nothing_matches():
    (expected, found), = differences("...", {"event": "copy"}, {"event": "queue_restore"}, "...")  # fmt: skip
    assert expected == "log item 3: queue_restore"
    assert found.startswith("from event 5 of 6 on: 0 ns: migrate_end")


@given(st.text("ab?*", max_size=7), st.text("ab", max_size=8))
def test_gaps_match_as_a_shell_matches_stars(pattern: str, text: str):
    wanted = ["..." if letter == "*" else (letter,) for letter in pattern]
    reached, _ = _align(wanted, list(text), lambda entry, event: entry[0] in ("?", event))  # type: ignore[arg-type]
    assert (reached is None) is fnmatch.fnmatchcase(text, pattern)


def test_the_names_of_the_format_are_those_of_the_model():
    assert set(get_args(Fault)) == set(FAULTS)
    assert set(get_args(MappingKind)) == {kind.value for kind in VmaKind}
    assert [name.upper() for name in get_args(FlagName)] == list(Flag.__members__)
    assert {name.upper() for name in get_args(CpuEntry)} == set(EntryKind.__members__)
    assert set(EVENT_NAMES) <= set(EVENTS)
