"""What running a scenario means: time, order, errors, expectations that do not hold, and what is reported."""

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from svmlab.errors import InputError
from svmlab.resources import data_path
from svmlab.scenario.actions import ACTIONS
from svmlab.scenario.expectations import EVENT_NAMES
from svmlab.scenario.format import Overrides, loads
from svmlab.scenario.report import render, summary
from svmlab.scenario.result import Result
from svmlab.scenario.runner import load_scenario, run
from svmlab.units import MSEC, USEC

HEAD = 'title = "t"\nmachine = "toy"\nvram = "64 MiB"\n'
BASE = 0x7E0000000000


def go(steps: str, head: str = "", **overrides: Any) -> Result:
    return run(loads(HEAD + head + "\n" + steps, Overrides(**overrides)))


def step(do: str, rest: str = "") -> str:
    return f'[[step]]\ndo = "{do}"\n{rest}\n'


def found(result: Result) -> list[tuple[int, str, str]]:
    return [(failure.n, failure.expected, failure.found) for failure in result.failures]


def times(result: Result) -> list[tuple[int | None, int | None]]:
    return [(outcome.started_ns, outcome.ended_ns) for outcome in result.steps]


A = step("mmap", 'name = "a"\nsize = "4 pages"')
WRITTEN = A + step("cpu_write", 'on = "a"\nbyte = 7')
IN_VRAM = WRITTEN + step("set_attr", 'on = "a"\naccess = ["gpu0"]\nprefetch = "gpu0"') + step("run")
# Walks of the CPU page table fail for ever: the restore worker never gets to its end.
STUCK = WRITTEN + (
    step("set_attr", 'on = "a"\naccess = ["gpu0"]')
    + step("inject", 'fault = "hmm_fault"\ncount = 1000000')
    + step("discard", 'on = "a"')
)


@pytest.mark.parametrize("path", sorted(data_path("scenarios").rglob("*.toml")), ids=lambda path: path.stem)
def test_a_shipped_scenario_holds(path):
    result = run(load_scenario(path))
    assert found(result) == []


def test_an_empty_scenario_takes_no_time():
    result = go("")
    assert (result.ok, result.time_ns, result.steps) == (True, 0, [])
    assert result.events == dict.fromkeys(EVENT_NAMES, 0)


# expectations


IN_VRAM_LOOKS = [
    ('on = "a"\nlocation = "cpu"', "location = cpu", "location = gpu0: 4 pages"),
    ('on = "a"\nlocation = {gpu0 = 3, cpu = 1}', "location = cpu: 1 pages, gpu0: 3 pages", "location = gpu0: 4 pages"),
    ('on = "a"\nbyte = 8', "byte = 0x08", "byte 0x0 of a (page 0) is 0x07, not 0x08; 16384 of 16384 bytes differ"),
    ('on = "a"\ncpu_entry = "write"', "cpu_entry = write", "cpu_entry = device: 4 pages"),
    ('on = "a"\nmapped = []', "gpu0 maps no page", "gpu0 maps 4 of 4 pages"),
    (
        'on = "a"\nmapped = ["gpu0", "gpu1"]',
        "gpu1 maps every page",
        "gpu1 maps 0 of 4 pages to the frames that hold them now",
    ),
    ('on = "a"\nranges = 2', "2 ranges", "1 ranges: [0, 4]"),
    ('on = "a"\noffset = "1 page"\nranges = [[1, 3]]', "ranges = [1, 3]", "ranges = [0, 4]"),
    ('on = "a"\nattributes = {prefetch = "cpu"}', "prefetch = cpu", "prefetch = gpu0"),
    ('on = "a"\nactual = "cpu"', "actual = cpu", "actual = gpu0"),
    ('queues = "dead"', "queues = dead", "queues = running"),
    ("events = {migrate_start = {min = 2}}", "migrate_start: at least 2", "migrate_start: 1"),
    ("counters = {gpu0 = {page_in = 3}}", "page_in of gpu0: 3", "page_in of gpu0: 4"),
    ('elapsed = {max = "1 us"}', "elapsed: at most 1 us", "elapsed: 1.0"),
    ('vram_used = {gpu0 = "4 KiB"}', "VRAM used on gpu0: 4 KiB", "VRAM used on gpu0: 16 KiB"),
    ("consistent = false", "some invariant is broken", "every invariant holds"),
]


