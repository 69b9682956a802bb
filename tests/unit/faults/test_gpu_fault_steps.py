"""svm_range_restore_pages step by step: one row for each condition, with what comes of it.

Steps of the kernel that cannot occur here, and why:

* 1, the GPU has no SVM memory: such a GPU cannot retry faults, and a machine with one cannot have xnack on.
* 2 and 6, nobody has the PASID, the mm is gone: a process, its PASID and its mm go together; row 3 is all three.
* 4, the GPU is unknown: a report comes from a process-device, which exists.
* part of 9, a page inside a mapping of the GPU driver: there are no buffers but those of ranges.
* 10, the locks that are kept: what is seen of them is that nobody changes the range meanwhile (row 7).
"""

from __future__ import annotations

import pytest

from svmlab.errors import InputError
from svmlab.hardware.gpu import RawFault


def gone(lab):
    x = lab()
    x.p.exit()
    return x, {}


def xnack_off(lab):
    x = lab(xnack=False)
    x.p.set_attr(x.a, access=["gpu0"])
    x.p.run()
    return x, {}


def stale(lab):
    x = lab()
    x.p.gpu(0).touch(x.a)
    x.p.run()
    reported = x.p.now
    x.p.munmap(x.pages(512, 512))
    x.p.advance("3 ms")
    return x, {"raised_ns": reported}


def younger_than_a_munmap(lab):
    x, _ = stale(lab)
    return x, {}


def nobody_registered_it(lab):
    return lab(), {}


def nothing_is_mapped(lab):
    x = lab()
    x.p.munmap(x.a)
    x.p.run()
    x.p.advance(1)
    return x, {}


def memory_of_a_device(lab):
    x = lab()
    x.base = int(x.p.mmap("64 KiB", kind="device").span.start)
    return x, {}


def mapped_a_moment_ago(lab):
    x = lab()
    x.fault()
    return x, {}


def about_to_go(lab):
    """The deferred worker lets go of its locks between two ranges, and the fault comes in between."""
    x = lab()
    x.p.gpu(0).touch(x.a)
    x.p.start.munmap(x.a)
    while x.p.device(0).checkpoint_ns < 0 or x.p.device(0).accessible(x.base + 512, x.base + 512, write=False):
        x.p.advance(100)
    x.p.advance(1)
    return x, {"page": 512}


def mapped_two_ms_ago(lab):
    x = lab()
    x.fault()
    x.p.advance(2_000_000 - (x.p.now - x.p.ranges()[0].validated_ns))
    return x, {}


def another_block_of_a_range_just_mapped(lab):
    x = lab()
    x.p.set_attr(x.a, granularity=4)
    x.fault(16)
    return x, {}


def the_vma_went_without_a_word(lab):
    """What a notifier would have told: such a range is what step 13 is there for."""
    x = lab()
    x.p.set_attr(x.pages(0, 1), access=["gpu0"])
    x.p.advance("3 ms")
    mm = x.p.driver.mm
    mm.remove(mm.vma_at(x.base))
    return x, {}


def no_read(lab):
    x = lab()
    x.p.mprotect(x.a, "none")
    return x, {}


def no_write(lab):
    x = lab()
    x.p.mprotect(x.a, "r")
    return x, {"write": True}


def no_access(lab):
    x = lab()
    x.p.set_attr(x.a, no_access=["gpu0"])
    return x, {}


def to_ram(lab):
    x = lab(size="2 MiB")
    x.p.set_attr(x.a, prefetch="gpu0")
    x.p.set_attr(x.a, preferred="cpu")
    x.p.device(0).unmap(x.base, x.base)
    x.p.advance("3 ms")
    return x, {}


def to_ram_and_the_copy_fails(lab):
    x, options = to_ram(lab)
    x.p.inject("copy")
    return x, options


def no_vram(lab):
    x = lab(size="64 KiB")
    x.p.inject("vram_alloc")
    return x, {}


def no_vram_and_in_another_gpu(lab):
    x = lab(size="64 KiB")
    x.p.set_attr(x.a, prefetch="gpu1")
    x.p.advance("3 ms")
    x.p.inject("vram_alloc", gpu=0)
    return x, {}


def in_place(lab):
    x = lab(size="64 KiB")
    x.p.set_attr(x.a, access_in_place=["gpu0"])
    x.p.device(0).unmap(x.base, x.base + 15)
    x.p.advance("3 ms")
    return x, {}


