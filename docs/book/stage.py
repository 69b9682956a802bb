"""Gather the pages of the book: `python docs/book/stage.py FOLDER`, then Sphinx makes HTML of FOLDER.

The folder mirrors the repository, so that a link between two files is the same on a code host and in the book. What is
written by hand is copied; what the program knows (the API, the commands, the kernel's symbols) is written from it; a
notebook keeps its outputs, with alt texts where a browser looks for them. scripts.py gets what shows live widgets.
"""

import ast
import html
import json
import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import nbformat
from click.testing import CliRunner
from scripts import fetch

import svmlab
import svmlab.course
import svmlab.widgets
from svmlab.cli import COMMANDS, main

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
PAGES = ("*.md", "LICENSE", "docs/*.md", "data/scenarios/**/*.md")
WIDGET_TAG = "nbval-ignore-output"
VIEW = "application/vnd.jupyter.widget-view+json"
STATE = "application/vnd.jupyter.widget-state+json"
STILL = (
    "*This is how the widget begins. A page computes nothing, so its controls change nothing here: "
    "run the notebook to use it. The next output says the rest.*"
)
CITATION = re.compile(r"Kernel: (.+?)(?:\n\s*\n|\Z)", re.DOTALL)


def stage(target: Path, scripts: Path | None) -> None:
    """Make the folder that Sphinx reads.

    Args:
        target: what was there is replaced.
        scripts: folder with the scripts that show live widgets; without it there are static twins alone.
    """
    shutil.rmtree(target, ignore_errors=True)
    for pattern in PAGES:
        for path in ROOT.glob(pattern):
            _put(target / path.relative_to(ROOT), _with_symbols(path.read_text(encoding="utf-8"), _symbols()))
    for name in ("index.md", "conf.py", "_static"):
        copy = shutil.copytree if (HERE / name).is_dir() else shutil.copy
        copy(HERE / name, target / name)
    for path in sorted((ROOT / "notebooks").rglob("*.ipynb")):
        if ".ipynb_checkpoints" not in path.parts:
            _put(target / path.relative_to(ROOT), _notebook(path, live=scripts is not None))
    _put(target / "reference" / "api.md", _api())
    _put(target / "reference" / "commands.md", _commands())
    _put(target / "reference" / "kernel.md", _kernel())
    _put(target / "kernel_symbols.json", json.dumps({name: _anchor(name) for name in _symbols()}))
    _put(target / "widget_scripts.json", json.dumps(_scripts(scripts, target / "_static")))


