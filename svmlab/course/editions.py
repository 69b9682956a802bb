"""From one percent source to the two notebooks it holds: the learner's, and the one with solutions.

A cell tagged ``stub`` is only in the learner's notebook, one tagged ``solution`` only in the other; both have the rest.
A source that asks for nothing, such as a gallery, has neither tag and makes one notebook.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["EDITIONS", "LESSON", "METADATA", "Edition", "editions_of", "read_source", "tags_of"]

METADATA = {
    "kernelspec": {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}
"""No version and no editor's settings: they would change with the machine that builds."""
_HEADING = re.compile(r"^##? (.+)$", re.MULTILINE)
_SLUG = 40


@dataclass(frozen=True, slots=True)
class Edition:
    """One of the notebooks that come from a source.

    Attributes:
        folder: where it is, seen from the learner's notebooks.
        drop: the tag of the cells that it leaves out.
    """

    folder: str
    drop: str

    def path(self, notebooks: Path, source: Path) -> Path:
        """Where the notebook of a source is."""
        return notebooks / self.folder / f"{source.stem}.ipynb"

    def of(self, source: Any) -> Any:
        """The notebook, not yet executed; ids of its cells come from the source and are the same in both editions."""
        from nbformat.v4 import new_notebook

        cells = [_cell(cell, name) for cell, name in zip(source.cells, _ids(source.cells), strict=True)]
        kept = [cell for cell, own in zip(cells, source.cells, strict=True) if self.drop not in tags_of(own)]
        return new_notebook(cells=kept, metadata=METADATA)  # type: ignore[no-untyped-call]


EDITIONS = (Edition(".", "solution"), Edition("solutions", "stub"))
"""The learner's notebook, and the one with solutions."""
LESSON = re.compile(r"\d\d_|A_")
"""How the file name of a lesson begins; the others (a gallery, a survey) have no skeleton and no exercises."""
_OWN_TAGS = {edition.drop for edition in EDITIONS}


def read_source(path: Path) -> Any:
    """Read a notebook in percent format (jupytext).

    Args:
        path: ``notebooks/source/NN_name.py``.
    """
    import jupytext

    return jupytext.reads(path.read_text(encoding="utf-8"), fmt="py:percent")


def editions_of(source: Any) -> tuple[Edition, ...]:
    """The notebooks that a source makes.

    Args:
        source: what ``read_source`` returned.
    """
    return EDITIONS if any(_OWN_TAGS.intersection(tags_of(cell)) for cell in source.cells) else EDITIONS[:1]


def tags_of(cell: Any) -> list[str]:
    """The tags of a cell."""
    tags: list[str] = cell.metadata.get("tags", [])
    return tags


def _ids(cells: list[Any]) -> list[str]:
    """A name for each cell: the section it is in, and its number there; a change moves no name of another section."""
    names, section, counted = [], "start", Counter[str]()
    for cell in cells:
        found = _HEADING.search(cell.source) if cell.cell_type == "markdown" else None
        section = _slug(found[1]) if found else section
        counted[section] += 1
        names.append(f"{section}-{counted[section]}")
    return names


def _slug(heading: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", heading.lower()).strip("-")[:_SLUG]


def _cell(cell: Any, name: str) -> Any:
    from nbformat.v4 import new_code_cell, new_markdown_cell

    tags = [tag for tag in tags_of(cell) if tag not in _OWN_TAGS]
    make: Any = new_code_cell if cell.cell_type == "code" else new_markdown_cell
    return make(cell.source, id=name, metadata={"tags": tags} if tags else {})