@pytest.mark.parametrize(("looks", "expected", "instead"), IN_VRAM_LOOKS, ids=[case[1] for case in IN_VRAM_LOOKS])
def test_an_expectation_that_does_not_hold_says_what_was_found(looks: str, expected: str, instead: str):
    (n, wanted, seen), = found(go(IN_VRAM + step("expect", looks)))  # fmt: skip
    assert (n, wanted) == (5, expected)
    assert seen.startswith(instead)


def test_every_key_of_an_expectation_is_judged():
    result = go(IN_VRAM + step("expect", 'on = "a"\nlocation = "cpu"\nbyte = 8\nqueues = "dead"'))
    assert [failure.n for failure in result.failures] == [5, 5, 5]
    assert [outcome.ok for outcome in result.steps] == [True] * 4 + [False]


def test_an_expectation_changes_nothing():
    looks = step("expect", 'on = "a"\nlocation = "gpu0"\nbyte = 7\ncpu_entry = "device"\nmapped = ["gpu0"]\nranges = 1')
    once, often = go(IN_VRAM + looks), go(IN_VRAM + looks * 5)
    assert once.ok
    assert often.ok
    assert (once.time_ns, len(once.process.log)) == (often.time_ns, len(often.process.log))


def test_an_expectation_behind_set_attr_sees_the_queues_still_stopped():
    now = (
        step("expect", 'on = "a"\nqueues = "evicted"\nmapped = []') + step("run") + step("expect", 'queues = "running"')
    )
    assert go(WRITTEN + step("set_attr", 'on = "a"\naccess = ["gpu0"]\nprefetch = "gpu0"') + now).ok


def test_a_page_nobody_touched_is_nowhere_and_reads_as_zeros():
    assert go(
        A + step("expect", 'on = "a"\nlocation = "none"\ncpu_entry = "none"\nbyte = 0\nranges = []\nmapped = []')
    ).ok


def test_no_range_has_no_recorded_location():
    assert found(go(A + step("expect", 'on = "a"\nactual = "cpu"'))) == [
        (2, "actual = cpu", "actual = nothing: there is no range")
    ]


def test_a_gpu_narrows_what_is_looked_at():
    one_eviction = step("expect", 'gpu = "gpu1"\nevents = {queue_eviction = 1, migrate_start = 0}')
    assert go(IN_VRAM + one_eviction + step("expect", 'gpu = "gpu1"\non = "a"\nmapped = []')).ok
    assert go(IN_VRAM + step("expect", 'gpu = "gpu0"\nevents = {queue_eviction = 1, migrate_start = 1, copy = 1}')).ok


def test_a_log_lists_events_in_order():
    log = """log = [
        {event = "migrate_start", from = "cpu", to = "gpu0", trigger = "prefetch", npages = 4, on = "a"},
        {event = "queue_eviction", gpu = "gpu0", trigger = "svm"}, {event = "queue_eviction", gpu = "gpu1"},
        {event = "queue_eviction", gpu = "gpu2"}, {event = "copy", npages = 4}, {event = "copy_window"},
        {event = "migrate_end", to = "gpu0"},
        {event = "queue_restore"}, {event = "queue_restore"}, {event = "queue_restore", gpu = "gpu2"},
    ]"""
    assert found(go(IN_VRAM + step("expect", log))) == []


def test_a_mark_is_where_counting_begins():
    after = step("mark") + step("run", 'for = "2 ms"')
    since = 'events = {migrate_start = 0}\ncounters = {gpu0 = {page_in = 0}}\nelapsed = "2 ms"\nlog = []'
    assert found(go(IN_VRAM + after + step("expect", since))) == []


