"""Running a notebook on a fresh kernel, and bringing its outputs into a form that is the same each time."""

from __future__ import annotations

import os
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from svmlab.course.state import VARIABLE
from svmlab.errors import SvmError

__all__ = ["NotebookError", "execute"]

_VIEW = "application/vnd.jupyter.widget-view+json"
_SECONDS = 120


class NotebookError(SvmError):
    """A notebook cannot be built."""


def execute(notebook: Any, folder: Path) -> None:
    """Run every cell and keep what it shows.

    Args:
        notebook: the notebook; its outputs are written into it.
        folder: where it runs. A learner's state goes to a temporary folder: the notebook starts as a newcomer does.

    Raises:
        NotebookError: a cell fails, or writes to stderr.
    """
    from nbclient import NotebookClient
    from nbclient.exceptions import CellExecutionError

    # Which backend a notebook has is the kernel's choice, and must not come from where it is built.
    surroundings = {name: value for name, value in os.environ.items() if name != "MPLBACKEND"}
    client = NotebookClient(
        notebook,
        timeout=_SECONDS,
        kernel_name="python3",
        resources={"metadata": {"path": str(folder)}},
        store_widget_state=False,
        record_timing=False,
        extra_arguments=["--log-level=ERROR"],
    )
    with TemporaryDirectory() as state:
        try:
            client.execute(env={**surroundings, VARIABLE: state})
        except CellExecutionError as error:
            raise NotebookError(f"a cell fails:\n{error}") from None
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs = _settled(cell)


def _settled(cell: Any) -> list[Any]:
    """The outputs of a cell, with streams in one piece and without the names of live widgets."""
    settled: list[Any] = []
    for output in cell.outputs:
        before = settled[-1] if settled else None
        if output.output_type == "stream" and output.name == "stderr":
            raise NotebookError(f"cell {cell.id} writes to stderr:\n{output.text}", hint="a notebook warns of nothing")
        # How a kernel cuts a stream depends on its timing.
        if before is not None and output.output_type == before.output_type == "stream":
            before.text += output.text
            continue
        # The name of a live widget is random, and means nothing once its kernel is gone; its text stays.
        output.get("data", {}).pop(_VIEW, None)
        settled.append(output)
    return settled
