"""Sentences of the page about the format, each as a scenario that must hold."""

from collections import Counter
from pathlib import Path

import pytest

from svmlab.hardware.injection import FAULTS
from svmlab.scenario.format import Overrides, load, loads
from svmlab.scenario.runner import run
from svmlab.scenario.steps import STEPS

HEAD = 'title = "t"\nmachine = "toy"\n'
BASE = 0x7E0000000000


def do(name: str, *keys: str) -> str:
    return "\n".join([f'[[step]]\ndo = "{name}"', *keys, ""])


def expect(*keys: str) -> str:
    return do("expect", *keys)


A = do("mmap", 'name = "a"', 'size = "4 pages"')
WRITTEN = A + do("cpu_write", 'on = "a"', "byte = 7")
ACCESS = WRITTEN + do("set_attr", 'on = "a"', 'access = ["gpu0"]') + do("run")
IN_VRAM = WRITTEN + do("set_attr", 'on = "a"', 'access = ["gpu0"]', 'prefetch = "gpu0"') + do("run")
ON, SMALL = 'xnack = "on"\n', 'vram = "64 MiB"\n'

SENTENCES = {
    # the head
    "a smaller VRAM makes the largest range smaller": (
        SMALL + 'behaviour = "upstream"\n',
        do("mmap", 'name = "a"', 'size = "8 MiB"')
        + do("set_attr", 'on = "a"', 'access = ["gpu0"]')
        + expect('on = "a"', "ranges = [[0, 512], [512, 512], [1024, 512], [1536, 512]]"),
    ),
    "a smaller RAM makes the driver's limit smaller": (
        'ram = "16 MiB"\npayload = false\n',
        do("mmap", 'name = "a"', 'size = "15 MiB"')
        + do("mmap", 'name = "b"', 'size = "1 page"')
        + do("set_attr", 'on = "a"', 'preferred = "cpu"')
        + do("set_attr", 'on = "b"', 'preferred = "cpu"', 'error = "ENOMEM"'),
    ),
    # values
    "whole numbers with a unit, and plain integers, are the same sizes and times": (
        "",
        do("mmap", 'name = "a"', "size = 8192", 'after = "3 us"')
        + expect('on = "a"', 'offset = "1 page"', 'size = "4 KiB"', "location = {none = 1}")
        + do("run", "for = 2000")
        + expect('elapsed = {min = 5000, max = "7 us"}'),
    ),
    "a page on the shared page of zeros is at cpu": (
        "",
        A + do("cpu_read", 'on = "a"', "byte = 0") + expect('on = "a"', 'location = "cpu"', 'cpu_entry = "zero"'),
    ),
    "a span by address may cross mappings and holes": (
        "",
        A
        + do("mmap", 'name = "b"', "size = 4096", f"at = {BASE + 8 * 4096}")
        + do("cpu_write", 'on = "a"', "byte = 1")
        + do("cpu_write", 'on = "b"', "byte = 1")
        + expect(f"address = {BASE}", 'size = "9 pages"', "location = {cpu = 5, none = 4}"),
    ),
    "accesses and contents touch those bytes only, of every page they reach": (
        "",
        WRITTEN
        + do("cpu_write", 'on = "a"', "offset = 4095", "size = 2", "byte = 9")
        + do("cpu_read", 'on = "a"', "size = 4095", "byte = 7")
        + do("cpu_read", 'on = "a"', "offset = 4095", "size = 2", "byte = 9")
        + do("cpu_read", 'on = "a"', "offset = 4097", "byte = 7"),
    ),
    "the driver answers EINVAL to a span that is not of whole pages": (
        "",
        A
        + do("set_attr", 'on = "a"', "size = 100", 'error = "EINVAL"')
        + do(
            "get_attr", 'on = "a"', "offset = 100", 'size = "1 page"', "expect = {granularity = 9}", 'error = "EINVAL"'
        ),
    ),
    "a system call rounds its size up to pages and refuses an unaligned start": (
        "",
        WRITTEN
        + do("discard", 'on = "a"', "size = 1")
        + expect('on = "a"', "location = {cpu = 3, none = 1}")
        + do("mprotect", 'on = "a"', "offset = 1", 'protection = "r"', 'error = "EINVAL"')
        + do("mremap", 'on = "a"', "offset = 1", 'error = "EINVAL"'),
    ),
    "an expect looks at every page that its span touches": (
        "",
        WRITTEN
        + do("discard", 'on = "a"', 'size = "1 page"')
        + expect('on = "a"', "offset = 4095", "size = 2", "location = {cpu = 1, none = 1}"),
    ),
    "an unpopulated page reads as zeros": ("", A + expect('on = "a"', "byte = 0") + expect('on = "a"', "word = 0")),
    "a pattern counts from the mapping's start and copies carry it along": (
        "",
        do("mmap", 'name = "a"', 'size = "4 pages"')
        + do("mmap", 'name = "b"', 'size = "4 pages"')
        + do("cpu_write", 'on = "a"', 'pattern = "page-number"')
        + do("set_attr", 'on = "a"', 'access = ["gpu0"]')
        + do("set_attr", 'on = "b"', 'access = ["gpu0"]')
        + do("gpu_copy", 'gpu = "gpu0"', 'from = {on = "a", offset = "1 page", size = "3 pages"}', 'to = {on = "b"}')
        + do("cpu_read", 'on = "a"', 'offset = "2 pages"', 'pattern = "page-number"')
        + expect('on = "b"', "size = 4", "word = 1"),
    ),
    # memory
    "an overlap is EEXIST": ("", A + do("mmap", "size = 4096", f"at = {BASE + 4096}", 'error = "EEXIST"')),
    "mappings start at multiples of 2 MiB that leave a page free": (
        "",
        do("mmap", 'name = "a"', 'size = "2 MiB"')
        + do("mmap", 'name = "b"', "size = 1")
        + do("cpu_write", 'on = "b"', "byte = 5")
        + do("cpu_read", f"address = {BASE + (4 << 20)}", "size = 1", "byte = 5"),
    ),
    "a mapping without rights is SIGSEGV and a read-only one refuses stores": (
        "",
        do("mmap", 'name = "a"', "size = 4096", 'protection = "none"')
        + do("cpu_read", 'on = "a"', 'error = "SIGSEGV"')
        + do("mmap", 'name = "b"', "size = 4096", 'protection = "r"')
        + do("cpu_write", 'on = "b"', "byte = 1", 'error = "SIGSEGV"')
        + do("cpu_read", 'on = "b"', "byte = 0"),
    ),
    "populate touches every page": (
        "",
        do("mmap", 'name = "a"', "size = 8192", "populate = true") + expect('on = "a"', 'location = "cpu"'),
    ),
    "registers of a device are no memory for SVM": (
        "",
        do("mmap", 'name = "a"', "size = 4096", 'kind = "device"')
        + do("set_attr", 'on = "a"', 'access = ["gpu0"]', 'error = "EFAULT"'),
    ),
    "pin faults pages in and brings those in VRAM home": (
        "",
        A
        + do("pin", 'on = "a"')
        + expect('on = "a"', 'location = "cpu"')
        + do("unpin", 'on = "a"')
        + do("mmap", 'name = "b"', "size = 4096")
        + do("cpu_write", 'on = "b"', "byte = 7")
        + do("set_attr", 'on = "b"', 'prefetch = "gpu0"')
        + do("pin", 'on = "b"')
        + expect('on = "b"', 'location = "cpu"', "byte = 7")
        + do("unpin", 'on = "b"'),
    ),
    "swap_out leaves pages in VRAM and pinned ones": (
        "",
        WRITTEN
        + do("set_attr", 'on = "a"', 'size = "1 page"', 'prefetch = "gpu0"')
        + do("pin", 'on = "a"', 'offset = "1 page"', 'size = "1 page"')
        + do("swap_out", 'on = "a"')
        + expect('on = "a"', "location = {gpu0 = 1, cpu = 1, swapped = 2}", "byte = 7")
        + do("unpin", 'on = "a"', 'offset = "1 page"', 'size = "1 page"'),
    ),
    "a name that is given again means the newer mapping": (
        "",
        WRITTEN
        + do("munmap", 'on = "a"')
        + do("mmap", 'name = "a"', 'size = "2 pages"')
        + expect('on = "a"', "location = {none = 2}"),
    ),
    "what a child writes stays with the child": (
        "",
        WRITTEN
        + do("fork", 'name = "kid"')
        + do("cpu_write", 'process = "kid"', 'on = "a"', "byte = 9")
        + do("cpu_read", 'on = "a"', "byte = 7")
        + do("exit", 'process = "kid"')
        + do("cpu_read", 'on = "a"', "byte = 7")
        + expect("consistent = true"),
    ),
    "a forked child opens the GPUs at its first driver call": (
        "",
        IN_VRAM
        + do("fork")
        + do("mark")
        + do("mmap", 'process = "child"', 'name = "b"', "size = 4096")
        + do("set_attr", 'process = "child"', 'on = "b"', 'access = ["gpu0"]')
        + do("cpu_write", 'process = "child"', 'on = "b"', "byte = 1")
        + do("discard", 'process = "child"', 'on = "b"')
        + do("run")
        + expect('process = "child"', "events = {queue_eviction = 3, queue_restore = 3}"),
    ),
    "another process has names, memory, queues and a mode of its own": (
        "",
        IN_VRAM
        + do("process", 'name = "other"')
        + do("set_xnack", 'process = "other"', 'mode = "on"', 'expect = "on"')
        + do("set_xnack", 'mode = "query"', 'expect = "off"')
        + do("mmap", 'process = "other"', 'name = "a"', "size = 4096")
        + expect('process = "other"', 'on = "a"', 'location = "none"', "ranges = 0")
        + expect("vram_used = {gpu0 = 16384}")
        + expect('process = "other"', "vram_used = {gpu0 = 16384}"),
    ),
    # the driver
    "no attribute at all is legal": ("", A + do("set_attr", 'on = "a"') + expect('on = "a"', "ranges = 1")),
    "keys are sent in the order of the page, raw last": (
        "",
        A
        + do(
            "set_attr",
            'on = "a"',
            'raw = [["NO_ACCESS", "gpu0"], ["GRANULARITY", 4], [1, "cpu"]]',
            "granularity = 5",
            'access = ["gpu0", "gpu1"]',
        )
        + do(
            "get_attr",
            'on = "a"',
            'expect = {access = ["gpu1"], no_access = ["gpu0", "gpu2"], granularity = 4, prefetch = "cpu"}',
        ),
    ),
    "flags are set and cleared by name and compared as a whole set": (
        "",
        A
        + do("set_attr", 'on = "a"', 'set_flags = ["gpu_exec", "ext_coherent"]', 'clear_flags = ["coherent"]')
        + do("get_attr", 'on = "a"', 'expect = {set_flags = ["ext_coherent", "host_access", "gpu_exec"]}'),
    ),
    "a raw question is answered in its own words": (
        "",
        A
        + do("get_attr", 'on = "a"', "raw = [[7, 0]]")
        + do("get_attr", 'on = "a"', 'raw = [["ACCESS_IN_PLACE", "gpu0"]]', 'error = "EINVAL"'),
    ),
    # loads and stores
    "what was done before a fatal page stays done": (
        "",
        WRITTEN
        + do("mprotect", 'on = "a"', 'offset = "2 pages"', 'protection = "none"')
        + do("cpu_write", 'on = "a"', "byte = 9", 'error = "SIGSEGV"')
        + do("cpu_read", 'on = "a"', 'size = "2 pages"', "byte = 9"),
    ),
    "GPU work waits while queues are stopped, and its queue lives as long as the step": (
        "",
        ACCESS
        + do("mark")
        + do("discard", 'on = "a"')
        + expect('queues = "evicted"')
        + do("gpu_read", 'gpu = "gpu0"', 'on = "a"', "byte = 0")
        + expect('queues = "running"', 'elapsed = {min = "1 ms"}')
        + do("set_xnack", 'mode = "off"', 'expect = "off"'),
    ),
    "xnack off: touching an unmapped page is fatal": (
        "",
        WRITTEN
        + do("gpu_read", 'gpu = "gpu0"', 'on = "a"', 'error = "MEMORY_EXCEPTION"')
        + expect("events = {memory_exception = 1}", 'queues = "dead"')
        + do("cpu_read", 'on = "a"', "byte = 7")
        + do("set_attr", 'on = "a"', 'access = ["gpu0"]'),
    ),
    "xnack on: faults are served": (
        ON,
        WRITTEN
        + do("gpu_read", 'gpu = "gpu0"', 'on = "a"', "byte = 7")
        + expect('on = "a"', "events = {page_fault_start = 1, page_fault_end = 1}", "counters = {gpu0 = {faults = 1}}"),
    ),
    "one size of a copy is enough, or the size of a name": (
        "",
        WRITTEN
        + do("mmap", 'name = "b"', 'size = "8 pages"')
        + do("set_attr", 'on = "a"', 'access = ["gpu0"]')
        + do("set_attr", 'on = "b"', 'access = ["gpu0"]')
        + do("gpu_copy", 'gpu = "gpu0"', 'from = {on = "a"}', f"to = {{address = {BASE + (2 << 20)}}}")
        + expect('on = "b"', 'size = "4 pages"', "byte = 7")
        + expect('on = "b"', 'offset = "4 pages"', "byte = 0"),
    ),
    "the newest queue is destroyed, and one that is not there is an error": (
        "",
        do("create_queue", 'gpu = "gpu0"')
        + do("set_xnack", 'mode = "off"', 'error = "EBUSY"')
        + do("destroy_queue", 'gpu = "gpu0"')
        + do("set_xnack", 'mode = "off"')
        + do("destroy_queue", 'gpu = "gpu0"', 'error = "EINVAL"'),
    ),
    "stores of a GPU touch those bytes only, and without contents pages alone": (
        "",
        ACCESS
        + do("gpu_write", 'gpu = "gpu0"', 'on = "a"', "offset = 4090", "size = 10", "byte = 9")
        + do("gpu_write", 'gpu = "gpu0"', 'on = "a"')
        + do("cpu_read", 'on = "a"', "offset = 4090", "size = 10", "byte = 9")
        + do("cpu_read", 'on = "a"', "offset = 4100", "byte = 7"),
    ),
    # the laboratory
    "vram_layout leaves those pages free, and without a list one run above page 0": (
        'payload = false\nvram = "64 MiB"\n',
        do("vram_layout", 'gpu = "gpu0"', "free = [[8, 2], [16, 2]]")
        + WRITTEN.replace("byte = 7", "")
        + do("set_attr", 'on = "a"', 'access = ["gpu0"]', 'prefetch = "gpu0"')
        + expect("events = {copy = 2}")
        + do("set_attr", 'on = "a"', 'prefetch = "cpu"')
        + do("vram_layout", 'gpu = "gpu0"')
        + do("mark")
        + do("set_attr", 'on = "a"', 'prefetch = "gpu0"')
        + expect("events = {copy = 1}"),
    ),
    "evict_vram takes the VRAM of every buffer back, as TTM does": (
        "",
        IN_VRAM
        + do("mark")
        + do("evict_vram", 'gpu = "gpu0"')
        + do("run")
        + expect(
            'on = "a"', 'location = "cpu"', "byte = 7", "vram_used = {gpu0 = 0}", "counters = {gpu0 = {page_out = 4}}"
        )
        + expect(
            'log = ["...", {event = "migrate_start", trigger = "ttm_eviction", from = "gpu0", to = "cpu"}, "..."]'
        ),
    ),
    "an injected failure is the nth from now, and counts in a row": (
        "",
        WRITTEN
        + do("inject", 'fault = "vram_alloc"', "nth = 2", "count = 2", 'error = "ENOSPC"')
        + do("set_attr", 'on = "a"', 'size = "1 page"', 'prefetch = "gpu0"')
        + do("set_attr", 'on = "a"', 'offset = "1 page"', 'size = "1 page"', 'prefetch = "gpu0"', 'error = "ENOSPC"')
        + do("set_attr", 'on = "a"', 'offset = "2 pages"', 'size = "1 page"', 'prefetch = "gpu0"', 'error = "ENOSPC"')
        + do("set_attr", 'on = "a"', 'offset = "3 pages"', 'size = "1 page"', 'prefetch = "gpu0"'),
    ),
    "an injected failure may be for one GPU": (
        "",
        WRITTEN
        + do("inject", 'fault = "vram_alloc"', 'gpu = "gpu1"')
        + do("set_attr", 'on = "a"', 'prefetch = "gpu0"')
        + do("set_attr", 'on = "a"', 'prefetch = "gpu1"', 'error = "ENOMEM"'),
    ),
    "expect, mark, inject and vram_layout imply no run": (
        "",
        WRITTEN
        + do("set_attr", 'on = "a"', 'access = ["gpu0"]', 'prefetch = "gpu0"')
        + do("mark")
        + expect('queues = "evicted"', "elapsed = 0")
        + do("inject", 'fault = "fence"', "nth = 100")
        + do("vram_layout", 'gpu = "gpu1"')
        + expect('queues = "evicted"', "elapsed = 0"),
    ),
    # expecting
    "a location that is not named in a table has no page": (
        "",
        IN_VRAM + do("cpu_read", 'on = "a"') + expect('on = "a"', "location = {cpu = 4}"),
    ),
    "each kind of entry has its name": (
        "",
        IN_VRAM
        + expect('on = "a"', 'cpu_entry = "device"')
        + do("mmap", 'name = "b"', "size = 4096")
        + expect('on = "b"', 'cpu_entry = "none"')
        + do("cpu_write", 'on = "b"', "byte = 1")
        + expect('on = "b"', 'cpu_entry = "write"')
        + do("mprotect", 'on = "b"', 'protection = "r"')
        + expect('on = "b"', 'cpu_entry = "read"')
        + do("swap_out", 'on = "b"')
        + expect('on = "b"', 'cpu_entry = "swap"', 'location = "swapped"'),
    ),
    "ranges are told unclipped, from the mapping's start or from address": (
        "",
        do("mmap", 'name = "a"', 'size = "16 pages"')
        + do("set_attr", 'on = "a"', 'offset = "2 pages"', 'size = "6 pages"', "granularity = 3")
        + expect('on = "a"', 'offset = "4 pages"', 'size = "1 page"', "ranges = [[2, 6]]")
        + expect(f"address = {BASE + 4 * 4096}", "size = 4096", "ranges = [[-2, 6]]"),
    ),
    "actual is what the driver recorded": ("", IN_VRAM + expect('on = "a"', 'actual = "gpu0"')),
    "process and gpu narrow what is looked at": (
        "",
        IN_VRAM
        + expect('gpu = "gpu1"', "events = {migrate_start = 0, queue_eviction = {max = 1}}")
        + expect('gpu = "gpu0"', "events = {migrate_start = 1}"),
    ),
    # events
    "GPU to GPU is two pairs of migrate events, though nothing is retried": (
        "",
        IN_VRAM
        + do("mark")
        + do("set_attr", 'on = "a"', 'no_access = ["gpu0"]')
        + do("set_attr", 'on = "a"', 'prefetch = "gpu1"', 'access = ["gpu1"]')
        + expect("events = {migrate_start = 2, migrate_end = 2}"),
    ),
    "a migration counts once even if nothing moves": (
        "",
        do("mmap", 'name = "a"', "size = 4096", 'kind = "shared"', "populate = true")
        + do("set_attr", 'on = "a"', 'prefetch = "gpu0"')
        + expect("events = {migrate_start = 1, migrate_end = 1}", "counters = {gpu0 = {page_in = 0}}"),
    ),
    "an ordinary CPU fault is no cpu_fault": (
        "",
        WRITTEN
        + expect("events = {cpu_fault = 0}")
        + IN_VRAM.replace(WRITTEN, "")
        + do("cpu_read", 'on = "a"')
        + expect("events = {cpu_fault = 1}"),
    ),
    "a log is exact, in order, and dots stand for any number of others": (
        "",
        IN_VRAM
        + do("mark")
        + do("cpu_read", 'on = "a"')
        + expect(
            'log = ["...", {event = "cpu_fault", on = "a"}, "...", {event = "migrate_end", from = "gpu0", to = "cpu", '
            'trigger = "pagefault_cpu", npages = 4, on = "a"}, "..."]'
        )
        + do("run")
        + do("mark")
        + expect("log = []")
        + expect('log = ["..."]'),
    ),
    "counters and events count from the mark": (
        "",
        IN_VRAM
        + do("mark")
        + expect(
            "counters = {gpu0 = {page_in = 0, page_out = 0, faults = 0}}", "events = {migrate_end = 0}", "elapsed = 0"
        ),
    ),
}