# errors


def test_an_error_that_was_expected_is_success():
    result = go(A + step("munmap", 'on = "a"\noffset = 1\nerror = "EINVAL"'))
    assert (result.ok, result.steps[1].error) == (True, "EINVAL")


def test_two_names_of_an_errno_are_the_same_error():
    inject = step("inject", 'fault = "copy"\nerror = "EAGAIN"')
    assert go(WRITTEN + inject + step("set_attr", 'on = "a"\nprefetch = "gpu0"\nerror = "EWOULDBLOCK"')).ok


def test_success_instead_of_an_error_is_a_failure():
    assert found(go(A + step("munmap", 'on = "a"\nerror = "EINVAL"'))) == [(2, "EINVAL", "success")]


def test_an_error_nobody_expected_is_a_failure_that_tells_it():
    (n, expected, instead), = found(go(A + step("munmap", 'on = "a"\noffset = 1')))  # fmt: skip
    assert (n, expected) == (2, "success")
    assert instead.startswith("EINVAL: ")


def test_the_wrong_error_is_a_failure():
    (_, expected, instead), = found(go(A + step("munmap", 'on = "a"\noffset = 1\nerror = "ENOMEM"')))  # fmt: skip
    assert expected == "ENOMEM"
    assert instead.startswith("EINVAL: ")


def test_a_step_that_fails_does_not_stop_the_run():
    result = go(A + step("munmap", 'on = "a"\noffset = 1') + step("cpu_write", 'on = "a"\nbyte = 1'))
    assert [outcome.ok for outcome in result.steps] == [True, False, True]


def test_signals_and_exceptions_have_names():
    steps = A + step("munmap", 'on = "a"') + step("cpu_read", 'on = "a"\nerror = "SIGSEGV"')
    steps += step("gpu_read", 'on = "a"\ngpu = "gpu0"\nerror = "MEMORY_EXCEPTION"') + step("expect", 'queues = "dead"')
    assert go(steps).ok


def test_after_a_memory_exception_gpu_steps_fail_at_once_and_the_rest_goes_on():
    fatal = step("gpu_read", 'on = "a"\ngpu = "gpu0"\nerror = "MEMORY_EXCEPTION"')
    later = step("mark") + fatal + step("expect", 'queues = "dead"\nevents = {memory_exception = 0}\nelapsed = 0')
    assert found(go(WRITTEN + fatal + later + step("cpu_read", 'on = "a"\nbyte = 7'))) == []


def test_contents_larger_than_this_computer_are_one_line():
    huge = step("mmap", 'name = "a"\nat = "0x100000000"\nsize = "100 TiB"') + step("cpu_write", 'on = "a"\nbyte = 0')
    line = r"^scenario: step 2 \(cpu_write\): this computer has too little memory for it; try: smaller"
    with pytest.raises(InputError, match=line):
        go(huge)


def test_contents_that_differ_are_a_failure_of_the_reading_step():
    read = step("cpu_read", 'on = "a"\noffset = 5000\nsize = 10\nbyte = 8') + step(
        "gpu_read", 'gpu = "gpu0"\non = "a"\nbyte = 6'
    )
    assert found(go(IN_VRAM + read)) == [
        (5, "byte = 0x08", "byte 0x1388 of a (page 1) is 0x07, not 0x08; 10 of 10 bytes differ"),
        (6, "byte = 0x06", "byte 0x0 of a (page 0) is 0x07, not 0x06; 16384 of 16384 bytes differ"),
    ]


def test_answers_of_get_attr_are_compared():
    wanted = 'prefetch = "cpu", access = ["gpu0", "gpu1"], no_access = ["gpu1", "gpu2"], granularity = 9'
    assert found(go(IN_VRAM + step("get_attr", f'on = "a"\nexpect = {{{wanted}}}'))) == [
        (5, "prefetch = cpu", "prefetch = gpu0"), (5, "access = ['gpu0', 'gpu1']", "access = ['gpu0']")
    ]  # fmt: skip


