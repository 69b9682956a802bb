"""The questions asked before and after the course: one for each misconception that it aims at."""

from __future__ import annotations

from svmlab.course.exercise import Prediction, Question
from svmlab.svm.buffer_view import Buffer
from svmlab.svm.process import Process

__all__ = ["MISCONCEPTIONS"]

MACHINE = "mi210-two-hives"


def _buffer(*, xnack: bool = False) -> tuple[Process, Buffer]:
    """A process with a written buffer of 8 MiB; gpu0 and gpu1 share a hive."""
    p = Process(MACHINE, vram="64 MiB", xnack=xnack)
    a = p.mmap("8 MiB", name="a")
    a[:] = 7
    return p, a


def _moved_pages(p: Process) -> int:
    return sum(event.fields["npages"] for event in p.log.events("migrate_end"))


def _homes() -> str:
    p, a = _buffer()
    before = p.driver.memory.ram_used
    p.set_attr(a, access=["gpu0"], prefetch="gpu0")
    return "one" if p.driver.memory.ram_used < before else "two"


def _overlap() -> str:
    p, a = _buffer()
    p.set_attr(a, access=["gpu0"])
    p.set_attr(a.pages(0, 1023), preferred="gpu0")
    first, second = p.look.ranges(a.span)
    return (
        "it is split"
        if first.access == second.access and first.preferred_loc != second.preferred_loc
        else "it is replaced"
    )


def _preferred() -> str:
    p, a = _buffer()
    p.set_attr(a, access=["gpu0"], preferred="gpu0")
    p.run()
    return "yes" if _moved_pages(p) else "no"


def _one_byte() -> str:
    p, a = _buffer()
    p.set_attr(a, access=["gpu0"], prefetch="gpu0")
    p.run()
    moved = _moved_pages(p)
    p.cpu_read(a.pages(0))
    return {1: "one page", 512: "2 MiB around it", 2048: "all of it"}[_moved_pages(p) - moved]


def _others_stand_still() -> str:
    p, a = _buffer()
    p.set_attr(a, access=["gpu0"], prefetch="gpu0")
    return "they stand still" if p.look.queues(5) == "evicted" else "they go on"


def _eviction_moves() -> str:
    p, a = _buffer()
    p.set_attr(a, access=["gpu0"])
    p.run()
    p.mprotect(a, "r")
    return "no" if p.look.queues() == "evicted" and not _moved_pages(p) else "yes"


def _between_gpus() -> str:
    p, a = _buffer()
    p.set_attr(a, access=["gpu0"], prefetch="gpu0")
    p.run()
    before = p.log.count("migrate_end")
    p.set_attr(a, prefetch="gpu1")
    return {1: "directly", 2: "through RAM"}[p.log.count("migrate_end") - before]


def _unregistered() -> str:
    p, a = _buffer()
    p.start.gpu_read("gpu0", a)
    p.run()
    return "it is fatal" if p.look.queues() == "dead" else "it takes a page fault"


def _fault_moves() -> str:
    p, a = _buffer(xnack=True)
    p.set_attr(a, preferred="gpu0")
    p.gpu_read("gpu0", a.pages(0))
    return {1: "one page", 512: "2 MiB around it", 2048: "all of it"}[_moved_pages(p)]


def _happens() -> dict[str, str]:
    return {name: run() for name, (_question, run) in _ASKED.items()}


_ASKED = {
    question.name: (question, run)
    for question, run in (
        (
            Question(
                "homes",
                "A page was prefetched to a GPU. How many copies of it are there when the call is back?",
                ("one", "two"),
                "a migration frees the old page: a page has one home (notebook 00)",
            ),
            _homes,
        ),
        (
            Question(
                "overlap",
                "A call sets one attribute on the first half of a range. What becomes of the range?",
                ("it is replaced", "it is split"),
                "both halves keep every attribute that the call does not name (notebook 02)",
            ),
            _overlap,
        ),
        (
            Question(
                "preferred",
                "A call sets the preferred location of a buffer in RAM to a GPU. Are pages moved by the call?",
                ("yes", "no"),
                "only a prefetch location moves pages in the call that sets it (notebooks 03, 06)",
            ),
            _preferred,
        ),
        (
            Question(
                "one_byte",
                "8 MiB are in VRAM, with default attributes. The CPU reads one byte. How much comes home?",
                ("one page", "2 MiB around it", "all of it"),
                "a CPU fault brings home an aligned block of 2^granularity pages, by default 512 (notebook 05)",
            ),
            _one_byte,
        ),
        (
            Question(
                "others",
                "xnack is off, and a prefetch moves a buffer to gpu0. What of its work on gpu5 meanwhile?",
                ("they go on", "they stand still"),
                "the notifier stops every queue of the process, on all GPUs (notebook 07)",
            ),
            _others_stand_still,
        ),
        (
            Question(
                "evicted",
                "The queues of a process are evicted. Does that mean that pages were moved?",
                ("yes", "no"),
                "any change of the CPU's page table evicts queues, mprotect too (notebook 07)",
            ),
            _eviction_moves,
        ),
        (
            Question(
                "between_gpus",
                "A buffer is prefetched from gpu0 to gpu1, in the same hive. How does it get there?",
                ("directly", "through RAM"),
                "the driver moves it home first, then to the other GPU (notebook 04)",
            ),
            _between_gpus,
        ),
        (
            Question(
                "unregistered",
                "xnack is off. A GPU touches memory that no call has registered. What happens?",
                ("it takes a page fault", "it is fatal"),
                "without xnack a GPU cannot wait for a page table entry (notebooks 01, 08)",
            ),
            _unregistered,
        ),
        (
            Question(
                "fault_moves",
                "xnack is on. gpu0 touches one page of a buffer that prefers gpu0. How much is moved?",
                ("one page", "2 MiB around it", "all of it"),
                "a GPU fault serves the aligned block of 2^granularity pages (notebook 08)",
            ),
            _fault_moves,
        ),
    )
}

MISCONCEPTIONS = Prediction("survey", tuple(question for question, _run in _ASKED.values()), _happens)
"""Every question; what is right is found by running it, so that it cannot drift from the model."""