def _put(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def _scripts(folder: Path | None, static: Path) -> dict[str, dict[str, str]]:
    if folder is None:
        return {}
    shutil.copytree(folder, static, dirs_exist_ok=True)
    return {"require.js": {}, "embed-amd.js": {"data-jupyter-widgets-cdn": "", "crossorigin": "anonymous"}}


# Notebooks


def _notebook(path: Path, *, live: bool) -> str:
    """A notebook as a page: figures with alt text, widgets with their state, symbols with links."""
    notebook = nbformat.read(path, as_version=4)
    if path.parent.name == "solutions":
        title = notebook.cells[0]
        title.source = re.sub(r"^(# .+)$", r"\1 (solutions)", title.source, count=1, flags=re.MULTILINE)
    states = {}
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            cell.source = _with_symbols(cell.source, _symbols())
        else:
            cell.outputs = [_output(each) for each in cell.outputs]
            if live and WIDGET_TAG in cell.metadata.get("tags", []):
                states.update(_bring_to_life(cell))
    if states:
        notebook.metadata["widgets"] = {STATE: {"version_major": 2, "version_minor": 0, "state": states}}
    return nbformat.writes(notebook)


def _output(output: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """An output whose figure, if it is one, has its alt text where a browser looks for it."""
    data = output.get("data", {})
    if "image/png" not in data:
        return output
    facts = output.metadata.get("image/png", {})
    source = "data:image/png;base64," + "".join(data["image/png"].split())
    told = html.escape(facts.get("alt", ""), quote=True)
    data.clear()
    data["text/html"] = f'<img class="figure" src="{source}" alt="{told}" width="{facts.get("width", 700)}">'
    return output


def _bring_to_life(cell: nbformat.NotebookNode) -> dict[str, object]:
    """Make the widget of a cell anew and show it; returns the state of its parts."""
    from ipywidgets.embed import embed_data

    body = ast.parse(cell.source).body
    (call,) = [each.value for each in body if isinstance(getattr(each, "value", None), ast.Call)]
    shown = eval(ast.unparse(call), dict(vars(svmlab.widgets)))
    made = embed_data(views=[shown.box])
    (view,) = made["view_specs"]
    data = {"text/plain": shown.text, VIEW: view}
    cell.outputs = [
        nbformat.v4.new_output("display_data", {"text/markdown": STILL}),
        nbformat.v4.new_output("display_data", data),
    ]
    return dict(made["manager_state"]["state"])


# The kernel's symbols


def _symbols() -> dict[str, list[tuple[str, str]]]:
    """Each symbol with the files it was found in and since when."""
    found: dict[str, list[tuple[str, str]]] = {}
    for line in (ROOT / "tests" / "unit" / "kernel_symbols.txt").read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("#"):
            name, file, since = line.split()
            found.setdefault(name, []).append((file, since))
    return found


def _anchor(symbol: str) -> str:
    return f"kernel-macro-{symbol.lower()}" if symbol.isupper() else f"kernel-{symbol.lower()}"


def _with_symbols(text: str, symbols: dict[str, list[tuple[str, str]]]) -> str:
    """Let each symbol in backquotes lead to its entry."""

    def linked(found: re.Match[str]) -> str:
        return f"[`{found[1]}`](#{_anchor(found[1])})" if found[1] in symbols else found[0]

    parts = re.split(r"(^```.*?^```$)", text, flags=re.MULTILINE | re.DOTALL)
    return "".join(
        part if part.startswith("```") else re.sub(r"(?<![\[`])`(\w+)`(?!`)", linked, part) for part in parts
    )


def _kernel() -> str:
    """A page with an entry for each symbol: where it is in the kernel, and which part of svmlab models it."""
    cited = _cited()
    lines = [
        "# Symbols of the kernel",
        "",
        "Functions, structures and constants of the Linux kernel that svmlab models or speaks of, and since when they",
        "are there: *posting* is the series of March 2021 and the kernel it applies to. Behind it, the modules that",
        "cite it. Names only: no code of the kernel is in svmlab.",
        "",
    ]
    for name, places in _symbols().items():
        where = "; ".join(f"{file}, {since}" for file, since in places)
        modelled = ", ".join(f"`{module}`" for module in sorted(cited.get(name, ())))
        lines += [f"({_anchor(name)})=", f"**`{name}`** ({where})" + (f": {modelled}" if modelled else ""), ""]
    return "\n".join(lines)


def _cited() -> dict[str, set[str]]:
    """For each symbol the modules whose docstrings cite it."""
    found: dict[str, set[str]] = {}
    for path in sorted((ROOT / "svmlab").rglob("*.py")):
        module = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        for citation in CITATION.findall(path.read_text(encoding="utf-8")):
            for word in re.findall(r"\w+", citation):
                found.setdefault(word, set()).add(module)
    return found


# The API and the commands


def _api() -> str:
    """Every public name, from the tables that the package itself is made of."""
    lines = ["# API", "", "`import svmlab as sl` has these names; each is loaded when it is first used.", ""]
    lines += ["| name | is |", "|---|---|"]
    lines += [f"| [`sl.{name}`](#api-{name.lower()}) | {told} |" for name, (_, told) in svmlab.TABLE.items()]
    lines += ["", "## svmlab", ""]
    for name, (module, _) in svmlab.TABLE.items():
        lines += [f"(api-{name.lower()})=", "", *_auto(module, name)]
    lines += ["## svmlab.course", "", "What notebooks call besides.", ""]
    for name in svmlab.course.__all__:
        lines += _auto("svmlab.course", name)
    lines += ["## svmlab.widgets", "", "Each is shown by the last line of a cell, and has a static twin.", ""]
    for name in svmlab.widgets.__all__:
        lines += _auto("svmlab.widgets", name, members=False)
    return "\n".join(lines) + "\n"


def _auto(module: str, name: str, *, members: bool = True) -> Iterator[str]:
    owner = sys.modules.get(module) or __import__(module, fromlist=[name])
    kind = "autoclass" if isinstance(getattr(owner, name), type) else "autofunction"
    yield from (f"### {name}", "", "```{eval-rst}", f".. {kind}:: {module}.{name}")
    if kind == "autoclass" and not members:
        yield "   :no-members:"
    yield from ("```", "")


def _commands() -> str:
    """What --help of every command says."""
    lines = ["# Commands", "", "What `svmlab COMMAND --help` prints.", ""]
    for name in COMMANDS:
        told = CliRunner().invoke(main, [name, "--help"], prog_name="svmlab", terminal_width=100).output
        lines += [f"## svmlab {name}", "", "```text", told.rstrip(), "```", ""]
    return "\n".join(lines)


if __name__ == "__main__":
    stage(Path(sys.argv[1]), fetch(ROOT / ".venv" / "widget-scripts"))
