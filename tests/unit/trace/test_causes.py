"""Causes that are inferred, because a driver's log has none, and those of a simulation."""

import pytest

from svmlab.errors import InputError
from svmlab.trace.trace import trace_of


def names(chain):
    return [event.name for event in chain]


def test_a_simulation_knows_its_causes(process):
    chain = trace_of(process).why(int(process.log.select("queue_eviction")[0]))
    assert not chain.inferred
    assert names(chain)[-1] == "call_start"


@pytest.mark.parametrize(
    ("lines", "chain", "told"),
    [
        (["5 1 -1 @100(10) 0->8a3f 0:0 0", "9 2 -1 8a3f 0", "6 3 -1 @100(10) 0->8a3f 0 0", "a 4 -1 8a3f 0"],
         ["queue_restore", "queue_eviction", "migrate_start"], "a call asked for it"),
        (["5 1 -1 @100(10) 8a3f->0 0:0 2", "6 2 -1 @100(10) 8a3f->0 2 0"],
         ["migrate_end", "migrate_start"], "the CPU touched a page of it in VRAM"),
        (["7 1 -1 @104(8a3f) R", "5 2 -1 @100(10) 0->8a3f 0:0 1", "b 3 -1 @100(10) 8a3f 1"],
         ["unmap_from_gpu", "migrate_start", "page_fault_start"], "the GPU touched a page that it does not map"),
        (["7 1 -1 @104(8a3f) R", "8 2 -1 @104(8a3f) U", "5 3 -1 @100(10) 0->8a3f 0:0 1"],
         ["migrate_start"], "a fault of a GPU that the log does not have"),
        (["5 1 -1 @100(10) 0->8a3f 0:0 0", "6 2 -1 @100(10) 0->8a3f 0 0", "9 3 -1 8a3f 0"],
         ["queue_eviction"], "the CPU's page table changed (munmap, mprotect, swap, ...)"),
        (["5 1 -7 @100(10) 0->8a3f 0:0 0", "9 2 -1 8a3f 0"], ["queue_eviction"], "the CPU's page table changed"),
        (["9 1 -1 8a3f 3"], ["queue_eviction"], "for another reason, SUSPEND"),
        (["b 1 -1 @100(10) 8a3f 2"], ["unmap_from_gpu"], "the application unmapped it"),
        (["a 1 -1 8a3f 0"], ["queue_restore"], "their stop is not in the log"),
    ],
)  # fmt: skip
def test_the_last_event_follows_from(written, lines, chain, told):
    trace = written(*lines)
    found = trace.why(len(trace) - 1)
    assert names(found) == chain
    assert found.inferred
    assert told in str(found)
    assert str(found).endswith("Inferred from triggers and times: a driver's log has no causes.")


def test_an_event_that_does_not_exist_is_refused(written):
    with pytest.raises(InputError, match="allowed: 0 to 0"):
        written("9 1 -1 8a3f 0").why(1)
