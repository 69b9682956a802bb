"""Where another path can get in: the named points at which an explored order may switch tasks.

A point is no event and takes no time. It matters only while orders are explored (``svmlab.hardware.exploring``); then
a task stops at each of these, and before each lock it takes, until the explorer lets it go on.
"""

from __future__ import annotations

__all__ = ["GIVING_WAY", "POINTS"]

POINTS: dict[str, str] = {
    "before a CPU access": "the CPU is about to touch pages, and holds nothing",
    "before a GPU access": "work on a queue is about to look at the queues and at the GPU's page table",
    "before a GPU tries again": "the driver is done with a fault, and the GPU has not repeated its access yet",
    "before reclaim": "reclaim has chosen pages and holds no lock of the address space",
    "before the queues stop": "the first invalidation is counted, and the queues still run",
    "before the restore": "the restore worker's time has come, and it has read and locked nothing",
    "before the first exchange": "a range is mapped again, and its invalid count is about to be set to 0",
    "before the second exchange": "every range is restored, and the count of all evictions is about to be set to 0",
    "before the queues run": "both counts are 0, and the queues still stand",
    "after collecting": "pages are unmapped and collected, and nothing is copied",
    "after allocating VRAM": "a range has its VRAM, and nothing in it",
    "while copies are under way": "page structures have moved, and the bytes may not have",
    "after finalizing": "the new pages can be seen, and the range does not know yet where it is",
    "after a walk": "the CPU page table was looked at, and no GPU entry is written yet",
    "after writing GPU entries": "one GPU maps the pages, and the next one does not yet",
    "after unmapping from a GPU": "one GPU has lost its entries, and the CPU page table has not changed yet",
}
"""Every point by its name: what is done and what is not when a task stands there."""

GIVING_WAY = frozenset({"before a GPU tries again"})
"""Points of a task that gets nowhere alone: whoever else can go on goes first, and that is no preemption."""
