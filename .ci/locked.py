"""Print the part of requirements.lock that some extras need: `python .ci/locked.py lab test`.

The lock is one file for everything and says behind each package who asks for it ("via"). From the names that
pyproject.toml has for the extras, this follows the lock to all that they pull in. pip then installs with
--require-hashes, and refuses if a line is missing. Nothing is installed when this runs: it needs Python alone.
"""

import re
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def key(name: str) -> str:
    """The one spelling of a package's name."""
    return re.sub(r"[-_.]+", "-", name).lower()


def wanted(extras: list[str]) -> set[str]:
    """The names that pyproject.toml has for these extras, for the package itself, and for building it."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    table = project["project"]["optional-dependencies"]
    if unknown := [extra for extra in extras if extra not in table]:
        sys.exit(f"locked.py: no extra {', '.join(unknown)} in pyproject.toml; there is {', '.join(table)}")
    lines = [*project["build-system"]["requires"], *project["project"]["dependencies"]]
    lines += [line for extra in extras for line in table[extra]]
    return {key(re.match(r"[\w.-]+", line)[0]) for line in lines}


def entries() -> dict[str, list[str]]:
    """The lock's entries by package; there are several where versions differ between platforms."""
    found: dict[str, list[str]] = {}
    for entry in re.split(
        r"^(?=[a-z0-9])", (ROOT / "requirements.lock").read_text(encoding="utf-8"), flags=re.MULTILINE
    )[1:]:
        found.setdefault(key(entry.partition("==")[0]), []).append(entry)
    return found


def closure(names: set[str], locked: dict[str, list[str]]) -> set[str]:
    """These packages and everything that they ask for."""
    asked = {
        name: {key(by) for by in re.findall(r"^    #(?: via)? +([\w.-]+)$", "".join(text), flags=re.MULTILINE)}
        for name, text in locked.items()
    }
    while more := {name for name, by in asked.items() if by & names} - names:
        names = names | more
    return names


def main() -> None:
    """Print the entries, in the lock's order."""
    locked = entries()
    names = closure(wanted(sys.argv[1:]), locked)
    if missing := sorted(names - set(locked)):
        sys.exit(f"locked.py: not in requirements.lock: {', '.join(missing)}; run `make lock`")
    sys.stdout.write("".join(entry for name, texts in locked.items() if name in names for entry in texts))


if __name__ == "__main__":
    main()
