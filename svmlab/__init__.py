"""A laboratory for GPU shared virtual memory: the Linux AMD KFD SVM driver as a simulation.

``import svmlab as sl`` loads nothing heavy; each name is imported when it is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from svmlab.errors import DriverError as DriverError
    from svmlab.errors import InputError as InputError
    from svmlab.errors import SvmError as SvmError
    from svmlab.hardware.machine import Machine as Machine
    from svmlab.mm.span import Span as Span
    from svmlab.scenario.races import explore as explore
    from svmlab.svm.behaviour import Behaviour as Behaviour
    from svmlab.svm.process import Process as Process
    from svmlab.trace.compare import compare as compare
    from svmlab.trace.formats import read_trace as read_trace
    from svmlab.trace.formats import write_trace as write_trace
    from svmlab.trace.why import why as why
    from svmlab.views import counters as counters
    from svmlab.views import decision_path as decision_path
    from svmlab.views import describe as describe
    from svmlab.views import pagemap as pagemap
    from svmlab.views import pagemap_over_time as pagemap_over_time
    from svmlab.views import policy_table as policy_table
    from svmlab.views import range_strip as range_strip
    from svmlab.views import show as show
    from svmlab.views import snapshot as snapshot
    from svmlab.views import steps as steps
    from svmlab.views import timeline as timeline
    from svmlab.views import topology as topology
    from svmlab.views import translation as translation
    from svmlab.views import two_runs as two_runs
    from svmlab.views import vram_map as vram_map

TABLE: dict[str, tuple[str, str]] = {
    "Process": ("svmlab.svm.process", "a process on a simulated machine: what you hold"),
    "Machine": ("svmlab.hardware.machine", "GPUs, their memory, hives and links"),
    "Behaviour": ("svmlab.svm.behaviour", "which version of the driver runs"),
    "Span": ("svmlab.mm.span", "bytes of an address space"),
    "show": ("svmlab.views", "draw a view and print its text twin"),
    "describe": ("svmlab.views", "a view in one to three sentences"),
    "timeline": ("svmlab.views", "view: what happened when"),
    "two_runs": ("svmlab.views", "view: two runs on one axis, and where they part"),
    "pagemap": ("svmlab.views", "view: where pages are and who maps them"),
    "steps": ("svmlab.views", "view: the numbered steps of a mechanism, the current one lit"),
    "pagemap_over_time": ("svmlab.views", "view: how pages moved from moment to moment"),
    "snapshot": ("svmlab.views", "where pages are now, kept for pagemap_over_time"),
    "vram_map": ("svmlab.views", "view: the VRAM of one GPU, who holds it, what is free"),
    "counters": ("svmlab.views", "view: bytes moved, time waited, events counted"),
    "topology": ("svmlab.views", "view: the GPUs, hives and links of a machine"),
    "policy_table": ("svmlab.views", "view: where a range belongs, for every combination of attributes"),
    "range_strip": ("svmlab.views", "view: the ranges of a span before and after a call"),
    "decision_path": ("svmlab.views", "view: the rules of p.why(a), which one fired and why not the others"),
    "translation": ("svmlab.views", "view: what every page table makes of one address"),
    "why": ("svmlab.trace.why", "the chain of causes of an event"),
    "compare": ("svmlab.trace.compare", "the first event in which two runs differ"),
    "read_trace": ("svmlab.trace.formats", "a log of a driver, real or simulated, with what can be asked about it"),
    "write_trace": ("svmlab.trace.formats", "what happened, in a format of the kernel, the runtime, Perfetto or CSV"),
    "explore": ("svmlab.scenario.races", "every order of a race, and what each leads to"),
    "SvmError": ("svmlab.errors", "anything svmlab refuses or reports"),
    "DriverError": ("svmlab.errors", "an errno of the kernel or its driver"),
    "InputError": ("svmlab.errors", "input that cannot be used"),
}
"""Every public name: where it lives and what it is."""

__all__ = ["__version__"]
__all__ += list(TABLE)


def __getattr__(name: str) -> Any:
    if name == "__version__":
        return import_module("importlib.metadata").version("svmlab")
    if name not in TABLE:
        raise AttributeError(f"svmlab has no name {name!r}; it has {', '.join(TABLE)}")
    return getattr(import_module(TABLE[name][0]), name)


def __dir__() -> list[str]:
    return [*globals(), *__all__]