def test_the_xnack_mode_afterwards_is_compared_even_when_the_switch_fails():
    busy = step("create_queue", 'gpu = "gpu0"') + step("set_xnack", 'mode = "on"\nerror = "EBUSY"\nexpect = "on"')
    assert found(go(busy)) == [(2, "xnack on", "xnack off")]
    assert go(step("set_xnack", 'mode = "on"\nexpect = "on"') + step("set_xnack", 'mode = "query"\nexpect = "on"')).ok


# time and order


def test_time_passes_before_a_step_that_says_after():
    result = go(step("expect", 'after = "3 us"\nelapsed = "3 us"'))
    assert (found(result), times(result)) == ([], [(3 * USEC, 3 * USEC)])


def test_a_step_ends_before_the_next_one_begins():
    spans = times(go(IN_VRAM))
    assert all(before[1] <= after[0] for before, after in pairwise(spans))


def test_what_looks_and_what_prepares_takes_no_time():
    instant = (
        step("mark") + step("inject", 'fault = "copy"\nnth = 9') + step("vram_layout", 'gpu = "gpu1"\nfree = [[1, 2]]')
    )
    result = go(IN_VRAM + instant + step("expect", 'elapsed = "0 ns"'))
    assert found(result) == []
    assert {ended - started for started, ended in times(result)[4:]} == {0}


BOTH = step("mmap", 'name = "b"\nsize = "4 pages"') + WRITTEN


def test_a_step_that_is_not_waited_for_goes_on_beside_the_next():
    moving = step("set_attr", 'wait = false\non = "a"\nprefetch = "gpu0"')
    result = go(BOTH + moving + step("expect", "elapsed = {min = 0}") + step("cpu_write", 'on = "b"\nbyte = 1'))
    (_, _, _, moved, _, written) = times(result)
    assert found(result) == []
    assert moved[0] == written[0] < written[1] < moved[1]


def test_steps_begun_at_one_instant_begin_in_the_order_of_the_file():
    pair = "".join(step("cpu_write", f'wait = false\non = "{name}"\nsize = 1\nbyte = 1') for name in ("b", "a", "b"))
    result = go(BOTH + pair)
    starts = [event.start for event in result.process.log.events("cpu_access")][-3:]
    a, b = (result.process.log.events("cpu_access")[0].start, BASE >> 12)
    assert starts == [b, a, b]
    assert len({started for started, _ in times(result)[3:]}) == 1


def test_a_step_in_the_background_is_judged_when_it_ends():
    steps = WRITTEN + step("inject", 'fault = "copy"') + step("set_attr", 'wait = false\non = "a"\nprefetch = "gpu0"')
    seen: list[tuple[int, str | None]] = []
    scenario = loads(HEAD + steps + step("mark") + step("run") + step("mark"))
    result = run(scenario, watch=lambda outcome: seen.append((outcome.n, outcome.error)))
    assert [failure.n for failure in result.failures] == [4]
    assert seen == [(1, None), (2, None), (3, None), (5, None), (6, None), (4, "EIO"), (7, None)]


def test_the_end_of_the_file_is_a_run():
    result = go(WRITTEN + step("set_attr", 'wait = false\non = "a"\naccess = ["gpu0"]\nprefetch = "gpu0"'))
    assert result.ok
    assert result.events["queue_restore"] == 3
    assert result.time_ns > MSEC


def test_a_run_for_a_while_ends_then():
    result = go(step("run", 'for = "3 ms"'))
    assert times(result) == [(0, 3 * MSEC)]


# going on for ever


def test_re_scheduling_for_ever_is_a_timeout():
    result = go(STUCK + step("run", 'limit = "20 ms"\nerror = "TIMEOUT"'))
    assert found(result) == []
    assert result.events["queue_restore_rescheduled"] > 10