def one_block_of_a_range(lab):
    x = lab()
    x.p.set_attr(x.pages(0, 40), granularity=4)
    x.p.advance("3 ms")
    return x, {}


def the_pages_change_meanwhile(lab):
    x = lab(size="64 KiB")
    x.p.set_attr(x.a, access_in_place=["gpu0"])
    x.p.device(0).unmap(x.base, x.base + 15)
    x.p.advance("3 ms")
    x.p.inject("hmm_fault", error="EAGAIN")
    return x, {}


def the_lock_is_taken(lab):
    x = lab()
    x.fault()
    x.p.start.munmap(x.pages(1000, 1))
    x.p.advance(1)
    return x, {}


START = "page_fault_start 0-0 gpu=0 write=0"


def brought_in(last):
    """A block of pages from 0 on is moved to the VRAM of gpu0 and mapped there."""
    return [
        START,
        f"migrate_start 0-{last} cpu->gpu0 trigger=1",
        f"migrate_end 0-{last} npages={last + 1} error=0 cpu->gpu0 trigger=1",
        f"map_to_gpu 0-{last} gpu=0 vram_pages={last + 1}",
        "page_fault_end 0-0 migrated=1 error=0",
    ]


def mapped_only(last, vram_pages):
    return [START, f"map_to_gpu 0-{last} gpu=0 vram_pages={vram_pages}", "page_fault_end 0-0 migrated=0 error=0"]


def dropped(because, page=0):
    return [f"page_fault_dropped {page}-{page} count=1 {because}"]


FATAL = ["memory_exception 0-0"]
JUST_MAPPED = "the range was mapped less than 2 ms ago"

STEPS = [
    (3, gone, dropped("its process has gone")),
    (5, xnack_off, FATAL),
    (7, the_lock_is_taken, ["lock_wait mmap_lock of main", *dropped(JUST_MAPPED)]),
    (8, stale, dropped("it was reported before a munmap")),
    (8, younger_than_a_munmap, mapped_only(511, vram_pages=512)),
    (9, nobody_registered_it, ["range_add 0-511", *brought_in(511)]),
    (9, nothing_is_mapped, FATAL),
    (9, memory_of_a_device, FATAL),
    (
        11,
        about_to_go,
        [*["lock_wait mmap_lock of main"] * 2, *dropped("deferred work is about to change the range", 512)],
    ),
    (12, mapped_a_moment_ago, dropped(JUST_MAPPED)),
    (12, another_block_of_a_range_just_mapped, dropped(JUST_MAPPED)),
    (12, mapped_two_ms_ago, mapped_only(511, vram_pages=512)),
    (13, the_vma_went_without_a_word, dropped("nothing is mapped there any more")),
    (14, no_read, ["range_add 0-511", *FATAL]),
    (14, no_write, ["range_add 0-511", *FATAL]),
    (15, no_access, FATAL),
    (17, one_block_of_a_range, brought_in(15)),
    (18, in_place, mapped_only(15, vram_pages=0)),
    (
        18,
        to_ram,
        [
            START,
            "migrate_start 0-511 gpu0->cpu trigger=1",
            "unmap_from_gpu 0-511 gpu=0",
            "migrate_end 0-511 npages=512 error=0 gpu0->cpu trigger=1",
            "map_to_gpu 0-511 gpu=0 vram_pages=0",
            "page_fault_end 0-0 migrated=1 error=0",
        ],
    ),
    (
        19,
        to_ram_and_the_copy_fails,
        [
            START,
            "migrate_start 0-511 gpu0->cpu trigger=1",
            "unmap_from_gpu 0-511 gpu=0",
            "migrate_end 0-511 npages=0 error=5 gpu0->cpu trigger=1",
            "page_fault_end 0-0 migrated=0 error=5",
            *FATAL,
        ],
    ),
    (23, the_pages_change_meanwhile, [START, "page_fault_end 0-0 migrated=0 error=11"]),
]
SEEN = (
    *("lock_wait", "range_add", "map_to_gpu", "unmap_from_gpu", "migrate_start", "migrate_end"),
    *("page_fault_start", "page_fault_end", "page_fault_dropped", "memory_exception"),
)


