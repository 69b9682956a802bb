"""Every fault that can be ordered, in every direction of a migration, under every preset: what the caller is told,
where the pages are, what the driver believes, and whether a byte was lost.

A mapping of 8 pages, in two VRAM fragments of 4. Before it leaves a GPU, the GPU has written it, so that bytes that
were not copied are seen. A cell says:

* `moved`: no error, every page is where it should go, and the driver knows. Alone: the fault does not get in the way.
* `ENOMEM stays`: that error; pages and `actual_loc` are as before.
* `ok stays`: the same, but no error of the call: the migration's own event has it.
* `ok lies`: pages are as before, but the driver believes they moved.
* `ok garbage`: they moved, their bytes did not.
* `EBUSY partly`, `ok partly`: the page stays that could not be collected; the range counts as on the GPU.
* `ok mixed, lost 3`: some are here, some are there, and that page has lost its bytes.
* `ENOMEM home`: on the way from GPU to GPU, the second leg failed: everything is in RAM.
"""

from functools import partial

import numpy as np
import pytest

import svmlab as sl
from svmlab.hardware.injection import FAULTS
from svmlab.hardware.machine import Machine
from svmlab.svm.behaviour_table import POSTED, PRESETS

NPAGES = 8
TOY = Machine.find("toy")
STANDSTILL_NS = 20_000_000
MATRIX = """
direction fault      as-posted             as-intended          upstream
to_vram   vram_alloc ok lies             | ENOMEM stays       | ok stays
to_vram   ram_alloc  ok moved            | ok moved           | ok moved
to_vram   dma_map    ok lies             | ENOMEM stays       | ok stays
to_vram   copy       ok mixed, lost 3    | EIO stays          | ok stays
to_vram   copy:2     ok lies             | EIO stays          | ok stays
to_vram   fence      ok garbage          | EIO stays          | ok garbage
to_vram   setup      EINVAL stays        | EINVAL stays       | ok stays
to_vram   page_lock  ok moved            | ok moved           | ok partly
to_vram   hmm_fault  EFAULT stays        | ok moved           | EFAULT moved
home      vram_alloc ok moved            | ok moved           | ok moved
home      ram_alloc  ok lies             | ENOMEM stays       | ENOMEM stays
home      dma_map    ok lies             | ENOMEM stays       | ENOMEM stays
home      copy       ok lies             | EIO stays          | EIO stays
home      copy:2     ok lies             | EIO stays          | EIO stays
home      fence      ok garbage          | EIO stays          | ok garbage
home      setup      EINVAL stays        | EINVAL stays       | EINVAL stays
home      page_lock  ok lies             | ok partly          | ok partly
home      hmm_fault  ok moved            | ok moved           | ok moved
cpu_fault vram_alloc ok moved            | ok moved           | ok moved
cpu_fault ram_alloc  TIMEOUT lies        | SIGBUS stays       | SIGBUS stays
cpu_fault dma_map    TIMEOUT lies        | SIGBUS stays       | SIGBUS stays
cpu_fault copy       TIMEOUT lies        | SIGBUS stays       | SIGBUS stays
cpu_fault copy:2     TIMEOUT lies        | SIGBUS stays       | SIGBUS stays
cpu_fault fence      ok garbage          | SIGBUS stays       | ok garbage
cpu_fault setup      SIGBUS stays        | SIGBUS stays       | SIGBUS stays
cpu_fault page_lock  TIMEOUT lies        | ok moved           | ok moved
cpu_fault hmm_fault  ok moved            | ok moved           | ok moved
to_gpu1   vram_alloc ENOMEM stays        | ENOMEM home        | ok home
to_gpu1   ram_alloc  ENOMEM stays        | ENOMEM stays       | ok stays
to_gpu1   dma_map    ENOMEM stays        | ENOMEM stays       | ok stays
to_gpu1   copy       ENOMEM stays        | EIO stays          | ok stays
to_gpu1   copy:2     ENOMEM stays        | EIO stays          | ok stays
to_gpu1   fence      ENOMEM stays        | EIO stays          | ok garbage
to_gpu1   setup      EINVAL stays        | EINVAL stays       | ok stays
to_gpu1   page_lock  ENOMEM stays        | EBUSY partly       | ok moved
to_gpu1   hmm_fault  ENOMEM stays        | ok moved           | ok moved
"""
"""`copy:2` is the second copy: the first is in flight then. As posted nothing moves between GPUs at all (D11)."""

