"""Every view of a finished run, by name: for the command line, the gallery and the tests that hold for all of them.

A view that needs more than a process (a decision, two moments, two runs) makes its choice here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from svmlab.errors import InputError
from svmlab.views.counters import counters
from svmlab.views.decision import decision_path
from svmlab.views.pagemap import pagemap
from svmlab.views.policy_table import policy_table
from svmlab.views.range_strip import range_strip
from svmlab.views.scene import Scene
from svmlab.views.steps import steps
from svmlab.views.timeline import timeline
from svmlab.views.topology import topology
from svmlab.views.translation import translation
from svmlab.views.vram_map import vram_map

if TYPE_CHECKING:
    from svmlab.svm.buffer_view import Buffer
    from svmlab.svm.process import Process

__all__ = ["VIEWS", "View", "largest", "view"]


@dataclass(frozen=True, slots=True)
class View:
    """A view of a process.

    Attributes:
        teaches: one sentence: what a learner sees in it.
        make: makes the scene.
    """

    teaches: str
    make: Callable[[Process], Scene]


def view(name: str, process: Process) -> Scene:
    """Make a view of a process by its name.

    Args:
        name: a key of ``VIEWS``.
        process: what to picture.

    Raises:
        InputError: there is no such view, or the process has nothing it could show.

    >>> import svmlab as sl
    >>> view("timeline", sl.Process("toy")).kind
    'timeline'
    """
    if name not in VIEWS:
        raise InputError(f"a view {name!r}", allowed=", ".join(VIEWS))
    return VIEWS[name].make(process)


def largest(process: Process) -> Buffer:
    """The mapping that a picture of pages is of: the largest one, the first of those.

    Raises:
        InputError: the process has no mapping.
    """
    from svmlab.mm.span import Span
    from svmlab.svm.buffer_view import Buffer

    mappings = list(process.driver.mm.vmas.values())
    if not mappings:
        raise InputError("a process without a mapping has no pages to show", hint="mmap first")
    vma = max(mappings, key=lambda vma: (vma.last - vma.start, -vma.start))
    return Buffer(process, Span.of_pages(vma.start, vma.last), vma.name)


def _pages(process: Process) -> Scene:
    return pagemap(process, largest(process))


def _steps(process: Process) -> Scene:
    return steps(process, beside=_pages(process) if process.driver.mm.vmas else None)


def _ranges(process: Process) -> Scene:
    return range_strip(process, largest(process))


def _vram(process: Process) -> Scene:
    used = [process.look.vram_used(gpu.index) for gpu in process.machine.gpus]
    return vram_map(process, used.index(max(used)))


def _policy(process: Process) -> Scene:
    return policy_table(process, span=largest(process) if process.driver.mm.vmas else None)


def _translation(process: Process) -> Scene:
    return translation(process, largest(process).address)


def _decision(process: Process) -> Scene:
    return decision_path(process.why(largest(process)))


VIEWS = {
    "policy": View("Where pages belong for every combination of attributes, and which rule says so.", _policy),
    "topology": View("Which GPUs share a hive and reach each other's VRAM, and over which links.", topology),
    "timeline": View("What happened when, who waited, and for what.", timeline),
    "pagemap": View("Where each page is, in the CPU's table and in every GPU's.", _pages),
    "translation": View("What every page table makes of the first address.", _translation),
    "steps": View("The numbered steps of the last migration, how long each took, and where the pages are now.", _steps),
    "ranges": View("Which ranges the driver keeps for the pages, and their attributes.", _ranges),
    "vram": View("Who holds the memory of a GPU, in which pieces, and what is free.", _vram),
    "counters": View("How many bytes moved and why, and what it cost.", counters),
    "decision": View("Which rule chose the place of the pages, and why the others did not.", _decision),
}
"""By the name the command line uses."""
