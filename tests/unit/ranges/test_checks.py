"""The errno of each bad call, in the driver's order, for each behaviour."""

import pytest

from svmlab.errors import DriverError
from svmlab.hardware.machine import Machine
from svmlab.mm import Span
from svmlab.svm.behaviour_table import PRESETS
from svmlab.svm.calls import svm
from svmlab.svm.process import Process
from svmlab.svm.set_attr import set_attr

START, PAGES = 0x1000, 8
"""Pages that are mapped; nothing else is, but for a device behind a gap of one page."""
DEVICE = START + PAGES + 1
PAGE = 4096
HUGE = (1 << 64) - PAGE
NO_GPU = 0x1234
PREFERRED, PREFETCH, ACCESS, IN_PLACE, NO_ACCESS, SET_FLAGS, CLR_FLAGS, GRANULARITY = range(8)


@pytest.fixture
def bench(lab):
    def make(behaviour: str, **options):
        made = lab(behaviour, **options)
        made.map(START, START + PAGES - 1)
        made.map(DEVICE, DEVICE + 1, kind="device")
        return made

    return make


def span(address: int = START * PAGE, nbytes: int = PAGE) -> Span:
    return Span(address, nbytes)


GOOD = span()
UNMAPPED = span(0x10000)
HOLE = span(START * PAGE, (PAGES + 1) * PAGE)
BEHIND = span((START + PAGES - 1) * PAGE, 2 * PAGE)
ON_DEVICE = span(DEVICE * PAGE)
# what is sent, and what is answered: as posted, as intended, upstream
SET_ROWS = [
    ("start is not page aligned", span(START * PAGE + 1), [], "EINVAL EINVAL EINVAL"),
    ("size is not page aligned", span(nbytes=PAGE - 1), [], "EINVAL EINVAL EINVAL"),
    ("start is 0", span(0), [], "EINVAL EINVAL EINVAL"),
    ("size is 0", span(nbytes=0), [], "EINVAL EINVAL EINVAL"),
    ("preferred: unknown GPU", GOOD, [(PREFERRED, NO_GPU)], "EINVAL EINVAL EINVAL"),
    ("prefetch: unknown GPU", GOOD, [(PREFETCH, NO_GPU)], "EINVAL EINVAL EINVAL"),
    ("prefetch: undefined", GOOD, [(PREFETCH, 0xFFFFFFFF)], "EINVAL EINVAL EINVAL"),
    ("access: unknown GPU", GOOD, [(ACCESS, NO_GPU)], "EINVAL EINVAL EINVAL"),
    ("access: the CPU", GOOD, [(ACCESS, 0)], "EINVAL EINVAL EINVAL"),
    ("access: undefined", GOOD, [(ACCESS, 0xFFFFFFFF)], "EINVAL EINVAL EINVAL"),
    ("access in place: unknown GPU", GOOD, [(IN_PLACE, NO_GPU)], "EINVAL EINVAL EINVAL"),
    ("no access: unknown GPU", GOOD, [(NO_ACCESS, NO_GPU)], "EINVAL EINVAL EINVAL"),
    ("unknown type", GOOD, [(8, 0)], "EINVAL EINVAL EINVAL"),
    ("a bad attribute behind good ones", GOOD, [(GRANULARITY, 3), (8, 0)], "EINVAL EINVAL EINVAL"),
    ("nothing is mapped", UNMAPPED, [], "EFAULT EFAULT EFAULT"),
    ("part is not mapped", HOLE, [], "EFAULT EFAULT EFAULT"),
    ("the last page is not mapped", BEHIND, [], "EFAULT EFAULT EFAULT"),
    ("memory of a device", ON_DEVICE, [], "EFAULT EFAULT EFAULT"),
    ("end of the address space", span(HUGE), [], "EFAULT EOVERFLOW EOVERFLOW"),
    # order: the first check that fails decides
    ("unaligned before unmapped", span(0x10001), [], "EINVAL EINVAL EINVAL"),
    ("attributes before unmapped", UNMAPPED, [(8, 0)], "EINVAL EINVAL EINVAL"),
    ("attributes before the overflow", span(HUGE), [(8, 0)], "EINVAL EINVAL EINVAL"),
    # all of these are good
    ("no attribute at all", GOOD, [], "- - -"),
    ("preferred: undefined", GOOD, [(PREFERRED, 0xFFFFFFFF)], "- - -"),
    ("preferred: the CPU", GOOD, [(PREFERRED, 0)], "- - -"),
    ("prefetch: the CPU", GOOD, [(PREFETCH, 0)], "- - -"),
    ("unknown flag bits", GOOD, [(SET_FLAGS, 0xFFFFFF00)], "- - -"),
    ("unknown flag bits cleared", GOOD, [(CLR_FLAGS, 0xFFFFFF00)], "- - -"),
    ("any granularity", GOOD, [(GRANULARITY, 0xFFFFFFFF)], "- - -"),
]
GET_ROWS = [
    ("start is not page aligned", span(START * PAGE + 1), [], "EINVAL EINVAL EINVAL"),
    ("size is 0", span(nbytes=0), [], "EINVAL EINVAL EINVAL"),
    ("nothing is mapped", UNMAPPED, [], "EINVAL EFAULT EFAULT"),
    ("part is not mapped", HOLE, [], "EINVAL EFAULT EFAULT"),
    ("memory of a device", ON_DEVICE, [], "EINVAL EFAULT EFAULT"),
    ("end of the address space", span(HUGE), [], "EINVAL EOVERFLOW EOVERFLOW"),
    ("cleared flags", GOOD, [(CLR_FLAGS, 0)], "EINVAL - -"),
    ("access in place", GOOD, [(IN_PLACE, 0)], "EINVAL EINVAL EINVAL"),
    ("no access", GOOD, [(NO_ACCESS, 0)], "EINVAL EINVAL EINVAL"),
    ("unknown type", GOOD, [(8, 0)], "EINVAL EINVAL EINVAL"),
    ("access of an unknown GPU", GOOD, [(ACCESS, NO_GPU)], "EINVAL EINVAL EINVAL"),
    ("access of the CPU", GOOD, [(ACCESS, 0)], "EINVAL EINVAL EINVAL"),
    ("one bad entry fails the whole call", GOOD, [(GRANULARITY, 0), (8, 0)], "EINVAL EINVAL EINVAL"),
    ("unmapped before the types", UNMAPPED, [(8, 0)], "EINVAL EFAULT EFAULT"),
    ("nothing asked for", GOOD, [], "- - -"),
]


