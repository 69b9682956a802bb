"""The course as JupyterLite gets it: `python docs/lite/stage.py FOLDER`; each notebook gets a cell that gets svmlab."""

import shutil
import sys
from pathlib import Path

import nbformat

ROOT = Path(__file__).resolve().parents[2]
FIRST_CELL = """\
# Where svmlab is not installed yet (in the browser, on Colab), this gets it. Elsewhere it does nothing.
import importlib.util

if importlib.util.find_spec("svmlab") is None:
    %pip install -q svmlab ipywidgets matplotlib
"""


def stage(target: Path) -> None:
    """Write the learner's notebooks.

    Args:
        target: what was there is replaced.
    """
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        notebook = nbformat.read(path, as_version=4)
        notebook.cells.insert(1, nbformat.v4.new_code_cell(FIRST_CELL.rstrip(), id="get-svmlab"))
        # The kernel that runs in a browser has a name of its own.
        notebook.metadata["kernelspec"] = {"name": "python", "display_name": "Python (Pyodide)", "language": "python"}
        (target / path.name).write_text(nbformat.writes(notebook) + "\n", encoding="utf-8")


if __name__ == "__main__":
    stage(Path(sys.argv[1]))