def test_a_timeout_nobody_expected_is_a_failure():
    (n, expected, instead), _ = found(go(STUCK + step("run", 'limit = "20 ms"')))
    assert (n, expected) == (6, "success")
    assert instead.startswith("TIMEOUT: nothing but re-scheduling")


def test_a_timeout_at_the_end_of_the_file_is_a_failure_of_one_more_step():
    (n, expected, _), = found(go(STUCK))  # fmt: skip
    assert (n, expected) == (6, "idle at the end of the file")


def test_a_step_in_the_background_that_never_ends_is_a_timeout():
    waiting = step("gpu_read", 'gpu = "gpu0"\non = "a"\nwait = false\n')
    assert [(n, expected) for n, expected, _ in found(go(STUCK + waiting))] == [
        (6, "success"),
        (7, "idle at the end of the file"),
    ]
    assert go(STUCK + waiting + 'error = "TIMEOUT"').ok


# names and processes


def test_a_name_whose_mapping_failed_is_missing():
    second = step("mmap", f'name = "b"\nsize = 4096\nat = {BASE}')
    result = go(A + second + step("munmap", 'on = "b"'))
    assert [(n, expected) for n, expected, _ in found(result)] == [(2, "success"), (3, "mapping 'b'")]


def test_a_name_lives_on_after_munmap():
    assert go(A + step("munmap", 'on = "a"') + step("expect", 'on = "a"\nlocation = "none"')).ok


def test_a_name_follows_a_mapping_that_moves():
    move = step("mremap", 'on = "a"\nto = "0x7d0000000000"') + step("cpu_read", 'on = "a"\nbyte = 7')
    assert go(WRITTEN + move + step("cpu_read", 'address = "0x7d0000000000"\nsize = 1\nbyte = 7')).ok


def test_a_part_that_moves_gets_a_name():
    move = step("mremap", 'on = "a"\noffset = "2 pages"\nname = "b"') + step("cpu_read", 'on = "b"\nbyte = 7')
    assert go(WRITTEN + move + step("cpu_read", 'on = "a"\nerror = "SIGSEGV"')).ok


def test_two_files_without_a_name_share_nothing_and_two_of_one_name_do():
    file = 'size = 4096\nkind = "file"\n'
    maps = step("mmap", file + 'name = "a"') + step("mmap", file + 'name = "b"')
    maps += step("mmap", file + 'name = "c"\nfile = "f"') + step("mmap", file + 'name = "d"\nfile = "f"')
    write = step("cpu_write", 'on = "a"\nbyte = 1') + step("cpu_write", 'on = "c"\nbyte = 2')
    assert go(maps + write + step("cpu_read", 'on = "b"\nbyte = 0') + step("cpu_read", 'on = "d"\nbyte = 2')).ok


def test_a_child_knows_the_names_of_its_parent():
    steps = (
        step("fork")
        + step("cpu_write", 'process = "child"\non = "a"\nbyte = 9')
        + step("cpu_read", 'on = "a"\nbyte = 7')
    )
    assert go(WRITTEN + steps + step("expect", 'process = "child"\non = "a"\nbyte = 9\nranges = 0')).ok


def test_a_child_that_ends_at_once_leaves_its_name_behind_for_looking():
    assert go(WRITTEN + step("fork", "exit_child = true") + step("cpu_read", 'on = "a"\nbyte = 7')).ok


def test_a_process_has_names_of_its_own():
    other = step("process", 'name = "other"') + step("mmap", 'process = "other"\nname = "a"\nsize = "2 pages"')
    write = step("cpu_write", 'process = "other"\non = "a"\nbyte = 3') + step("cpu_read", 'on = "a"\nbyte = 7')
    assert go(WRITTEN + other + write + step("expect", 'process = "other"\non = "a"\nlocation = {cpu = 2}')).ok


