"""The six steps of a migration, as the posting's commit message numbers them."""

from __future__ import annotations

__all__ = ["ALLOCATE", "COLLECT", "COPY", "FINALIZE", "MOVE", "RESTORE", "STEPS"]

STEPS = (
    "collect the pages, unmap them from the CPU",
    "allocate new pages",
    "copy with SDMA",
    "move the page structures",
    "finalize, free the old pages",
    "restore: map the new pages, resume the queues",
)
"""Steps 1 to 5 are the migration's; the sixth is the restore worker's (or, with xnack on, the mapping)."""

COLLECT, ALLOCATE, COPY, MOVE, FINALIZE, RESTORE = STEPS