@pytest.mark.parametrize("sentence", SENTENCES)
def test_the_sentence_holds(sentence: str):
    head, steps = SENTENCES[sentence]
    result = run(loads(HEAD + head + steps))
    assert [(failure.n, failure.expected, failure.found) for failure in result.failures] == []


ERRORS = {
    "vram_alloc": "ENOMEM",
    "ram_alloc": "ENOMEM",
    "dma_map": "ENOMEM",
    "copy": "EIO",
    "fence": "EIO",
    "setup": "EINVAL",
    "hmm_fault": "EFAULT",
}
"""What each fault returns if nothing else is said; a locked page returns nothing."""


@pytest.mark.parametrize("fault", ERRORS)
def test_a_fault_returns_its_error_unless_another_is_given(fault: str):
    home = fault == "ram_alloc"
    start, target = (IN_VRAM, "cpu") if home else (WRITTEN, "gpu0")
    keys = ['access = ["gpu0"]'] + ([] if fault == "hmm_fault" else [f'prefetch = "{target}"'])
    move = do("set_attr", 'on = "a"', *keys)
    order = do("inject", f'fault = "{fault}"', "count = 8")
    for error in (ERRORS[fault], "EIO" if ERRORS[fault] != "EIO" else "ENOSPC"):
        given = order + (f'error = "{error}"\n' if error != ERRORS[fault] else "")
        result = run(loads(HEAD + start + given + move + f'error = "{error}"\n'))
        assert result.steps[-1].error == error, result.failures