@pytest.mark.parametrize("behaviour", ["as-intended", "upstream"])
@pytest.mark.parametrize(("step", "scenario", "lines"), STEPS, ids=[f"{row[0]} {row[1].__name__}" for row in STEPS])
def test_every_step_of_a_retry_fault_has_its_event_and_its_end(lab, step, scenario, lines, behaviour):
    x, options = scenario(lambda **more: lab(behaviour=behaviour, **more))
    x.mark()
    x.fault(**options)
    assert x.told(*SEEN) == lines


def test_step_1_a_machine_with_a_gpu_that_cannot_retry_faults_cannot_have_xnack_on(lab):
    with pytest.raises(InputError, match="cannot retry page faults"):
        lab(machine="pcie-pair")


@pytest.mark.parametrize(("scenario", "made"), [(no_vram, ["range_add 0-15"]), (no_vram_and_in_another_gpu, [])])
def test_step_18_a_full_vram_never_fails_a_fault_the_block_is_mapped_in_ram(lab, scenario, made):
    x, options = scenario(lambda **more: lab(behaviour="upstream", **more))
    x.mark()
    x.fault(**options)
    assert x.told("range_add", "page_fault_start", "driver_fallback", "map_to_gpu", "page_fault_end") == [
        *made,
        START,
        "driver_fallback 0-15 error=12 VRAM cannot be had: the block is mapped where it is",
        "map_to_gpu 0-15 gpu=0 vram_pages=0",
        "page_fault_end 0-0 migrated=0 error=0",
    ]
    assert (x.p.look.vram_used(0), x.p.look.vram_used(1)) == (0, 0)


def test_step_18_a_block_that_cannot_leave_another_gpu_directly_comes_home_and_the_log_says_so(lab):
    stuck = {"base": "as-intended", "gpu_to_gpu": "refused", "collect_policy": "four-attempts"}
    x, options = no_vram_and_in_another_gpu(lambda **more: lab(behaviour=stuck, **more))
    x.mark()
    x.fault(**options)
    assert x.told("migrate_end", "driver_fallback")[-2:] == [
        "driver_fallback 0-15 error=12 VRAM cannot be had: the block is mapped where it is",
        "migrate_end 0-15 npages=16 error=0 gpu1->cpu trigger=1",
    ]


def test_step_20_only_the_faulting_gpu_is_mapped_and_only_the_block(lab):
    x, options = one_block_of_a_range(lab)
    x.fault(**options)
    mapped = [x.p.device(gpu).accessible(x.base, x.base + 39, write=False) for gpu in (0, 1)]
    assert mapped == [16, 0]


@pytest.mark.parametrize(
    ("scenario", "faults"), [(nobody_registered_it, 1), (no_vram, 1), (the_pages_change_meanwhile, 0), (no_access, 0)]
)
def test_step_22_a_fault_counts_when_it_was_served_and_not_when_it_is_tried_again(lab, scenario, faults):
    x, options = scenario(lab)
    x.fault(**options)
    assert x.p.look.counters(0)["faults"] == faults


def test_step_23_after_eagain_the_gpu_faults_again_and_is_served(lab):
    x, _ = the_pages_change_meanwhile(lab)
    x.mark()
    x.p.gpu(0).touch(x.pages(0, 16))
    assert x.told("page_fault_end") == [
        "page_fault_end 0-0 migrated=0 error=11",
        "page_fault_end 0-0 migrated=0 error=0",
    ]


def test_a_fault_on_a_block_that_is_there_already_starts_no_migration(lab):
    x, options = mapped_two_ms_ago(lab)
    x.mark()
    x.fault(**options)
    assert x.told("migrate_start", "map_to_gpu") == ["map_to_gpu 0-511 gpu=0 vram_pages=512"]


def test_the_end_of_a_fault_tells_in_words_whether_it_was_served(lab):
    x, options = nobody_registered_it(lab)
    x.fault(**options)
    y, options = the_pages_change_meanwhile(lab)
    y.fault(**options)
    told = [str(each.p.log.events("page_fault_end")[-1]) for each in (x, y)]
    assert [line.rpartition(f"{x.base:#x} ")[2] for line in told] == ["is served", "fails with EAGAIN"]


def test_a_fault_reported_at_the_instant_of_a_munmap_is_stale_and_the_first_younger_one_ends_the_draining(lab):
    x = lab()
    device = x.p.driver.devices[0]
    device.checkpoint_ns = 500
    reported = [RawFault(x.a.span.start, False, raised_ns) for raised_ns in (499, 500, 501, 500)]
    assert [x.p.driver.behaviour.stale_faults(device, fault) for fault in reported] == [True, True, False, False]
