"""Notebook 10, unmap, split and stale faults."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

from svmlab.course.exercise import Exercise, Kind, Prediction, Question
from svmlab.course.kinds import bug_hunt, counter_example, function, one_number, order
from svmlab.course.mishap import attempt as tried
from svmlab.errors import InputError
from svmlab.svm.behaviour_table import DEFAULT_PRESET
from svmlab.svm.buffer_view import Buffer
from svmlab.svm.process import Process
from svmlab.units import PAGE_SIZE

__all__ = ["EXERCISES", "PREDICTIONS"]


def _memory_goes() -> dict[str, str]:
    """A hole in a buffer in VRAM, looked at when munmap is back; and reports that are read after a munmap."""
    p = Process("toy", vram="64 MiB")
    a = p.mmap("4 MiB", name="a", populate=True)
    p.set_attr(a, access=["gpu0"], prefetch="gpu0")
    p.run()
    held = p.look.vram_used(0) // PAGE_SIZE
    p.munmap(a.pages(256, 512))
    p.run()
    return {
        "ranges": ("none", "one", "two", "three")[len(p.look.ranges(a.span))],
        "freed": {0: "none", 512: "512"}.get(held - p.look.vram_used(0) // PAGE_SIZE, "1024"),
        "late": _late(),
    }


def _late() -> str:
    p = Process("toy", xnack=True)
    a = p.mmap("2 MiB", name="a", populate=True)
    p.gpu(0).touch(a.pages(5), waves=1000)
    p.munmap(a)
    p.run()
    if p.log.count("memory_exception"):
        return "they are fatal"
    dropped = int(p.log.field("page_fault_dropped", "count").sum())
    return "they are dropped" if dropped == 999 else "they are served"


PREDICTIONS = (
    Prediction(
        "10.p1",
        (
            Question(
                "ranges",
                "512 of 1024 pages in the middle of a range go. How many ranges are left?",
                ("one", "two", "three"),
                "one before the hole and one behind it",
            ),
            Question(
                "freed",
                "How many pages of VRAM are free for others then?",
                ("none", "512", "1024"),
                "both ranges share the buffer of the old one, and VRAM goes back buffer by buffer",
            ),
            Question(
                "late",
                "999 reports of a fault are read after their memory has been unmapped. What becomes of them?",
                ("they are served", "they are dropped", "they are fatal"),
                "the GPU reported them before the munmap, and their time says so",
            ),
        ),
        _memory_goes,
    ),
)

# 10.1: who does what when

_STEPS = {
    "C": "munmap takes mmap_lock for writing",
    "G": "the notifier clears the GPUs' entries",
    "B": "the notifier cuts the pages out of the range",
    "E": "the notifier queues the range",
    "H": "munmap gives the lock back",
    "A": "the worker takes mmap_lock for writing",
    "F": "the worker removes and registers ranges",
}
_NEEDS = {
    "C": "munmap locks the process's mappings before anything changes",
    "G": "the frames will soon be somebody else's, so what must not wait comes first: the entries of the GPUs",
    "B": "first no GPU may reach the pages any more, then the range forgets them",
    "E": "there is nothing to queue before the pieces are there",
    "H": "the notifier is called from munmap, and munmap holds its lock until it is done",
    "A": "the list of ranges may only change under mmap_lock, which the worker must have first",
    "F": "the list changes last",
}
_STRANGERS = {
    "D": "munmap stops no queue: the entries are gone at once, and whoever touches the pages now has a fault",
    "I": "VRAM is not given back page by page, and not by munmap",
}

# 10.2: the driver as posted leaves an entry behind

_WRONG_LINE = 1
_LINES = {
    2: "entries of all these pages have to go, and flushing what is not mapped does no harm",
    3: "the range's lock is what the notifier may take; the locks of the list are others",
    4: "children come first; the range itself keeps what is before the hole",
    5: "only a range that is covered as a whole may be removed",
    6: "the worker finds the range in its queue",
}
_POSTED = {"base": DEFAULT_PRESET, "unmap_scope": "interval", "lost_access": "kept"}
_CLAIM = "after a munmap no GPU has an entry for the pages that went"


class _Program(NamedTuple):
    """What a learner lets a process do."""

    run: Callable[[Process, Buffer], Any]

    def __str__(self) -> str:
        return "your program"


def _program(answer: Any) -> _Program:
    if not callable(answer):
        raise InputError("a case is a function", allowed="a function of p and a, as in def program(p, a)")
    return _Program(answer)


def _no_entry_is_left(case: _Program) -> str | None:
    p = Process("toy", behaviour=_POSTED)
    a = p.mmap("64 KiB", name="a", populate=True)
    _, error = tried(lambda: case.run(p, a))
    if error is not None:
        return f"it stops with {type(error).__name__}: {error}"
    p.run()
    gone = [page for page in range(16) if p.driver.mm.vma_at(a.span.start + page) is None]
    if not gone:
        return "every page of a is mapped at the end"
    left = [gpu.index for gpu in p.machine.gpus if p.look.any_mapping(gpu.index, a.span)[gone].any()]
    return None if left else f"{len(gone)} pages of a are gone, and no GPU has an entry for them"


# 10.3: how much VRAM is held

_NPAGES = 16


class _History(NamedTuple):
    """What happens to a buffer of 16 pages in VRAM, one thing after the other."""

    events: tuple[tuple[str, int, int], ...]

    def __str__(self) -> str:
        return f"events={list(self.events)}"


_HISTORIES = tuple(
    _History(events)
    for events in (
        (),
        (("munmap", 0, 15),),
        (("munmap", 0, 7),),
        (("munmap", 4, 11),),
        (("munmap", 0, 0), ("munmap", 1, 15)),
        (("munmap", 8, 15), ("munmap", 0, 7)),
        (("munmap", 4, 11), ("munmap", 0, 3), ("munmap", 12, 15)),
        (("munmap", 0, 3), ("munmap", 8, 11), ("munmap", 4, 7)),
        (("home", 0, 15),),
        (("home", 0, 7),),
        (("home", 0, 7), ("munmap", 8, 15)),
        (("munmap", 8, 15), ("home", 0, 7)),
        (("home", 0, 7), ("munmap", 0, 7)),
        (("home", 0, 7), ("munmap", 4, 11), ("home", 12, 15)),
        (("munmap", 4, 11), ("home", 0, 3), ("home", 12, 15)),
        (("munmap", 0, 14), ("home", 15, 15)),
    )
)


@cache
def _held(case: _History) -> tuple[int, ...]:
    """How many pages of VRAM are held after each."""
    p, held = Process("toy", vram="4 MiB", payload=False), []
    a = p.mmap(_NPAGES * PAGE_SIZE, name="a", populate=True)
    p.set_attr(a, access=["gpu0"], prefetch="gpu0")
    p.run()
    for what, first, last in case.events:
        pages = a.pages(first, last - first + 1)
        if what == "munmap":
            p.munmap(pages)
        else:
            p.set_attr(pages, prefetch="cpu")
        p.run()
        held.append(p.look.vram_used(0) // PAGE_SIZE)
    return tuple(held)


def _ask(answer: Any, case: _History) -> Any:
    given = answer(list(case.events))
    return tuple(given) if isinstance(given, list | tuple) else given


_LAST_PAGE = "the ranges share one buffer of 16 pages; it goes back when the last page of it has left VRAM"

EXERCISES = (
    Exercise(
        "10.w1",
        Kind.WARM_UP,
        "On how many GPUs do queues stop when a page is unmapped, xnack off?",
        one_number(0, of="GPUs whose queues stop", rule="a munmap has a way of its own: it stops nobody"),
    ),
    Exercise(
        "10.w2",
        Kind.WARM_UP,
        "For how many ms after it was mapped does a range take no fault?",
        one_number(
            2, of="ms in which a fault of a range is dropped", rule="it is taken for a repetition for that long"
        ),
    ),
    Exercise(
        "10.1",
        Kind.ORDER,
        "Put in order what munmap, the notifier and the deferred worker do.",
        order(_STEPS, _NEEDS, strangers=_STRANGERS, of="a munmap"),
        (
            "Look at the log in *A hole*: its second column tells who does something.",
            "munmap holds its lock all the time, and calls the notifier meanwhile. The worker needs that lock.",
            "C _ _ E _ _ F",
        ),
    ),
    Exercise(
        "10.2",
        Kind.BUG_HUNT,
        "Find the line that leaves a GPU an entry for memory that is gone, and a program that shows it.",
        bug_hunt(_WRONG_LINE, counter_example(_program, _no_entry_is_left, claim=_CLAIM), lines=_LINES),
        (
            "Go through the lines and ask of each: of when is what it looks at? Access can change.",
            "A GPU that has entries need not have access any more. Which call takes access away?",
            'p.set_attr(a, access=["gpu0"]), p.set_attr(a, ____=["gpu0"]), p.munmap(____). The line is 1 or 2.',
        ),
    ),
    Exercise(
        "10.3",
        Kind.WRITE,
        "Tell how much VRAM is held while memory goes away.",
        function(_HISTORIES, _held, rule=_LAST_PAGE, call=_ask),
        (
            "Look at the numbers in *What a cut leaves in VRAM*: when does VRAM go back, and how much of it?",
            "Keep a set of the pages that are in VRAM. Both kinds of events take pages out of it.",
            "inside -= set(range(first, ____)); held.append(____ if inside else ____)",
        ),
    ),
)