def test_events_are_counted_for_one_process():
    other = step("process", 'name = "other"') + step("expect", 'process = "other"\nevents = {migrate_start = 0}')
    assert go(IN_VRAM + other + step("expect", "events = {migrate_start = 1}")).ok


def test_an_exited_process_gives_its_vram_back():
    assert go(IN_VRAM + step("exit") + step("expect", "vram_used = {gpu0 = 0}")).ok


# the head


def test_a_skipped_step_is_not_done():
    result = go(A + step("munmap", 'only = {xnack = "on"}\non = "a"') + step("cpu_write", 'on = "a"\nbyte = 1'))
    assert (result.ok, result.steps[1].skipped, times(result)[1]) == (True, True, (None, None))


def test_the_command_line_decides_what_is_skipped():
    steps = step("expect", 'only = {xnack = "on"}\nqueues = "dead"') + step(
        "expect", 'only = {behaviour = "upstream"}\nqueues = "dead"'
    )
    assert go(steps).ok
    assert [failure.n for failure in go(steps, xnack="on").failures] == [1]
    assert [failure.n for failure in go(steps, behaviour="upstream").failures] == [2]


def test_the_head_reaches_the_process():
    process = go("", 'xnack = "on"\npayload = false\nbehaviour = {base = "upstream", fence_error = "returned"}').process
    assert process.xnack
    assert repr(process.driver.behaviour) == "<Behaviour upstream, fence_error = returned>"
    assert process.machine.gpu(0).vram_bytes == 64 << 20


def test_without_payload_pages_have_state_but_no_bytes():
    steps = A + step("cpu_write", 'on = "a"') + step("set_attr", 'on = "a"\naccess = ["gpu0"]\nprefetch = "gpu0"')
    touch = step("run") + step("gpu_write", 'gpu = "gpu0"\non = "a"') + step("expect", 'on = "a"\nlocation = "gpu0"')
    touch += step("cpu_read", 'on = "a"') + step("expect", 'on = "a"\nlocation = "cpu"')
    assert found(go(steps + touch, "payload = false")) == []


# what is reported


def test_the_result_is_one_json_object():
    data = json.loads(json.dumps(go(A + step("munmap", 'on = "a"\nerror = "ENOMEM"')).as_dict()))
    assert set(data) == {"title", "ok", "time_ns", "steps", "failures", "events"}
    assert data["failures"] == [{"n": 2, "expected": "ENOMEM", "found": "success"}]
    assert data["steps"][0] == {"n": 1, "do": "mmap", "ok": True, "error": None, "started_ns": 0, "ended_ns": 1500}
    assert (data["title"], data["ok"], data["events"]["copy"]) == ("t", False, 0)


def test_the_report_shows_every_step_its_note_and_what_did_not_hold():
    result = go(
        A + step("munmap", 'note = "away with it"\non = "a"\nerror = "ENOMEM"') + step("run", 'only = {xnack = "on"}')
    )
    assert render(result).splitlines() == [
        "t",
        "",
        "n    do              what                                            started       took          result",
        "-    --              ----                                            -------       ----          ------",
        "1    mmap            16 KiB a                                        0 ns          1.5 us        ok",
        "2    munmap          a                                               1.5 us        1.5 us        FAILED",
        "     away with it",
        "3    run                                                                                         skipped",
        "",
        "What did not hold:",
        "  step 2: expected ENOMEM",
        "         found    success",
        "",
        "3 steps (1 skipped) in 3 us of virtual time: 1 expectation did not hold",
    ]
    assert summary(go(A)) == "1 step in 1.5 us of virtual time: every expectation held"


def test_the_same_file_gives_the_same_log():
    first, second = go(IN_VRAM), go(IN_VRAM)
    assert [str(event) for event in first.process.log] == [str(event) for event in second.process.log]


def test_one_scenario_does_every_step_there_is():
    scenario = load_scenario(Path(__file__).with_name("every-step.toml"))
    assert {one.do for one in scenario.steps} == set(ACTIONS)
    assert found(run(scenario)) == []
