"""Starting: loading svmlab must cost little more than loading numpy, and a learner's kernel must stay small.

What a kernel holds is told three ways. VmRSS is all that is resident, and what most tools show. RssAnon is what the
kernel has for itself: pages of library files are the same page cache for all kernels of a machine. PSS gives each
process its share of what several use. All of them are compared with a kernel that did nothing.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from time import perf_counter_ns
from typing import Any

from svmlab.bench.harness import PAIRS, Case, Row, judged, measure
from svmlab.errors import InputError

__all__ = ["LAB", "MARGIN_MIB", "footprint", "resident", "rows"]

MARGIN_MIB = 16.0
"""What svmlab and a large lab may add to a kernel."""
LAB = """
import svmlab as sl
p = sl.Process("mi210-two-hives", ram="512 GiB")
a = p.mmap("16 GiB", name="a")
p.run()
"""
_START_S = 60
_NAMES = {"VmRSS": "all that is resident", "RssAnon": "its own alone", "Pss": "with its share of what is shared"}


def rows(pairs: int = PAIRS) -> Iterator[Row]:
    """Measure everything.

    Args:
        pairs: how many processes are compared with as many others.

    Raises:
        InputError: there is no ipykernel, or the operating system does not tell what a process takes as Linux does.
    """
    yield measure(_import(), pairs=pairs, clock=_children_ns)
    footprint(LAB)  # the first kernel may have to compile what the others load
    begin = perf_counter_ns()
    held = [(footprint("pass"), footprint(LAB)) for _ in range(pairs)]
    ms = (perf_counter_ns() - begin) / 1e6 / pairs
    for key, what in _NAMES.items():
        more = [lab[key] - bare[key] for bare, lab in held]
        base = f"MiB beyond a bare kernel's {statistics.median(bare[key] for bare, _ in held):.0f}"
        yield judged(f"a kernel with svmlab and 16 GiB mapped, {what} ({key})", more, MARGIN_MIB, base=base, ms=ms)


def _import() -> Case:
    return Case(
        "import svmlab, in a process of its own",
        "import numpy, likewise",
        1.3,
        lambda: _python("import svmlab"),
        lambda: _python("import numpy"),
        1,
    )


def _python(code: str) -> None:
    subprocess.run([sys.executable, "-c", code], check=True)


def _children_ns() -> int:
    """CPU time of the processes that were started here and have ended."""
    from resource import RUSAGE_CHILDREN, getrusage  # there is none on Windows

    used = getrusage(RUSAGE_CHILDREN)
    return int((used.ru_utime + used.ru_stime) * 1e9)


def footprint(code: str) -> dict[str, float]:
    """What a fresh kernel holds after some code.

    Args:
        code: what it runs.

    Returns:
        MiB by the name that /proc has for it, as ``resident``.

    Raises:
        InputError: as ``rows``; or the code fails.
    """
    if not sys.platform.startswith("linux"):
        raise InputError("bench start on this operating system", allowed="Linux: it reads /proc")
    try:
        from jupyter_client.manager import start_new_kernel
    except ImportError as error:
        raise InputError("bench start without Jupyter", hint='pip install "svmlab[lab]"') from error
    quiet: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    # As on a learner's machine, the second kernel finds compiled what the first one loaded.
    quiet["env"] = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    manager, client = start_new_kernel(kernel_name="python3", startup_timeout=_START_S, **quiet)
    try:
        answer = client.execute_interactive(code, timeout=_START_S, output_hook=_unheard)
        if answer["content"]["status"] != "ok":
            raise InputError(f"a kernel refused {code!r}: {answer['content'].get('evalue', '')}")
        provisioner: Any = manager.provisioner
        return resident(provisioner.process.pid)
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)


def _unheard(_message: object) -> None:
    """What a kernel prints is of no interest here."""


def resident(pid: int) -> dict[str, float]:
    """What a process holds.

    Returns:
        MiB by the name that /proc has for it: ``VmRSS``, ``RssAnon``, ``Pss``, and ``VmHWM``, the most it ever held.
    """
    files = (Path(f"/proc/{pid}/{name}").read_text(encoding="utf-8") for name in ("status", "smaps_rollup"))
    pairs = (line.split(":", 1) for file in files for line in file.splitlines())
    return {key: int(value.split()[0]) / 1024 for key, value in pairs if key in (*_NAMES, "VmHWM")}
