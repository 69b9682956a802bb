"""Ranges: a look-up and a split must not mind how many there are."""

from __future__ import annotations

import random
from collections.abc import Iterator

from sortedcontainers import SortedDict

from svmlab.bench.harness import Case
from svmlab.mm.span import Span
from svmlab.svm.attributes import new_range
from svmlab.svm.overlap import reserve_memory
from svmlab.svm.process import Process
from svmlab.svm.registration import register

__all__ = ["FEW", "MANY", "cases", "process_with"]

MANY, FEW = 1_000_000, 1_000
RANGE_PAGES = 4
FIRST_PAGE = 1 << 20
LOOKUPS, SPLITS = 20_000, 20


def cases(many: int = MANY, few: int = FEW) -> Iterator[Case]:
    """What is measured, one case after the other.

    Args:
        many: how many ranges there are.
        few: how many there are in the base of the splits.
    """
    large = process_with(many)
    yield _lookup(large, many)
    yield _split(large, process_with(few), many=many, few=few)


def process_with(count: int) -> Process:
    """A process with ``count`` ranges of four pages in a row, registered one by one but without a call for each.

    >>> process = process_with(5)
    >>> [range_.npages for range_ in process.ranges()], process.driver.system.reserved_pages
    ([4, 4, 4, 4, 4], 20)
    """
    process = Process("toy", ram="64 GiB", payload=False)
    process.mmap(f"{count * RANGE_PAGES} pages", at=FIRST_PAGE << 12)
    driver = process.driver
    for start in range(FIRST_PAGE, FIRST_PAGE + count * RANGE_PAGES, RANGE_PAGES):
        fresh = new_range(driver, start, start + RANGE_PAGES - 1)
        driver.svms.insert(fresh)
        register(driver, fresh)
    reserve_memory(driver, count * RANGE_PAGES)
    return process


def _lookup(process: Process, count: int) -> Case:
    """The range of a page, against the bare search for the key below it in a sorted dictionary of as many keys."""
    keys: SortedDict[int, int] = SortedDict((range_.start, 0) for range_ in process.driver.svms)
    dice = random.Random(1)
    pages = [dice.randrange(FIRST_PAGE, FIRST_PAGE + count * RANGE_PAGES) for _ in range(LOOKUPS)]
    at, irange = process.driver.svms.at, keys.irange

    def subject() -> None:
        for page in pages:
            at(page)

    def baseline() -> None:
        for page in pages:
            next(irange(maximum=page, reverse=True))

    return Case(
        f"range of a page among {count:,}",
        "next(SortedDict.irange(maximum=page, reverse=True))",
        1.5,
        subject,
        baseline,
        LOOKUPS,
    )


def _split(large: Process, small: Process, *, many: int, few: int) -> Case:
    """A whole call that cuts two neighbours in half, against the same call among few ranges."""

    def splits(process: Process, count: int) -> Iterator[None]:
        order = list(range(count // 2))
        random.Random(2).shuffle(order)
        for number in order:
            middle = FIRST_PAGE + (2 * number + 1) * RANGE_PAGES
            process.set_attr(Span.of_pages(middle - 2, middle + 1), granularity=4)
            yield

    in_large, in_small = splits(large, many), splits(small, few)

    def some(work: Iterator[None]) -> None:
        for _ in range(SPLITS):
            next(work)

    return Case(
        f"set_attr that splits two ranges among {many:,}",
        f"the same among {few:,}",
        4.0,
        lambda: some(in_large),
        lambda: some(in_small),
        SPLITS,
    )