CELLS = [
    (direction, fault, preset, cell.strip())
    for direction, fault, cells in (line.split(maxsplit=2) for line in MATRIX.strip().splitlines()[1:])
    for preset, cell in zip(PRESETS, cells.split("|"), strict=True)
]


def started(behaviour, direction):
    """A process whose pages are where the direction begins, and the call that goes there."""
    p = sl.Process(TOY, vram="4 MiB", behaviour=behaviour)
    for gpu in (0, 1):
        p.vram_layout(gpu, [[16, 4], [32, 4]])
    a = p.mmap(f"{NPAGES} pages", name="a")
    a[:] = np.repeat(np.arange(1, NPAGES + 1, dtype=np.uint8), 4096)
    content = np.repeat(np.arange(101, NPAGES + 101, dtype=np.uint8), 4096)
    if direction == "to_vram":
        a[:] = content
        return p, a, content, partial(p.set_attr, a, access=["gpu0"], prefetch="gpu0")
    p.set_attr(a, access=["gpu0", "gpu1"], prefetch="gpu0")
    p.run()
    p.gpu(0).write(a, content)
    if direction == "cpu_fault":
        return p, a, content, lambda: p.wait(p.start.cpu_read(a.pages(0)), STANDSTILL_NS)
    return p, a, content, partial(p.set_attr, a, prefetch={"home": "cpu", "to_gpu1": "gpu1"}[direction])


def answer(call):
    try:
        call()
    except sl.SvmError as error:
        return error.name
    return "ok"


def ends(p, direction):
    """Where a direction begins and ends."""
    gpu0, gpu1 = (gpu.gpu_id for gpu in p.machine.gpus[:2])
    return {"to_vram": (0, gpu0), "to_gpu1": (gpu0, gpu1)}.get(direction, (gpu0, 0))


def state(p, a, content, direction):
    """Where the pages of a mapping are, what the driver believes, and what is lost, in a word of the matrix."""
    begin, end = ends(p, direction)
    where, (believed,) = p.look.locations(a.span).tolist(), p.look.actual(a.span)
    same = (p.look.content(a.span) == content).reshape(NPAGES, -1).all(axis=1)
    if not same.any():
        assert (set(where), believed) == ({end}, end)
        return "garbage"
    lost = "".join(f", lost {page}" for page in np.flatnonzero(~same))
    if where[1:] == [where[0]] * 7:
        words = {(0, 0): "home", (begin, begin): "stays", (begin, end): "lies", (end, end): "moved"}
        return words[where[0], believed] + lost
    if lost:
        return "mixed" + lost
    assert believed != 0
    assert where[1:] == [0 if direction != "to_vram" else believed] * 7
    return "partly"


@pytest.mark.parametrize(("direction", "fault", "preset", "expected"), CELLS)
def test_a_failing_migration_does_what_the_preset_promises(direction, fault, preset, expected):
    p, a, content, call = started(preset, direction)
    name, _, nth = fault.partition(":")
    p.inject(name, nth=int(nth or 1))
    assert f"{answer(call)} {state(p, a, content, direction)}" == expected


@pytest.mark.parametrize(("direction", "fault", "preset", "expected"), [cell for cell in CELLS if cell[2] != POSTED])
def test_after_a_failure_nothing_leaks_and_the_next_attempt_succeeds(direction, fault, preset, expected):
    p, a, content, call = started(preset, direction)
    name, _, nth = fault.partition(":")
    p.inject(name, nth=int(nth or 1))
    answer(call)
    p.run()
    before, used = state(p, a, content, direction), [p.look.vram_used(gpu) // 4096 for gpu in (0, 1)]
    held = [NPAGES * (gpu.gpu_id in p.look.locations(a.span)) for gpu in p.machine.gpus[:2]]
    assert (before, used) == (expected.split()[1], held)
    assert p.broken_invariants() == []
    p.driver.faults.__init__()  # what did not get in the way does not do so now
    assert answer(call) == "ok"
    p.run()
    assert state(p, a, content, direction) == ("garbage" if before == "garbage" else "moved")
    p.exit()
    p.run()
    assert p.driver.system.buffers == {}


def test_the_matrix_has_every_fault_in_every_direction():
    rows = {(direction, fault.partition(":")[0]) for direction, fault, _, _ in CELLS}
    assert rows == {(direction, fault) for direction in ("to_vram", "home", "cpu_fault", "to_gpu1") for fault in FAULTS}
