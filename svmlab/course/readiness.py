"""Is everything there that the course needs? Each answer is a sentence, and says what to do where it is no."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from svmlab.errors import SvmError

__all__ = ["Finding", "findings"]

_KERNEL = "python3"
_SECONDS = 60
_NEEDED = ("jupyterlab", "ipykernel", "ipywidgets", "matplotlib")
_SCENARIO = ("scenarios", "first-migration.toml")


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        of: what it is about.
        wrong: what is wrong and what to do; empty if nothing is.
        told: what was found.
    """

    of: str
    wrong: str
    told: str


class _Wrong(SvmError):
    """Something the course needs is not there."""


def findings(folder: Path) -> Iterator[Finding]:
    """Look at everything, one thing after the other.

    Args:
        folder: the learner's; it need not exist.
    """
    looks: dict[str, Callable[[], str]] = {
        "packages": _packages,
        "notebooks": _notebooks,
        "work folder": lambda: _folder(folder),
        "kernel": _kernel,
        "scenario": _scenario,
    }
    for of, look in looks.items():
        try:
            told = look()
        except SvmError as error:
            yield Finding(of, str(error), "")
        else:
            yield Finding(of, "", told)


def _packages() -> str:
    missing = [name for name in _NEEDED if find_spec(name) is None]
    if missing:
        raise _Wrong(f"{', '.join(missing)} cannot be imported", hint="pip install 'svmlab[lab]', or make setup")
    return f"{', '.join(_NEEDED)} are there"


def _notebooks() -> str:
    from svmlab.course.handout import lessons
    from svmlab.resources import notebooks_path

    found = lessons(notebooks_path())
    if not found:
        raise _Wrong("no lesson was found in the folder of notebooks", hint="install svmlab again")
    return f"{len(found)} lessons, {found[0].stem} to {found[-1].stem}"


def _folder(folder: Path) -> str:
    """The folder, or what it would be made in, can be written."""
    import os

    there = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
    if not there.is_dir():
        raise _Wrong(f"{there} is a file", hint="name a folder with --workdir")
    if not os.access(there, os.W_OK | os.X_OK):
        raise _Wrong(f"{there} cannot be written", hint="name another folder with --workdir")
    return f"{folder} can be written" if there == folder.absolute() else f"{folder} can be made"


def _kernel() -> str:
    """A kernel starts, and it runs the Python that svmlab is installed in."""
    try:
        from jupyter_client.kernelspec import NoSuchKernel
        from jupyter_client.manager import start_new_kernel
    except ImportError as error:
        raise _Wrong(f"there is no jupyter_client: {error}", hint="pip install 'svmlab[lab]', or make setup") from None
    try:
        manager, client = start_new_kernel(_SECONDS, _KERNEL, extra_arguments=["--log-level=ERROR"])
    except (NoSuchKernel, RuntimeError, OSError) as error:
        raise _Wrong(f"no kernel {_KERNEL} starts: {error}", hint=_REGISTER) from None
    try:
        return _asked(client)
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)


_REGISTER = "python -m ipykernel install --sys-prefix, with the Python that svmlab is installed in"


def _asked(client: object) -> str:
    printed: list[str] = []

    def hear(message: dict[str, dict[str, str]]) -> None:
        content = message["content"]
        printed.append(content.get("text", "") or content.get("evalue", ""))

    code = "import sys, svmlab; print(svmlab.__version__); print(sys.prefix)"
    reply = client.execute_interactive(code, output_hook=hear, timeout=_SECONDS)  # type: ignore[attr-defined]
    said = "".join(printed).strip()
    if reply["content"]["status"] != "ok":
        raise _Wrong(f"the kernel {_KERNEL} cannot import svmlab: {said}", hint=_REGISTER)
    version, prefix = said.splitlines()[-2:]
    if Path(prefix) != Path(sys.prefix):
        raise _Wrong(f"the kernel {_KERNEL} is another Python, {prefix}", hint=_REGISTER)
    return f"the kernel {_KERNEL} starts and imports svmlab {version}"


def _scenario() -> str:
    from svmlab.resources import data_path
    from svmlab.scenario.runner import load_scenario, run

    result = run(load_scenario(data_path(*_SCENARIO)))
    if not result.ok:
        raise _Wrong(
            f"{_SCENARIO[-1]} does not do what it should", hint=f"svmlab run {data_path(*_SCENARIO)} tells more"
        )
    return f"{_SCENARIO[-1]} runs, and all that it expects holds"