def rows(table):
    return [
        pytest.param(behaviour, given, raw, wanted, id=f"{behaviour}: {title}")
        for title, given, raw, answers in table
        for behaviour, wanted in zip(PRESETS, answers.split(), strict=True)
    ]


@pytest.mark.parametrize(("behaviour", "given", "raw", "wanted"), rows(SET_ROWS))
def test_set_attr_answers_a_bad_call_before_anything_changes(bench, behaviour, given, raw, wanted):
    made = bench(behaviour)
    assert made.error(made.process.set_attr, given, raw=raw) == (None if wanted == "-" else wanted)
    assert made.ranges == ([(START, START)] if wanted == "-" else [])
    assert made.driver.system.reserved_pages == (1 if wanted == "-" and behaviour != "as-posted" else 0)


@pytest.mark.parametrize(("behaviour", "given", "raw", "wanted"), rows(GET_ROWS))
def test_get_attr_answers_a_bad_call(bench, behaviour, given, raw, wanted):
    made = bench(behaviour)
    assert made.error(made.process.get_attr, given, raw) == (None if wanted == "-" else wanted)
    assert made.ranges == []


@pytest.mark.parametrize(("behaviour", "wanted"), list(zip(PRESETS, (22, "EINVAL", "EINVAL"), strict=True)))
def test_an_unknown_operation_is_refused_after_the_span(bench, behaviour, wanted):
    driver = bench(behaviour).driver

    def answer(given: Span) -> object:
        try:
            return drain(svm(driver, 2, given, request=[]))
        except DriverError as error:
            return error.name

    assert answer(GOOD) == wanted
    assert answer(UNMAPPED) == wanted, "the operation is looked at before the pages are"
    assert answer(span(nbytes=0)) == "EINVAL"


def test_the_two_operations_of_the_ioctl_are_set_and_get(bench):
    made = bench("upstream")
    assert drain(svm(made.driver, 0, GOOD, request=[(GRANULARITY, 3)])) == 0
    assert drain(svm(made.driver, 1, GOOD, request=[(GRANULARITY, 0)])) == [(GRANULARITY, 3)]


def drain(work):
    """Run a mechanism to its end; nobody else is there to wait for."""
    try:
        while True:
            next(work)
    except StopIteration as stop:
        return stop.value


@pytest.mark.parametrize(("behaviour", "wanted"), list(zip(PRESETS, ("EPERM", "EINVAL", "EINVAL"), strict=True)))
def test_a_gpu_from_before_gfx9_has_no_svm(behaviour, wanted):
    machine = with_old_gpu(Machine.find("toy"))
    process = Process(machine, behaviour=behaviour)
    buffer = process.mmap("1 page")
    with pytest.raises(DriverError) as refused:
        drain(set_attr(process.driver, buffer.span, [(ACCESS, machine.gpus[2].gpu_id)]))
    assert refused.value.name == wanted
    if wanted == "EINVAL":
        process.set_attr(buffer, access=["gpu0"])


def with_old_gpu(machine: Machine) -> Machine:
    from dataclasses import replace

    old = machine.gpus[2]
    return replace(machine, gpus=(*machine.gpus[:2], replace(old, device=replace(old.device, target=(8, 0, 3)))))


def test_memory_that_cannot_be_reserved_leaves_everything_as_it_was(lab):
    made = lab("upstream", ram="8 MiB")
    limit = made.driver.system.ram_limit_pages
    made.map(START, START + limit + 9)
    made.set(START + 4, START + 9)
    made.forget()
    before = made.at(START + 4)
    # the walk has cloned and cut the range in the middle when it finds that there is no memory for the rest
    assert made.error(made.set, START + 6, START + limit + 9, granularity=3) == "ENOMEM"
    assert (made.ranges, made.at(START + 4) is before, before.granularity) == ([(START + 4, START + 9)], True, 9)
    assert (made.driver.system.reserved_pages, made.driver.svms.reserved_pages) == (6, 6)
    assert made.log("range_add", "attributes", "range_remove") == []


def test_an_error_says_what_is_allowed(bench):
    made = bench("upstream")
    with pytest.raises(DriverError, match=r"PREFETCH_LOC = 0xffffffff; allowed: 0x0 \(cpu\), 0x65 \(gpu0\)"):
        made.process.set_attr(GOOD, raw=[(PREFETCH, 0xFFFFFFFF)])
    with pytest.raises(DriverError, match=r"of type 9.*PREFERRED_LOC \(0\)"):
        made.process.set_attr(GOOD, raw=[(9, 0)])
    with pytest.raises(DriverError, match="NO_ACCESS cannot be asked for"):
        made.process.get_attr(GOOD, [(NO_ACCESS, 0)])
