"""What a page costs: 6 bytes of page state at most, and transients that do not grow with the memory."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap

import pytest

MIB = 1 << 20
SCRIPT = """
    from svmlab.hardware.costs import Costs
    from svmlab.hardware.machine import Machine
    from svmlab.hardware.memory import Memory
    from svmlab.hardware.world import World
    from svmlab.mm import access, syscalls
    from svmlab.mm.address_space import AddressSpace

    def memory_of_this_process(key):
        with open("/proc/self/status") as file:
            return next(int(line.split()[1]) << 10 for line in file if line.startswith(key))

    def run(work):
        return world.env.run(until=world.spawn("app", work, pid=1))

    world, gib = World(), int({gib})
    memory = Memory(Machine.find("toy").with_memory(ram=f"{{gib + 1}} GiB"), payload=False)
    mm = AddressSpace(world, memory, Costs.load(), name="main", pid=1)
    span = run(syscalls.mmap(mm, syscalls.Mapping(gib << 30)))
    before = memory_of_this_process("VmRSS")
    run(access.touch(mm, span, write=True))
    after = memory_of_this_process("VmRSS")
    run(access.load(mm, span))
    run(syscalls.discard(mm, span))
    highest, left = memory_of_this_process("VmHWM"), memory_of_this_process("VmRSS")
    print(after - before, highest - after, left - before, span.npages)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc/self/status")
def test_populating_page_state_costs_six_bytes_a_page_and_transients_stay_small():
    script = textwrap.dedent(SCRIPT).format(gib=48)
    # glibc keeps blocks of any size for itself once it was given a large one back, unless it is told from which on not
    environment = os.environ | {"MALLOC_MMAP_THRESHOLD_": "131072"}
    done = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True, env=environment)
    grown, transient, left, npages = map(int, done.stdout.split())
    assert grown <= 6 * npages
    assert transient <= 64 * MIB
    assert left <= 2 * npages
