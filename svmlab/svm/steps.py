"""The six steps of a migration, as the posting's commit message numbers them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from svmlab.mm.migrate_vma import MigrateVma
    from svmlab.svm.driver import Driver

__all__ = ["STEPS", "step"]

STEPS = (
    "collect the pages, unmap them from the CPU",
    "allocate new pages",
    "copy with SDMA",
    "move the page structures",
    "finalize, free the old pages",
    "restore: map the new pages, resume the queues",
)
"""Steps 1 to 5 are the migration's; the sixth is the restore worker's (or, with xnack on, the mapping)."""


def step(driver: Driver, number: int, args: MigrateVma) -> None:
    """Write into the log that one of the first five steps begins."""
    driver.emit.step(args.start, args.last, text=STEPS[number - 1], number=number)