def test_every_fault_is_in_the_table():
    assert {*ERRORS, "page_lock"} <= set(FAULTS)


def test_a_machine_may_be_a_tree_or_an_archive_beside_the_scenario(tmp_path: Path):
    import tarfile

    node = tmp_path / "box" / "nodes" / "0"
    node.mkdir(parents=True)
    (node / "properties").write_text("simd_count 4\ndevice_id 29711\n", encoding="utf-8")
    with tarfile.open(tmp_path / "box.tar.gz", "w:gz") as archive:
        archive.add(tmp_path / "box", "box")
    for machine in ("box", "box.tar.gz"):
        (tmp_path / "s.toml").write_text(f'title = "t"\nmachine = "{machine}"\n', encoding="utf-8")
        assert len(load(tmp_path / "s.toml").machine.gpus) == 1


def test_an_override_of_only_takes_part_in_what_is_skipped():
    steps = A + do("munmap", 'on = "a"', 'only = {xnack = "on", behaviour = "upstream"}')
    both = [loads(HEAD + steps, Overrides(xnack=xnack, behaviour="upstream")) for xnack in ("off", "on")]
    assert [scenario.applies(scenario.steps[1]) for scenario in both] == [False, True]


def test_every_step_of_the_format_is_done_here():
    text = "".join(head + steps for head, steps in SENTENCES.values())
    used = Counter(line.split('"')[1] for line in text.splitlines() if line.startswith("do = "))
    assert set(STEPS) - set(used) == set()
