"""The scripts that show live widgets on a page: from npm, by version and hash; without npm the book has none."""

import hashlib
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path
from tempfile import TemporaryDirectory

PACKAGES = {
    "@jupyter-widgets/html-manager@1.0.15": (
        "2b9d65cb7913e1c7d671757a10008b32c9c2448d4429513371e55c07d6107638",
        "package/dist/",
        (".woff2", "embed-amd.js"),
    ),
    "requirejs@2.3.8": (
        "777158e89275e16bd51aec3ef714fbcb5dc45789e7078659933bc814916d7dec",
        "package/",
        ("require.js",),
    ),
}
"""For each package: the hash of what npm delivers, a folder of it, and how the names of the files we need end."""


def fetch(folder: Path) -> Path | None:
    """Put the scripts into a folder, if they are not there already.

    Returns:
        The folder; None where there is no npm, or npm cannot deliver: then the reason is printed.
    """
    done = folder / ".complete"
    if done.exists() and done.read_text(encoding="utf-8") == repr(PACKAGES):
        return folder
    if shutil.which("npm") is None:
        print("no live widgets in the book: there is no npm; their static twins stay")
        return None
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for package, (digest, inside, endings) in PACKAGES.items():
        if not _unpack(package, digest, folder, inside, endings):
            return None
    done.write_text(repr(PACKAGES), encoding="utf-8")
    return folder


def _unpack(package: str, digest: str, folder: Path, inside: str, endings: tuple[str, ...]) -> bool:
    with TemporaryDirectory() as work:
        command = ["npm", "pack", "--silent", package]
        asked = subprocess.run(command, cwd=work, check=False, capture_output=True, text=True)
        if asked.returncode:
            print(f"no live widgets in the book: npm cannot deliver {package}; their static twins stay")
            return False
        (archive,) = Path(work).glob("*.tgz")
        found = hashlib.sha256(archive.read_bytes()).hexdigest()
        if found != digest:
            sys.exit(f"{package} from npm has the hash {found}, not {digest}: do not use it")
        with tarfile.open(archive) as packed:
            for member in packed.getmembers():
                if member.isfile() and member.name.startswith(inside) and member.name.endswith(endings):
                    (folder / Path(member.name).name).write_bytes(packed.extractfile(member).read())
    return True
